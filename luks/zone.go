package luks

import (
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
	full   []uint32 // for each chunk, which of its pieces are to be re-encrypted, bit 0 the first
	sums   *buffer  // checksums of the old ciphertext

	left atomic.Int64  // chunks not read yet
	read chan struct{} // closed when there are none
	errs []error       // of reading each chunk

	mu   sync.Mutex
	lost []Range // could not be read, and may be given up
}

// begin makes z stand for n bytes at off, none of them read.
func (z *zone) begin(off, n, chunk int64) {
	z.off, z.n = off, n
	z.left.Store((n + chunk - 1) / chunk)
	z.read = make(chan struct{})
	clear(z.errs)
	clear(z.full)
	z.lost = nil
	if n == 0 {
		close(z.read)
	}
}

func (u *run) newZone() (*zone, error) {
	n := min(u.zoneSize, u.r.total)
	count := (u.zoneSize + u.pool.chunk - 1) / u.pool.chunk
	z := &zone{chunks: make([][]byte, count), full: make([]uint32, count), errs: make([]error, count)}
	var err error
	if u.r.slot.area.typ == "checksum" {
		z.sums, err = newBuffer(int(roundUp(u.checksumLen(roundUp(n, int64(u.r.slot.area.sectorSize))), 4096)))
	}
	return z, err
}

// each calls f in parallel for the chunks of z that have not been given back, with their
// place in it.
func (u *run) each(z *zone, f func(at int64, p []byte) error) error {
	return parallel(z.n, u.pool.chunk, func(at, n int64) error {
		if c := z.chunks[at/u.pool.chunk]; c != nil {
			return f(at, c[:n])
		}
		return nil
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
