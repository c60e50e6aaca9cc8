package tui

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The Linux console's font. On a fine screen its letters are a millimetre high, and a page is a stamp in
// the middle: the font is read from the kernel, set enlarged, and set back at the end.

// Requests and operations of console_ioctl(4). The tall ones are of Linux 6.2.
const (
	kdFontOp = 0x4b72

	fontSet     = 0
	fontGet     = 1
	fontSetTall = 4
	fontGetTall = 5
)

// fontLimit is the largest cell that an operation takes, in pixels.
type fontLimit struct{ w, h int }

var (
	fontOld  = fontLimit{32, 32}
	fontTall = fontLimit{64, 128}
)

// fontOp is the kernel's struct console_font_op.
type fontOp struct {
	op, flags, width, height, count uint32
	data                            unsafe.Pointer
}

// font is glyphs as the kernel has them: rows of pixels, each from the highest bit of whole bytes on.
type font struct {
	w, h, count int
	pitch       int // rows that each glyph takes up
	bits        []byte
}

func newFont(w, h, count, pitch int) font {
	return font{w, h, count, pitch, make([]byte, count*pitch*((w+7)/8))}
}

func (f *font) at(glyph, x, y int) (b *byte, mask byte) {
	return &f.bits[(glyph*f.pitch+y)*((f.w+7)/8)+x/8], 0x80 >> (x % 8)
}

// scaled is the font with cells of another size: every pixel becomes a block, so that lines meet and
// half blocks stay halves.
func (f *font) scaled(w, h, pitch int) font {
	to := newFont(w, h, f.count, pitch)
	for g := range f.count {
		for y := range h {
			for x := range w {
				if b, mask := f.at(g, x*f.w/w, y*f.h/h); *b&mask != 0 {
					b, mask := to.at(g, x, y)
					*b |= mask
				}
			}
		}
	}
	return to
}

// larger is the largest cell with which the design size fits on a screen of as many cells as now; ok is
// false where it takes half of the width already, because somebody has enlarged it or it is small. A cell is
// at most twice as high as it is wide, and at least by a third higher: else a code's squares are too flat to
// be read. Widths are multiples of four and heights even, so that letters stay alike.
func larger(columns, rows int, now, limit fontLimit) (to fontLimit, ok bool) {
	if columns < 2*designWidth || rows < designHeight {
		return now, false
	}
	to = fontLimit{min(columns*now.w/designWidth, limit.w), min(rows*now.h/designHeight, limit.h)}
	to = fontLimit{min(to.w, to.h*3/4) &^ 3, min(to.h, 2*to.w) &^ 1}
	to.h = min(to.h, 2*to.w)
	return to, to.w >= now.w && to.h >= now.h && to != now
}

// enlarge sets the console's font enlarged where the screen is fine, and returns what sets it back.
func enlarge(f *os.File) (back func()) {
	back = func() {}
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return back
	}
	set, limit := uint32(fontSetTall), fontTall
	old, err := readFont(f, fontGetTall, fontTall)
	if err != nil {
		set, limit = fontSet, fontOld
		if old, err = readFont(f, fontGet, fontOld); err != nil {
			return back
		}
	}
	to, ok := larger(int(ws.Col), int(ws.Row), fontLimit{old.w, old.h}, limit)
	if !ok {
		return back
	}
	pitch := func(h int) int { // the old operations have 32 rows for every glyph
		if set == fontSet {
			return fontOld.h
		}
		return h
	}
	large := old.scaled(to.w, to.h, pitch(to.h))
	if writeFont(f, set, &large) != nil {
		return back
	}
	return func() { _ = writeFont(f, set, &old) }
}

// readFont asks for the font. What does not look like one is an error.
func readFont(f *os.File, op uint32, limit fontLimit) (font, error) {
	const most = 512
	r := newFont(limit.w, limit.h, most, limit.h)
	o := fontOp{op: op, width: uint32(limit.w), height: uint32(limit.h), count: most, data: unsafe.Pointer(&r.bits[0])}
	if err := fontIoctl(f, &o); err != nil {
		return font{}, err
	}
	r.w, r.h, r.count = int(o.width), int(o.height), int(o.count)
	if r.w < 1 || r.h < 1 || r.w > limit.w || r.h > limit.h || r.count != 256 && r.count != most {
		return font{}, unix.EINVAL
	}
	if r.pitch = fontOld.h; op == fontGetTall {
		r.pitch = r.h
	}
	r.bits = r.bits[:r.count*r.pitch*((r.w+7)/8)]
	return r, nil
}

func writeFont(f *os.File, op uint32, x *font) error {
	return fontIoctl(f, &fontOp{op: op, width: uint32(x.w), height: uint32(x.h), count: uint32(x.count),
		data: unsafe.Pointer(&x.bits[0])})
}

func fontIoctl(f *os.File, o *fontOp) error {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), kdFontOp, uintptr(unsafe.Pointer(o)))
	runtime.KeepAlive(o)
	if e != 0 {
		return e
	}
	return nil
}
