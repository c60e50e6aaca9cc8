package luks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"reown/internal/secret"
)

// A run is a re-encryption at work.
type run struct {
	v           *Volume
	r           *reencryption
	prev, final segment // where the data is and how it is encrypted, before and after
	o           ReencryptOptions
	oldC, newC  sectorCipher
	oldSlot     int // the number that newSlot gets at the end; -1 if unknown
	newSlot     int

	zoneSize int64 // bytes
	pool     *pool
	reads    chan struct{} // holds one entry for each read on its way
	zones    [3]*zone
	sums     *buffer         // checksums of a hotzone, on their way to the resilience area
	zeroSums []byte          // checksums of a piece that was never written
	holes    holey           // nil if the device has none
	ctx      context.Context // of the run
	halves   [2]half
}

// A half of the resilience area, with the metadata digest that makes it valid.
// While the header refers to one, the other is written.
type half struct {
	area   area
	digest *object
}

// newRun unlocks both keys and checks the description.
func (v *Volume) newRun(ctx context.Context, r *reencryption, pass *secret.Buffer, known *keyPair,
	o ReencryptOptions) (*run, error) {
	u := &run{v: v, r: r, prev: *r.prev, final: *r.final, o: o, oldSlot: -1, reads: newReads()}
	var err error
	if known == nil {
		known, err = v.findBoth(ctx, r, pass)
		if known == nil {
			return nil, err
		}
		defer known.wipe()
	}
	u.oldSlot, u.newSlot = known.oldSlot, known.newSlot
	oldKey, newKey := known.old, known.new
	if r.finished && (err != nil || v.verifyMetadata(ctx, r, oldKey, newKey) != nil) {
		// cryptsetup may have removed the old keyslots already; they are not needed.
		return u, ctx.Err()
	}
	if err != nil {
		return nil, oldKeyError(err)
	}
	if err := v.verifyMetadata(ctx, r, oldKey, newKey); err != nil {
		return nil, err
	}
	if r.slot.area.typ == "none" && !r.finished {
		return nil, fmt.Errorf("%w: it was started with resilience none", ErrUnproven)
	}
	if u.oldC, err = newSectorCipher(r.prev.encryption, oldKey.Bytes()); err != nil {
		return nil, err
	}
	if u.newC, err = newSectorCipher(r.final.encryption, newKey.Bytes()); err != nil {
		u.close()
		return nil, err
	}
	if r.finished { // the ciphers are for what revisit may find
		return u, nil
	}
	if r.slot.area.typ == "checksum" {
		if err := u.split(ctx, oldKey, newKey); err != nil {
			u.close()
			return nil, err
		}
	}
	if u.zoneSize = u.chooseZone(); u.zoneSize == 0 {
		u.close()
		return nil, fmt.Errorf("%w: resilience area of %d bytes", ErrNoSpace, r.slot.area.size)
	}
	return u, nil
}

// findBoth looks for both volume keys of a run. Without the new one there is none; without
// the old one there is an error beside the new.
func (v *Volume) findBoth(ctx context.Context, r *reencryption, pass *secret.Buffer) (*keyPair, error) {
	m := v.h.meta
	k := &keyPair{oldSlot: -1}
	var err error
	if k.newSlot, k.new, err = v.find(ctx, pass, m.slotsOf(r.newDigest)); err != nil {
		return nil, fmt.Errorf("the new volume key: %w", err)
	}
	if r.oldDigest == r.newDigest {
		k.old = k.new.Copy()
		return k, nil
	}
	k.oldSlot, k.old, err = v.find(ctx, pass, m.slotsOf(r.oldDigest))
	return k, err
}

// oldKeyError keeps a passphrase that has opened the new volume key from being called
// wrong.
func oldKeyError(err error) error {
	if errors.Is(err, ErrWrongPassphrase) {
		return ErrOldKey
	}
	return fmt.Errorf("the old volume key: %w", err)
}

