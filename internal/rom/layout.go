package rom

import (
	"fmt"
	"slices"
)

// A span is a run of neighbouring entries that are holes or the owner's.
type span struct {
	Range
	dataEnd uint32 // where the data of its last entry ends, at most End
	owned   bool   // holds a file of the owner, or what is left of one
}

type layouter struct {
	im    *Image
	files []NewFile
	block uint32
	style Style  // of the holes
	total uint32 // room for the files with their headers; 0: there are none
	spans []span
}

func (l *layouter) findSpans() {
	open := false
	for _, f := range l.im.files {
		if !f.Empty() && !isOwner(f) {
			open = false
			continue
		}
		if !open {
			l.spans = append(l.spans, span{Range: Range{f.Offset, f.Offset}})
			open = true
		}
		s := &l.spans[len(l.spans)-1]
		s.End, s.dataEnd = f.End, f.End
		if f.Empty() {
			s.dataEnd = f.DataOffset + f.Size
		}
		s.owned = s.owned || isOwner(f) || f.Torn
	}
}

// best tries every place the files may go to and returns the safest image: on
// blocks of their own first, then with the fewest shared blocks, then with the
// fewest of the firmware's files behind them (a half-written length may hide
// those), then with the fewest blocks to write.
func (l *layouter) best() (*Plan, error) {
	type choice struct {
		span    int
		at      uint32
		aligned bool
		costs   [3]int
	}
	var best *choice
	scratch := make([]byte, len(l.im.data))
	for i := range l.spans {
		for _, at := range l.places(i) {
			if !l.build(scratch, i, at) {
				continue
			}
			blocks := diffBlocks(l.im.data, scratch, l.block)
			c := choice{i, at, l.aligned(i, at), [3]int{l.shared(blocks), l.behind(i), len(blocks)}}
			if best == nil || c.aligned && !best.aligned ||
				c.aligned == best.aligned && slices.Compare(c.costs[:], best.costs[:]) < 0 {
				best = &c
			}
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%d bytes of files with their headers: %w", l.total, ErrNoSpace)
	}
	l.build(scratch, best.span, best.at)
	return &Plan{
		Old: l.im.data, New: scratch, EraseSize: l.block, Aligned: best.aligned,
		Blocks: diffBlocks(l.im.data, scratch, l.block), Shared: best.costs[0], Own: l.own(),
	}, nil
}

// behind counts the firmware's own files behind a span. The boot block does not
// count: the processor finds it by its place.
func (l *layouter) behind(i int) int {
	n := 0
	for _, f := range l.im.files {
		if f.Offset >= l.spans[i].End && !f.Empty() && f.Type != TypeBootblock {
			n++
		}
	}
	return n
}

// own returns the whole blocks inside the spans.
func (l *layouter) own() []Range {
	var own []Range
	for _, s := range l.spans {
		if r := (Range{alignUp(s.Start, l.block), s.End &^ (l.block - 1)}); r.Start < r.End {
			own = append(own, r)
		}
	}
	return own
}

// places returns where in a span the first file may stand: at its start, on its
// first whole block, and where the owner's first file stands now.
func (l *layouter) places(i int) []uint32 {
	s := l.spans[i]
	at := []uint32{s.Start}
	if l.total == 0 {
		return at
	}
	boundary := alignUp(s.Start+l.style.headerLen(""), l.block)
	// Entries are aligned to the region's start, blocks to the chip's.
	first := s.Start + alignUp(boundary-s.Start, fileAlign)
	at = append(at, first)
	for _, f := range l.im.files {
		if (isOwner(f) || f.Torn) && s.contains(f.entry()) {
			at = append(at, f.Offset)
			break
		}
	}
	return at
}

// aligned says that files placed at an offset of a span share no block with
// anything outside the span, nor with the header of the hole before them.
func (l *layouter) aligned(i int, at uint32) bool {
	s := l.spans[i]
	if l.total == 0 {
		return true
	}
	low := at &^ (l.block - 1)
	lowest := s.Start
	if at != s.Start {
		lowest += l.style.headerLen("")
	}
	end := at + l.total
	if end < s.End {
		end += l.style.headerLen("")
	}
	return low >= lowest && alignUp(end, l.block) <= s.End
}

// build writes the image with the files at an offset of a span; false means that
// they do not fit there.
func (l *layouter) build(dst []byte, i int, at uint32) bool {
	s, hole := l.spans[i], l.style.headerLen("")
	end := uint64(at) + uint64(l.total)
	switch {
	case at != s.Start && at-s.Start < hole:
		return false
	case end != uint64(s.dataEnd) && end+uint64(hole) > uint64(s.dataEnd):
		return false
	}
	copy(dst, l.im.data)
	im := &Image{data: dst}
	for j, o := range l.spans {
		if o.owned && j != i {
			im.putEmpty(o.Start, o.dataEnd, l.style)
		}
	}
	if l.total == 0 && !s.owned {
		return true
	}
	if at != s.Start && !l.isHole(Range{s.Start, at}) {
		im.putEmpty(s.Start, at, l.style)
	}
	fill(dst[at:s.dataEnd])
	for _, f := range l.files {
		n := im.putHeader(at, uint32(len(f.Data)), TypeRaw, f.Name, Heads)
		copy(dst[at+n:], f.Data)
		at += entryLen(f)
	}
	if at < s.dataEnd {
		im.putEmpty(at, s.dataEnd, l.style)
	}
	return true
}

// isHole says that the old image has one hole of exactly this extent. It is left
// as it is, no matter who made it, because its header stands in a shared block.
func (l *layouter) isHole(r Range) bool {
	return slices.ContainsFunc(l.im.files, func(f File) bool { return f.Empty() && !f.Torn && f.entry() == r })
}

// shared counts blocks that do not lie wholly inside one span.
func (l *layouter) shared(blocks []Range) int {
	n := 0
	for _, b := range blocks {
		if !slices.ContainsFunc(l.spans, func(s span) bool { return s.contains(b) }) {
			n++
		}
	}
	return n
}
