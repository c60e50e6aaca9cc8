package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"

	"golang.org/x/sys/unix"

	"reown/internal/rom"
)

// A Phase is what Write is doing, for a progress line.
type Phase string

// The phases of Write, in order.
const (
	PhaseRead    Phase = "reading the chip"
	PhaseWrite   Phase = "writing the changed blocks"
	PhaseVerify  Phase = "reading back and comparing"
	PhaseRestore Phase = "putting the old firmware back"
)

// Progress is told how many bytes of a phase are done.
type Progress func(p Phase, done, total int64)

func (p Progress) of(phase Phase) func(done, total int64) {
	return func(done, total int64) {
		if p != nil {
			p(phase, done, total)
		}
	}
}

// Attempts is how often Write tries to write what does not compare.
const Attempts = 3

// A Result says what Write found and did.
type Result struct {
	Written  int      // erase blocks that had to be written
	Attempts int      // 1 if all went well, 0 if there was nothing to write
	SHA256   [32]byte // of the chip as read back
	// PCR 7 of the next start, computed from what was read back.
	PCR7SHA1   [20]byte
	PCR7SHA256 [32]byte
}

// ReadTwice reads the chip twice and compares. It returns ErrUnstable if the
// readings differ.
func ReadTwice(ctx context.Context, b Backend, progress Progress) ([]byte, error) {
	var first []byte
	for i := range 2 {
		img, err := b.Read(ctx, func(done, total int64) { progress.of(PhaseRead)(done+int64(i)*total, 2*total) })
		if err != nil {
			return nil, fmt.Errorf("reading the firmware from the %v: %w", b, err)
		}
		if i == 0 {
			first = img
		} else if !bytes.Equal(first, img) {
			return nil, fmt.Errorf("%w (%d bytes and %d bytes)", ErrUnstable, len(first), len(img))
		}
	}
	return first, nil
}

