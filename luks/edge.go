package luks

import (
	"context"
	"fmt"
)

// An EdgeError names the one stretch of the data in which an unprotected re-encryption stopped and
// nothing tells how far it came. It wraps ErrUnproven. RescueOptions.AcceptLoss saves it and goes on.
type EdgeError struct {
	Range  Range // of the decrypted volume: before it all is new, after it all is old
	Likely int64 // where it most probably stopped
	mixed  int64 // bytes from there that are partly new, partly old
}

func (e *EdgeError) Error() string {
	return fmt.Sprintf("%v: of %d bytes of the data, from byte %d to byte %d, nothing tells under which key they are; most probably it stopped at byte %d",
		ErrUnproven, e.Range.Length, e.Range.Offset, e.Range.Offset+e.Range.Length, e.Likely)
}

func (e *EdgeError) Unwrap() error { return ErrUnproven }

// An edge is what the data says of where new becomes old. All that is old lies at or behind firstOld, all that
// is new before lastNew; where nothing contradicts, lastNew comes first.
type edge struct {
	lastNew, firstOld int64
	twice, firstTwice int64 // bytes encrypted twice, and the first of them
}

// look is the first reading: each unit for itself.
func (s *search) look(ctx context.Context) (edge, error) {
	e := edge{lastNew: max(s.r.offset, s.atLeast), firstOld: s.r.total}
	from := s.r.offset
	if s.r.finished {
		from = 0
	}
	err := s.each(ctx, from, s.r.total, true, func(pos int64, x verdict) {
		switch x {
		case isTwice:
			if e.twice == 0 {
				e.firstTwice = pos
			}
			e.twice += s.unit
		case isNew:
			e.lastNew = max(e.lastNew, pos+s.unit)
		case isOld:
			e.firstOld = min(e.firstOld, pos)
		}
	})
	return e, err
}

// position finds the point up to which everything is new. cryptsetup goes forward
// through the data, so it is where the verdicts turn from new to old.
func (s *search) position(ctx context.Context) (Rescue, error) {
	if err := s.buffers(); err != nil {
		return Rescue{}, err
	}
	defer s.free()
	e, err := s.look(ctx)
	if err != nil {
		return Rescue{}, err
	}
	found := Rescue{Position: min(e.lastNew, e.firstOld), Mixed: max(0, e.lastNew-e.firstOld), Total: s.r.total}
	switch {
	case e.twice > 0:
		return found, fmt.Errorf("%w: %d bytes, the first at byte %d of the data; both keys are needed to undo it", ErrTwice,
			e.twice, e.firstTwice)
	case s.r.finished && e.firstOld < s.r.total:
		return found, fmt.Errorf("%w: the header calls all data done, and byte %d is under the old key", ErrLeftBehind,
			e.firstOld)
	case s.r.finished:
		// The header says that all is new. A run that cryptsetup began again from here, by
		// mistake, would be seen above.
		found.Position, found.Mixed = s.r.total, 0
		return found, nil
	case found.Mixed > inFlight:
		return found, fmt.Errorf("%w: old and new data are mixed over %d bytes, from byte %d", ErrUnproven, found.Mixed,
			e.firstOld)
	}
	if e.firstOld > e.lastNew {
		if err := s.narrow(ctx, &e); err != nil {
			return found, err
		}
		found.Position = s.between(&e)
	}
	doubt := Range{e.lastNew, max(0, e.firstOld-e.lastNew)}
	silences, err := s.surroundings(ctx, min(e.firstOld, e.lastNew), max(e.firstOld, e.lastNew), found.Mixed > 0)
	if err != nil {
		return found, err
	}
	if doubt = hull(doubt, silences); doubt.Length > 0 {
		return found, &EdgeError{doubt, found.Position, found.Mixed}
	}
	return found, nil
}

// hull is the shortest range with both.
func hull(a, b Range) Range {
	switch {
	case a.Length == 0:
		return b
	case b.Length == 0:
		return a
	}
	first := min(a.Offset, b.Offset)
	return Range{first, max(a.Offset+a.Length, b.Offset+b.Length) - first}
}

// between chooses the position where units do not tell new from old, between lastNew and firstOld.
// cryptsetup goes by hotzones, each of them one write to the disk. Killed, and with their length stated,
// a boundary of two is the position if it is the only one there; if there are more, the doubt is no
// more than from the first to the last. Otherwise a boundary of the usual length is the more probable place.
func (s *search) between(e *edge) int64 {
	stated := s.o.InOrder && s.o.Hotzone > 0
	zone := int64(usualHotzone)
	if s.o.Hotzone > 0 {
		zone = s.o.Hotzone
	}
	if zone = roundDown(zone, s.unit); zone == 0 {
		return e.lastNew
	}
	from := s.r.offset
	first := from + roundUp(e.lastNew-from, zone)
	last := from + roundDown(e.firstOld-from, zone)
	if e.firstOld == s.r.total {
		last = s.r.total // where the last hotzone ends
		first = min(first, last)
	}
	if first > last {
		return e.lastNew
	}
	if stated {
		e.lastNew, e.firstOld = first, last
	}
	return min(first+roundDown((last-first)/2, zone), last)
}

