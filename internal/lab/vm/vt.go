package vm

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// A vt keeps the text that the guest's serial console shows: as much of a terminal as
// the wizard, the kernel and a shell use of one (console_codes(4)).
type vt struct {
	mu    sync.Mutex
	w, h  int
	x, y  int
	cells [][]rune
	rest  []byte // of a sequence that is not whole yet
}

// newVT returns a terminal of 80 columns and 25 lines.
func newVT() *vt {
	v := &vt{}
	v.resize(80, 25)
	return v
}

// resize changes the size, and clears the screen.
func (v *vt) resize(w, h int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.w, v.h, v.x, v.y, v.cells = max(w, 1), max(h, 1), 0, 0, nil
	for range v.h {
		v.cells = append(v.cells, v.blank())
	}
}

func (v *vt) blank() []rune { return []rune(strings.Repeat(" ", v.w)) }

func (v *vt) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b strings.Builder
	for _, l := range v.cells {
		b.WriteString(strings.TrimRight(string(l), " ") + "\n")
	}
	return b.String()
}

func (v *vt) write(p []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	b := append(v.rest, p...)
	for len(b) > 0 {
		n := v.step(b)
		if n == 0 {
			break
		}
		b = b[n:]
	}
	v.rest = append([]byte(nil), b...)
}

// step takes one character or sequence and returns its length; 0: it is not whole.
func (v *vt) step(b []byte) int {
	switch c := b[0]; {
	case c == 0x1b:
		return v.escape(b)
	case c == '\r':
		v.x = 0
	case c == '\n':
		v.down()
	case c == '\b':
		v.x = max(0, v.x-1)
	case c == '\t':
		v.x = min(v.w-1, v.x/8*8+8)
	case c < ' ': // bells, shifts
	default:
		if !utf8.FullRune(b) {
			return 0
		}
		r, n := utf8.DecodeRune(b)
		if v.x == v.w {
			v.x = 0
			v.down()
		}
		v.cells[v.y][v.x] = r
		v.x++
		return n
	}
	return 1
}

func (v *vt) down() {
	if v.y++; v.y == v.h {
		v.y--
		v.cells = append(v.cells[1:], v.blank())
	}
}

func (v *vt) escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '[':
	case '(', ')', '#', '%':
		return min(3, len(b)) / 3 * 3
	default:
		return 2
	}
	var args []int
	n := 0
	for i, c := range b[2:] {
		switch {
		case c >= '0' && c <= '9':
			n = n*10 + int(c-'0')
		case c == ';':
			args, n = append(args, n), 0
		case c >= 0x40 && c <= 0x7e && c != '[':
			v.control(c, append(args, n))
			return i + 3
		}
	}
	return 0
}

func (v *vt) control(c byte, args []int) {
	a, arg := args[0], max(1, args[0])
	switch c {
	case 'H', 'f':
		column := 1
		if len(args) > 1 {
			column = max(1, args[1])
		}
		v.y, v.x = min(arg, v.h)-1, min(column, v.w)-1
	case 'A':
		v.y = max(0, v.y-arg)
	case 'B':
		v.y = min(v.h-1, v.y+arg)
	case 'C':
		v.x = min(v.w-1, v.x+arg)
	case 'D':
		v.x = max(0, v.x-arg)
	case 'G':
		v.x = min(arg, v.w) - 1
	case 'd':
		v.y = min(arg, v.h) - 1
	case 'K':
		v.erase(a, v.y, v.x)
	case 'J':
		v.erase(a, v.y, v.x)
		for y := range v.cells {
			if a == 2 || a == 0 && y > v.y || a == 1 && y < v.y {
				v.cells[y] = v.blank()
			}
		}
	}
}

// erase clears a line: 0 from x on, 1 up to x, 2 all of it.
func (v *vt) erase(how, y, x int) {
	for i := range v.cells[y] {
		if how == 2 || how == 0 && i >= x || how == 1 && i <= x {
			v.cells[y][i] = ' '
		}
	}
}
