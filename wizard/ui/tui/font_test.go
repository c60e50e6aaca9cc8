package tui

import (
	"math/rand/v2"
	"testing"
)

// TestLarger: the cell that a console of so many cells gets, by what the kernel takes.
func TestLarger(t *testing.T) {
	for _, c := range []struct {
		width, height int // of the screen, pixels
		now           fontLimit
		old, tall     fontLimit // zero: it stays
	}{
		{720, 400, fontLimit{9, 16}, fontLimit{}, fontLimit{}},  // VGA text
		{1024, 768, fontLimit{8, 16}, fontLimit{}, fontLimit{}}, // takes more than half already
		{1366, 768, fontLimit{8, 16}, fontLimit{16, 30}, fontLimit{16, 30}},
		{1600, 900, fontLimit{8, 16}, fontLimit{20, 32}, fontLimit{20, 34}},
		{1920, 1080, fontLimit{8, 16}, fontLimit{24, 32}, fontLimit{24, 42}},
		{1920, 1080, fontLimit{16, 32}, fontLimit{}, fontLimit{}}, // the firmware has enlarged it
		{2880, 1800, fontLimit{8, 16}, fontLimit{24, 32}, fontLimit{36, 70}},
		{3840, 2160, fontLimit{16, 32}, fontLimit{24, 32}, fontLimit{48, 84}}, // the kernel's own choice
		{3840, 2160, fontLimit{24, 32}, fontLimit{}, fontLimit{48, 84}},       // there is none larger
		{400, 300, fontLimit{4, 6}, fontLimit{}, fontLimit{}},
		{3840, 200, fontLimit{8, 16}, fontLimit{}, fontLimit{}},
	} {
		columns, rows := c.width/c.now.w, c.height/c.now.h
		for limit, want := range map[fontLimit]fontLimit{fontOld: c.old, fontTall: c.tall} {
			to, ok := larger(columns, rows, c.now, limit)
			if ok != (want != fontLimit{}) || ok && to != want {
				t.Errorf("%dx%d with %v, at most %v: %v %v, want %v", c.width, c.height, c.now, limit, to, ok, want)
			}
			if ok && (c.width/to.w < designWidth || c.height/to.h < designHeight || 4*to.w > 3*to.h || to.h > 2*to.w) {
				t.Errorf("%dx%d: %v is no good", c.width, c.height, to)
			}
		}
	}
}

// TestScaled: every pixel of a glyph is a block, and half blocks meet in the middle.
func TestScaled(t *testing.T) {
	from := newFont(9, 16, 256, 32)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range from.bits {
		from.bits[i] = byte(r.Uint32())
	}
	upper, full := 7, 8
	for y := range from.h {
		for x := range from.w {
			for glyph, on := range map[int]bool{upper: y < from.h/2, full: true} {
				if b, mask := from.at(glyph, x, y); on {
					*b |= mask
				} else {
					*b &^= mask
				}
			}
		}
	}
	for _, size := range [][3]int{{16, 30, 32}, {24, 32, 32}, {36, 72, 72}, {9, 16, 16}} {
		to := from.scaled(size[0], size[1], size[2])
		if len(to.bits) != 256*size[2]*((size[0]+7)/8) {
			t.Fatalf("%v: %d bytes", size, len(to.bits))
		}
		for g := range from.count {
			for y := range to.h {
				for x := range to.w {
					a, am := to.at(g, x, y)
					b, bm := from.at(g, x*from.w/to.w, y*from.h/to.h)
					on := *a&am != 0
					if on != (*b&bm != 0) || g == full && !on || g == upper && on != (y < to.h/2) {
						t.Fatalf("%v: glyph %d at %d, %d", size, g, x, y)
					}
				}
			}
		}
	}
}
