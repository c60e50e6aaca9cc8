package msg

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// catalogue is every sentence in every language, by its name in the source.
func catalogue(t *testing.T) map[string][]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	m := M(0)
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if m > None && m < count {
				for _, l := range Langs {
					all[v.Names[0].Name] = append(all[v.Names[0].Name], l.texts.at(m))
				}
			}
			m++
		}
		return true
	})
	if len(all) != int(count)-1 || len(all) < 150 {
		t.Fatalf("%d names of %d sentences were found", len(all), count-1)
	}
	return all
}

var verb = regexp.MustCompile(`%[-+ #0-9.\[\]]*[a-zA-Z%]`)

// Latin letters and signs of code page 437, which the console's font has.
const font = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜáíóúñÑßµ«»°·£¥§¿¡"

func TestEverySentenceInEveryLanguage(t *testing.T) {
	for name, texts := range catalogue(t) {
		want := fmt.Sprint(verb.FindAllString(texts[0], -1))
		for i, s := range texts {
			at := fmt.Sprintf("%s (%s)", name, Langs[i].Code)
			if strings.TrimSpace(s) == "" {
				t.Errorf("%s is empty", at)
			}
			if got := fmt.Sprint(verb.FindAllString(s, -1)); got != want {
				t.Errorf("%s has the verbs %s, English has %s", at, got, want)
			}
			if !utf8.ValidString(s) {
				t.Errorf("%s is no UTF-8", at)
			}
			for _, r := range s {
				if (r < ' ' || r > '~') && !strings.ContainsRune(font, r) {
					t.Errorf("%s: the console's font lacks %q", at, r)
				}
			}
			for _, w := range strings.Fields(s) {
				if utf8.RuneCountInString(w) > 40 {
					t.Errorf("%s: %q cannot be wrapped", at, w)
				}
			}
		}
	}
}

// Sentences that stand on one line have room for it. The widths are those of the
// screen (package tui).
func TestOneLineFits(t *testing.T) {
	for name, texts := range catalogue(t) {
		limit := 0
		switch {
		case strings.HasPrefix(name, "Button"):
			limit = 32
		case strings.HasPrefix(name, "State") && name != "StatusLine":
			limit = 14
		case strings.HasPrefix(name, "Step") && name != "StepOf", strings.HasPrefix(name, "Item") &&
			!strings.Contains(texts[0], " list") && !strings.Contains(texts[0], "gave"):
			limit = 17
		case name == "SerialLabel": // four characters follow
			limit = 40
		case strings.HasSuffix(name, "Label"), name == "FailedWhat", name == "FailedData", name == "FailedDo":
			limit = 17
		case strings.HasPrefix(name, "Loses"), strings.HasPrefix(name, "Does"):
			limit = 76 - 23
		case strings.HasPrefix(name, "Note"):
			limit = 76
		}
		for i, s := range texts {
			if n := utf8.RuneCountInString(s); limit > 0 && n > limit {
				t.Errorf("%s (%s): %d columns of %d: %s", name, Langs[i].Code, n, limit, s)
			}
		}
	}
}

func TestIn(t *testing.T) {
	if got := StepOf.In(DE, 3, 7); got != "Schritt 3 von 7" {
		t.Error(got)
	}
	if got := ProblemPower.In(EN, 12); !strings.Contains(got, "12%") {
		t.Error(got)
	}
	if l, ok := Parse("fr"); !ok || l != FR {
		t.Error("fr")
	}
	if _, ok := Parse("tlh"); ok {
		t.Error("an unknown language is known")
	}
}
