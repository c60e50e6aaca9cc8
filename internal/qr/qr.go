package qr

import (
	"errors"
	"fmt"

	"reown/internal/secret"
)

// A Level is how much of a code may be unreadable.
type Level int

const (
	L Level = iota // about 7 %
	M              // about 15 %
)

// ErrTooLong says that the data does not fit the largest code of this package.
var ErrTooLong = errors.New("too much data for a QR code")

const maxVersion = 10

// blocks describes the error correction of one version and level (table 9):
// count blocks of data codewords each, of which the last long have one more.
type blocks struct{ check, count, data, long int }

var table = [2][maxVersion + 1]blocks{
	L: {1: {7, 1, 19, 0}, {10, 1, 34, 0}, {15, 1, 55, 0}, {20, 1, 80, 0}, {26, 1, 108, 0}, {18, 2, 68, 0}, {20, 2, 78, 0},
		{24, 2, 97, 0}, {30, 2, 116, 0}, {18, 4, 68, 2}},
	M: {1: {10, 1, 16, 0}, {16, 1, 28, 0}, {26, 1, 44, 0}, {18, 2, 32, 0}, {24, 2, 43, 0}, {16, 4, 27, 0}, {18, 4, 31, 0},
		{22, 4, 38, 2}, {22, 5, 36, 2}, {26, 5, 43, 1}},
}

func (b blocks) dataLen() int { return b.count*b.data + b.long }

// headerBits is the length of mode and character count (tables 2 and 3).
func headerBits(version int) int {
	if version < 10 {
		return 4 + 8
	}
	return 4 + 16
}

// capacity returns how many bytes of data a code takes.
func capacity(version int, l Level) int {
	return (table[l][version].dataLen()*8 - headerBits(version)) / 8
}

// A Code is a square of modules. The caller wipes it.
type Code struct {
	Version int
	Size    int // modules on a side, without the quiet zone
	modules *secret.Buffer
}

// Module values.
const (
	dark     = 1
	function = 2 // part of a pattern: not data, not masked
)

// Encode makes the smallest code that holds data, which it does not keep.
func Encode(data []byte, l Level) (*Code, error) {
	version := 1
	for version <= maxVersion && capacity(version, l) < len(data) {
		version++
	}
	if version > maxVersion {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(data), capacity(maxVersion, l))
	}
	words := codewords(data, version, l)
	defer words.Wipe()

	c := &Code{Version: version, Size: 17 + 4*version}
	c.modules = secret.New(c.Size * c.Size)
	c.drawPatterns()
	c.drawData(words.Bytes())
	best, lowest := 0, 0
	for mask := range 8 {
		c.applyMask(mask)
		c.drawFormat(l, mask)
		if p := c.penalty(); mask == 0 || p < lowest {
			best, lowest = mask, p
		}
		c.applyMask(mask) // masking twice undoes it
	}
	c.applyMask(best)
	c.drawFormat(l, best)
	return c, nil
}

// Wipe clears the code.
func (c *Code) Wipe() {
	if c != nil {
		c.modules.Wipe()
	}
}

// Dark says whether a module is dark. Outside of the code all is light.
func (c *Code) Dark(x, y int) bool {
	return x >= 0 && y >= 0 && x < c.Size && y < c.Size && c.at(x, y)&dark != 0
}

func (c *Code) at(x, y int) byte { return c.modules.Bytes()[y*c.Size+x] }

func (c *Code) set(x, y int, isDark bool, kind byte) {
	v := kind
	if isDark {
		v |= dark
	}
	c.modules.Bytes()[y*c.Size+x] = v
}

