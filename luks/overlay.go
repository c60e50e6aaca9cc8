package luks

import "sync"

// overlay is a device whose writes stay in memory.
type overlay struct {
	Device
	mu     sync.Mutex
	blocks map[int64][]byte // 4096 bytes each, by number
}

const overlayBlock = 4096

func newOverlay(d Device) *overlay { return &overlay{Device: d, blocks: map[int64][]byte{}} }

func (o *overlay) ReadAt(p []byte, off int64) error {
	if err := o.Device.ReadAt(p, off); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.each(p, off, func(n int64, q []byte, at int64) {
		if b := o.blocks[n]; b != nil {
			copy(q, b[at:])
		}
	})
	return nil
}

func (o *overlay) WriteAt(name string, p []byte, off int64) error {
	if off < 0 || int64(len(p)) > o.Size()-off {
		return &IOError{"write", name, off, len(p), ErrTooSmall}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var err error
	o.each(p, off, func(n int64, q []byte, at int64) {
		b := o.blocks[n]
		if b == nil {
			b = make([]byte, overlayBlock)
			if len(q) < overlayBlock {
				start := n * overlayBlock
				err = firstError(err, o.Device.ReadAt(b[:min(overlayBlock, o.Size()-start)], start))
			}
			o.blocks[n] = b
		}
		copy(b[at:], q)
	})
	return err
}

func (o *overlay) Sync(string) error { return nil }

// each calls f with the pieces of p that lie in one block: its number, the piece, and
// where in the block it begins.
func (o *overlay) each(p []byte, off int64, f func(n int64, q []byte, at int64)) {
	for len(p) > 0 {
		n, at := off/overlayBlock, off%overlayBlock
		q := p[:min(int64(len(p)), overlayBlock-at)]
		f(n, q, at)
		p, off = p[len(q):], off+int64(len(q))
	}
}
