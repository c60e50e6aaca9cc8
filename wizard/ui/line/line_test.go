package line

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"reown/internal/otp"
	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/wizardtest"
)

// reader is a person who reads lines and types lines, and knows nothing else.
type reader struct {
	t     *testing.T
	w     *wizardtest.World
	mu    sync.Mutex
	words []string
	paper []string
	code  string
	all   strings.Builder
}

var (
	wordLine = regexp.MustCompile(`^  \d+  ([a-z]{3,8})$`)
	uriLine  = regexp.MustCompile(`secret=([A-Z2-7]{32})`)
)

// answer is what is typed at a prompt.
func (r *reader) answer(prompt string) (string, bool) {
	switch {
	case strings.HasPrefix(prompt, "Choose ["):
		if strings.Contains(r.page(), "Check, then start") {
			return "1", true
		}
		return "", true
	case strings.HasPrefix(prompt, "Passphrase: "):
		return wizardtest.SellerPassphrase, true
	case strings.HasPrefix(prompt, "From paper: "):
		p := strings.Join(r.words, " ")
		r.paper, r.words = append(r.paper, p), nil
		return p, true
	case strings.HasPrefix(prompt, "Six digits: "):
		text := secret.From([]byte(r.code))
		key, err := otp.ParseBase32(text)
		if err != nil {
			r.t.Error(err)
		}
		c, err := otp.TOTP(key, r.w.Clock)
		if err != nil {
			r.t.Error(err)
		}
		return c.String(), true
	case strings.HasPrefix(prompt, "Type NL0T: "):
		return "NL0T", true
	case strings.HasPrefix(prompt, "Name: "), strings.HasPrefix(prompt, "E-mail: "), strings.HasPrefix(prompt, "You typed: "):
		return "", true
	case strings.HasPrefix(prompt, "Write it down, then press Enter"):
		return "", true
	}
	return "", false
}

// page is what stands on the paper since the last title.
func (r *reader) page() string {
	s := r.all.String()
	return s[max(0, strings.LastIndex(s, "== ")):]
}

func TestTheWholeJourneyLineByLine(t *testing.T) {
	w := wizardtest.New()
	fromUI, toPerson := io.Pipe()
	fromPerson, toUI := io.Pipe()
	u := New(fromPerson, toPerson, -1)
	u.Every = time.Hour
	r := &reader{t: t, w: w}
	over := make(chan struct{})
	go func() {
		defer close(over)
		in := bufio.NewReader(fromUI)
		var line strings.Builder
		for {
			c, err := in.ReadByte()
			if err != nil {
				return
			}
			r.all.WriteByte(c)
			if c != '\n' {
				line.WriteByte(c)
			}
			if m := wordLine.FindStringSubmatch(line.String()); c == '\n' && m != nil {
				r.words = append(r.words, m[1])
			}
			if m := uriLine.FindStringSubmatch(line.String()); c == '\n' && m != nil {
				r.code = m[1]
			}
			if c == '\n' || in.Buffered() == 0 && strings.HasSuffix(line.String(), ": ") {
				if a, ok := r.answer(line.String()); ok {
					go io.WriteString(toUI, a+"\n")
				}
				line.Reset()
			}
		}
	}()
	err := wizard.Run(context.Background(), w.Machine(), u, wizard.Options{Language: "en"})
	toPerson.Close()
	<-over
	if err != nil {
		t.Fatalf("%v\n%s", err, r.all.String())
	}
	if err := w.Owned(r.paper); err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(r.all.String(), "\n") {
		if len([]rune(l)) > 80 && !strings.Contains(l, "otpauth") {
			t.Errorf("%d columns: %s", len([]rune(l)), l)
		}
	}
	if strings.ContainsAny(r.all.String(), "\x1b\b\t") {
		t.Error("control characters on a plain line")
	}
}

func TestTheLineIsCut(t *testing.T) {
	u := New(strings.NewReader(""), io.Discard, -1)
	err := wizard.Run(context.Background(), wizardtest.New().Machine(), u, wizard.Options{Language: "en"})
	if err == nil {
		t.Fatal("no error")
	}
}
