package flash

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reown/internal/rom"
)

func TestWriteOnlyTheChangedBlocks(t *testing.T) {
	p := plan(t, plan(t, sold(t, small), 3000).New, 2000)
	c := newChip(p.Old)
	var phases []Phase
	r, err := Write(context.Background(), c.backend(), p, func(ph Phase, done, total int64) {
		if len(phases) == 0 || phases[len(phases)-1] != ph {
			phases = append(phases, ph)
		}
		if done <= 0 || done > total {
			t.Errorf("%s: %d of %d", ph, done, total)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(c.data, p.New) || r.Written != len(p.Blocks) || r.Attempts != 1 || r.PCR7SHA256 != p.PCR7SHA256 {
		t.Errorf("%+v, %d blocks", r, len(p.Blocks))
	}
	if want := []Phase{PhaseRead, PhaseWrite, PhaseVerify}; !slices.Equal(phases, want) {
		t.Errorf("phases %v", phases)
	}
	for _, name := range c.names {
		if !slices.ContainsFunc(p.Blocks, func(r rom.Range) bool { return strings.Contains(name, hex32(r.Start)[:5]) }) {
			t.Errorf("%s is outside of the plan", name)
		}
	}
	writes := len(c.names)
	r, err = Write(context.Background(), c.backend(), p, nil)
	if err != nil || r.Attempts != 0 || r.Written != 0 || len(c.names) != writes {
		t.Errorf("written again: %+v, %v", r, err)
	}
}

func hex32(v uint32) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 8)
	for i := range b {
		b[i] = digits[v>>(28-4*i)&15]
	}
	return string(b)
}

// Each single erase and program step fails once, and fails for good.
func TestEveryStepFails(t *testing.T) {
	p := plan(t, plan(t, sold(t, small), 3000).New, 2000)
	good := newChip(p.Old)
	if _, err := Write(context.Background(), good.backend(), p, nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the chip says no")
	for i, name := range good.names {
		once := newChip(p.Old)
		once.onWrite = func(c *chip, n string) (bool, error) {
			if n == name && len(c.names) == i+1 {
				return false, broken
			}
			return false, nil
		}
		if r, err := Write(context.Background(), once.backend(), p, nil); err != nil || r.Attempts != 2 ||
			!bytes.Equal(once.data, p.New) {
			t.Fatalf("%s fails once: %+v, %v", name, r, err)
		}
		for_ := newChip(p.Old)
		for_.onWrite = func(c *chip, n string) (bool, error) {
			if n == name {
				return false, broken
			}
			return false, nil
		}
		_, err := Write(context.Background(), for_.backend(), p, nil)
		if !errors.Is(err, broken) {
			t.Fatalf("%s fails for good: %v", name, err)
		}
		switch {
		case errors.Is(err, ErrRestored):
			if !bytes.Equal(for_.data, p.Old) {
				t.Fatalf("%s: said to be restored, and is not", name)
			}
		case errors.Is(err, ErrDamaged):
			if bytes.Equal(for_.data, p.Old) || bytes.Equal(for_.data, p.New) {
				t.Fatalf("%s: said to be damaged, and is not", name)
			}
		default:
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// A chip that says yes and does nothing, or something else.
func TestLiars(t *testing.T) {
	ctx := context.Background()
	aligned := plan(t, sold(t, small), 3000).New
	p := plan(t, aligned, 2000)
	block := p.Blocks[0]
	for name, c := range map[string]struct {
		set  func(c *chip)
		want error // nil: written in the end
	}{
		"drops all writes": {func(c *chip) { c.onWrite = func(*chip, string) (bool, error) { return true, nil } },
			ErrRestored},
		"drops the first write": {func(c *chip) {
			c.onWrite = func(c *chip, _ string) (bool,
				error) {
				return len(c.names) == 1, nil
			}
		}, nil},
		"drops erases only": {func(c *chip) {
			c.onWrite = func(_ *chip, n string) (bool, error) {
				return n[0] == 'e',
					nil
			}
		}, ErrDamaged},
		"a bit stuck at 0":        {func(c *chip) { c.stuck, c.stuckTo = stuckBit(p, 0) }, ErrRestored},
		"a bit stuck at 1":        {func(c *chip) { c.stuck, c.stuckTo = stuckBit(p, 1) }, ErrRestored},
		"a bit lost in the write": {func(c *chip) { c.onWrite = flipOnce(int64(block.Start) + 5) }, nil},
		"a neighbour is hit":      {func(c *chip) { c.onWrite = flipOnce(int64(block.Start) - 1) }, nil},
		"another area is hit":     {func(c *chip) { c.onWrite = flipOnce(0x3123) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			chip := newChip(p.Old)
			c.set(chip)
			_, err := Write(ctx, chip.backend(), p, nil)
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			holds := make([]byte, len(p.Old))
			_, _ = chip.ReadAt(holds, 0)
			switch {
			case c.want == nil && !bytes.Equal(holds, p.New):
				t.Error("the new image is not on the chip")
			case c.want == ErrRestored && !bytes.Equal(holds, p.Old):
				t.Error("the old image is not on the chip")
			}
		})
	}
}

// stuckBit returns a bit that old and new image differ in, stuck so that it suits
// the old one.
func stuckBit(p *rom.Plan, v byte) (mask, to map[int64]byte) {
	for at := int64(p.Blocks[0].Start); ; at++ {
		for bit := byte(1); bit != 0; bit <<= 1 {
			if (p.Old[at]^p.New[at])&bit != 0 && (p.Old[at]&bit != 0) == (v == 1) {
				return map[int64]byte{at: bit}, map[int64]byte{at: p.Old[at] & bit}
			}
		}
	}
}

func flipOnce(at int64) func(*chip, string) (bool, error) {
	done := false
	return func(c *chip, _ string) (bool, error) {
		if !done {
			c.data[at] &= c.data[at] - 1 // clears its lowest bit that is set
			c.data[at] ^= 0x80
			done = true
		}
		return false, nil
	}
}

func TestReadingFails(t *testing.T) {
	ctx := context.Background()
	p := plan(t, plan(t, sold(t, small), 3000).New, 2000)
	broken := errors.New("the chip does not answer")
	for name, c := range map[string]struct {
		read func(c *chip, p []byte, off int64) (int, error)
		want error
	}{
		"error": {func(_ *chip, p []byte, _ int64) (int, error) { return 0, broken }, broken},
		"short": {func(_ *chip, p []byte, _ int64) (int, error) { return len(p) - 1, nil }, io.ErrUnexpectedEOF},
		"never same": {func(c *chip, p []byte, _ int64) (int, error) { p[3] ^= byte(c.reads); return len(p), nil },
			ErrUnstable},
	} {
		t.Run(name, func(t *testing.T) {
			chip := newChip(p.Old)
			chip.onRead = c.read
			if _, err := Write(ctx, chip.backend(), p, nil); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if len(chip.names) != 0 {
				t.Errorf("the chip was written: %v", chip.names)
			}
		})
	}

	// From the first write on, reading fails for a while: it must be tried again.
	chip := newChip(p.Old)
	fails := 0
	chip.onRead = func(c *chipT, p []byte, _ int64) (int, error) {
		if len(c.names) > 0 && len(p) == readChunk && fails < 2 {
			fails++
			return 0, broken
		}
		return len(p), nil
	}
	if r, err := Write(ctx, chip.backend(), p, nil); err != nil || !bytes.Equal(chip.data, p.New) || fails != 2 {
		t.Errorf("%+v, %v after %d failures", r, err, fails)
	}

	// It never works again: nobody knows what the chip holds.
	chip = newChip(p.Old)
	chip.onRead = func(c *chipT, p []byte, _ int64) (int, error) {
		if len(c.names) > 0 && len(p) == readChunk {
			return 0, broken
		}
		return len(p), nil
	}
	if _, err := Write(ctx, chip.backend(), p, nil); !errors.Is(err, ErrDamaged) || !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type chipT = chip // for where a variable hides the type

func TestAnotherImage(t *testing.T) {
	p := plan(t, plan(t, sold(t, small), 3000).New, 2000)
	for name, edit := range map[string]func(b []byte) []byte{
		"payload":    func(b []byte) []byte { b[0x80000] ^= 1; return b },
		"descriptor": func(b []byte) []byte { b[0] ^= 1; return b },
		"size":       func(b []byte) []byte { return b[:len(b)/2] },
	} {
		c := newChip(edit(bytes.Clone(p.Old)))
		if _, err := Write(context.Background(), c.backend(), p, nil); !errors.Is(err, ErrChanged) || len(c.names) != 0 {
			t.Errorf("%s: %v, %v", name, err, c.names)
		}
	}
}

// A cancelled context stops a write before its first step, and not after it; a
// signal does not end the process in between.
func TestCancelAndSignals(t *testing.T) {
	p := plan(t, plan(t, sold(t, small), 3000).New, 2000)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := newChip(p.Old)
	if _, err := Write(ctx, c.backend(), p, nil); !errors.Is(err, context.Canceled) || len(c.names) != 0 {
		t.Errorf("cancelled before: %v, %v", err, c.names)
	}
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	c = newChip(p.Old)
	c.onWrite = func(*chip, string) (bool, error) {
		cancel()
		for _, s := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
			if err := unix.Kill(os.Getpid(), s); err != nil {
				t.Error(err)
			}
		}
		return false, nil
	}
	if _, err := Write(ctx, c.backend(), p, nil); err != nil || !bytes.Equal(c.data, p.New) {
		t.Errorf("cancelled in the middle: %v", err)
	}
}

func TestFile(t *testing.T) {
	p := plan(t, sold(t, small), 3000)
	name := t.TempDir() + "/chip"
	if err := os.WriteFile(name, p.Old, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), b, p, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, p.New) {
		t.Errorf("the file holds something else (%v)", err)
	}
	for _, bad := range []string{t.TempDir(), name + "-none", "/dev/null"} {
		if _, err := OpenFile(bad); err == nil {
			t.Errorf("%s was opened as a chip", bad)
		}
	}
}
