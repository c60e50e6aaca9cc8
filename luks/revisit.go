package luks

import (
	"context"
	"fmt"

	"reown/internal/secret"
)

// anchors is how many blocks before the position are looked for in the resilience
// area: more than one, because the last may be torn or written since.
const anchors = 256

// revisit looks once more at the hotzone that the header calls done last. cryptsetup's
// recovery of a hotzone writes the header that says so without a flush of the data, so
// that blocks may still be old if the power failed then. Their checksums are still in
// the resilience area until the next hotzone's are: a block that is what its checksum
// says is old for certain. If there are any, the header is put back to where the hotzone
// was in work, and it is recovered again. Nothing is written otherwise.
func (u *run) revisit(ctx context.Context) error {
	if u.r.finished {
		// All data is there, but perhaps only in the disk's cache: the header that gives
		// up the old key must not overtake it.
		if err := u.v.data.Sync(WriteRecovery); err != nil {
			return err
		}
	}
	if u.oldC == nil || u.r.crash || u.r.offset == 0 {
		return nil
	}
	z, err := u.lastZone()
	if err != nil || z.old == 0 {
		return err
	}
	if z.silent > 0 {
		return z.doubt()
	}
	if err := u.reopen(ctx, z); err != nil {
		return err
	}
	return u.recover()
}

// A doneZone is the hotzone before the position, as its checksums find it. Without
// any it is empty.
type doneZone struct {
	off, n      int64 // bytes of the data
	old, silent int64 // bytes in blocks under the old key, and in those that fit neither
	firstOld    int64
}

func (z doneZone) doubt() error {
	return fmt.Errorf("%w: %d bytes, the first at byte %d of the data; of the %d bytes around them %d fit neither key, so that the rest is in doubt", ErrLeftBehind, z.old, z.firstOld, z.n, z.silent)
}

// lastZone finds and judges the hotzone that ends at the position.
func (u *run) lastZone() (doneZone, error) {
	r := *u.r
	block, n := int64(u.blockSize()), u.blocksInArea()
	if n == 0 || r.offset%block != 0 {
		return doneZone{}, nil
	}
	b, err := newBuffer(3 * request)
	if err != nil {
		return doneZone{}, err
	}
	defer b.free()
	from, err := u.anchors(b, n)
	if err != nil {
		return doneZone{}, err
	}
	size := hashSize(u.blockHash())
	length := int64(0)
	for i := int64(0); i < n && length == 0; {
		count := min(n-i, 1024)
		sums, err := u.expected(i, count, b)
		if err != nil {
			return doneZone{}, err
		}
		for j := range count {
			back, ok := from[string(sums[j*int64(size):(j+1)*int64(size)])]
			if l := (i + j + back) * block; ok && l <= r.offset && i+j+back <= n {
				length = l
				break
			}
		}
		i += count
	}
	if length == 0 {
		return doneZone{}, nil
	}
	z := doneZone{off: r.offset - length, n: length}
	zone := *u
	r.offset, r.length = z.off, z.n
	zone.r = &r
	for at := int64(0); at < z.n; at += request {
		states, err := zone.classify(b, at)
		if err != nil {
			return doneZone{}, err
		}
		for i, s := range states {
			switch s {
			case isOld, isTorn:
				if z.old == 0 {
					z.firstOld = z.off + at + int64(i)*block
				}
				z.old += block
			case silent:
				z.silent += block
			}
		}
	}
	return z, nil
}

// anchors are the last blocks before the position, as they are and as they were if they
// are new, by how many blocks before it they begin. Blocks that were never written are
// all alike and none.
func (u *run) anchors(b *buffer, limit int64) (map[string]int64, error) {
	from := map[string]int64{}
	block := int64(u.blockSize())
	first := max(0, u.r.offset-limit*block)
	sum := make([]byte, hashSize(u.blockHash()))
	for end := u.r.offset; end > first && len(from) < 2*anchors; {
		p := b.mem[:min(request, end-first)]
		end -= int64(len(p))
		if _, _, err := u.v.readSectors(u.context(), p, u.prev.offset+end, block); err != nil {
			return nil, err
		}
		for at := int64(len(p)) - block; at >= 0 && len(from) < 2*anchors; at -= block {
			q := p[at : at+block]
			if zeros(q) {
				continue
			}
			for range 2 {
				sumBlocks(sum, q, u.blockHash(), int(block))
				from[string(sum)] = (u.r.offset - end - at) / block
				u.restore(q, end+at)
			}
		}
	}
	return from, nil
}

