package luks

import (
	"context"
	"encoding/binary"
	"errors"

	"reown/internal/secret"
)

// ErrNoise says that a volume reads as noise under the key of its header: nobody has written files
// through that key, or the data is under another one. A header of before, put back in the middle of a
// re-encryption, looks so; encrypted once more, what is there would be lost.
var ErrNoise = errors.New("under the key of its header the volume reads as noise")

// What Look reads at most of what was written, and of the volume.
const (
	lookWritten = 1 << 20
	lookAt      = 256 << 20
)

// Look decrypts the beginning of a volume at rest, where a re-encryption begins, by the key that pass
// opens, and returns ErrNoise if nothing of it is anything but noise. What was never written is passed
// over, and a volume without anything else is fine. A file system or LVM shows in its first
// megabyte, and a run that has begun has written more than that. Nothing is written.
func (v *Volume) Look(ctx context.Context, pass *secret.Buffer) error {
	if err := v.load(); err != nil {
		return err
	}
	d, err := v.h.meta.dataDigest()
	if err != nil {
		return err
	}
	seg := v.h.meta.segments0()
	if seg.integrity {
		return unsupported("a volume with integrity protection")
	}
	_, key, err := v.find(ctx, pass, v.h.meta.slotsOf(d))
	if err != nil {
		return err
	}
	defer key.Wipe()
	c, err := newSectorCipher(seg.encryption, key.Bytes())
	if err != nil {
		return err
	}
	defer c.Wipe()
	b, err := newBuffer(request)
	if err != nil {
		return err
	}
	defer b.free()
	size := min(v.segmentSize(seg), lookAt)
	size -= size % int64(seg.sectorSize)
	seen := 0
	for at := int64(0); at < size && seen < lookWritten; at += request {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := b.mem[:min(request, size-at)]
		whole := v.data.ReadAt(p, seg.offset+at)
		for i := 0; i < len(p); i += piece {
			q := p[i:min(i+piece, len(p))]
			if whole != nil && v.data.ReadAt(q, seg.offset+at+int64(i)) != nil {
				continue // a bad sector tells nothing
			}
			if zeros(q) {
				continue
			}
			seen += len(q)
			c.DecryptSectors(q, q, seg.sectorSize, seg.ivTweak+uint64(at+int64(i))/512)
			if ordered(q) {
				return nil
			}
		}
	}
	if seen == 0 {
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
