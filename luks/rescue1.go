package luks

import (
	"bytes"
	"context"
	"fmt"

	"reown/internal/secret"
)

// loadAside reads a LUKS1 header of which cryptsetup has made the magic unusable.
// Nothing else in it is changed.
func loadAside(dev Device) (*loaded, error) {
	bin := make([]byte, binHeaderSize)
	if err := dev.ReadAt(bin, 0); err != nil {
		return nil, err
	}
	if !bytes.Equal(bin[:8], append(bytes.Clone(interrupted1), 0, 1)) {
		return nil, ErrLUKS1Interrupted
	}
	copy(bin, magicPrimary)
	h, err := parse1(bin, dev.Size())
	if err != nil {
		return nil, err
	}
	return &loaded{hdr: h, aside: true}, nil
}

// rescue1 looks at what cryptsetup's re-encryption of LUKS1 left. The disk has the
// old header, unusable; the new volume key is only in a file beside which
// cryptsetup ran, so that what is under it cannot be found, let alone finished, from
// the disk. But cryptsetup makes the header unusable before it sets up what it needs,
// and stops where that is missing (as device mapper is in some firmware). It begins
// at the start of the data: if there the old key still opens what was there, nothing
// was re-encrypted, and the header's magic is all that has to be put back.
func (v *Volume) rescue1(ctx context.Context, pass *secret.Buffer, o RescueOptions) (Rescue, error) {
	seg := v.h.meta.segments0()
	d, err := v.h.meta.dataDigest()
	if err != nil {
		return Rescue{}, err
	}
	_, key, err := v.find(ctx, pass, v.h.meta.slotsOf(d))
	if err != nil {
		return Rescue{}, err
	}
	defer key.Wipe()
	total := v.segmentSize(seg)
	s := &search{v: v, r: &reencryption{prev: seg, final: seg, total: total}, o: o, unit: int64(seg.sectorSize),
		around: inFlight, small: smallRequest}
	if s.oldC, err = newSectorCipher(seg.encryption, key.Bytes()); err != nil {
		return Rescue{}, err
	}
	defer s.oldC.Wipe()
	if err := s.buffers(); err != nil {
		return Rescue{}, err
	}
	defer s.free()
	firstOld := total
	if err := s.each(ctx, 0, roundDown(min(total, inFlight), s.unit), true, func(pos int64, x verdict) {
		if x == isOld {
			firstOld = min(firstOld, pos)
		}
	}); err != nil {
		return Rescue{}, err
	}
	found := Rescue{Total: total}
	if firstOld > 0 {
		return found, fmt.Errorf("%w: %d bytes at the start of the data look random under the key that is on the disk",
			ErrLUKS1Interrupted, firstOld)
	}
	doubt, err := s.surroundings(ctx, 0, 0, false)
	if err == nil && doubt.Length > 0 {
		err = fmt.Errorf("%w: %d bytes from byte %d of the data look random", ErrUnproven1, doubt.Length, doubt.Offset)
	}
	if err != nil || o.DryRun {
		return found, err
	}
	unlock, err := v.lockHeader(ctx)
	if err != nil {
		return found, err
	}
	defer unlock()
	if err := v.writeHeader(WriteLUKS1, v.h.v1.raw[:split1], 0); err != nil {
		return found, err
	}
	return found, v.load()
}
