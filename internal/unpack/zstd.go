package unpack

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Format: RFC 8878. Section numbers are the RFC's.

const (
	zstdMagic = 0xfd2fb528
	maxBlock  = 128 << 10
)

// Zstd reads zstd frames that follow each other; frames to be skipped are.
func Zstd(r *bufio.Reader) io.Reader { return &zstd{r: r} }

type zstd struct {
	r    *bufio.Reader
	w    window
	open bool // within a frame
	any  bool // there was one
	err  error

	checked bool // the frame ends in a checksum
	sum     xxh64
	summed  int    // up to here in w.buf
	content uint64 // what the frame says that it holds
	sized   bool
	got     uint64
	block   int // the largest block

	in   []byte // a block
	lits []byte
	huff huffman
	tabs [3]*fseTable // of literal lengths, offsets and match lengths: the last used
	reps [3]int
}

func (z *zstd) Read(p []byte) (int, error) {
	for z.w.read == len(z.w.buf) {
		if z.err == nil {
			z.err = z.more()
		}
		if z.err != nil {
			return 0, z.err
		}
	}
	return z.w.take(p), nil
}

// more decompresses a block, or reads what stands around blocks.
func (z *zstd) more() error {
	if !z.open {
		return z.frame()
	}
	z.w.slide()
	z.summed = len(z.w.buf)
	head, err := z.bytes(3)
	if err != nil {
		return err
	}
	h := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	last, kind, size := h&1 == 1, h>>1&3, h>>3
	if size > z.block {
		return fmt.Errorf("%w: a block of %d bytes", ErrCorrupt, size)
	}
	switch kind {
	case 0:
		if head, err = z.bytes(size); err != nil {
			return err
		}
		z.w.buf = append(z.w.buf, head...)
	case 1:
		if head, err = z.bytes(1); err != nil {
			return err
		}
		for b := head[0]; size > 0; size-- {
			z.w.buf = append(z.w.buf, b)
		}
	case 2:
		if head, err = z.bytes(size); err != nil {
			return err
		}
		if err := z.compressed(head); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: a block of no known kind", ErrCorrupt)
	}
	fresh := z.w.buf[z.summed:]
	z.got += uint64(len(fresh))
	if z.checked {
		z.sum.write(fresh)
	}
	if !last {
		return nil
	}
	z.open = false
	if z.sized && z.got != z.content {
		return fmt.Errorf("%w: %d bytes of %d", ErrCorrupt, z.got, z.content)
	}
	if z.checked {
		if head, err = z.bytes(4); err != nil {
			return err
		}
		if binary.LittleEndian.Uint32(head) != uint32(z.sum.sum()) {
			return fmt.Errorf("%w: its checksum is another", ErrCorrupt)
		}
	}
	return nil
}

// bytes reads n bytes, which last until the next call.
func (z *zstd) bytes(n int) ([]byte, error) {
	if cap(z.in) < n {
		z.in = make([]byte, n, max(n, 4<<10))
	}
	z.in = z.in[:n]
	_, err := io.ReadFull(z.r, z.in)
	return z.in, unexpected(err)
}

// frame reads a frame's header (3.1.1.1). Where no frame begins, the data has ended.
func (z *zstd) frame() error {
	b, err := z.r.Peek(4)
	magic := uint32(0)
	if err == nil {
		magic = binary.LittleEndian.Uint32(b)
	}
	switch {
	case err != nil && err != io.EOF:
		return err
	case magic == zstdMagic:
	case magic>>4 == 0x184d2a5:
		if b, err = z.bytes(8); err != nil {
			return err
		}
		_, err = io.CopyN(io.Discard, z.r, int64(binary.LittleEndian.Uint32(b[4:])))
		return unexpected(err)
	case z.any:
		return io.EOF
	default:
		return fmt.Errorf("%w: not zstd", ErrCorrupt)
	}
	if b, err = z.bytes(5); err != nil {
		return err
	}
	d := b[4]
	if d&8 != 0 {
		return fmt.Errorf("%w: a frame of another version", ErrUnsupported)
	}
	single := d&32 != 0
	z.checked = d&4 != 0
	window := uint64(0)
	if !single {
		if b, err = z.bytes(1); err != nil {
			return err
		}
		base := uint64(1) << (10 + b[0]>>3)
		window = base + base/8*uint64(b[0]&7)
	}
	if b, err = z.bytes([]int{0, 1, 2, 4}[d&3]); err != nil {
		return err
	}
	for _, v := range b {
		if v != 0 {
			return fmt.Errorf("%w: it needs a dictionary", ErrUnsupported)
		}
	}
	size := []int{0, 2, 4, 8}[d>>6]
	if single && size == 0 {
		size = 1
	}
	if b, err = z.bytes(size); err != nil {
		return err
	}
	var wide [8]byte
	copy(wide[:], b)
	z.content, z.sized, z.got = binary.LittleEndian.Uint64(wide[:]), size > 0, 0
	if size == 2 {
		z.content += 256
	}
	if single {
		window = z.content
	}
	if window > MaxWindow {
		return fmt.Errorf("%w: a window of %d bytes", ErrUnsupported, window)
	}
	z.w.reset(int(window))
	z.block = min(int(window), maxBlock)
	z.open, z.any = true, true
	z.sum.reset()
	z.huff.bits = 0
	z.tabs = [3]*fseTable{}
	z.reps = [3]int{1, 4, 8}
	return nil
}

