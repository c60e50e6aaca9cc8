package luks

import (
	"bytes"
	"context"
	"fmt"
)

// recover finishes the interrupted hotzone. It may itself be interrupted and
// repeated: what it reads from the resilience area it does not change.
func (u *run) recover() error {
	r := u.r
	a := r.slot.area
	block := int64(a.sectorSize)
	if a.typ == "journal" {
		block = int64(max(r.prev.sectorSize, r.final.sectorSize))
	}
	if r.length%block != 0 || r.length%int64(max(r.prev.sectorSize, r.final.sectorSize)) != 0 {
		return fmt.Errorf("%w: the interrupted part of %d bytes is not whole blocks of %d", ErrUnproven, r.length, block)
	}
	if a.typ == "checksum" && u.checksumLen(r.length) > a.size || a.typ == "journal" && r.length > a.size {
		return badHeader("the interrupted part of %d bytes is larger than its resilience area", r.length)
	}
	b, err := newBuffer(3 * request)
	if err != nil {
		return err
	}
	defer b.free()
	all := false // of it is still old
	if a.typ == "checksum" {
		if all, err = u.inspect(b); err != nil {
			return err
		}
	}
	for at := int64(0); at < r.length; at += request {
		p := b.mem[:min(request, r.length-at)]
		pos := r.offset + at
		if a.typ == "journal" {
			if err := u.v.hdr.ReadAt(p, a.offset+at); err != nil {
				return err
			}
			if err := runs(int64(len(p)), u.written(p), func(j, n int64) error {
				u.renew(p[j:j+n], pos+j)
				return u.v.data.WriteAt(WriteRecovery, p[j:j+n], u.prev.offset+pos+j)
			}); err != nil {
				return err
			}
			continue
		}
		if err := u.recoverBlocks(b, at, all); err != nil {
			return err
		}
	}
	// Only then may a header say that this hotzone is done.
	if err := u.v.data.Sync(WriteRecovery); err != nil {
		return err
	}
	r.offset += r.length
	r.crash, r.length = false, 0
	if r.offset == r.total {
		return nil // finish has a better header to say so
	}
	// Before the resilience area is overwritten the header must cease to refer to it.
	root := u.v.h.root.clone()
	r.refresh(u.v.h.meta)
	r.setSegments(root, r.offset, 0)
	return u.v.commit(context.Background(), root)
}

// inspect looks at the interrupted hotzone with its checksums before anything is
// written. All blocks must be what their checksums say, or what the new key makes
// of that. It reports whether, although they are not, all are known to be old. Blocks
// that cannot be read are given up if that is allowed; the others are kept.
func (u *run) inspect(b *buffer) (allOld bool, err error) {
	r, block := u.r, int64(u.r.slot.area.sectorSize)
	var blocks [isTwice + 1]int64
	var lost, doubt []Range
	for at := int64(0); at < r.length; at += request {
		states, err := u.classify(b, at)
		if err != nil {
			return false, err
		}
		for i, s := range states {
			blocks[s]++
			pos := r.offset + at + int64(i)*block
			switch {
			case s == isLost:
				lost = join(lost, Range{pos, block})
			case s == silent:
				doubt = join(doubt, Range{pos, block})
			}
		}
	}
	if blocks[silent] > 0 {
		if allOld = blocks[isNew] == 0 && blocks[isTorn] == 0 && u.v.justAnnounced(r); !allOld {
			// A device that has changed a few blocks, or their checksums, is no reason to lose
			// the others. Where most are in doubt, the checksums are not those of this hotzone.
			if blocks[silent] > r.length/block/mostDoubt || u.o.Doubt == nil || !u.o.Doubt(doubt) {
				return false, &DoubtError{Ranges: doubt, Of: r.length}
			}
			u.countLost(doubt)
		}
	}
	if lost != nil {
		if err := u.lose(lost, errUnread); err != nil {
			return false, err
		}
		u.countLost(lost)
	}
	u.count(r.length-blocks[isEmpty]*block, blocks[isEmpty]*block)
	return allOld, nil
}

// mostDoubt is the part of a hotzone, one in so many, of which blocks may be in doubt for them to
// be given up.
const mostDoubt = 8

// A DoubtError names the blocks of an interrupted hotzone that are neither what their checksums say
// nor what the new key makes of that. It wraps ErrInDoubt. If they are few, they can be given up by
// ReencryptOptions.Doubt: those that the one key makes something other than noise of are kept by it,
// and the others are left as they are.
type DoubtError struct {
	Ranges []Range // of the decrypted volume, in order
	Of     int64   // bytes of the hotzone
}

func (e *DoubtError) Error() string {
	return fmt.Sprintf("%v: %d of %d bytes, at %s", ErrInDoubt, size(e.Ranges), e.Of, places(e.Ranges))
}

func (e *DoubtError) Unwrap() error { return ErrInDoubt }