// split divides the room around the resilience area, which may be such a half of an
// earlier run or all of one of cryptsetup's.
func (u *run) split(ctx context.Context, oldKey, newKey *secret.Buffer) error {
	slot := *u.r.slot
	if u.r.total%int64(slot.area.sectorSize) != 0 {
		slot.area.sectorSize = u.v.checksumBlock(u.r)
	}
	old := u.v.h.meta.digestOfKeyslot(slot.id)
	for _, g := range u.v.h.meta.gaps(slot.id) {
		if g.offset > slot.area.offset || slot.area.offset >= g.offset+g.size {
			continue
		}
		size := roundDown(g.size/2, 4096)
		for i := range u.halves {
			r := *u.r
			r.slot = &slot
			slot.area.offset, slot.area.size = g.offset+int64(i)*size, size
			in := r.metadataInput(oldKey, newKey)
			d, err := newDigest(ctx, in.Bytes(), "sha256", max(1000, min(old.iterations, 10_000)), []int{slot.id})
			in.Wipe()
			if err != nil {
				return err
			}
			u.halves[i] = half{slot.area, d}
		}
	}
	return nil
}

// chooseZone decides how much is read, protected and written at a time. With
// checksums a hotzone is two zones: the one being written and the one before.
func (u *run) chooseZone() int64 {
	want := u.o.Hotzone
	if want == 0 {
		want = defaultHotzone
		if free := u.v.free(); free > 0 {
			want = min(want, max(minHotzone, roundDown(free/16, 1<<20)))
		}
	}
	unit := u.r.unit()
	want = min(max(want, 2*unit), maxHotzone)
	if u.r.slot.area.typ == "journal" {
		return min(roundDown(want, unit), u.r.maxHotzone(u.r.slot.area.size))
	}
	return roundDown(min(want, u.r.maxHotzone(u.halves[0].area.size))/2, unit)
}

func (u *run) close() {
	for _, c := range []sectorCipher{u.oldC, u.newC} {
		if c != nil {
			c.Wipe()
		}
	}
	for _, z := range u.zones {
		if z != nil {
			z.sums.free()
		}
	}
	u.sums.free()
	u.pool.close()
}

// progress reports that the data before pos is done.
func (u *run) progress(pos int64) {
	if u.o.Progress != nil {
		u.o.Progress(u.o.Survey.share(pos, u.r.total, u.o.Fill), u.r.total)
	}
}

// all recovers what was interrupted and re-encrypts the rest.
func (u *run) all(ctx context.Context) error {
	if u.r.crash {
		if err := u.recover(); err != nil {
			return err
		}
	}
	if err := u.findHoles(); err != nil {
		return err
	}
	u.progress(u.r.offset)
	defer moreProcessors()()
	if u.r.slot.area.typ == "journal" {
		return u.serial(ctx)
	}
	return u.rolling(ctx)
}

// stop records the position, up to which all has been written, and returns why.
func (u *run) stop(cause error) error {
	if err := u.settle(); err != nil {
		return errors.Join(cause, err)
	}
	root := u.v.h.root.clone()
	u.r.refresh(u.v.h.meta)
	u.r.setSegments(root, u.r.offset, 0)
	if err := u.v.commit(context.Background(), root); err != nil {
		return errors.Join(cause, err)
	}
	return fmt.Errorf("re-encryption stopped at %d of %d bytes: %w", u.r.offset, u.r.total, cause)
}

// finish writes the header of a volume at rest and wipes what is left of the old key.
// With only, every keyslot but the one that the passphrase opened goes.
func (u *run) finish(ctx context.Context, only bool) error {
	root := u.v.h.root.clone()
	u.r.refresh(u.v.h.meta)
	for n := range u.v.h.meta.keyslots {
		old := n == u.r.slot.id || u.r.oldDigest.id != u.r.newDigest.id && slices.Contains(u.r.oldDigest.keyslots, n)
		if n != u.newSlot && !old && (only || u.v.h.meta.unbound(n)) {
			dropSlot(root, n)
		}
	}
	u.r.setFinal(root, u.newSlot, u.oldSlot)
	if err := u.v.commit(context.WithoutCancel(ctx), root); err != nil {
		return err
	}
	if u.o.Progress != nil {
		u.o.Progress(u.r.total, u.r.total)
	}
	return u.v.scrub(ctx)
}
