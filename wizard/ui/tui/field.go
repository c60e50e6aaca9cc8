package tui

import (
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"

	"reown/internal/secret"
	"reown/wizard/ui"
)

// field is a line that is typed.
type field struct {
	in     *ui.Input
	second bool // "again": must equal the one before
	buf    *secret.Buffer
	text   []byte // when the input is no secret
	reveal bool
}

func (f *field) bytes() []byte {
	if f.buf != nil {
		return f.buf.Bytes()
	}
	return f.text
}

func (f *field) len() int { return len(f.bytes()) }

// draw shows the end of what was typed, with a cursor.
func (f *field) draw(s tcell.Screen, x, y, room int, focused bool, u *UI) {
	b := f.bytes()
	n := utf8.RuneCount(b)
	for n > room-1 {
		_, k := utf8.DecodeRune(b)
		b, n = b[k:], n-1
	}
	st := tcell.StyleDefault
	end := x
	for len(b) > 0 {
		r, k := utf8.DecodeRune(b)
		if f.buf != nil && !f.reveal {
			r = '*'
		}
		s.SetContent(end, y, r, nil, st)
		end, b = end+1, b[k:]
	}
	for i := end; i < x+room; i++ {
		s.SetContent(i, y, '_', nil, st)
	}
	if focused {
		s.SetContent(end, y, ' ', nil, u.style(styleFocus))
	}
}
