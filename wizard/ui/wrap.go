package ui

import "strings"

// Wrap breaks text into lines of at most width characters, at spaces where it can.
// Spaces at the start of the text are kept, and indent the lines that follow.
func Wrap(text string, width int) []string {
	if width < 1 {
		return nil
	}
	var lines []string
	for _, para := range strings.Split(text, "\n") {
		lines = append(lines, wrap(para, width)...)
	}
	return lines
}

func wrap(text string, width int) []string {
	body := strings.TrimLeft(text, " ")
	indent := min(len(text)-len(body), width/2)
	pad := strings.Repeat(" ", indent)
	hang := pad
	if strings.HasPrefix(body, "- ") {
		hang += "  "
	}
	var lines []string
	line := []rune(pad)
	empty := true
	for _, w := range strings.Fields(body) {
		word := []rune(w)
		if !empty && len(line)+1+len(word) > width {
			lines, line, empty = append(lines, string(line)), []rune(hang), true
		}
		for len(line)+len(word) > width { // a word that no line holds
			n := width - len(line)
			lines, word, line = append(lines, string(line)+string(word[:n])), word[n:], []rune(hang)
		}
		if !empty {
			line = append(line, ' ')
		}
		line, empty = append(line, word...), false
	}
	return append(lines, string(line))
}
