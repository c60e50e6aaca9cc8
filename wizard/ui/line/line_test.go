package line

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"reown/wizard/msg"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// reader is a person who reads lines and types lines.
type reader struct {
	*UI
	*wizardtest.Person
	t    *testing.T
	lang msg.Lang
	keys *io.PipeWriter // what is typed

	mu    sync.Mutex      // guards the next three, which the goroutine that reads writes
	all   strings.Builder // what was printed
	words []string        // of the secret that was printed last
	code  string          // that a phone would take
	next  chan []string   // what to type, a line for each prompt
	lines []string        // what is left of it
}

// printed is what has been printed up to now.
func (r *reader) printed() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.String()
}

// read types a line whenever the front end waits for one.
func (r *reader) read(from io.Reader, typed io.Writer) {
	in := bufio.NewReader(from)
	var line strings.Builder
	for {
		c, err := in.ReadByte()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.all.WriteByte(c)
		if c != '\n' {
			line.WriteByte(c)
		}
		text := line.String()
		if c == '\n' {
			if m := wordLine.FindStringSubmatch(text); m != nil {
				if m[1] == "1" {
					r.words = nil
				}
				r.words = append(r.words, m[2])
			}
			if m := codeLine.FindStringSubmatch(text); m != nil {
				r.code = m[1]
			}
			line.Reset()
		}
		r.mu.Unlock()
		prompt := c != '\n' && in.Buffered() == 0 && strings.HasSuffix(text, ": ")
		if !prompt {
			continue
		}
		line.Reset()
		if len(r.lines) == 0 { // the first prompt of a page
			select {
			case r.lines = <-r.next:
			default:
			}
		}
		if len(r.lines) == 0 {
			r.t.Errorf("nothing to type at %q in\n%s", text, r.printed())
			_ = r.keys.Close()
			return
		}
		if prompt {
			r.mu.Lock()
			r.all.WriteByte('\n') // as a terminal echoes it
			r.mu.Unlock()
		}
		go io.WriteString(typed, r.lines[0]+"\n")
		r.lines = r.lines[1:]
	}
}

var (
	wordLine = regexp.MustCompile(`^  (\d+)  ([a-z]{3,8})$`)
	codeLine = regexp.MustCompile(`((?:secret=)?[A-Z2-7]{32}|^  (?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})`)
)

// Ask implements ui.UI.
func (r *reader) Ask(ctx context.Context, p *ui.Page) (string, error) {
	id, _ := r.Choose(p)
	answer := "?" // no such choice
	switch i := slices.IndexFunc(p.Choices, func(c ui.Choice) bool { return c.ID == id }); {
	case id == ui.Back:
		answer = "<"
	case id == ui.Leave:
		answer = "!"
	case i >= 0 && i == p.Default:
		answer = ""
	case i >= 0:
		answer = fmt.Sprint(i + 1)
	}
	lines := []string{answer}
	fields := len(p.Inputs) > 0 && !strings.HasPrefix(p.Key, "record.")
	switch {
	case answer == "!" && p.Leaving != "":
		lines = []string{"!", "!"}
	case fields && wizardtest.Types(p, id):
		lines = nil // what is typed comes first
		if p.Inputs[0].Echo {
			lines = []string{"yzaq", answer}
		}
	case fields && id != ui.Back && id != ui.Leave:
		for range p.Inputs {
			lines = []string{"", answer} // to the choices
		}
		if p.Inputs[0].Optional && !p.Inputs[0].Echo {
			lines = append(make([]string, len(p.Inputs)), answer)
		}
	}
	if wizardtest.Types(p, id) && !(fields && p.Inputs[0].Echo) {
		// What is read off the page is known when its lines are typed.
		for _, in := range p.Inputs {
			seen := wizardtest.Shown(p)
			line := r.Line(p, in, seen)
			lines = append(lines, line)
			if in.Twice {
				lines = append(lines, line)
			}
		}
	}
	r.next <- lines
	got, err := r.UI.Ask(ctx, p)
	if err != nil {
		return got, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case got != id:
		r.t.Errorf("page %s: chose %q, got %q", p.Key, id, got)
	case strings.HasPrefix(p.Key, "record.") && wizardtest.Types(p, id):
		if printed := strings.Join(r.words, " "); printed != r.Paper[p.Key[7:]] {
			r.t.Errorf("page %s shows %q, not the secret", p.Key, printed)
		}
	case p.Key == "totp" && !strings.Contains(strings.ReplaceAll(wizardtest.Shown(p), " ", ""),
		strings.ReplaceAll(r.code, " ", "")):
		r.t.Errorf("page %s shows another code", p.Key)
	}
	return got, err
}

