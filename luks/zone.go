package luks

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
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
func spare() int64 { return int64(readers() + workers) }

// newPool makes room for n zones of size bytes.
func newPool(n, size int64) (*pool, error) {
	p := &pool{chunk: min(request, size)}
	count := n*((size+p.chunk-1)/p.chunk) + spare()
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

	left atomic.Int64  // chunks not read yet
	read chan struct{} // closed when there are none
	errs []error       // of reading each chunk
}

// begin makes z stand for n bytes at off, none of them read.
func (z *zone) begin(off, n, chunk int64) {
	z.off, z.n = off, n
	z.left.Store((n + chunk - 1) / chunk)
	z.read = make(chan struct{})
	clear(z.errs)
	if n == 0 {
		close(z.read)
	}
}

func (u *run) newZone() (*zone, error) {
	n := min(u.zoneSize, u.r.total)
	count := (u.zoneSize + u.pool.chunk - 1) / u.pool.chunk
	z := &zone{chunks: make([][]byte, count), errs: make([]error, count)}
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

// fetch reads the chunk at bytes into z. With checksums it also computes them and
// encrypts anew, while the data is in the cache; a journal needs the old ciphertext
// first.
func (u *run) fetch(z *zone, at int64) error {
	a := u.r.slot.area
	p := z.chunks[at/u.pool.chunk][:min(u.pool.chunk, z.n-at)]
	u.reads <- struct{}{}
	err := u.v.data.ReadAt(p, u.prev.offset+z.off+at)
	<-u.reads
	if err != nil || a.typ != "checksum" {
		return err
	}
	for i := 0; i < len(p); i += piece {
		q := p[i:min(i+piece, len(p))]
		sumBlocks(z.sums.mem[u.checksumLen(at+int64(i)):], q, a.hash, a.sectorSize)
		u.renew(q, z.off+at+int64(i))
		runtime.Gosched() // the disk first: others wait to send it their next request
	}
	return nil
}

// newReads makes room for as many reads as are to be on their way at a time.
func newReads() chan struct{} { return make(chan struct{}, workers) }

// readers is how many goroutines read: as many as there are requests, so that the
// disk is never without one while others hash and encrypt.
func readers() int { return workers + min(runtime.NumCPU(), workers) }

// atWork counts the runs at work, all of this process.
var atWork struct {
	sync.Mutex
	n int
}

// moreProcessors lets the Go runtime use more threads than there are cores until
// the returned function is called. A goroutine in a system call holds on to its
// processor until a monitor takes it away; with one for each core, the next request
// to the disk would often wait for that, or for a cipher. The kernel divides the
// cores better.
func moreProcessors() func() {
	atWork.Lock()
	defer atWork.Unlock()
	atWork.n++
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), runtime.NumCPU()+workers))
	return func() {
		atWork.Lock()
		defer atWork.Unlock()
		if atWork.n--; atWork.n == 0 {
			runtime.SetDefaultGOMAXPROCS()
		}
	}
}

// A source reads zones one after the other, as far ahead as there is memory for.
type source struct {
	u     *run
	idle  chan *zone // to read into, when nobody needs them any more
	begun chan *zone // in order, of which chunks are being read
	quit  chan struct{}
	wg    sync.WaitGroup

	mu  sync.Mutex // chunks are taken, and given memory, in their order
	off int64      // of the next zone
	z   *zone      // chunks are taken from, nil before the first
	at  int64      // of the next chunk in z
}

// newSource begins to read from off on.
func (u *run) newSource(off int64) *source {
	s := &source{u: u, off: off, idle: make(chan *zone, len(u.zones)), begun: make(chan *zone, len(u.zones)), quit: make(chan struct{})}
	for _, z := range u.zones {
		s.idle <- z
	}
	for range readers() {
		s.wg.Go(s.read)
	}
	return s
}

// next waits for the next zone, which at the end of the data is an empty one.
func (s *source) next() (*zone, error) {
	z := <-s.begun
	<-z.read
	return z, firstError(z.errs...)
}

// stop ends the reading; buffers may be freed after it.
func (s *source) stop() {
	close(s.quit)
	s.wg.Wait()
}

func (s *source) read() {
	for {
		z, at := s.take()
		if z == nil {
			return
		}
		z.errs[at/s.u.pool.chunk] = s.u.fetch(z, at)
		if z.left.Add(-1) == 0 {
			close(z.read)
		}
	}
}