// justAnnounced reports whether the power failed before any data of the hotzone was
// written: the header's second copy is still the one from before the hotzone, and
// cryptsetup writes data only when the second copy is durable. It does not wait for
// the checksums, so that they may be missing then; this package does.
func (v *Volume) justAnnounced(r *reencryption) bool {
	p, s := v.state.primary.hdr, v.state.second.hdr
	if p == nil || s == nil || p.uuid != s.uuid || s.seqid+1 != p.seqid {
		return false
	}
	before := *v
	before.h = s
	was, err := before.reencryption()
	return err == nil && was != nil && !was.crash && !was.finished && was.offset == r.offset &&
		was.slot.area == r.slot.area
}

// classify reads the hotzone's data at at into b, and says of each block which key
// it is under; silent if its checksum fits neither. Torn blocks are put
// back, in b, to what they were.
func (u *run) classify(b *buffer, at int64) ([]verdict, error) {
	r := u.r
	p, q, sums := b.mem[:min(request, r.length-at)], b.mem[request:2*request], b.mem[2*request:]
	pos := r.offset + at
	hash, size := u.blockHash(), u.blockSize()
	bad, _, err := u.v.readSectors(u.context(), p, u.prev.offset+pos, int64(size))
	if err != nil {
		return nil, err
	}
	n := hashSize(hash)
	count := len(p) / size
	want, err := u.expected(at/int64(size), int64(count), b)
	if err != nil {
		return nil, err
	}
	fits := func(data []byte, i int) bool {
		sumBlocks(sums, data, hash, size)
		return bytes.Equal(sums[:n], want[i*n:(i+1)*n])
	}
	out := make([]verdict, count)
	for _, b := range bad {
		u.blank(p[b.Offset:b.Offset+b.Length], pos+b.Offset)
		for i := b.Offset / int64(size); i*int64(size) < b.Offset+b.Length; i++ {
			out[i] = isLost
		}
	}
	for i := range out {
		if out[i] == isLost {
			continue
		}
		block := p[i*size : (i+1)*size]
		if fits(block, i) {
			if out[i] = isOld; allZero(block) {
				out[i] = isEmpty
			}
			continue
		}
		was := q[:size]
		copy(was, block)
		u.restore(was, pos+int64(i*size))
		if fits(was, i) {
			out[i] = isNew
			continue
		}
		mixed := q[size : 2*size]
		for cut := 512; cut < size && out[i] == silent; cut += 512 {
			for _, halves := range [][2][]byte{{was, block}, {block, was}} {
				copy(mixed, halves[0][:cut])
				copy(mixed[cut:], halves[1][cut:])
				if fits(mixed, i) {
					copy(block, mixed)
					out[i] = isTorn
					break
				}
			}
		}
	}
	return out, nil
}

// restore is the inverse of renew.
func (u *run) restore(p []byte, pos int64) {
	iv := u.prev.ivTweak + uint64(pos)/512
	u.newC.DecryptSectors(p, p, u.final.sectorSize, iv)
	u.oldC.EncryptSectors(p, p, u.prev.sectorSize, iv)
}

// recoverBlocks re-encrypts those blocks of a request at bytes into the hotzone that
// are old still.
func (u *run) recoverBlocks(b *buffer, at int64, all bool) error {
	states, err := u.classify(b, at)
	if err != nil {
		return err
	}
	block := u.r.slot.area.sectorSize
	if !all { // of which inspect has asked
		for i := range states {
			if states[i] == silent && u.speaksOld(b.mem[i*block:(i+1)*block], b.mem[request:], u.r.offset+at+int64(i*block)) {
				states[i] = isOld
			}
		}
	}
	for i := 0; i < len(states); i++ {
		first := i
		for i < len(states) && u.renews(states[i], all) {
			i++
		}
		if i == first {
			continue
		}
		pos := u.r.offset + at + int64(first*block)
		q := b.mem[first*block : i*block]
		u.renew(q, pos)
		if err := u.v.data.WriteAt(WriteRecovery, q, u.prev.offset+pos); err != nil {
			return err
		}
	}
	return nil
}

// speaksOld reports whether a block, at pos of the data, makes sense under the old key and not
// under the new one. room is for two blocks.
func (u *run) speaksOld(p, room []byte, pos int64) bool {
	iv := u.prev.ivTweak + uint64(pos)/512
	wasOld, wasNew := room[:len(p)], room[len(p):2*len(p)]
	u.oldC.DecryptSectors(wasOld, p, u.prev.sectorSize, iv)
	u.newC.DecryptSectors(wasNew, p, u.final.sectorSize, iv)
	return structured(wasOld) && !structured(wasNew)
}

// renews reports whether recovery writes a block; with all, also one that nothing is
// known of.
func (u *run) renews(s verdict, all bool) bool {
	switch s {
	case isOld, isTorn, isLost:
		return true
	case isEmpty:
		return u.o.Fill
	}
	return s == silent && all
}