// Write makes the chip equal to p.New. It reads the chip first, twice unless it
// finds p.Old or p.New at once; outside of p.Blocks and p.Own it must hold p.Old,
// else the error is ErrChanged. Inside it may hold anything, such as what an
// interrupted run left. From the first block on, neither ctx nor a signal stops
// it. It reads back with Backend.Read, compares, and tries up to Attempts times;
// if the chip still differs it writes the old image back.
//
// After nil the chip holds p.New; after ErrRestored it holds p.Old; after
// ErrDamaged it holds neither and the machine must stay on. After any other
// error nothing was written.
func Write(ctx context.Context, b Backend, p *rom.Plan, progress Progress) (*Result, error) {
	now, err := readBefore(ctx, b, p, progress)
	if err != nil {
		return nil, err
	}
	if err := expected(now, p); err != nil {
		return nil, err
	}
	if err := CheckWritable(b, p); err != nil {
		return nil, err
	}
	defer holdSignals()()
	ctx = context.WithoutCancel(ctx)

	r := &Result{Written: len(differing(now, p.New, p.EraseSize))}
	now, r.Attempts, err = makeEqual(ctx, b, now, p.New, p.EraseSize, PhaseWrite, progress)
	if now != nil && bytes.Equal(now, p.New) {
		r.SHA256 = sha256.Sum256(now)
		if r.PCR7SHA1, r.PCR7SHA256, err = rom.PCR7(now); err != nil {
			return nil, fmt.Errorf("%w: reading it back: %w", ErrDamaged, err)
		}
		return r, nil
	}
	now, _, restoreErr := makeEqual(ctx, b, now, p.Old, p.EraseSize, PhaseRestore, progress)
	if now != nil && bytes.Equal(now, p.Old) {
		return nil, fmt.Errorf("%w: %w", ErrRestored, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrDamaged, errors.Join(err, restoreErr))
}

// CheckWritable says, before anything is written, if the backend knows that a
// block of the plan cannot be (ErrLocked), or if nobody has said which chip it is
// (SeveralChipsError). The backend must have read the chip.
// nil does not promise that a write will succeed.
func CheckWritable(b Backend, p *rom.Plan) error {
	if prog, ok := b.(*Program); ok && len(prog.Chips()) > 0 {
		return &SeveralChipsError{Names: prog.Chips()}
	}
	known, ok := b.(interface{ Protected() []rom.Range })
	if !ok {
		return nil
	}
	for _, r := range known.Protected() {
		for _, block := range p.Blocks {
			if r.Start < block.End && block.Start < r.End {
				return fmt.Errorf("%w: 0x%08x to 0x%08x", ErrLocked, r.Start, r.End-1)
			}
		}
	}
	return nil
}

// readBefore reads what the chip holds. A reading that is equal to what was read
// for the plan needs no second one.
func readBefore(ctx context.Context, b Backend, p *rom.Plan, progress Progress) ([]byte, error) {
	now, err := b.Read(ctx, progress.of(PhaseRead))
	if err != nil {
		return nil, fmt.Errorf("reading the firmware from the %v: %w", b, err)
	}
	if bytes.Equal(now, p.Old) || bytes.Equal(now, p.New) {
		return now, nil
	}
	return ReadTwice(ctx, b, progress)
}

// expected says whether the chip may be written.
func expected(now []byte, p *rom.Plan) error {
	if len(now) != len(p.Old) {
		return fmt.Errorf("%w: it has %d bytes, not %d", ErrChanged, len(now), len(p.Old))
	}
	rest := bytes.Clone(now)
	for _, r := range append(slices.Clone(p.Blocks), p.Own...) {
		copy(rest[r.Start:r.End], p.Old[r.Start:r.End])
	}
	if !bytes.Equal(rest, p.Old) {
		return fmt.Errorf("%w: it differs outside of the owner's blocks", ErrChanged)
	}
	return nil
}

// makeEqual writes the blocks of the chip in which now differs from want, reads
// back, and repeats. now may be nil if nobody knows; it returns what the chip
// holds at the end, nil if that could not be read, and the last error.
func makeEqual(ctx context.Context, b Backend, now, want []byte, block uint32, phase Phase,
	progress Progress) (_ []byte, attempts int, err error) {
	for try := 0; ; try++ {
		if now == nil {
			now, err = read(ctx, b, len(want), progress)
		}
		if now != nil && bytes.Equal(now, want) {
			return now, try, nil
		}
		if try == Attempts {
			if err == nil {
				err = fmt.Errorf("%d erase blocks do not take what is written to them", len(differing(now, want, block)))
			}
			return now, try, err
		}
		if now != nil {
			err = b.Write(ctx, want, joinRanges(differing(now, want, block)), progress.of(phase))
		}
		now = nil
		if img, readErr := read(ctx, b, len(want), progress); readErr != nil {
			err = errors.Join(err, readErr)
		} else {
			now = img
		}
	}
}

func read(ctx context.Context, b Backend, size int, progress Progress) ([]byte, error) {
	img, err := b.Read(ctx, progress.of(PhaseVerify))
	if err != nil {
		return nil, fmt.Errorf("reading back: %w", err)
	}
	if len(img) != size {
		return nil, fmt.Errorf("reading back: %d bytes instead of %d", len(img), size)
	}
	return img, nil
}

func differing(a, b []byte, block uint32) []rom.Range {
	var out []rom.Range
	for off := 0; off < len(a); off += int(block) {
		end := min(off+int(block), len(a))
		if !bytes.Equal(a[off:end], b[off:end]) {
			out = append(out, rom.Range{Start: uint32(off), End: uint32(end)})
		}
	}
	return out
}

func joinRanges(blocks []rom.Range) []rom.Range { return (&rom.Plan{Blocks: blocks}).Runs() }

// holdSignals keeps the signals that a terminal or a careless script sends from
// ending the process while the chip is between two images. Other receivers still
// get them. The returned function ends it.
func holdSignals() func() {
	c := make(chan os.Signal, 16)
	signal.Notify(c, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGTSTP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-c:
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(c); close(done) }
}
