// Package msg is every sentence that the wizard says to the person at the keyboard,
// in every language it speaks: one variable a sentence, so that a missing or
// misspelt one does not compile. No sentence is put together from parts.
//
// Letters are those of the Linux console's own font (CP437), because the firmware
// has no other: no oe ligature, no capitals with grave or circumflex, straight
// quotes, hyphens for dashes. Dates and times are ISO, UTC.
package msg

import "fmt"

// Lang is a language.
type Lang int

// The languages.
const (
	EN Lang = iota
	FR
	DE
)

// Langs lists the languages with their codes and their own names.
var Langs = []struct {
	Lang       Lang
	Code, Name string
}{{EN, "en", "English"}, {FR, "fr", "Français"}, {DE, "de", "Deutsch"}}

// Parse returns the language of a code as in Langs; false for another.
func Parse(code string) (Lang, bool) {
	for _, l := range Langs {
		if l.Code == code {
			return l.Lang, true
		}
	}
	return EN, false
}

// M is a sentence in each language, with the verbs of package fmt.
type M struct{ EN, FR, DE string }

// In returns the sentence in a language.
func (m M) In(l Lang, args ...any) string {
	s := m.EN
	switch l {
	case FR:
		s = m.FR
	case DE:
		s = m.DE
	}
	if len(args) == 0 {
		return s
	}
	return fmt.Sprintf(s, args...)
}
