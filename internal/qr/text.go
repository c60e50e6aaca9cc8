package qr

import (
	"fmt"

	"reown/internal/secret"
)

// Quiet is the width of the light border that the standard asks for, in modules.
// Most readers are content with two.
const Quiet = 4

// Width and Height return the size of Text in character cells.
func (c *Code) Width(quiet int) int { return c.Size + 2*quiet }

// Height is the number of lines of Text: each holds two rows of modules.
func (c *Code) Height(quiet int) int { return (c.Size + 2*quiet + 1) / 2 }

// Text draws the code with the characters space, ▀, ▄ and █, one line for two
// rows of modules, each line ended by a newline, in UTF-8. These four are in every
// console font, code page 437 included.
//
// With lightInk the characters' ink is the light of the code, which is right for
// light text on a dark console; without, ink is dark, for dark text on a light
// ground. The caller wipes the result.
func (c *Code) Text(quiet int, lightInk bool) *secret.Buffer {
	w, h := c.Width(quiet), c.Height(quiet)
	b := secret.New(h * (3*w + 1))
	out, n := b.Bytes(), 0
	for line := range h {
		for x := range w {
			upper := c.Dark(x-quiet, 2*line-quiet) != lightInk
			lower := c.Dark(x-quiet, 2*line+1-quiet) != lightInk
			n += copy(out[n:], Half(upper, lower))
		}
		out[n] = '\n'
		n++
	}
	b.SetLen(n)
	return b
}

// Half returns the character whose upper and lower half have ink.
func Half(upper, lower bool) string {
	switch {
	case upper && lower:
		return "█"
	case upper:
		return "▀"
	case lower:
		return "▄"
	}
	return " "
}

// String names the code without showing it.
func (c *Code) String() string { return fmt.Sprintf("QR code of version %d", c.Version) }
