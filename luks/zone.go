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

// A pool is the memory of a run, in chunks of one request each. A chunk that has
// been written is read into again at once, so that two zones and a little more
// are enough for three zones at work.
type pool struct {
	mem   *buffer
	chunk int64
	free  chan []byte
}

// spare is how many chunks there are beyond the zones': those on their way.
const spare = 2 * workers

// newPool makes room for n zones of size bytes.
func newPool(n, size int64) (*pool, error) {
	p := &pool{chunk: min(request, size)}
	count := n*((size+p.chunk-1)/p.chunk) + spare
	var err error
	if p.mem, err = newBuffer(int(count * p.chunk)); err != nil {
		return nil, err
	}
	p.free = make(chan []byte, count)
	for i := range count {
		p.free <- p.mem.mem[i*p.chunk : (i+1)*p.chunk]
	}
	return p, nil
}

func (p *pool) close() {
	if p != nil {
		p.mem.free()
	}
}

// zone is a stretch of data: read, turned into new ciphertext, written back.
type zone struct {
	off, n int64 // bytes of the volume's data
	chunks [][]byte
	sums   *buffer // checksums of the old ciphertext
}

func (u *run) newZone() (*zone, error) {
	n := min(u.zoneSize, u.r.total)
	z := &zone{chunks: make([][]byte, (u.zoneSize+u.pool.chunk-1)/u.pool.chunk)}
	var err error
	if u.r.slot.area.typ == "checksum" {
		z.sums, err = newBuffer(int(roundUp(u.checksumLen(roundUp(n, int64(u.r.slot.area.sectorSize))), 4096)))
	}
	return z, err
}

// each calls f in parallel for the chunks of z, with their place in it.
func (u *run) each(z *zone, f func(at int64, p []byte) error) error {
	return parallel(z.n, u.pool.chunk, func(at, n int64) error {
		return f(at, z.chunks[at/u.pool.chunk][:n])
	})
}

// release gives a chunk back, if it has not been yet.
func (u *run) release(z *zone, i int64) {
	if c := z.chunks[i]; c != nil {
		z.chunks[i] = nil
		u.pool.free <- c
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

// parallel calls f for each part of size bytes of n and returns the first error.
func parallel(n, size int64, f func(off, n int64) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for errs[w] == nil {
				off := next.Add(size) - size
				if off >= n {
					return
				}
				errs[w] = f(off, min(size, n-off))
			}
		})
	}
	wg.Wait()
	return firstError(errs...)
}

// A task runs in the background.
type task struct {
	done chan struct{}
	err  error
}

func background(f func() error) *task {
	t := &task{done: make(chan struct{})}
	go func() {
		defer close(t.done)
		t.err = f()
	}()
	return t
}

// wait returns the task's error; it may be called again.
func (t *task) wait() error {
	<-t.done
	return t.err
}

// read fills z from off on, in the background. With checksums it also computes them
// and encrypts anew, while the data is in the cache; a journal needs the old
// ciphertext first. At the end of the data z is left empty.
func (u *run) read(z *zone, off int64) *task {
	z.off, z.n = off, max(0, min(u.zoneSize, u.r.total-off))
	return background(func() error {
		a := u.r.slot.area
		return parallel(z.n, u.pool.chunk, func(at, n int64) error {
			c := <-u.pool.free
			z.chunks[at/u.pool.chunk] = c
			p := c[:n]
			if err := u.v.data.ReadAt(p, u.r.prev.offset+off+at); err != nil {
				return err
			}
			if a.typ == "checksum" {
				for i := 0; i < len(p); i += piece {
					q := p[i:min(i+piece, len(p))]
					sumBlocks(z.sums.mem[u.checksumLen(at+int64(i)):], q, a.hash, a.sectorSize)
					u.renew(q, off+at+int64(i))
				}
			}
			return nil
		})
	})
}

// write writes z in the background and does not flush. It gives back the chunks as
// it goes, and all of them even if it fails: a reader may wait for them.
func (u *run) write(z *zone) *task {
	return background(func() error {
		defer func() {
			for i := range z.chunks {
				u.release(z, int64(i))
			}
		}()
		return u.each(z, func(at int64, p []byte) error {
			err := u.v.data.WriteAt(WriteData, p, u.r.prev.offset+z.off+at)
			u.release(z, at/u.pool.chunk)
			return err
		})
	})
}

// renew turns old ciphertext into new; pos is its place in the volume's data.
func (u *run) renew(p []byte, pos int64) {
	iv := u.r.prev.ivTweak + uint64(pos)/512
	u.oldC.DecryptSectors(p, p, u.r.prev.sectorSize, iv)
	u.newC.EncryptSectors(p, p, u.r.final.sectorSize, iv)
}

// rolling is the data path with checksums. Three zones are at work: one is being
// written, the next is being protected, and the one after is being read.
//
// The hotzone of the header is the last two zones, k-1 and k. That is what allows
// the flushes to run beside the writing instead of between: the header that
// protects k still protects k-1, so it need not wait until k-1 is durable, or even
// written. It does claim that k-2 is done, which the flush before it has seen to.
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
	n := u.checksumLen(roundUp(min(2*u.zoneSize, u.r.total), int64(u.r.slot.area.sectorSize)))
	if u.sums, err = newBuffer(int(roundUp(n, 4096))); err != nil {
		return err
	}
	reading := u.read(u.zones[0], u.r.offset)
	writing := background(func() error { return nil })
	// Buffers may not be freed before their readers and writers have ended.
	defer func() {
		reading.wait()
		writing.wait()
	}()
	var prev *zone
	for k := 0; ; k++ {
		z := u.zones[k%3]
		err := firstError(reading.wait(), ctx.Err())
		if err != nil || z.n == 0 {
			if werr := writing.wait(); werr != nil {
				return werr
			}
			u.r.offset = z.off
			u.progress()
			if err != nil {
				return u.stop(err)
			}
			return u.settle()
		}
		reading = u.read(u.zones[(k+1)%3], z.off+z.n)
		err = u.protect(context.WithoutCancel(ctx), prev, z, u.halves[k%2])
		if err = firstError(writing.wait(), err); err != nil {
			return err
		}
		u.r.offset = z.off
		u.progress()
		writing = u.write(z)
		prev = z
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
	root.m["keyslots"].(*object).m[id(u.r.slot.id)].(*object).set("area", h.area.object())
	root.m["digests"].(*object).set(id(u.v.h.meta.digestOfKeyslot(u.r.slot.id).id), h.digest)
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
		if err := firstError(u.read(z, u.r.offset).wait(), ctx.Err()); err != nil {
			return u.stop(err)
		}
		if err := u.overwrite(context.WithoutCancel(ctx), z); err != nil {
			return err
		}
		u.r.offset = z.off + z.n
		u.progress()
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
		for i := 0; i < len(p); i += piece {
			u.renew(p[i:min(i+piece, len(p))], z.off+at+int64(i))
		}
		return nil
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
