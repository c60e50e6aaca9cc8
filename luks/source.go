package luks

import (
	"runtime"
	"sync"
)

// fetch reads the chunk at bytes into z and looks which of its pieces were ever
// written. With checksums it also computes them and encrypts anew, while the data is in
// the cache; a journal needs the old ciphertext first.
func (u *run) fetch(z *zone, at int64) error {
	a, i := u.r.slot.area, at/u.pool.chunk
	p := z.chunks[i][:min(u.pool.chunk, z.n-at)]
	u.reads <- struct{}{}
	lost, err := u.readOld(p, z.off+at)
	<-u.reads
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		z.mu.Lock()
		z.lost = append(z.lost, lost...)
		z.mu.Unlock()
	}
	if z.full[i] = u.written(p); a.typ != "checksum" {
		return nil
	}
	for j := 0; j < len(p); j += piece {
		q := p[j:min(j+piece, len(p))]
		sums := z.sums.mem[u.checksumLen(at+int64(j)):]
		if z.full[i]>>(j/piece)&1 == 0 {
			copy(sums, u.zeroSums[:u.checksumLen(int64(len(q)))])
			continue
		}
		sumBlocks(sums, q, a.hash, a.sectorSize)
		u.renew(q, z.off+at+int64(j))
		runtime.Gosched() // the disk first: others wait to send it their next request
	}
	if z.full[i] == 0 { // nothing will be written
		u.release(z, i)
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
	s := &source{u: u, off: off, idle: make(chan *zone, len(u.zones)), begun: make(chan *zone, len(u.zones)),
		quit: make(chan struct{})}
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
	return z, firstFailure(z.errs)
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
