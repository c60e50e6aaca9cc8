// Package prose has no code: its test reads the documents aloud.
package prose

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxWords   = 35
	maxColumns = 120
)

var (
	code     = regexp.MustCompile("`[^`]*`")
	target   = regexp.MustCompile(`\]\([^)]*\)`)
	bracket  = regexp.MustCompile(`\([^()]*\)`)
	ends     = regexp.MustCompile(`[.!?]["*)]*(\s|$)`)
	cellEnds = regexp.MustCompile(`[.!?;:]["*)]*(\s|$)|\|`)
	item     = regexp.MustCompile(`^\s*([-*]|\d+\.) `)
	word     = regexp.MustCompile(`\w`)
)

// Lines that no shorter ones can stand for.
var unbroken = regexp.MustCompile(`^\s*\||^\S*https?://\S+$|^    `)

// long calls f with the sentences of a text that are too long. A name in backticks is no word, and
// what stands in brackets is read apart.
func long(text string, end *regexp.Regexp, f func(sentence string, words int)) {
	text = target.ReplaceAllString(code.ReplaceAllString(text, ""), "]")
	for bracket.MatchString(text) {
		for _, b := range bracket.FindAllString(text, -1) {
			long(strings.Trim(b, "()"), end, f)
		}
		text = bracket.ReplaceAllString(text, "")
	}
	for _, s := range end.Split(text, -1) {
		n := 0
		for w := range strings.FieldsSeq(s) {
			if word.MatchString(w) {
				n++
			}
		}
		if n > maxWords {
			f(strings.TrimSpace(s), n)
		}
	}
}

// read calls f with each paragraph, list item or row of a document, and the line where it begins.
func read(doc string, f func(line int, text string, row bool)) {
	start, fenced := 0, false
	var para []string
	flush := func() {
		if len(para) > 0 {
			f(start, strings.Join(para, " "), false)
		}
		para = nil
	}
	n := 0
	for l := range strings.Lines(doc) {
		n++
		l = strings.TrimRight(l, "\n")
		switch {
		case strings.HasPrefix(l, "```"):
			flush()
			fenced = !fenced
		case fenced:
		case strings.TrimSpace(l) == "", strings.HasPrefix(l, "#"), strings.HasPrefix(l, "    ") && len(para) == 0:
			flush()
		case strings.HasPrefix(strings.TrimSpace(l), "|"):
			flush()
			f(n, l, true)
		default:
			if item.MatchString(l) {
				flush()
			}
			if len(para) == 0 {
				start = n
			}
			para = append(para, strings.TrimSpace(l))
		}
	}
	flush()
}

// TestReadAloud: no sentence of the documents is longer than a breath, no line wider than an editor.
func TestReadAloud(t *testing.T) {
	docs, _ := filepath.Glob("../../docs/*.md")
	sentences := 0
	for _, name := range append(docs, "../../README.md", "../../SECURITY.md", "../../CHANGELOG.md") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(name)
		if base == "commands.md" { // generated: the program's own texts are judged elsewhere
			continue
		}
		n := 0
		for l := range strings.Lines(string(data)) {
			n++
			l = strings.TrimRight(l, "\n")
			if w := utf8.RuneCountInString(l); w > maxColumns && !unbroken.MatchString(l) {
				t.Errorf("%s:%d: %d columns", base, n, w)
			}
		}
		read(string(data), func(line int, text string, row bool) {
			end := ends
			if row {
				end = cellEnds
			}
			sentences++
			long(text, end, func(s string, words int) { t.Errorf("%s:%d: %d words: %.200s", base, line, words, s) })
		})
	}
	if sentences < 300 {
		t.Errorf("only %d paragraphs found", sentences)
	}
}

// TestLong: the rules.
func TestLong(t *testing.T) {
	many := strings.Repeat("word ", 30)
	for text, want := range map[string]int{
		many + "and a few words more.": 0, many + many: 1, many + ". " + many: 0, many + "(" + many + ")": 0,
		many + strings.Repeat("`code` ", 30): 0, many + "; " + many: 1, "x (" + many + many + ")": 1, many + ".) " + many: 0,
	} {
		n := 0
		long(text, ends, func(string, int) { n++ })
		if n != want {
			t.Errorf("%d long sentences in %q", n, text)
		}
	}
}

// named matches what looks like a file or folder of ours in backticks.
var named = regexp.MustCompile("`((?:cmd|boot|gpgcard|integration|internal|luks|scripts|tpm|wizard|docs|testdata)/[\\w./*-]*)[^`]*`")

// TestNamedFilesAreThere: what the documents for those who work on it name has not been renamed.
func TestNamedFilesAreThere(t *testing.T) {
	seen := 0
	for _, name := range []string{"contributing.md", "architecture.md"} {
		data, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(data), -1) {
			path := m[1]
			if strings.Contains(path, "MODULE") || strings.Contains(path, "_ID.go") ||
				strings.HasSuffix(path, "/xx.go") { // stands for many
				continue
			}
			seen++
			if found, _ := filepath.Glob("../../" + strings.TrimSuffix(path, "/")); len(found) == 0 {
				t.Errorf("%s names %s, which is not there", name, path)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d names found", seen)
	}
}