// compressed adds what a compressed block holds (3.1.1.3).
func (z *zstd) compressed(b []byte) error {
	b, err := z.literals(b)
	if err != nil {
		return err
	}
	limit := len(z.w.buf) + z.block
	rest, err := z.sequences(b, z.lits, limit)
	if err != nil {
		return err
	}
	if len(z.w.buf)+len(rest) > limit {
		return fmt.Errorf("%w: a block holds too much", ErrCorrupt)
	}
	z.w.buf = append(z.w.buf, rest...)
	return nil
}

// literals decodes a block's literals and returns what follows them (3.1.1.3.1).
func (z *zstd) literals(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: an empty block", ErrCorrupt)
	}
	kind, format := b[0]&3, b[0]>>2&3
	size := []int{1, 2, 1, 3}[format]
	if kind >= 2 {
		size = []int{3, 3, 4, 5}[format]
	}
	if len(b) < size {
		return nil, io.ErrUnexpectedEOF
	}
	var wide [8]byte
	copy(wide[:], b[:size])
	h := binary.LittleEndian.Uint64(wide[:])
	b = b[size:]
	if kind < 2 {
		n := int(h >> 4)
		if size == 1 {
			n = int(h >> 3)
		}
		if n > maxBlock {
			return nil, fmt.Errorf("%w: too many literals", ErrCorrupt)
		}
		take := 1
		if kind == 0 {
			take = n
		}
		if take > len(b) {
			return nil, io.ErrUnexpectedEOF
		}
		z.lits = append(z.lits[:0], b[:take]...)
		for kind == 1 && len(z.lits) < n {
			z.lits = append(z.lits, b[0])
		}
		z.lits = z.lits[:n]
		return b[take:], nil
	}
	width := []int{10, 10, 14, 18}[format]
	n, packed := int(h>>4)&(1<<width-1), int(h>>(4+width))&(1<<width-1)
	if n > maxBlock || packed > len(b) {
		return nil, fmt.Errorf("%w: too many literals", ErrCorrupt)
	}
	data, rest := b[:packed], b[packed:]
	if kind == 2 {
		used, err := z.huff.read(data)
		if err != nil {
			return nil, err
		}
		data = data[used:]
	} else if z.huff.bits == 0 {
		return nil, fmt.Errorf("%w: a block relies on one that is not there", ErrCorrupt)
	}
	z.lits = z.lits[:0]
	if format == 0 {
		return rest, z.stream(data, n)
	}
	if len(data) < 6 {
		return nil, io.ErrUnexpectedEOF
	}
	jump, each := data[:6], (n+3)/4
	data = data[6:]
	for i := range 4 {
		m, out := len(data), n-3*each
		if i < 3 {
			m, out = int(binary.LittleEndian.Uint16(jump[2*i:])), each
		}
		if m > len(data) || out < 0 {
			return nil, fmt.Errorf("%w: literals that do not fit", ErrCorrupt)
		}
		if err := z.stream(data[:m], out); err != nil {
			return nil, err
		}
		data = data[m:]
	}
	return rest, nil
}

// stream decodes one stream of n literals.
func (z *zstd) stream(data []byte, n int) error {
	r, err := backwards(data)
	if err != nil {
		return err
	}
	width := z.huff.bits
	for ; n > 0; n-- {
		r.fill()
		e := z.huff.table[r.peek(width)]
		r.left -= int(e.bits)
		z.lits = append(z.lits, e.symbol)
	}
	return r.ended()
}

