package luks

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"math/bits"
)

// What was never written through the encryption, or was trimmed, is zero on the disk.
// Data that was written is not: for 64 KiB of ciphertext to be zero by chance is one in
// 2^524288. Such a piece holds nothing under any key. It is left alone: no time is spent
// on writing it, and an SSD keeps it trimmed.

// A Result is what a run did, in bytes of the volume's data. A run that is continued
// counts from where it went on.
type Result struct {
	Written int64 `json:"written"` // re-encrypted
	Skipped int64 `json:"skipped"` // never written before, and left alone
	// Lost could not be read, and is written as zeros.
	Lost []Range `json:"lost,omitempty"`
}

// A holey device knows where nothing was ever written: a sparse file.
type holey interface {
	// NextData returns the first offset from off on that may hold data, Size if there is
	// none.
	NextData(off int64) int64
}

// holesOf is d as a holey device, or nil.
func holesOf(d Device) holey {
	if c, ok := d.(counted); ok {
		d = c.Device
	}
	h, _ := d.(holey)
	return h
}

// findHoles prepares for asking where the holes are.
func (u *run) findHoles() error {
	if u.holes = holesOf(u.v.data); u.holes == nil {
		return nil
	}
	// There were file systems that took data they had not placed yet for a hole.
	return u.v.data.Sync(WriteData)
}

// written says which pieces of p, at most a request, are to be re-encrypted, bit 0 the
// first.
func (u *run) written(p []byte) (mask uint32) {
	for i := 0; i < len(p); i += piece {
		if u.o.Fill || !zeros(p[i:min(i+piece, len(p))]) {
			mask |= 1 << (i / piece)
		}
	}
	return mask
}

// zeros is allZero for much data.
func zeros(p []byte) bool {
	for len(p) >= 32 {
		if binary.NativeEndian.Uint64(p)|binary.NativeEndian.Uint64(p[8:])|
			binary.NativeEndian.Uint64(p[16:])|binary.NativeEndian.Uint64(p[24:]) != 0 {
			return false
		}
		p = p[32:]
	}
	return allZero(p)
}

// runs calls f for each stretch of the pieces in mask, of n bytes in all.
func runs(n int64, mask uint32, f func(at, n int64) error) error {
	for at := int64(0); mask != 0; {
		skip := bits.TrailingZeros32(mask)
		count := bits.TrailingZeros32(^(mask >> skip))
		at += int64(skip) * piece
		end := min(at+int64(count)*piece, n)
		if err := f(at, end-at); err != nil {
			return err
		}
		mask = uint32(uint64(mask) >> (skip + count))
		at = end
	}
	return nil
}

// empty reports whether nothing of z is to be written.
func (z *zone) empty() bool {
	for _, m := range z.full {
		if m != 0 {
			return false
		}
	}
	return true
}

// account adds z to the result.
func (u *run) account(z *zone) {
	var n int64
	for i, m := range z.full {
		at := int64(i) * u.pool.chunk
		_ = runs(min(u.pool.chunk, z.n-at), m, func(_, k int64) error { n += k; return nil })
	}
	u.count(n, z.n-n)
	u.countLost(z.lost)
}

func (u *run) countLost(rs []Range) {
	if r := u.o.Result; r != nil {
		r.Lost = Merge(append(r.Lost, rs...)...)
	}
}

func (u *run) count(written, skipped int64) {
	if r := u.o.Result; r != nil {
		r.Written += written
		r.Skipped += skipped
	}
}

// fillBehind fills what an earlier part of this re-encryption has left alone before end,
// because it was not told otherwise. Nothing protects it: there is nothing in it.
func (u *run) fillBehind(ctx context.Context, end int64) error {
	b, err := newBuffer(request)
	if err != nil {
		return err
	}
	defer b.free()
	for at := int64(0); at < end; at += request {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := b.mem[:min(request, end-at)]
		bad, _, err := u.v.readSectors(ctx, p, u.prev.offset+at, u.sectorStep())
		if err != nil {
			return err
		}
		for _, r := range bad {
			p[r.Offset] = 1 // there may have been something
		}
		for i := 0; i < len(p); i += piece {
			q := p[i:min(i+piece, len(p))]
			if !zeros(q) {
				continue
			}
			if u.oldC != nil {
				u.renew(q, at+int64(i))
			} else if _, err := rand.Read(q); err != nil {
				return err
			}
			if err := u.v.data.WriteAt(WriteData, q, u.prev.offset+at+int64(i)); err != nil {
				return err
			}
			u.count(int64(len(q)), 0)
		}
	}
	return u.settle()
}