// reopen writes the header that says that a hotzone which was done is in work.
func (u *run) reopen(ctx context.Context, z doneZone) error {
	root := u.v.h.root.clone()
	u.r.refresh(u.v.h.meta)
	u.r.setSegments(root, z.off, z.n)
	if err := u.v.commit(ctx, root); err != nil {
		return err
	}
	u.r.refresh(u.v.h.meta)
	u.r.offset, u.r.length, u.r.crash = z.off, z.n, true
	return nil
}

// blockSize and blockHash are what one checksum covers and how it is made. A journal
// has none: they are made of what it holds.
func (u *run) blockSize() int {
	if a := u.r.slot.area; a.typ == "checksum" {
		return a.sectorSize
	}
	return max(u.r.prev.sectorSize, u.r.final.sectorSize)
}

func (u *run) blockHash() string {
	if a := u.r.slot.area; a.typ == "checksum" {
		return a.hash
	}
	return "sha256"
}

// blocksInArea is how many blocks the resilience area protects.
func (u *run) blocksInArea() int64 {
	a := u.r.slot.area
	switch a.typ {
	case "checksum":
		if _, err := hashByName(a.hash); err != nil {
			return 0
		}
		return a.size / int64(hashSize(a.hash))
	case "journal":
		return a.size / int64(u.blockSize())
	}
	return 0
}

// expected returns the checksums of count blocks from the first-th of the resilience area
// on. The middle of b is used.
func (u *run) expected(first, count int64, b *buffer) ([]byte, error) {
	a := u.r.slot.area
	n := int64(hashSize(u.blockHash()))
	out := make([]byte, count*n)
	if a.typ == "checksum" {
		return out, u.v.hdr.ReadAt(out, a.offset+first*n)
	}
	block := int64(u.blockSize())
	for at := int64(0); at < count*block; at += request {
		p := b.mem[request : request+min(request, count*block-at)]
		if err := u.v.hdr.ReadAt(p, a.offset+first*block+at); err != nil {
			return nil, err
		}
		sumBlocks(out[at/block*n:], p, u.blockHash(), int(block))
	}
	return out, nil
}

// rescueDone looks for blocks under the old key in what the header of a protected run
// calls done: first by the checksums of the last hotzone, which prove it, and then, where
// those have been overwritten, by the data itself. It reports Position and Mixed as of an
// unprotected run, and has Resume renew what is old, or refuses.
func (v *Volume) rescueDone(ctx context.Context, s *search, oldKey, newKey *secret.Buffer) (Rescue, error) {
	r := s.r
	found := Rescue{Position: r.offset, Total: r.total}
	u := &run{v: v, r: r, prev: *r.prev, final: *r.final, oldC: s.oldC, newC: s.newC, ctx: ctx}
	z, err := u.lastZone()
	if err != nil {
		return found, err
	}
	if z.old > 0 && z.silent == 0 {
		found.Position, found.Mixed = z.off, z.n
		if s.o.DryRun {
			return found, nil
		}
		return found, u.reopen(ctx, z)
	}
	if err := s.buffers(); err != nil {
		return found, err
	}
	defer s.free()
	first, last := int64(-1), int64(0)
	if err := s.each(ctx, 0, r.offset, true, func(pos int64, x verdict) {
		if x == isOld {
			if first < 0 {
				first = pos
			}
			last = pos + s.unit
		}
	}); err != nil {
		return found, err
	}
	switch {
	case first < 0 && z.old > 0:
		return found, z.doubt()
	case first < 0:
		return found, nil
	}
	found.Position, found.Mixed = first, r.offset-first
	// cryptsetup recovers block by block, so that any block near those may be old as well.
	silentBytes := int64(0)
	if err := s.each(ctx, roundDown(max(0, first-inFlight), s.unit), r.offset, false, func(_ int64, x verdict) {
		if x == silent || x == isLost {
			silentBytes += s.unit
		}
	}); err != nil {
		return found, err
	}
	if silentBytes > 0 {
		return found, fmt.Errorf("%w: from byte %d to byte %d of the data, and %d bytes around them look random under both keys", ErrLeftBehind, first, last, silentBytes)
	}
	if s.o.DryRun {
		return found, nil
	}
	return found, v.adopt(ctx, s, found, oldKey, newKey)
}