// codewords returns data and check codewords, interleaved (7.4 to 7.6).
func codewords(data []byte, version int, l Level) *secret.Buffer {
	t := table[l][version]
	plain := secret.New(t.dataLen())
	defer plain.Wipe()
	w := bitWriter{buf: plain.Bytes()}
	w.put(4, 4) // byte mode
	w.put(uint(len(data)), headerBits(version)-4)
	for _, b := range data {
		w.put(uint(b), 8)
	}
	w.put(0, min(4, 8*len(w.buf)-w.n))
	for i, n := (w.n+7)/8, 0; i < len(w.buf); i, n = i+1, n+1 {
		w.buf[i] = [2]byte{0xec, 0x11}[n%2]
	}

	out := secret.New(t.dataLen() + t.count*t.check)
	checks := secret.New(t.count * t.check)
	defer checks.Wipe()
	gen := generator(t.check)
	start := 0
	length := func(block int) int {
		if block >= t.count-t.long {
			return t.data + 1
		}
		return t.data
	}
	for b := range t.count {
		n := length(b)
		remainder(checks.Bytes()[b*t.check:(b+1)*t.check], plain.Bytes()[start:start+n], gen)
		start += n
	}
	i := 0
	for col := range t.data + 1 {
		start := 0
		for b := range t.count {
			if n := length(b); col < n {
				out.Bytes()[i] = plain.Bytes()[start+col]
				i++
			}
			start += length(b)
		}
	}
	for col := range t.check {
		for b := range t.count {
			out.Bytes()[i] = checks.Bytes()[b*t.check+col]
			i++
		}
	}
	return out
}

type bitWriter struct {
	buf []byte
	n   int // bits written
}

func (w *bitWriter) put(v uint, bits int) {
	for bits--; bits >= 0; bits-- {
		w.buf[w.n/8] |= byte(v>>bits&1) << (7 - w.n%8)
		w.n++
	}
}

// mul multiplies in GF(256) modulo x^8+x^4+x^3+x^2+1.
func mul(a, b byte) byte {
	var p byte
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			p ^= a
		}
		carry := a&0x80 != 0
		a <<= 1
		if carry {
			a ^= 0x1d
		}
	}
	return p
}

// generator returns the coefficients of the product of (x - 2^i), i < n, without
// the leading one (annex A).
func generator(n int) []byte {
	g := make([]byte, n)
	g[n-1] = 1
	root := byte(1)
	for range n {
		for j := range n {
			g[j] = mul(g[j], root)
			if j+1 < n {
				g[j] ^= g[j+1]
			}
		}
		root = mul(root, 2)
	}
	return g
}

// remainder sets check to the remainder of data times x^len(gen) divided by gen.
func remainder(check, data, gen []byte) {
	clear(check)
	for _, b := range data {
		factor := b ^ check[0]
		copy(check, check[1:])
		check[len(check)-1] = 0
		for i, g := range gen {
			check[i] ^= mul(g, factor)
		}
	}
}

// drawPatterns draws all that does not depend on the data, and keeps the room of
// the format bits (6.3, 7.9, 7.10).
func (c *Code) drawPatterns() {
	n := c.Size
	for i := range n {
		c.set(6, i, i%2 == 0, function)
		c.set(i, 6, i%2 == 0, function)
	}
	for _, p := range [][2]int{{3, 3}, {n - 4, 3}, {3, n - 4}} {
		c.rings(p[0], p[1], 4, 2)
	}
	at := c.alignment()
	for i, y := range at {
		for j, x := range at {
			if last := len(at) - 1; i == 0 && j == 0 || i == 0 && j == last || i == last && j == 0 {
				continue // a finder pattern stands there
			}
			c.rings(x, y, 2, 1)
		}
	}
	c.drawFormat(L, 0)
	if c.Version >= 7 {
		c.drawVersion()
	}
}

// rings draws squares of side 2r+1 and less around a point, as far as they lie in the symbol. All
// are dark but the one at distance light, and the separator at distance 4.
func (c *Code) rings(x, y, r, light int) {
	for dy := -r; dy <= r; dy++ {
		for dx := -r; dx <= r; dx++ {
			if x, y := x+dx, y+dy; x >= 0 && y >= 0 && x < c.Size && y < c.Size {
				d := max(dx, -dx, dy, -dy)
				c.set(x, y, d != light && d != 4, function)
			}
		}
	}
}

// alignment returns the coordinates of the alignment patterns (annex E).
func (c *Code) alignment() []int {
	switch {
	case c.Version == 1:
		return nil
	case c.Version < 7:
		return []int{6, c.Size - 7}
	}
	return []int{6, 2*c.Version + 8, c.Size - 7}
}

// bch appends the remainder modulo a generator polynomial of the given degree.
func bch(v, poly uint, degree int) uint {
	r := v << degree
	for i := 31; i >= degree; i-- {
		if r>>i&1 != 0 {
			r ^= poly << (i - degree)
		}
	}
	return v<<degree | r
}

