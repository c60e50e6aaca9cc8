package unpack

import (
	"fmt"
	"io"
	"math/bits"
)

// A reader of bits from the end of data to its beginning (4.1).
type bitReader struct {
	data []byte
	word uint64
	left int // bits of word; below zero: more were taken than there are
}

func backwards(data []byte) (bitReader, error) {
	if len(data) == 0 || data[len(data)-1] == 0 {
		return bitReader{}, fmt.Errorf("%w: a stream without an end", ErrCorrupt)
	}
	last := data[len(data)-1]
	return bitReader{data: data[:len(data)-1], word: uint64(last), left: bits.Len8(last) - 1}, nil
}

// fill makes at least 56 bits available, as long as there are.
func (r *bitReader) fill() {
	for r.left <= 56 && r.left >= 0 && len(r.data) > 0 {
		r.word = r.word<<8 | uint64(r.data[len(r.data)-1])
		r.data = r.data[:len(r.data)-1]
		r.left += 8
	}
}

// peek is the next n bits, up to 32; zeros follow the last.
func (r *bitReader) peek(n int) uint32 {
	v := r.word
	if r.left >= n {
		v >>= r.left - n
	} else {
		v <<= n - max(r.left, 0)
	}
	return uint32(v & (1<<n - 1))
}

func (r *bitReader) bits(n int) uint32 {
	v := r.peek(n)
	r.left -= n
	return v
}

// ended says what is wrong if not exactly all bits were taken.
func (r *bitReader) ended() error {
	if r.left != 0 || len(r.data) > 0 {
		return fmt.Errorf("%w: a stream of another length", ErrCorrupt)
	}
	return nil
}

// ---------------------------------------------------------------- tables

// An fseTable decodes a symbol by a state (4.1).
type fseTable struct {
	cells    []fseCell
	accuracy int
}

type fseCell struct {
	next   uint16
	symbol uint8
	bits   uint8
}

func mustFSE(accuracy int, counts ...int16) *fseTable {
	t, err := newFSE(accuracy, counts)
	if err != nil {
		panic(err)
	}
	return t
}

// newFSE spreads the symbols over the states; -1 is a probability below one.
func newFSE(accuracy int, counts []int16) (*fseTable, error) {
	size := 1 << accuracy
	t := &fseTable{make([]fseCell, size), accuracy}
	var next [256]uint16
	high := size
	for s, c := range counts {
		next[s] = uint16(max(c, 0))
		if c < 0 {
			high--
			t.cells[high].symbol = uint8(s)
			next[s] = 1
		}
	}
	at, step := 0, size>>1+size>>3+3
	for s, c := range counts {
		for ; c > 0; c-- {
			t.cells[at].symbol = uint8(s)
			for at = (at + step) & (size - 1); at >= high; at = (at + step) & (size - 1) {
			}
		}
	}
	if at != 0 {
		return nil, fmt.Errorf("%w: a table of another size", ErrCorrupt)
	}
	for i := range t.cells {
		c := &t.cells[i]
		n := next[c.symbol]
		next[c.symbol]++
		c.bits = uint8(accuracy - bits.Len16(n) + 1)
		c.next = n<<c.bits - uint16(size)
	}
	return t, nil
}

// readFSE reads a table's description and returns its length (4.1.1).
func readFSE(b []byte, highest, most int) (*fseTable, int, error) {
	at := 0 // in bits
	get := func(n int) int {
		v := 0
		for i := range n {
			if p := at + i; p>>3 < len(b) {
				v |= int(b[p>>3]>>(p&7)&1) << i
			}
		}
		at += n
		return v
	}
	accuracy := get(4) + 5
	if accuracy > most {
		return nil, 0, fmt.Errorf("%w: a table too fine", ErrCorrupt)
	}
	var counts []int16
	for left := 1 << accuracy; left > 0; {
		if len(counts) > highest || at > 8*len(b) {
			return nil, 0, fmt.Errorf("%w: a table of too many symbols", ErrCorrupt)
		}
		n := bits.Len(uint(left + 1))
		v := get(n)
		low := 1<<(n-1) - 1
		few := 1<<n - 2 - left
		if v&low < few {
			at--
			v &= low
		} else if v > low {
			v -= few
		}
		v--
		counts = append(counts, int16(v))
		left -= max(v, -v)
		if v != 0 {
			continue
		}
		for more := 3; more == 3 && len(counts) <= highest; {
			more = get(2)
			counts = append(counts, make([]int16, more)...)
		}
	}
	used := (at + 7) / 8
	if len(counts) > highest+1 || used > len(b) {
		return nil, 0, fmt.Errorf("%w: a table of too many symbols", ErrCorrupt)
	}
	t, err := newFSE(accuracy, counts)
	return t, used, err
}

// A huffman table decodes a literal by the next bits (4.2).
type huffman struct {
	table []huffCell // by the next `bits` bits
	bits  int        // 0: there is none
}

type huffCell struct{ symbol, bits uint8 }

// read reads a table's description and returns its length.
func (h *huffman) read(b []byte) (int, error) {
	h.bits = 0
	if len(b) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	var weights []uint8
	used := 1
	if n := int(b[0]); n < 128 {
		if used += n; used > len(b) {
			return 0, io.ErrUnexpectedEOF
		}
		var err error
		if weights, err = fseWeights(b[1:used]); err != nil {
			return 0, err
		}
	} else {
		n -= 127
		if used += (n + 1) / 2; used > len(b) {
			return 0, io.ErrUnexpectedEOF
		}
		for i := range n {
			weights = append(weights, b[1+i/2]>>(4*(1-i&1))&15)
		}
	}
	// The last weight is what is missing to a power of two.
	sum := 0
	for _, w := range weights {
		if w > 11 {
			return 0, fmt.Errorf("%w: a literal's code is too long", ErrCorrupt)
		}
		sum += 1 << w >> 1
	}
	width := bits.Len(uint(sum))
	left := 1<<width - sum
	if sum == 0 || width > 11 || left&(left-1) != 0 || len(weights) > 255 {
		return 0, fmt.Errorf("%w: literals' codes that do not fit", ErrCorrupt)
	}
	weights = append(weights, uint8(bits.Len(uint(left))))
	h.table = h.table[:0]
	for w := 1; w <= width; w++ {
		for s, v := range weights {
			if int(v) != w {
				continue
			}
			for range 1 << (w - 1) {
				h.table = append(h.table, huffCell{uint8(s), uint8(width + 1 - w)})
			}
		}
	}
	if len(h.table) != 1<<width {
		return 0, fmt.Errorf("%w: literals' codes that do not fit", ErrCorrupt)
	}
	h.bits = width
	return used, nil
}

// fseWeights decodes the weights of literals: two states take turns (4.2.1.2).
func fseWeights(b []byte) ([]uint8, error) {
	t, used, err := readFSE(b, 255, 6)
	if err != nil {
		return nil, err
	}
	r, err := backwards(b[used:])
	if err != nil {
		return nil, err
	}
	r.fill()
	var weights []uint8
	states := [2]uint32{r.bits(t.accuracy), r.bits(t.accuracy)}
	if r.left < 0 {
		return nil, io.ErrUnexpectedEOF
	}
	for i := 0; len(weights) < 255; i ^= 1 {
		c := t.cells[states[i]]
		weights = append(weights, c.symbol)
		r.fill()
		states[i] = uint32(c.next) + r.bits(int(c.bits))
		if r.left < 0 {
			return append(weights, t.cells[states[i^1]].symbol), nil
		}
	}
	return nil, fmt.Errorf("%w: too many literals' codes", ErrCorrupt)
}
