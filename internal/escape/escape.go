// Package escape makes text from outside (file names, device strings, manifests,
// boot entries, error messages that quote them) fit to be shown: no byte of it can
// move the cursor, change colours, or pretend to be another line.
package escape

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s with every control character, every invisible or direction-changing
// rune and every byte that is no UTF-8 written as an escape sequence of Go. Line
// breaks are escaped, too.
func Text(s string) string { return escape(s, false) }

// Lines is Text that keeps line feeds: for reports of several lines.
func Lines(s string) string { return escape(s, true) }

func escape(s string, lines bool) string {
	clean := true
	for i := 0; clean && i < len(s); i++ {
		clean = s[i] >= ' ' && s[i] < 0x7f || lines && s[i] == '\n'
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n' && lines, r != utf8.RuneError && unicode.IsGraphic(r) && (r == ' ' || !unicode.IsSpace(r)):
			b.WriteString(s[i : i+n])
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + hex(s[i]>>4) + hex(s[i]&15))
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

func hex(n byte) string { return "0123456789abcdef"[n : n+1] }
