package luks

import (
	"context"
)

// write writes what z has to be written in the background and does not flush. It gives
// back the chunks as it goes, and all of them even if it fails: a reader may wait for
// them.
func (u *run) write(z *zone) *task {
	return background(func() error {
		defer func() {
			for i := range z.chunks {
				u.release(z, int64(i))
			}
		}()
		return u.each(z, func(at int64, p []byte) error {
			i := at / u.pool.chunk
			err := runs(int64(len(p)), z.full[i], func(j, n int64) error {
				return u.v.data.WriteAt(WriteData, p[j:j+n], u.prev.offset+z.off+at+j)
			})
			u.release(z, i)
			return err
		})
	})
}

// renew turns old ciphertext into new; pos is its place in the volume's data.
func (u *run) renew(p []byte, pos int64) {
	iv := u.prev.ivTweak + uint64(pos)/512
	u.oldC.DecryptSectors(p, p, u.prev.sectorSize, iv)
	u.newC.EncryptSectors(p, p, u.final.sectorSize, iv)
}

// rolling is the data path with checksums. Three zones are at work: one is being
// written, the next is being protected, and the one after is being read.
//
// The hotzone of the header is the last two zones, k-1 and k. That is what allows
// the flushes to run beside the writing instead of between: the header that
// protects k still protects k-1, so it need not wait until k-1 is durable, or even
// written. It does claim that k-2 is done, which the flush before it has seen to.
//
// A zone of which nothing was ever written is passed over: no checksums, no header. The
// hotzone after such a gap is k alone, and k-1 must have been written before.
func (u *run) rolling(ctx context.Context) error {
	slot := *u.r.slot
	slot.area = u.halves[0].area // its block size may differ from that of an earlier run
	u.r.slot = &slot
	var err error
	if u.pool, err = newPool(2, u.zoneSize); err != nil {
		return err
	}
	for i := range u.zones {
		if u.zones[i], err = u.newZone(); err != nil {
			return err
		}
	}
	u.zeroSums = make([]byte, u.checksumLen(roundUp(piece, int64(u.r.slot.area.sectorSize))))
	sumBlocks(u.zeroSums, make([]byte, piece), u.r.slot.area.hash, u.r.slot.area.sectorSize)
	n := u.checksumLen(roundUp(min(2*u.zoneSize, u.r.total), int64(u.r.slot.area.sectorSize)))
	if u.sums, err = newBuffer(int(roundUp(n, 4096))); err != nil {
		return err
	}
	src := u.newSource(u.r.offset)
	writing := background(func() error { return nil })
	// Buffers may not be freed before their readers and writers have ended.
	defer func() {
		src.stop()
		writing.wait()
	}()
	var prev *zone
	for k := 0; ; {
		z, err := src.next()
		if err == nil && z.n > 0 {
			err = ctx.Err()
		}
		if err != nil || z.n == 0 {
			if werr := writing.wait(); werr != nil {
				return werr
			}
			u.r.offset = z.off
			if err != nil {
				return u.stop(err)
			}
			return u.settle()
		}
		if z.empty() {
			u.account(z)
			u.progress(z.off + z.n)
			src.idle <- z
			continue
		}
		if prev != nil && prev.off+prev.n != z.off {
			if err := writing.wait(); err != nil {
				return err
			}
			src.idle <- prev
			prev = nil
		}
		err = u.protect(context.WithoutCancel(ctx), prev, z, u.halves[k%2])
		if err = firstError(writing.wait(), err); err != nil {
			return err
		}
		u.r.offset = z.off
		u.progress(z.off)
		u.account(z)
		writing = u.write(z)
		if prev != nil {
			src.idle <- prev
		}
		prev = z
		k++
	}
}

