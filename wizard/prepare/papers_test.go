package prepare

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"reown/internal/secret"
	"reown/wizard/msg"
)

var facts = Facts{Order: "2026-1147", Words: "robin-uncle-kite-focus", Seller: strings.Repeat("70A6", 10),
	Fingerprint: strings.Repeat("1B0C", 10), Card: "5F11A2C0"}

// scanned is what zbarimg reads from what rsvg-convert draws.
func scanned(t *testing.T, svg []byte, args ...string) string {
	t.Helper()
	for _, tool := range []string{"rsvg-convert", "zbarimg"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatal(err)
			}
			t.Skip(tool + " is not installed")
		}
	}
	file := filepath.Join(t.TempDir(), "picture.png")
	draw := exec.Command("rsvg-convert", append(args, "-o", file)...)
	draw.Stdin = bytes.NewReader(svg)
	if out, err := draw.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("rsvg-convert: %v %s\n%s", err, out, svg)
	}
	out, err := exec.Command("zbarimg", "-q", "--raw", file).Output()
	if err != nil {
		t.Fatalf("zbarimg: %v", err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// TestLabel: its code is read at the resolution of a label printer, with the longest order, too.
func TestLabel(t *testing.T) {
	for _, order := range []string{facts.Order, strings.Repeat("W", 64)} {
		f := facts
		f.Order = order
		svg, err := f.LabelSVG()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := scanned(t, svg, "-d", "203", "-p", "203"), "OPENPGP4FPR:"+f.Seller+"#order="+order+"&words="+
			f.Words; got != want {
			t.Errorf("the label says %q, not %q", got, want)
		}
		for _, want := range []string{">" + order + "<", ">" + f.Words + "<", ">70A6 70A6 70A6 70A6 70A6<",
			">1B0C 1B0C 1B0C 1B0C 1B0C<", f.Card} {
			if !bytes.Contains(svg, []byte(want)) {
				t.Errorf("the label lacks %q", want)
			}
		}
	}
}

// TestPhone: the picture and the terminal's letters behind it are the same code.
func TestPhone(t *testing.T) {
	const uri = "otpauth://totp/Example%20Shop:2026-1147?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example%20Shop"
	picture, err := phone(secret.From([]byte(uri)))
	if err != nil {
		t.Fatal(err)
	}
	defer picture.Wipe()
	if got := scanned(t, picture.Bytes()); got != uri {
		t.Errorf("the picture says %q", got)
	}
	_, text, _ := strings.Cut(string(picture.Bytes()), "<!--\n")
	var svg strings.Builder
	y := 0
	for line := range strings.Lines(strings.TrimSuffix(text, "-->\n")) {
		for x, r := range []rune(line) {
			for half, light := range []bool{r == '█' || r == '▀', r == '█' || r == '▄'} {
				if light && r != '\n' {
					fmt.Fprintf(&svg, `<path fill="#fff" d="M%d %dh5v5h-5z"/>`, 5*x, 10*y+5*half)
				}
			}
		}
		y++
	}
	frame := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[1]d"><path d="M0 0h%[1]dv%[1]dH0z"/>`, 10*y)
	if got := scanned(t, []byte(frame+svg.String()+"</svg>")); got != uri {
		t.Errorf("a terminal shows %q", got)
	}
}

// TestLetters: one for each language, whole, of what this laptop has and of nothing else.
func TestLetters(t *testing.T) {
	if len(letters) != len(msg.Langs) {
		t.Fatalf("%d letters for %d languages", len(letters), len(msg.Langs))
	}
	seen := map[string]bool{}
	for _, l := range msg.Langs {
		for _, c := range [][2]bool{{true, true}, {true, false}, {false, true}} {
			f := facts
			f.Message, f.Phone = c[0], c[1]
			text := f.Letter(l.Lang)
			if seen[text] {
				t.Errorf("%s: the letter of another", l.Code)
			}
			seen[text] = true
			for _, want := range []string{f.Order, f.Words, Grouped(f.Seller), f.Card, "\n1. ", "\n4. "} {
				if !strings.Contains(text, want) {
					t.Errorf("%s %v: it lacks %q", l.Code, c, want)
				}
			}
			if strings.Contains(text, "%") || strings.Contains(text, "\n\n\n") {
				t.Errorf("%s: %s", l.Code, text)
			}
			if got := strings.Contains(text, "gpg --decrypt secrets.asc"); got != f.Message {
				t.Errorf("%s %v: secrets.asc %v", l.Code, c, got)
			}
			if got := strings.Contains(text, "phone.svg.asc"); got != (f.Message && f.Phone) {
				t.Errorf("%s %v: phone.svg %v", l.Code, c, got)
			}
			for line := range strings.Lines(text) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
					t.Errorf("%s: %d columns: %s", l.Code, n, line)
				}
			}
		}
	}
}

// TestFinished: a laptop that could be shipped is not prepared by mistake, for its own order or for
// another; a cut run is brought to its end, and --again does as it says.
func TestFinished(t *testing.T) {
	s := newShop()
	start := func(change func(*Options)) (*Result, error) {
		o := s.options(t)
		o.Finished = s
		if change != nil {
			change(&o)
		}
		return Run(t.Context(), s.machine(), o)
	}
	first, err := start(func(o *Options) { o.Deliver = func(*Result) error { return errors.New("the disk is full") } })
	if err == nil || first != nil {
		t.Fatalf("what could not be delivered is finished: %v", first)
	}
	first, err = start(nil)
	if err != nil {
		t.Fatalf("after a cut: %v", err)
	}
	ops := len(s.Ops)
	other := *order
	other.ID = "2026-1148"
	empty := Known{parse(t, []byte(`{"secret.current": "x"}`))}
	for name, change := range map[string]func(*Options){
		"the same":            nil,
		"without its secrets": func(o *Options) { o.Known = empty },
		"another order":       func(o *Options) { o.Order, o.Known = &other, empty },
	} {
		res, err := start(change)
		if f := (*FinishedError)(nil); !errors.As(err, &f) || res != nil || len(s.Ops) != ops {
			t.Errorf("%s: %v, %d writes", name, err, len(s.Ops)-ops)
		}
		if err != nil && !strings.Contains(err.Error(), "finished as 2026-1147, words ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Clock = s.Clock.Add(time.Hour)
	again, err := start(func(o *Options) { o.Again = true })
	if err != nil || bytes.Equal(again.Statement, first.Statement) {
		t.Fatalf("again: %v", err)
	}
	if err := s.ready(t); err != nil {
		t.Error(err)
	}
}
