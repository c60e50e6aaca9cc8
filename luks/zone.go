package luks

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"reown/internal/xts/xsha"
)

const (
	workers = 4        // concurrent requests, enough to keep an SSD's queue filled
	request = 1 << 20  // bytes of one read or write
	piece   = 64 << 10 // bytes hashed, decrypted and encrypted while they are in the cache
)

// zone is the data of one hotzone: read, then replaced by its new ciphertext.
type zone struct {
	off, n int64 // bytes of the volume's data
	data   *buffer
	area   *buffer // what goes to the resilience area (checksum)
}

func (u *run) newZone() (*zone, error) {
	n := min(u.hotzone, u.r.total)
	z := &zone{}
	var err error
	if z.data, err = newBuffer(int(n)); err != nil {
		return nil, err
	}
	if u.r.slot.area.typ == "checksum" {
		z.area, err = newBuffer(int(roundUp(u.checksumLen(roundUp(n, int64(u.r.slot.area.sectorSize))), 4096)))
	}
	return z, err
}

func (z *zone) free() {
	if z != nil {
		z.data.free()
		z.area.free()
	}
}

// checksumLen is the length of the checksums of n bytes of data.
func (u *run) checksumLen(n int64) int64 {
	a := u.r.slot.area
	return n / int64(a.sectorSize) * int64(hashSize(a.hash))
}

func hashSize(name string) int {
	newHash, err := hashByName(name)
	if err != nil {
		return 1 // refused earlier: maxHotzone is 0
	}
	return newHash().Size()
}

// sumBlocks hashes every block of data. data is whole blocks.
func sumBlocks(dst, data []byte, hash string, block int) {
	if hash == "sha256" {
		xsha.SumBlocks(dst, data, block)
		return
	}
	newHash, err := hashByName(hash)
	if err != nil {
		panic(err) // refused earlier
	}
	h := newHash()
	for i := 0; i < len(data); i += block {
		h.Reset()
		h.Write(data[i : i+block])
		copy(dst[i/block*h.Size():], h.Sum(nil))
	}
}

// parallel calls f for each request-sized part of n bytes and returns the first error.
func parallel(n int64, f func(off, n int64) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for errs[w] == nil {
				off := next.Add(request) - request
				if off >= n {
					return
				}
				errs[w] = f(off, min(request, n-off))
			}
		})
	}
	wg.Wait()
	return firstError(errs...)
}

// read fills z with the hotzone at off, in the background. With checksums it also
// computes them and encrypts anew, while the data is in the cache; a journal needs
// the old ciphertext first. At the end of the data z is left empty.
func (u *run) read(z *zone, off int64) <-chan error {
	done := make(chan error, 1)
	z.off, z.n = off, min(u.hotzone, u.r.total-off)
	if z.n <= 0 {
		z.n = 0
		done <- nil
		return done
	}
	go func() {
		a := u.r.slot.area
		done <- parallel(z.n, func(at, n int64) error {
			p := z.data.mem[at : at+n]
			if err := u.v.data.ReadAt(p, u.r.prev.offset+off+at); err != nil {
				return err
			}
			if a.typ == "checksum" {
				for i := 0; i < len(p); i += piece {
					q := p[i:min(i+piece, len(p))]
					sumBlocks(z.area.mem[u.checksumLen(at+int64(i)):], q, a.hash, a.sectorSize)
					u.renew(q, off+at+int64(i))
				}
			}
			return nil
		})
	}()
	return done
}

// renew turns old ciphertext into new; pos is its place in the volume's data.
func (u *run) renew(p []byte, pos int64) {
	iv := u.r.prev.ivTweak + uint64(pos)/512
	u.oldC.DecryptSectors(p, p, u.r.prev.sectorSize, iv)
	u.newC.EncryptSectors(p, p, u.r.final.sectorSize, iv)
}