// Watch implements ui.UI.
func (r *reader) Watch(ctx context.Context, title string, work func(context.Context, func(ui.Tasks)) error) error {
	r.Press = func() { go io.WriteString(r.keys, "p\n") }
	return r.UI.Watch(ctx, title, r.Watched(work))
}

// newReader is a person with a terminal that only prints.
func newReader(t *testing.T, lang msg.Lang) *reader {
	fromUI, toPerson := io.Pipe()
	fromPerson, toUI := io.Pipe()
	r := &reader{UI: New(fromPerson, toPerson, -1), Person: wizardtest.NewPerson(wizardtest.New()), t: t, lang: lang,
		keys: toUI, next: make(chan []string, 1)}
	r.Every = time.Hour
	go r.read(fromUI, toUI)
	t.Cleanup(func() { toUI.Close(); toPerson.Close() })
	return r
}

// Every conversation, line by line and in each language: the pages are those that
// the conversation has without any front end, no line is too long, and nothing but
// plain text is printed.
func TestEveryConversationLineByLine(t *testing.T) {
	for _, l := range msg.Langs {
		for i := range wizardtest.Conversations {
			c := &wizardtest.Conversations[i]
			t.Run(l.Code+"/"+c.Name, func(t *testing.T) {
				r := newReader(t, l.Lang)
				if err := c.Talk(r.Person, l.Code, func() ui.UI { return r }); err != nil {
					t.Fatalf("%v\n%s", err, r.printed())
				}
				want, err := c.Pages(l.Code)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(r.Pages, want) {
					t.Errorf("the pages\n%v, want\n%v", r.Pages, want)
				}
				all := r.printed()
				for _, l := range strings.Split(all, "\n") {
					if len([]rune(l)) > 80 && !strings.Contains(l, "otpauth") {
						t.Errorf("%d columns: %s", len([]rune(l)), l)
					}
				}
				if strings.ContainsAny(all, "\x1b\b\t") {
					t.Error("control characters on a plain line")
				}
				if strings.Contains(all, wizardtest.SellerPassphrase) {
					t.Error("a secret that was typed stands there")
				}
			})
		}
	}
}

// On a terminal, what was typed before the page that asks whose computer it is stood there answers
// nothing on it, and neither does Enter.
func TestTypedAhead(t *testing.T) {
	person, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	defer tty.Close()
	var mu sync.Mutex
	var all strings.Builder
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := person.Read(b)
			mu.Lock()
			all.Write(b[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	wait := func(text string, times int) string {
		t.Helper()
		for range 3000 {
			mu.Lock()
			s := all.String()
			mu.Unlock()
			if strings.Count(s, text) >= times {
				return s
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%q does not come:\n%s", text, all.String())
		return ""
	}
	typed := func(s string) {
		if _, err := person.WriteString(s); err != nil {
			t.Error(err)
		}
	}
	done := make(chan error, 1)
	typed(strings.Repeat("1\n", 200))
	go func() {
		done <- wizardtest.Run(wizardtest.New(), New(tty, tty, int(tty.Fd())), "en")
		person.Close()
	}()
	prompt := "Choose [1-3]: "
	wait(prompt, 1)
	typed("\n")
	switch s := wait(prompt, 2); {
	case strings.Contains(s, "opens the disk now"):
		t.Fatalf("answered before it was read:\n%s", s)
	case strings.Count(s, "Phone shows") != 2 || !strings.Contains(s, "digits of now"):
		t.Errorf("the digits are not said again:\n%s", s)
	}
	typed("1\n")
	wait("opens the disk now", 1)
	typed("!\n")
	if err := <-done; !errors.Is(err, ui.ErrLeft) {
		t.Errorf("ended with %v", err)
	}
}

func TestTheLineIsCut(t *testing.T) {
	w := wizardtest.New()
	if err := wizardtest.Run(w, New(strings.NewReader(""), io.Discard, -1), "en"); !errors.Is(err, ui.ErrScreen) ||
		strings.Contains(err.Error(), "EOF") {
		t.Fatalf("ended with %v", err)
	}
	if len(w.Ops) > 4 { // the crash-loop counter only
		t.Errorf("something was written: %v", w.Ops)
	}
}
