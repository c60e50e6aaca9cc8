// Package msg is every sentence that the wizard says to the person at the keyboard,
// in every language it speaks: one name a sentence (names.go), so that a misspelt one does
// not compile, and one file a language (en.go, de.go, ...). No sentence is put together from parts.
//
// Letters are those of the Linux console's own font (CP437), because the firmware
// has no other: no oe ligature, no capitals with grave or circumflex, straight
// quotes, hyphens for dashes. Dates and times are ISO, UTC.
package msg

import (
	"fmt"
	"strings"

	"reown/internal/escape"
)

// Lang is a language: its place in Langs.
type Lang int

// The languages that others name.
const (
	EN Lang = iota
	FR
	DE
)

// Langs lists the languages: code, own name, the letter that picks it, the keyboard that it is mostly
// typed on, and its texts.
var Langs = []struct {
	Lang       Lang
	Code, Name string
	Letter     rune
	Keyboard   string
	texts      *table
}{
	{EN, "en", "English", 'e', "us", &en},
	{FR, "fr", "Français", 'f', "fr", &fr},
	{DE, "de", "Deutsch", 'd', "de", &de},
	{3, "es", "Español", 's', "", &es},
	{4, "it", "Italiano", 'i', "", &it},
	{5, "nl", "Nederlands", 'n', "us", &nl},
}

// Parse returns the language of a code as in Langs; false for another.
func Parse(code string) (Lang, bool) {
	for _, l := range Langs {
		if l.Code == code {
			return l.Lang, true
		}
	}
	return EN, false
}

// In returns the sentence in a language, or else in English, with the verbs of package fmt. What it
// speaks of may be anybody's text: it is escaped here.
func (m M) In(l Lang, args ...any) string {
	s := Langs[l].texts.at(m)
	if s == "" {
		s = en.at(m)
	}
	if len(args) == 0 {
		return s
	}
	all := make([]any, len(args))
	for i, a := range args {
		if x, ok := a.(interface{ In(l Lang) string }); ok {
			a = x.In(l)
		}
		switch x := a.(type) {
		case string:
			a = escape.Text(x)
		case error: // several that were joined stand on a line each
			a = escape.Text(strings.ReplaceAll(x.Error(), "\n", "; "))
		}
		all[i] = a
	}
	return fmt.Sprintf(s, all...)
}
