// Package uniseg stands in for github.com/rivo/uniseg, whose tables of Unicode take 70 KB of
// the packed program. It has what tview and tcell call, for what a firmware's console can
// show: a character is a letter with the marks that follow it, and is one or two cells wide.
// It does not know flags, families of emoji, the syllables of Hangul written in parts, or
// where a sentence ends; a line may break after a space or a hyphen.
package uniseg

import (
	"unicode"
	"unicode/utf8"
)

// Bits of the boundaries that [StepString] returns; the width stands above them.
const (
	MaskLine     = 3
	MaskWord     = 4
	MaskSentence = 8
	ShiftWidth   = 4

	LineDontBreak = 0
	LineCanBreak  = 1
	LineMustBreak = 2
)

// EastAsianAmbiguousWidth is there for tcell; ambiguous characters have one cell here.
var EastAsianAmbiguousWidth = 1

// wide are the ranges of characters that take two cells (Unicode 15, East Asian Width W and F).
var wide = [][2]rune{
	{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0x33ff}, {0x3400, 0x4dbf}, {0x4e00, 0xa4cf}, {0xa960, 0xa97c},
	{0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f}, {0xff01, 0xff60}, {0xffe0, 0xffe6},
	{0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
}

func runeWidth(r rune) int {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0, mark(r):
		return 0
	case r < wide[0][0]:
		return 1
	}
	for _, w := range wide {
		if r >= w[0] && r <= w[1] {
			return 2
		}
	}
	return 1
}

// mark says whether the character has no place of its own.
func mark(r rune) bool {
	return r >= 0x300 && (unicode.In(r, unicode.Mn, unicode.Me) || r == 0x200d || r >= 0xfe00 && r <= 0xfe0f)
}

// FirstGraphemeClusterInString returns the first character of the text, what follows it, and
// how many cells it takes. The states are not used: -1 goes in, 0 comes out.
func FirstGraphemeClusterInString(str string, _ int) (cluster, rest string, width, newState int) {
	if str == "" {
		return "", "", 0, 0
	}
	r, n := utf8.DecodeRuneInString(str)
	if r == '\r' && len(str) > n && str[n] == '\n' {
		return str[:2], str[2:], 0, 0
	}
	width = runeWidth(r)
	for n < len(str) && r >= 0x20 {
		m, size := utf8.DecodeRuneInString(str[n:])
		if !mark(m) {
			break
		}
		n += size
	}
	return str[:n], str[n:], width, 0
}

// StepString is [FirstGraphemeClusterInString] with what the place behind the character is.
func StepString(str string, state int) (cluster, rest string, boundaries, newState int) {
	cluster, rest, width, newState := FirstGraphemeClusterInString(str, state)
	boundaries = width << ShiftWidth
	if cluster == "" {
		return "", "", 0, 0
	}
	last, _ := utf8.DecodeLastRuneInString(cluster)
	next, _ := utf8.DecodeRuneInString(rest)
	switch {
	case rest == "":
		// As the original: a text's end is a line's end.
		return cluster, rest, boundaries | LineMustBreak | MaskWord | MaskSentence, newState
	case HasTrailingLineBreakInString(cluster):
		return cluster, rest, boundaries | LineMustBreak | MaskWord | MaskSentence, newState
	case (last == ' ' || last == '-') && next != ' ' && next != '\n' && next != '\r':
		boundaries |= LineCanBreak
	}
	if word(last) != word(next) || !word(last) {
		boundaries |= MaskWord
	}
	return cluster, rest, boundaries, newState
}

func word(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || mark(r) }

// HasTrailingLineBreakInString says whether the text ends in a line break.
func HasTrailingLineBreakInString(str string) bool {
	r, _ := utf8.DecodeLastRuneInString(str)
	return r == '\n' || r == '\r' || r == '\v' || r == '\f' || r == 0x85 || r == 0x2028 || r == 0x2029
}

// StringWidth returns how many cells the text takes.
func StringWidth(s string) (width int) {
	for s != "" {
		var w int
		_, s, w, _ = FirstGraphemeClusterInString(s, -1)
		width += w
	}
	return width
}