// take returns the next chunk to read, with memory, or nil at the end.
func (s *source) take() (*zone, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.z == nil || s.at >= s.z.n {
		if s.z != nil && s.z.n == 0 {
			return nil, 0
		}
		select {
		case <-s.quit:
			return nil, 0
		case s.z = <-s.idle:
		}
		s.at = 0
		s.z.begin(s.off, max(0, min(s.u.zoneSize, s.u.r.total-s.off)), s.u.pool.chunk)
		s.off += s.z.n
		s.begun <- s.z
		if s.z.n == 0 {
			return nil, 0
		}
	}
	select {
	case <-s.quit:
		return nil, 0
	case s.z.chunks[s.at/s.u.pool.chunk] = <-s.u.pool.free:
	}
	s.at += s.u.pool.chunk
	return s.z, s.at - s.u.pool.chunk
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
			err := u.v.data.WriteAt(WriteData, p, u.prev.offset+z.off+at)
			u.release(z, at/u.pool.chunk)
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
	src := u.newSource(u.r.offset)
	writing := background(func() error { return nil })
	// Buffers may not be freed before their readers and writers have ended.
	defer func() {
		src.stop()
		writing.wait()
	}()
	var prev *zone
	for k := 0; ; k++ {
		z, err := src.next()
		if err = firstError(err, ctx.Err()); err != nil || z.n == 0 {
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
		err = u.protect(context.WithoutCancel(ctx), prev, z, u.halves[k%2])
		if err = firstError(writing.wait(), err); err != nil {
			return err
		}
		u.r.offset = z.off
		u.progress()
		writing = u.write(z)
		if prev != nil {
			src.idle <- prev
		}
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
		z.begin(u.r.offset, min(u.zoneSize, u.r.total-u.r.offset), u.pool.chunk)
		for i := range z.left.Load() {
			z.chunks[i] = <-u.pool.free
		}
		if err := firstError(u.each(z, func(at int64, _ []byte) error { return u.fetch(z, at) }), ctx.Err()); err != nil {
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
	b, err := newBuffer(3 * request)
	if err != nil {
		return err
	}
	defer b.free()
	all := false // of it is still old
	if a.typ == "checksum" {
		if all, err = u.survey(b); err != nil {
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
			u.renew(p, pos)
			if err := u.v.data.WriteAt(WriteRecovery, p, u.prev.offset+pos); err != nil {
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

// survey looks at the interrupted hotzone with its checksums before anything is
// written. All blocks must be what their checksums say, or what the new key makes
// of that. It reports whether, although they are not, all are known to be old.
func (u *run) survey(b *buffer) (allOld bool, err error) {
	r := u.r
	var blocks [isTorn + 1]int64
	doubt := int64(-1)
	for at := int64(0); at < r.length; at += request {
		states, err := u.classify(b, at)
		if err != nil {
			return false, err
		}
		for i, s := range states {
			blocks[s]++
			if s == silent && doubt < 0 {
				doubt = r.offset + at + int64(i)*int64(r.slot.area.sectorSize)
			}
		}
	}
	if blocks[silent] == 0 {
		return false, nil
	}
	if blocks[isNew] == 0 && blocks[isTorn] == 0 && u.v.justAnnounced(r) {
		return true, nil
	}
	return false, fmt.Errorf("%w: %d of %d blocks, the first at byte %d of the data", ErrInDoubt, blocks[silent], r.length/int64(r.slot.area.sectorSize), doubt)
}

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
	return err == nil && was != nil && !was.crash && !was.finished && was.offset == r.offset && was.slot.area == r.slot.area
}

// classify reads the hotzone's data at at into b, and says of each block which key
// it is under; silent if its checksum fits neither. Torn blocks are put
// back, in b, to what they were.
func (u *run) classify(b *buffer, at int64) ([]verdict, error) {
	r := u.r
	p, q, sums := b.mem[:min(request, r.length-at)], b.mem[request:2*request], b.mem[2*request:]
	pos := r.offset + at
	if err := u.v.data.ReadAt(p, u.prev.offset+pos); err != nil {
		return nil, err
	}
	hash, size := u.blockHash(), u.blockSize()
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
	for i := range out {
		block := p[i*size : (i+1)*size]
		if fits(block, i) {
			out[i] = isOld
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
	for i := 0; i < len(states); i++ {
		first := i
		for i < len(states) && (all || states[i] == isOld || states[i] == isTorn) {
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
