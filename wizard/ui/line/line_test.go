package line

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
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
	words []string
	paper map[string]string
	code  string
	all   strings.Builder
	end   bool // stops at the first failure
}

var (
	wordLine = regexp.MustCompile(`^  \d+  ([a-z]{3,8})$`)
	shown    = regexp.MustCompile(`Secret \d of \d: ([A-Z ]+)`)
	asked    = regexp.MustCompile(`Type from your paper: ([A-Z ]+)`)
	uriLine  = regexp.MustCompile(`secret=([A-Z2-7]{32})`)
)

// answer is what is typed at a prompt.
func (r *reader) answer(prompt string) (string, bool) {
	switch {
	case strings.HasPrefix(prompt, "Choose ["):
		if strings.Contains(r.page(), "Check, then start") {
			return "1", true
		}
		if r.end && strings.Contains(r.page(), "This step did not work") {
			return "2", true
		}
		return "", true
	case strings.HasPrefix(prompt, "Passphrase: "):
		return wizardtest.SellerPassphrase, true
	case strings.HasPrefix(prompt, "From paper: "):
		if m := asked.FindStringSubmatch(r.page()); m != nil {
			return r.paper[m[1]], true
		}
		p := strings.Join(r.words, " ")
		r.paper[shown.FindStringSubmatch(r.page())[1]], r.words = p, nil
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

// talk lets the reader have one conversation with the wizard.
func (r *reader) talk() error {
	fromUI, toPerson := io.Pipe()
	fromPerson, toUI := io.Pipe()
	u := New(fromPerson, toPerson, -1)
	u.Every = time.Hour
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
	err := wizard.Run(context.Background(), r.w.Machine(), u, wizard.Options{Language: "en"})
	toPerson.Close()
	<-over
	return err
}

// The whole journey, cut and continued at some places, line by line.
func TestTheWholeJourneyLineByLine(t *testing.T) {
	for _, cut := range []string{"", "card.generate.1", "disk.chunk", "tpm.owner", "boot.stage", "flash.block.2", "boot.oem"} {
		w := wizardtest.New()
		r := &reader{t: t, w: w, paper: map[string]string{}}
		if cut != "" {
			w.Fault = func(op string) error {
				if op == cut {
					return wizardtest.ErrCut
				}
				return nil
			}
			r.end = true
			if err := r.talk(); !errors.Is(err, wizardtest.ErrCut) {
				t.Fatalf("%s: %v\n%s", cut, err, r.all.String())
			}
			r.end = false
			w.Reboot()
		}
		if err := r.talk(); err != nil {
			t.Fatalf("%s: %v\n%s", cut, err, r.all.String())
		}
		if err := w.Owned(slices.Collect(maps.Values(r.paper))); err != nil {
			t.Fatalf("%s: %v", cut, err)
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
}

func TestTheLineIsCut(t *testing.T) {
	u := New(strings.NewReader(""), io.Discard, -1)
	err := wizard.Run(context.Background(), wizardtest.New().Machine(), u, wizard.Options{Language: "en"})
	if err == nil {
		t.Fatal("no error")
	}
}
