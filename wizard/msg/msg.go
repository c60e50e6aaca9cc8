// Package msg is every sentence that the wizard says to the person at the keyboard,
// in every language it speaks: one name a sentence (names.go), so that a misspelt one does
// not compile, and one file a language (en.go, de.go, ...). No sentence is put together from parts.
//
// Letters are those of the Linux console's own font (CP437), because the firmware
// has no other: no oe ligature, no capitals with grave or circumflex, straight
// quotes, hyphens for dashes. Dates and times are ISO, UTC.
package msg

import "fmt"

// Lang is a language: its place in Langs.
type Lang int

// The languages that others name.
const (
	EN Lang = iota
	FR
	DE
)

// table is a language's texts.
type table [count]string

// Langs lists the languages with their codes, their own names and their texts.
var Langs = []struct {
	Lang       Lang
	Code, Name string
	texts      *table
}{{EN, "en", "English", &en}, {FR, "fr", "Français", &fr}, {DE, "de", "Deutsch", &de}}

// Parse returns the language of a code as in Langs; false for another.
func Parse(code string) (Lang, bool) {
	for _, l := range Langs {
		if l.Code == code {
			return l.Lang, true
		}
	}
	return EN, false
}

// In returns the sentence in a language, or else in English, with the verbs of package fmt.
func (m M) In(l Lang, args ...any) string {
	s := Langs[l].texts[m]
	if s == "" {
		s = en[m]
	}
	if len(args) == 0 {
		return s
	}
	return fmt.Sprintf(s, args...)
}