// protect makes the zones prev (nil at the start) and z the header's hotzone, with
// their checksums in a half of the resilience area that the header does not refer
// to. What was written before prev must have been written completely.
func (u *run) protect(ctx context.Context, prev, z *zone, h half) error {
	start, n := z.off, z.n
	sums := u.sums.mem[:0]
	if prev != nil {
		start, n = prev.off, prev.n+z.n
		sums = append(sums, prev.sums.mem[:u.checksumLen(prev.n)]...)
	}
	sums = append(sums, z.sums.mem[:u.checksumLen(z.n)]...)
	if err := u.v.hdr.WriteAt(WriteArea, u.sums.mem[:roundUp(int64(len(sums)), 4096)], h.area.offset); err != nil {
		return err
	}
	// This flush is for the checksums, for the last header's secondary copy, and for
	// the data before prev.
	if err := u.v.hdr.Sync(WriteArea); err != nil {
		return err
	}
	if u.v.detached {
		if err := u.v.data.Sync(WriteData); err != nil {
			return err
		}
	}
	root := u.v.h.root.clone()
	root.obj("keyslots").obj(id(u.r.slot.id)).set("area", h.area.object())
	root.obj("digests").set(id(u.v.h.meta.digestOfKeyslot(u.r.slot.id).id), h.digest)
	return u.hot(ctx, root, start, n)
}

// hot writes the header that says n bytes at off are in re-encryption: the primary
// copy durably, the secondary for the next flush. The primary stands alone for that
// long, and nothing is writing it.
func (u *run) hot(ctx context.Context, root *object, off, n int64) error {
	unlock, err := u.v.lockHeader(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	u.r.refresh(u.v.h.meta)
	u.r.setSegments(root, off, n)
	s, err := u.v.stage(root)
	if err != nil {
		return err
	}
	if err := s.writePrimary(); err != nil {
		return err
	}
	if err := s.writeSecondary(); err != nil {
		return err
	}
	u.v.stale = nil
	return nil
}

// serial is the data path with a journal: one zone at a time, each durable before
// the journal it needed is overwritten by the next one's.
func (u *run) serial(ctx context.Context) error {
	var err error
	if u.pool, err = newPool(1, u.zoneSize); err != nil {
		return err
	}
	z, err := u.newZone()
	if err != nil {
		return err
	}
	for u.r.offset < u.r.total {
		z.begin(u.r.offset, min(u.zoneSize, u.r.total-u.r.offset), u.pool.chunk)
		for i := range z.left.Load() {
			z.chunks[i] = <-u.pool.free
		}
		err := u.each(z, func(at int64, _ []byte) error {
			z.errs[at/u.pool.chunk] = u.fetch(z, at)
			return nil
		})
		if err = firstError(err, firstFailure(z.errs), ctx.Err()); err != nil {
			return u.stop(err)
		}
		if z.empty() {
			for i := range z.chunks {
				u.release(z, int64(i))
			}
		} else if err := u.overwrite(context.WithoutCancel(ctx), z); err != nil {
			return err
		}
		u.account(z)
		u.r.offset = z.off + z.n
		u.progress(u.r.offset)
	}
	return nil
}

// overwrite replaces the data of z on the disk, with its old ciphertext in the
// journal until all of it is durable.
func (u *run) overwrite(ctx context.Context, z *zone) error {
	if u.v.h.meta.flagged(flagHot) != nil { // the journal is still referred to
		root := u.v.h.root.clone()
		u.r.refresh(u.v.h.meta)
		u.r.setSegments(root, z.off, 0)
		if err := u.v.commit(ctx, root); err != nil {
			return err
		}
	}
	if err := u.each(z, func(at int64, p []byte) error {
		return u.v.hdr.WriteAt(WriteArea, p, u.r.slot.area.offset+at)
	}); err != nil {
		return err
	}
	if err := u.v.hdr.Sync(WriteArea); err != nil {
		return err
	}
	if err := u.hot(ctx, u.v.h.root.clone(), z.off, z.n); err != nil {
		return err
	}
	if err := u.each(z, func(at int64, p []byte) error {
		return runs(int64(len(p)), z.full[at/u.pool.chunk], func(j, n int64) error {
			for end := j + n; j < end; j += piece {
				u.renew(p[j:min(j+piece, end)], z.off+at+j)
			}
			return nil
		})
	}); err != nil {
		return err
	}
	if err := u.write(z).wait(); err != nil {
		return err
	}
	return u.settle()
}

// settle makes all data, and the secondary header that was left to a later flush,
// durable.
func (u *run) settle() error {
	if err := u.v.data.Sync(WriteData); err != nil || !u.v.detached {
		return err
	}
	return u.v.hdr.Sync(WriteSecondary)
}
