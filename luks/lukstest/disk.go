package lukstest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// ErrFault is what an injected fault returns.
var ErrFault = errors.New("injected I/O error")

// An Op is one write or flush that a Disk has seen.
type Op struct {
	Name string
	Sync bool
	Dev  int // which of several devices; a flush counts for its own only
	Off  int64
	Data []byte
}

func (o Op) String() string {
	if o.Sync {
		return "flush " + o.Name
	}
	return fmt.Sprintf("write %s %d+%d", o.Name, o.Off, len(o.Data))
}

// A Disk is a luks.Device in memory.
type Disk struct {
	mu     sync.Mutex
	data   []byte
	block  int
	record bool
	log    []Op
	n      int // writes and flushes seen

	// Fault, if set, is asked before the n-th write or flush (from 0). It returns how
	// many bytes of a write still reach the disk, and the error to return; a nil
	// error lets the operation through.
	Fault func(n int, op Op) (int, error)
	// Observe, if set, is told of each write and flush after it was done.
	Observe func(n int, op Op)
	// BadRead, if set, makes reads fail.
	BadRead func(off int64, n int) error
}

// NewDisk returns a disk holding data, which it takes over.
func NewDisk(data []byte, block int) *Disk { return &Disk{data: data, block: block} }

// A Window is a part of a Disk that is a device of its own, with a cache of its
// own: a detached header and its data.
type Window struct {
	d          *Disk
	dev        int
	base, size int64
}

// Window returns device number dev, of size bytes at base.
func (d *Disk) Window(dev int, base, size int64) *Window { return &Window{d, dev, base, size} }

func (w *Window) Size() int64    { return w.size }
func (w *Window) BlockSize() int { return w.d.block }

func (w *Window) ReadAt(p []byte, off int64) error {
	if off < 0 || off > w.size-int64(len(p)) {
		return fmt.Errorf("read of %d bytes at %d of %d", len(p), off, w.size)
	}
	return w.d.ReadAt(p, w.base+off)
}

func (w *Window) WriteAt(name string, p []byte, off int64) error {
	if off < 0 || off > w.size-int64(len(p)) {
		return fmt.Errorf("write %s of %d bytes at %d of %d", name, len(p), off, w.size)
	}
	return w.d.do(Op{Name: name, Dev: w.dev, Off: w.base + off, Data: p})
}

func (w *Window) Sync(name string) error { return w.d.do(Op{Name: name, Dev: w.dev, Sync: true}) }

// Record starts an operation log.
func (d *Disk) Record() { d.record, d.log = true, nil }

// Log returns the operations since Record.
func (d *Disk) Log() []Op { return d.log }

// Ops returns how many writes and flushes there have been.
func (d *Disk) Ops() int { return d.n }

// Bytes is the disk's content itself.
func (d *Disk) Bytes() []byte { return d.data }

func (d *Disk) Size() int64    { return int64(len(d.data)) }
func (d *Disk) BlockSize() int { return d.block }

func (d *Disk) ReadAt(p []byte, off int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off < 0 || off > d.Size()-int64(len(p)) {
		return fmt.Errorf("read of %d bytes at %d of %d", len(p), off, d.Size())
	}
	if d.BadRead != nil {
		if err := d.BadRead(off, len(p)); err != nil {
			return err
		}
	}
	copy(p, d.data[off:])
	return nil
}

func (d *Disk) WriteAt(name string, p []byte, off int64) error {
	return d.do(Op{Name: name, Off: off, Data: p})
}

func (d *Disk) Sync(name string) error { return d.do(Op{Name: name, Sync: true}) }

func (d *Disk) do(op Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op.Off < 0 || op.Off > d.Size()-int64(len(op.Data)) {
		return fmt.Errorf("%v leaves the disk of %d bytes", op, d.Size())
	}
	n := d.n
	d.n++
	if d.Fault != nil {
		if keep, err := d.Fault(n, op); err != nil {
			op.Data = op.Data[:min(keep, len(op.Data))]
			d.apply(op)
			return err
		}
	}
	d.apply(op)
	if d.Observe != nil {
		d.Observe(n, op)
	}
	return nil
}

func (d *Disk) apply(op Op) {
	copy(d.data[op.Off:], op.Data)
	if d.record {
		op.Data = slices.Clone(op.Data)
		d.log = append(d.log, op)
	}
}

// Replay returns base with ops applied.
func Replay(base []byte, ops []Op) []byte {
	out := slices.Clone(base)
	for _, op := range ops {
		copy(out[op.Off:], op.Data)
	}
	return out
}

// Torn returns ops[:n] with the last one cut to some of its leading or trailing
// blocks, as a power failure in the middle of a write does.
func Torn(ops []Op, n, block int, r *rand.Rand) []Op {
	out := slices.Clone(ops[:n])
	if n == 0 || len(out[n-1].Data) <= block {
		return out
	}
	last := out[n-1]
	cut := (1 + r.IntN(len(last.Data)/block)) * block
	cut = min(cut, len(last.Data)-block)
	if r.IntN(2) == 0 {
		last.Data = last.Data[:cut]
	} else {
		last.Off, last.Data = last.Off+int64(cut), last.Data[cut:]
	}
	out[n-1] = last
	return out
}

// PowerLoss returns what may be on the medium when power fails between operation
// n-1 and n: everything up to each device's last completed flush, and of the rest
// each write wholly, not at all, or an arbitrary subset of its blocks, which are
// kept with probability keep.
func PowerLoss(ops []Op, n, block int, keep float64, r *rand.Rand) []Op {
	flushed := map[int]int{}
	for i, op := range ops[:n] {
		if op.Sync {
			flushed[op.Dev] = i
		}
	}
	var out []Op
	for i, op := range ops[:n] {
		if i < flushed[op.Dev] || op.Sync {
			out = append(out, op)
			continue
		}
		fate := r.IntN(3)
		for at := 0; at < len(op.Data) && fate > 0; at += block {
			if fate == 1 || r.Float64() < keep {
				out = append(out, Op{Name: op.Name, Dev: op.Dev, Off: op.Off + int64(at),
					Data: op.Data[at:min(at+block, len(op.Data))]})
			}
		}
	}
	return out
}
