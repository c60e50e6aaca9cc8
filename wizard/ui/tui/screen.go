package tui

import (
	"github.com/gdamore/tcell/v2"
)

// console stands between tview and tcell, for two reasons. tview clears and draws
// the whole screen each time, and tcell then sends every cell that is not blank:
// 1,300 bytes for a key, seconds on a serial line; here only cells that changed are
// passed on. And runes that the console's font lacks are replaced by ones that it
// has: the Linux console knows 256 or 512, and shows a block for the others.
type console struct {
	tcell.Screen
	w, h  int
	back  []cell // as drawn now
	front []cell // as tcell has it
	style tcell.Style
	has   func(rune) bool
}

type cell struct {
	r     rune
	style tcell.Style
}

func newConsole(s tcell.Screen, has func(rune) bool) *console {
	c := &console{Screen: s, has: has}
	c.fit()
	return c
}

// substitutes are what a rune becomes when the font lacks it.
var substitutes = map[rune]rune{
	'à': 'a', 'â': 'a', 'ç': 'c', 'é': 'e', 'è': 'e', 'ê': 'e', 'ë': 'e', 'î': 'i', 'ï': 'i', 'ô': 'o', 'ù': 'u', 'û': 'u',
	'ä': 'a', 'ö': 'o', 'ü': 'u', 'ß': 's', 'É': 'E', 'Ä': 'A', 'Ö': 'O', 'Ü': 'U', '«': '"', '»': '"',
	'…': '.', '–': '-', '—': '-', '‘': '\'', '’': '\'', '“': '"', '”': '"',
}

func (c *console) substitute(r rune) rune {
	if r < 0x7f || c.has == nil || c.has(r) {
		return r
	}
	if s, ok := substitutes[r]; ok {
		return s
	}
	return '?'
}

func (c *console) fit() {
	w, h := c.Screen.Size()
	if w != c.w || h != c.h {
		c.w, c.h = w, h
		c.back, c.front = make([]cell, w*h), make([]cell, w*h)
		c.Fill(' ', c.style)
	}
}

// Init does nothing: the screen was initialized before, so that its error could be
// seen; tview throws it away.
func (c *console) Init() error { return nil }

// SetStyle implements tcell.Screen.
func (c *console) SetStyle(st tcell.Style) { c.style = st; c.Screen.SetStyle(st) }

// Clear implements tcell.Screen.
func (c *console) Clear() { c.fit(); c.Fill(' ', c.style) }

// Fill implements tcell.Screen.
func (c *console) Fill(r rune, st tcell.Style) {
	for i := range c.back {
		c.back[i] = cell{r, st}
	}
}

// SetContent implements tcell.Screen; combining runes are not used here.
func (c *console) SetContent(x, y int, r rune, _ []rune, st tcell.Style) {
	if x >= 0 && y >= 0 && x < c.w && y < c.h {
		c.back[y*c.w+x] = cell{c.substitute(r), st}
	}
}

// GetContent implements tcell.Screen.
func (c *console) GetContent(x, y int) (rune, []rune, tcell.Style, int) {
	if x < 0 || y < 0 || x >= c.w || y >= c.h {
		return ' ', nil, tcell.StyleDefault, 1
	}
	l := c.back[y*c.w+x]
	return l.r, nil, l.style, 1
}

func (c *console) push() {
	for i, l := range c.back {
		if l != c.front[i] {
			c.Screen.SetContent(i%c.w, i/c.w, l.r, nil, l.style)
			c.front[i] = l
		}
	}
}

// Show implements tcell.Screen.
func (c *console) Show() { c.fit(); c.push(); c.Screen.Show() }

// Sync implements tcell.Screen.
func (c *console) Sync() { c.fit(); c.push(); c.Screen.Sync() }
