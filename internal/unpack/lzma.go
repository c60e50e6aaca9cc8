package unpack

import (
	"encoding/binary"
	"fmt"
	"io"
)

// lzma decompresses LZMA2: chunks that are stored, or LZMA of at most 64 KiB that make at
// most 2 MiB. There is no document but the decoder of LZMA SDK and that of the kernel,
// whose names for the parts are kept.
type lzma struct {
	w  window
	in []byte

	pos       uint64 // since the dictionary began; what is older is not referred to
	needDict  bool   // the next chunk must begin it
	needProps bool
	lc, lp    uint
	posMask   uint32
	state     int
	reps      [4]uint32

	literals  []uint16
	isMatch   [12][16]uint16
	isRep     [12]uint16
	isRepG0   [12]uint16
	isRepG1   [12]uint16
	isRepG2   [12]uint16
	isRepLong [12][16]uint16
	slots     [4][64]uint16
	special   [128]uint16
	align     [16]uint16
	lenMatch  lengths
	lenRep    lengths

	rc rangeCoder
}

type lengths struct {
	choice, choice2 uint16
	low, mid        [16][8]uint16
	high            [256]uint16
}

// reset begins a block.
func (l *lzma) reset(window int) {
	l.w.reset(window)
	l.needDict, l.needProps = true, true
}

// chunk reads and decompresses one. last is the mark that ends a block.
func (l *lzma) chunk(read func(int) ([]byte, error)) (last bool, err error) {
	b, err := read(1)
	if err != nil {
		return false, err
	}
	control := b[0]
	switch {
	case control == 0:
		return true, nil
	case control == 1 || control >= 0xe0:
		l.needDict, l.needProps, l.pos = false, true, 0
	case control > 2 && control < 0x80:
		return false, fmt.Errorf("%w: no such chunk", ErrCorrupt)
	}
	if l.needDict {
		return false, fmt.Errorf("%w: a block that begins with nothing", ErrCorrupt)
	}
	if b, err = read(2); err != nil {
		return false, err
	}
	size := int(binary.BigEndian.Uint16(b)) + 1
	if control < 0x80 {
		if b, err = read(size); err != nil {
			return false, err
		}
		l.w.buf = append(l.w.buf, b...)
		l.pos += uint64(size)
		return false, nil
	}
	size += int(control&0x1f) << 16
	if b, err = read(2); err != nil {
		return false, err
	}
	packed := int(binary.BigEndian.Uint16(b)) + 1
	if control >= 0xc0 {
		if b, err = read(1); err != nil {
			return false, err
		}
		if err := l.props(b[0]); err != nil {
			return false, err
		}
	}
	if l.needProps {
		return false, fmt.Errorf("%w: a block without properties", ErrCorrupt)
	}
	if control >= 0xa0 {
		l.resetState()
	}
	if b, err = read(packed); err != nil {
		return false, err
	}
	if err := l.rc.begin(b); err != nil {
		return false, err
	}
	return false, l.decode(size)
}

func (l *lzma) props(p byte) error {
	if p >= 9*5*5 {
		return fmt.Errorf("%w: no such properties", ErrCorrupt)
	}
	l.lc, l.lp, l.posMask = uint(p%9), uint(p/9%5), 1<<(p/45)-1
	if l.lc+l.lp > 4 {
		return fmt.Errorf("%w: no such properties", ErrCorrupt)
	}
	l.needProps = false
	return nil
}

// resetState makes every probability a half.
func (l *lzma) resetState() {
	l.state, l.reps = 0, [4]uint32{}
	if n := 0x300 << (l.lc + l.lp); cap(l.literals) < n {
		l.literals = make([]uint16, n)
	} else {
		l.literals = l.literals[:n]
	}
	half(l.literals)
	for i := range l.isMatch {
		half(l.isMatch[i][:])
		half(l.isRepLong[i][:])
	}
	half(l.isRep[:])
	half(l.isRepG0[:])
	half(l.isRepG1[:])
	half(l.isRepG2[:])
	for i := range l.slots {
		half(l.slots[i][:])
	}
	half(l.special[:])
	half(l.align[:])
	l.lenMatch.reset()
	l.lenRep.reset()
}

func (n *lengths) reset() {
	n.choice, n.choice2 = 1<<10, 1<<10
	for i := range n.low {
		half(n.low[i][:])
		half(n.mid[i][:])
	}
	half(n.high[:])
}

func half(p []uint16) {
	for i := range p {
		p[i] = 1 << 10
	}
}

// decode decodes a chunk that makes n bytes.
func (l *lzma) decode(n int) error {
	rc := &l.rc
	for n > 0 {
		at := uint32(l.pos) & l.posMask
		if rc.bit(&l.isMatch[l.state][at]) == 0 {
			l.literal()
			n--
			continue
		}
		length := 0
		if rc.bit(&l.isRep[l.state]) == 0 {
			length = l.match(at)
		} else {
			length = l.repeated(at)
		}
		if length > n {
			return fmt.Errorf("%w: a chunk holds too much", ErrCorrupt)
		}
		if uint64(l.reps[0]) >= l.pos || !l.w.repeat(int(l.reps[0])+1, length) {
			return fmt.Errorf("%w: a repetition of nothing", ErrCorrupt)
		}
		l.pos += uint64(length)
		n -= length
	}
	return rc.ended()
}