// surroundings looks at the stretch in which a power failure may have lost or
// reordered writes. Between first and last of a mixed stretch each unit must speak for
// itself; around it, silence longer than a small request may hide a lost one. It returns
// the range from the first such silence to the last.
func (s *search) surroundings(ctx context.Context, first, last int64, mixed bool) (Range, error) {
	if s.o.InOrder && !mixed {
		return Range{}, nil
	}
	run := int64(0)
	var doubt Range
	err := s.each(ctx, roundDown(max(s.r.offset, first-s.around), s.unit), min(s.r.total, last+s.around), false,
		func(pos int64, x verdict) {
			if x != silent && x != isLost {
				run = 0
				return
			}
			run += s.unit
			if inside := mixed && pos >= first && pos < last; inside || run >= s.small && !s.o.InOrder {
				doubt = hull(doubt, Range{pos + s.unit - run, run})
			}
		})
	return doubt, err
}

// A tally counts the bytes of a stretch, as one key decrypts it.
type tally [256]uint32

func (t *tally) add(p []byte) {
	for _, b := range p {
		t[b]++
	}
}

// uneven reports whether bytes so distributed cannot be the output of a cipher under the wrong key.
// Packed data is a little uneven, which shows in a megabyte and not in a sector: its chi-square then
// exceeds what random bytes reach once in 1e18 times.
func (t *tally) uneven() bool {
	n := 0.0
	for _, c := range t {
		n += float64(c)
	}
	if n < 16<<10 {
		return false
	}
	sum := 0.0
	for _, c := range t {
		d := float64(c) - n/256
		sum += d * d
	}
	return sum*256/n > 510
}

// A grain is a stretch of which the units are counted together.
type grain struct{ asNew, asOld tally }

const (
	leastGrain = 1 << 20
	mostGrains = 4096
)

// narrow judges the silent stretch between lastNew and firstOld by grains, and by hotzones if their
// length is stated. A grain that shows new data has some, so that the position lies behind its beginning;
// one that shows old data lies before the end of that.
func (s *search) narrow(ctx context.Context, e *edge) error {
	from, end := e.lastNew, e.firstOld
	size := max(leastGrain, roundUp((end-from)/mostGrains, leastGrain))
	zones := s.o.InOrder && s.o.Hotzone >= size && s.o.Hotzone%size == 0
	base := roundDown(from-s.r.offset, size) + s.r.offset
	grains := make([]grain, (end-base+size-1)/size)
	if err := s.count(ctx, from, end, func(pos int64, asOld, asNew []byte) {
		g := &grains[(pos-base)/size]
		g.asOld.add(asOld)
		g.asNew.add(asNew)
	}); err != nil {
		return err
	}
	s.weigh(e, grains, base, size)
	if zones && e.firstOld > e.lastNew {
		per := s.o.Hotzone / size
		first := roundDown(base-s.r.offset, s.o.Hotzone) + s.r.offset
		whole := make([]grain, (end-first+s.o.Hotzone-1)/s.o.Hotzone)
		for i := range grains {
			g := &whole[(int64(i)+(base-first)/size)/per]
			for b := range 256 {
				g.asNew[b] += grains[i].asNew[b]
				g.asOld[b] += grains[i].asOld[b]
			}
		}
		s.weigh(e, whole, first, s.o.Hotzone)
	}
	return nil
}

// weigh moves the ends of the doubt by what grains of size bytes from base on show.
func (s *search) weigh(e *edge, grains []grain, base, size int64) {
	lastNew, firstOld := e.lastNew, e.firstOld
	for i := range grains {
		at := base + int64(i)*size
		if grains[i].asNew.uneven() {
			lastNew = max(lastNew, at+s.unit)
		}
		if grains[i].asOld.uneven() {
			firstOld = min(firstOld, at+size-s.unit)
		}
	}
	// They may overlap only where both are in one grain; data that contradicts narrows nothing.
	if lastNew <= firstOld {
		e.lastNew, e.firstOld = lastNew, firstOld
	}
}

// count calls f for every unit from off to end that tells nothing, decrypted with either key.
func (s *search) count(ctx context.Context, off, end int64, f func(pos int64, asOld, asNew []byte)) error {
	for off < end {
		n := min(window, end-off)
		vs, err := s.judge(ctx, off, n)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		p, q := s.buf.mem[:n], s.alt.mem[:n]
		if _, _, err := s.v.readSectors(ctx, p, s.r.prev.offset+off, s.unit); err != nil {
			return err
		}
		first := s.r.prev.ivTweak + uint64(off)/512
		s.newC.DecryptSectors(q, p, s.r.final.sectorSize, first)
		s.oldC.DecryptSectors(p, p, s.r.prev.sectorSize, first)
		for i, x := range vs {
			if at := int64(i) * s.unit; x == silent {
				f(off+at, p[at:at+s.unit], q[at:at+s.unit])
			}
		}
		off += n
	}
	return nil
}
