package escape

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"Debian GNU/Linux":       "Debian GNU/Linux",
		"Müller (Köln) ─ 5 €":    "Müller (Köln) ─ 5 €",
		"\x1b[2Jowned":           `\x1b[2Jowned`,
		"a\rb\nc\td":             `a\rb\nc\td`,
		"\u202egpj.exe":          `\u202egpj.exe`,
		"zero\u200bwidth\ufeff!": `zero\u200bwidth\ufeff!`,
		"\xff\xfeok":             `\xff\xfeok`,
		"\u009b31m":              `\u009b31m`,
		"no\u00a0break":          `no\u00a0break`,
	} {
		if got := Text(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := Lines("a\n\x1bb"); got != "a\n\\x1bb" {
		t.Errorf("got %q", got)
	}
}

func FuzzText(f *testing.F) {
	f.Add("\x1b]0;x\a")
	f.Add("\xe2\x80\xaea")
	f.Fuzz(func(t *testing.T, s string) {
		out := Text(s)
		if !utf8.ValidString(out) || strings.ContainsFunc(out,
			func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
			t.Errorf("%q became %q", s, out)
		}
	})
}