func (l *lzma) literal() {
	prev := byte(0)
	if l.pos > 0 {
		prev = l.w.buf[len(l.w.buf)-1]
	}
	low := (uint32(l.pos)&(1<<l.lp-1))<<l.lc + uint32(prev)>>(8-l.lc)
	probs := l.literals[0x300*low:][:0x300]
	symbol := uint32(1)
	if l.state < 7 {
		for symbol < 0x100 {
			symbol = symbol<<1 | l.rc.bit(&probs[symbol])
		}
	} else {
		match := uint32(0) // the byte that a repetition would have brought
		if d := int(l.reps[0]) + 1; d <= len(l.w.buf) {
			match = uint32(l.w.buf[len(l.w.buf)-d])
		}
		offset := uint32(0x100)
		for symbol < 0x100 {
			match <<= 1
			b := match & offset
			v := l.rc.bit(&probs[offset+b+symbol])
			symbol = symbol<<1 | v
			if v == 1 {
				offset = b
			} else {
				offset &^= b
			}
		}
	}
	l.w.buf = append(l.w.buf, byte(symbol))
	l.pos++
	switch {
	case l.state < 4:
		l.state = 0
	case l.state < 10:
		l.state -= 3
	default:
		l.state -= 6
	}
}

// match decodes a repetition from a distance that it tells.
func (l *lzma) match(at uint32) int {
	rc := &l.rc
	l.state = after(l.state, 7)
	length := rc.length(&l.lenMatch, at)
	slot := rc.tree(l.slots[min(length-2, 3)][:])
	dist := slot
	if slot >= 4 {
		n := slot>>1 - 1
		dist = (2 | slot&1) << n
		if slot < 14 {
			dist += rc.reverse(l.special[dist-slot:], n)
		} else {
			dist += rc.direct(n-4) << 4
			dist += rc.reverse(l.align[:], 4)
		}
	}
	l.reps = [4]uint32{dist, l.reps[0], l.reps[1], l.reps[2]}
	return length
}

// repeated decodes a repetition from one of the last distances.
func (l *lzma) repeated(at uint32) int {
	rc := &l.rc
	if rc.bit(&l.isRepG0[l.state]) == 0 {
		if rc.bit(&l.isRepLong[l.state][at]) == 0 {
			l.state = after(l.state, 9)
			return 1
		}
	} else {
		which := 1
		if rc.bit(&l.isRepG1[l.state]) == 1 {
			which = 2 + int(rc.bit(&l.isRepG2[l.state]))
		}
		d := l.reps[which]
		copy(l.reps[1:which+1], l.reps[:which])
		l.reps[0] = d
	}
	l.state = after(l.state, 8)
	return rc.length(&l.lenRep, at)
}

// after is the state after a repetition: one for after a literal, or the one for after
// another repetition, which stands three (after a short one: two) above.
func after(state, then int) int {
	switch {
	case state < 7:
		return then
	case then == 7:
		return 10
	}
	return 11
}

// rangeCoder decodes bits by probabilities.
type rangeCoder struct {
	data      []byte
	rng, code uint32
	over      bool // more was needed than there is
}

func (r *rangeCoder) begin(data []byte) error {
	if len(data) < 5 || data[0] != 0 {
		return fmt.Errorf("%w: a chunk", ErrCorrupt)
	}
	*r = rangeCoder{data: data[5:], rng: 0xffffffff, code: binary.BigEndian.Uint32(data[1:])}
	return nil
}

func (r *rangeCoder) normalize() {
	if r.rng >= 1<<24 {
		return
	}
	r.rng <<= 8
	r.code <<= 8
	if len(r.data) == 0 {
		r.over = true
		return
	}
	r.code |= uint32(r.data[0])
	r.data = r.data[1:]
}

func (r *rangeCoder) bit(p *uint16) uint32 {
	r.normalize()
	bound := r.rng >> 11 * uint32(*p)
	if r.code < bound {
		r.rng = bound
		*p += (1<<11 - *p) >> 5
		return 0
	}
	r.rng -= bound
	r.code -= bound
	*p -= *p >> 5
	return 1
}

// direct decodes n bits that are as likely one as zero.
func (r *rangeCoder) direct(n uint32) (v uint32) {
	for ; n > 0; n-- {
		r.normalize()
		r.rng >>= 1
		v <<= 1
		if r.code >= r.rng {
			r.code -= r.rng
			v |= 1
		}
	}
	return v
}

// tree decodes a number of as many bits as the tree is high.
func (r *rangeCoder) tree(p []uint16) uint32 {
	v := uint32(1)
	for int(v) < len(p) {
		v = v<<1 | r.bit(&p[v])
	}
	return v - uint32(len(p))
}

// reverse decodes n bits from the low one on.
func (r *rangeCoder) reverse(p []uint16, n uint32) (v uint32) {
	node := uint32(1)
	for i := range n {
		b := r.bit(&p[node])
		node = node<<1 | b
		v |= b << i
	}
	return v
}

func (r *rangeCoder) length(n *lengths, at uint32) int {
	switch {
	case r.bit(&n.choice) == 0:
		return 2 + int(r.tree(n.low[at][:]))
	case r.bit(&n.choice2) == 0:
		return 10 + int(r.tree(n.mid[at][:]))
	}
	return 18 + int(r.tree(n.high[:]))
}

// ended says what is wrong if not exactly all data was taken.
func (r *rangeCoder) ended() error {
	r.normalize()
	if r.over {
		return io.ErrUnexpectedEOF
	}
	if len(r.data) > 0 || r.code != 0 {
		return fmt.Errorf("%w: a chunk of another length", ErrCorrupt)
	}
	return nil
}