// overwrite replaces a hotzone on the disk by z. When it returns nil all of it is
// durable; when it returns an error the header says which bytes are in doubt.
func (u *run) overwrite(ctx context.Context, z *zone) error {
	a := u.r.slot.area
	ctx = context.WithoutCancel(ctx) // a hotzone is finished once begun
	if a.typ == "journal" {
		// The last hotzone's journal must not be needed any more when it is overwritten.
		if u.v.h.meta.flagged(flagHot) != nil {
			root := u.v.h.root.clone()
			u.r.refresh(u.v.h.meta)
			u.r.setSegments(root, z.off, 0)
			if err := u.v.commit(ctx, root); err != nil {
				return err
			}
		}
		if err := u.v.hdr.WriteAt(WriteArea, z.data.mem[:z.n], a.offset); err != nil {
			return err
		}
	} else {
		// The last hotzone is durable, so every one of its checksums differs from what
		// is on the disk, and so will any mixture with the next one's: recovery would
		// take all of it for done, which it is. No header in between is needed.
		n := roundUp(u.checksumLen(z.n), 4096)
		if err := u.v.hdr.WriteAt(WriteArea, z.area.mem[:min(n, a.size)], a.offset); err != nil {
			return err
		}
	}
	if err := u.v.hdr.Sync(WriteArea); err != nil {
		return err
	}
	unlock, err := u.v.lockHeader(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	root := u.v.h.root.clone()
	u.r.refresh(u.v.h.meta)
	u.r.setSegments(root, z.off, z.n)
	s, err := u.v.stage(root)
	if err != nil {
		return err
	}
	if err := s.writePrimary(); err != nil {
		return err
	}
	if a.typ == "journal" {
		if err := parallel(z.n, func(at, n int64) error {
			for i := int64(0); i < n; i += piece {
				u.renew(z.data.mem[at+i:at+min(i+piece, n)], z.off+at+i)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	// The secondary copy and the data share a flush: the primary stands alone for
	// that long, and nothing is writing it.
	if err := s.writeSecondary(); err != nil {
		return err
	}
	if err := parallel(z.n, func(at, n int64) error {
		return u.v.data.WriteAt(WriteData, z.data.mem[at:at+n], u.r.prev.offset+z.off+at)
	}); err != nil {
		return err
	}
	if err := u.v.data.Sync(WriteData); err != nil {
		return err
	}
	if u.v.detached {
		if err := u.v.hdr.Sync(WriteSecondary); err != nil {
			return err
		}
	}
	u.v.stale = nil
	return nil
}

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
	b, err := newBuffer(2 * request)
	if err != nil {
		return err
	}
	defer b.free()
	for at := int64(0); at < r.length; at += request {
		p := b.mem[:min(request, r.length-at)]
		pos := r.offset + at
		if a.typ == "journal" {
			if err := u.v.hdr.ReadAt(p, a.offset+at); err != nil {
				return err
			}
			u.renew(p, pos)
			if err := u.v.data.WriteAt(WriteRecovery, p, r.prev.offset+pos); err != nil {
				return err
			}
			continue
		}
		if err := u.recoverBlocks(p, b.mem[request:], pos, at); err != nil {
			return err
		}
	}
	// Only then may a header say that this hotzone is done.
	if err := u.v.data.Sync(WriteRecovery); err != nil {
		return err
	}
	r.offset += r.length
	r.crash, r.length = false, 0
	return nil
}

// recoverBlocks re-encrypts those blocks of p that still are what their checksum
// says they were. p is a buffer for the data at pos, at bytes into the hotzone.
func (u *run) recoverBlocks(p, scratch []byte, pos, at int64) error {
	r, a := u.r, u.r.slot.area
	if err := u.v.data.ReadAt(p, r.prev.offset+pos); err != nil {
		return err
	}
	n := int64(hashSize(a.hash))
	count := int64(len(p)) / int64(a.sectorSize)
	have, want := scratch[:count*n], make([]byte, count*n)
	if err := u.v.hdr.ReadAt(want, a.offset+u.checksumLen(at)); err != nil {
		return err
	}
	sumBlocks(have, p, a.hash, a.sectorSize)
	isOld := func(i int64) bool { return i < count && bytes.Equal(have[i*n:(i+1)*n], want[i*n:(i+1)*n]) }
	for i := int64(0); i < count; i++ {
		first := i
		for isOld(i) {
			i++
		}
		if i == first {
			continue
		}
		q := p[first*int64(a.sectorSize) : i*int64(a.sectorSize)]
		u.renew(q, pos+first*int64(a.sectorSize))
		if err := u.v.data.WriteAt(WriteRecovery, q, r.prev.offset+pos+first*int64(a.sectorSize)); err != nil {
			return err
		}
	}
	return nil
}