// The codes of lengths: what each begins at, and how many bits are added (3.1.1.3.2.1.1).
var (
	literalBase = codes([]uint8{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10,
		11, 12, 13, 14, 15, 16}, 0)
	matchBase = codes([]uint8{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0,
		1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 3)
)

type code struct {
	base  uint32
	extra uint8
}

func codes(extra []uint8, first uint32) (all []code) {
	for _, x := range extra {
		all = append(all, code{first, x})
		first += 1 << x
	}
	return all
}

// The predefined distributions (3.1.1.3.2.2).
var predefined = [3]*fseTable{
	mustFSE(6, 4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1,
		-1),
	mustFSE(5, 1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1),
	mustFSE(6, 1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1),
}

var (
	symbolsOf  = [3]int{35, 31, 52} // the highest of each
	accuracyOf = [3]int{9, 8, 9}
)

// sequences applies a block's sequences: so many literals, then a repetition. It returns
// the literals that are left (3.1.1.3.2).
func (z *zstd) sequences(b, from []byte, limit int) ([]byte, error) {
	if len(b) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	n, used := int(b[0]), 1
	switch {
	case n >= 255 && len(b) > 2:
		n, used = int(b[1])+int(b[2])<<8+0x7f00, 3
	case n >= 128 && n < 255 && len(b) > 1:
		n, used = (n-128)<<8+int(b[1]), 2
	case n >= 128:
		return nil, io.ErrUnexpectedEOF
	}
	b = b[used:]
	if n == 0 {
		if len(b) > 0 {
			return nil, fmt.Errorf("%w: something follows a block", ErrCorrupt)
		}
		return from, nil
	}
	if len(b) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	modes := b[0]
	b = b[1:]
	if modes&3 != 0 {
		return nil, fmt.Errorf("%w: sequences of another kind", ErrCorrupt)
	}
	for i := range z.tabs {
		used := 0
		switch modes >> (6 - 2*i) & 3 {
		case 0:
			z.tabs[i] = predefined[i]
		case 1:
			if len(b) == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			if int(b[0]) > symbolsOf[i] {
				return nil, fmt.Errorf("%w: no such code", ErrCorrupt)
			}
			z.tabs[i], used = &fseTable{cells: []fseCell{{symbol: b[0]}}}, 1
		case 2:
			var err error
			if z.tabs[i], used, err = readFSE(b, symbolsOf[i], accuracyOf[i]); err != nil {
				return nil, err
			}
		case 3:
			if z.tabs[i] == nil {
				return nil, fmt.Errorf("%w: a block relies on one that is not there", ErrCorrupt)
			}
		}
		b = b[used:]
	}
	r, err := backwards(b)
	if err != nil {
		return nil, err
	}
	ll, of, ml := z.tabs[0], z.tabs[1], z.tabs[2]
	r.fill()
	a, o, m := r.bits(ll.accuracy), r.bits(of.accuracy), r.bits(ml.accuracy)
	for ; n > 0; n-- {
		la, lo, lm := ll.cells[a], of.cells[o], ml.cells[m]
		r.fill()
		distance := 1<<lo.symbol + int(r.bits(int(lo.symbol)))
		r.fill()
		c := matchBase[lm.symbol]
		match := int(c.base + r.bits(int(c.extra)))
		c = literalBase[la.symbol]
		lits := int(c.base + r.bits(int(c.extra)))
		if n > 1 {
			r.fill()
			a = uint32(la.next) + r.bits(int(la.bits))
			m = uint32(lm.next) + r.bits(int(lm.bits))
			o = uint32(lo.next) + r.bits(int(lo.bits))
		}
		if r.left < 0 {
			return nil, io.ErrUnexpectedEOF
		}
		if lits > len(from) || len(z.w.buf)+lits+match > limit {
			return nil, fmt.Errorf("%w: a block holds too much", ErrCorrupt)
		}
		z.w.buf = append(z.w.buf, from[:lits]...)
		from = from[lits:]
		if !z.w.repeat(z.distance(distance, lits), match) {
			return nil, fmt.Errorf("%w: a repetition of nothing", ErrCorrupt)
		}
	}
	return from, r.ended()
}

// distance resolves an offset value, the lowest of which name earlier ones (3.1.1.5).
func (z *zstd) distance(v, lits int) int {
	if v > 3 {
		v -= 3
		z.reps = [3]int{v, z.reps[0], z.reps[1]}
		return v
	}
	if lits == 0 {
		v++
	}
	switch v {
	case 2:
		z.reps[0], z.reps[1] = z.reps[1], z.reps[0]
	case 3:
		z.reps = [3]int{z.reps[2], z.reps[0], z.reps[1]}
	case 4:
		z.reps = [3]int{z.reps[0] - 1, z.reps[0], z.reps[1]}
	}
	return z.reps[0]
}

// ---------------------------------------------------------------- bits
