package luks

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"reown/internal/secret"
)

// ErrNoise says that a volume reads as noise under the key of its header: nobody has written files
// through that key, or the data is under another one. A header of before, put back in the middle of a
// re-encryption, looks so; encrypted once more, what is there would be lost.
var ErrNoise = errors.New("under the key of its header the volume reads as noise")

// ErrUnseen says that so much of a volume's beginning cannot be read that nothing shows whether it is
// noise: that nothing was found there is no proof that nothing is there.
var ErrUnseen = errors.New("the beginning of the volume cannot be read, and nothing shows what the key of its header is worth")

// What Look reads at most of what was written, and of the volume.
const (
	lookWritten = 1 << 20
	lookAt      = 256 << 20
)

// Look decrypts the beginning of a volume by the key that it is under there and that pass opens, and
// returns ErrNoise if nothing of it is anything but noise, and ErrUnseen with the device's error if what
// could tell cannot be read. What was never written is passed over, and a volume without anything else is fine. A
// file system or LVM shows in its first megabyte, and a
// run that has begun has written more than that. In the zone that a re-encryption was cut in, each sector
// is under one of two keys, and either will do. Nothing is written.
func (v *Volume) Look(ctx context.Context, pass *secret.Buffer) error {
	if err := v.load(); err != nil {
		return err
	}
	start, all, err := v.beginning()
	if err != nil {
		return err
	}
	var found error
	for _, u := range all {
		switch err := v.lookBy(ctx, pass, start, u); {
		case errors.Is(err, ErrUnseen), errors.Is(err, ErrNoise) && !errors.Is(found, ErrUnseen),
			errors.Is(err, ErrWrongPassphrase) && found == nil:
			found = err
		case !errors.Is(err, ErrWrongPassphrase) && !errors.Is(err, ErrNoise):
			return err
		}
	}
	return found
}

// under is how a part of a volume may be encrypted, and the digest of the key.
type under struct {
	segment *segment
	digest  *digest
}

// beginning is the first segment of a volume, and what it can be under: the old key or the new one where a
// re-encryption was cut in it.
func (v *Volume) beginning() (*segment, []under, error) {
	m := v.h.meta
	r, err := v.reencryption()
	if err != nil {
		return nil, nil, err
	}
	first := m.segments0()
	if r != nil && r.offset == 0 { // a run with resilience "none" tells only afterwards what it has written
		return first, []under{{r.prev, r.oldDigest}, {r.final, r.newDigest}}, nil
	}
	d, err := m.dataDigest()
	if err != nil {
		return nil, nil, err
	}
	if first.integrity {
		return nil, nil, unsupported("a volume with integrity protection")
	}
	return first, []under{{first, d}}, nil
}

// lookBy is Look by one key.
func (v *Volume) lookBy(ctx context.Context, pass *secret.Buffer, start *segment, u under) error {
	_, key, err := v.find(ctx, pass, v.h.meta.slotsOf(u.digest))
	if err != nil {
		return err
	}
	defer key.Wipe()
	c, err := newSectorCipher(u.segment.encryption, key.Bytes())
	if err != nil {
		return err
	}
	defer c.Wipe()
	b, err := newBuffer(request)
	if err != nil {
		return err
	}
	defer b.free()
	size := min(v.segmentSize(start), lookAt)
	size -= size % int64(u.segment.sectorSize)
	seen := 0
	var unread error
	for at := int64(0); at < size && seen < lookWritten; at += request {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := b.mem[:min(request, size-at)]
		whole := v.data.ReadAt(p, start.offset+at)
		for i := 0; i < len(p); i += piece {
			q := p[i:min(i+piece, len(p))]
			if whole != nil {
				if err := v.data.ReadAt(q, start.offset+at+int64(i)); err != nil {
					unread = cmp.Or(unread, err)
					continue // a bad sector tells nothing
				}
			}
			if zeros(q) {
				continue
			}
			seen += len(q)
			c.DecryptSectors(q, q, u.segment.sectorSize, start.ivTweak+uint64(at+int64(i))/512)
			if ordered(q) {
				return nil
			}
		}
	}
	switch {
	case unread != nil && seen < lookWritten:
		return fmt.Errorf("%w: %w", ErrUnseen, unread)
	case seen == 0:
		return nil
	}
	return ErrNoise
}

// ordered says whether some 16 aligned bytes are all alike. Noise has such with a probability of 2^-120
// each; every file system has zeros or ones in its first blocks.
func ordered(p []byte) bool {
	for ; len(p) >= 16; p = p[16:] {
		a := binary.NativeEndian.Uint64(p)
		if a == binary.NativeEndian.Uint64(p[8:]) && a == uint64(p[0])*0x0101010101010101 {
			return true
		}
	}
	return false
}