// drawFormat draws level and mask, twice, and the dark module (7.9).
func (c *Code) drawFormat(l Level, mask int) {
	bits := bch([2]uint{L: 1, M: 0}[l]<<3|uint(mask), 0x537, 10) ^ 0x5412
	bit := func(i int) bool { return bits>>i&1 != 0 }
	for i := range 15 {
		switch { // around the top left corner
		case i < 6:
			c.set(8, i, bit(i), function)
		case i < 8:
			c.set(8, i+1, bit(i), function)
		case i == 8:
			c.set(7, 8, bit(i), function)
		default:
			c.set(14-i, 8, bit(i), function)
		}
		if i < 8 { // along the other two
			c.set(c.Size-1-i, 8, bit(i), function)
		} else {
			c.set(8, c.Size-15+i, bit(i), function)
		}
	}
	c.set(8, c.Size-8, true, function)
}

// drawVersion draws the version, twice (7.10).
func (c *Code) drawVersion() {
	bits := bch(uint(c.Version), 0x1f25, 12)
	for i := range 18 {
		a, b := c.Size-11+i%3, i/3
		c.set(a, b, bits>>i&1 != 0, function)
		c.set(b, a, bits>>i&1 != 0, function)
	}
}

// drawData fills in the codewords, in columns of two from the bottom right (7.7.3).
func (c *Code) drawData(words []byte) {
	i := 0
	up := true
	for right := c.Size - 1; right > 0; right -= 2 {
		if right == 6 {
			right-- // the vertical timing pattern
		}
		for k := range c.Size {
			y := k
			if up {
				y = c.Size - 1 - k
			}
			for x := right; x > right-2; x-- {
				if c.at(x, y)&function != 0 {
					continue
				}
				if i < 8*len(words) {
					c.set(x, y, words[i/8]>>(7-i%8)&1 != 0, 0)
				}
				i++
			}
		}
		up = !up
	}
}

// applyMask inverts data modules by one of the eight masks (table 10).
func (c *Code) applyMask(mask int) {
	m := c.modules.Bytes()
	for y := range c.Size {
		for x := range c.Size {
			var invert bool
			switch mask {
			case 0:
				invert = (x+y)%2 == 0
			case 1:
				invert = y%2 == 0
			case 2:
				invert = x%3 == 0
			case 3:
				invert = (x+y)%3 == 0
			case 4:
				invert = (x/3+y/2)%2 == 0
			case 5:
				invert = x*y%2+x*y%3 == 0
			case 6:
				invert = (x*y%2+x*y%3)%2 == 0
			case 7:
				invert = ((x+y)%2+x*y%3)%2 == 0
			}
			if i := y*c.Size + x; invert && m[i]&function == 0 {
				m[i] ^= dark
			}
		}
	}
}

// penalty rates how hard a code is to read (7.8.3.1).
func (c *Code) penalty() int {
	score, darks := 0, 0
	for i := range c.Size {
		score += c.linePenalty(func(j int) bool { return c.at(j, i)&dark != 0 })
		score += c.linePenalty(func(j int) bool { return c.at(i, j)&dark != 0 })
	}
	for y := range c.Size {
		for x := range c.Size {
			d := c.at(x, y) & dark
			darks += int(d)
			if x > 0 && y > 0 && d == c.at(x-1, y)&dark && d == c.at(x, y-1)&dark && d == c.at(x-1, y-1)&dark {
				score += 3
			}
		}
	}
	off := 20*darks - 10*c.Size*c.Size
	return score + max(off, -off)/(c.Size*c.Size)*10
}

// linePenalty counts runs of five and more, and what looks like a finder pattern.
func (c *Code) linePenalty(at func(int) bool) int {
	score, run := 0, 0
	history := uint(0)
	for j := range c.Size {
		if j > 0 && at(j) == at(j-1) {
			run++
		} else {
			run = 1
		}
		switch {
		case run == 5:
			score += 3
		case run > 5:
			score++
		}
		history = history << 1 & 0x7ff
		if at(j) {
			history |= 1
		}
		if j >= 10 && (history == 0b10111010000 || history == 0b00001011101) {
			score += 40
		}
	}
	return score
}
