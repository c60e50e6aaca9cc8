package luks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// model is a recorded re-encryption and what is needed to judge a disk after an
// interruption.
type model struct {
	f     *fixture
	base  []byte
	log   []lukstest.Op
	o     luks.ReencryptOptions
	block int
	was   string // digest of the old volume key
}

// record runs a passphrase change and a re-encryption on a disk in memory and
// returns its operation log.
func record(t *testing.T, f *fixture, o luks.ReencryptOptions, block int) *model {
	t.Helper()
	m := &model{f: f, base: f.image(), o: o, block: block}
	m.was = m.digest(m.base)
	d := lukstest.NewDisk(slices.Clone(m.base), block)
	d.Record()
	if err := m.work(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	m.log = d.Log()
	if err := m.judge(d.Bytes()); err != nil {
		t.Fatalf("an undisturbed run: %v", err)
	}
	return m
}

// work is what the owner's program does, and does again after an interruption: it
// looks at the header and never at a journal of its own.
func (m *model) work(ctx context.Context, d *lukstest.Disk) error {
	v, err := m.f.open(d)
	if err != nil {
		return err
	}
	if err := v.SetPassphrase(ctx, pass("first"), pass("second")); err != nil {
		return fmt.Errorf("passphrase: %w", err)
	}
	in := v.Info()
	if in.KeyDigest == m.was || in.Reencryption.Active {
		if err := v.Reencrypt(ctx, pass("second"), m.o); err != nil {
			return fmt.Errorf("re-encryption: %w", err)
		}
	}
	return v.Scrub(ctx)
}

func (m *model) digest(img []byte) string {
	v, err := m.f.open(lukstest.NewDisk(img, 512))
	if err != nil {
		return err.Error()
	}
	return v.Info().KeyDigest
}

// judge says what is wrong with a finished disk.
func (m *model) judge(img []byte) error {
	ctx := context.Background()
	v, err := m.f.open(lukstest.NewDisk(slices.Clone(img), m.block))
	if err != nil {
		return err
	}
	in := v.Info()
	switch {
	case in.Reencryption.Active || len(in.Requirements) > 0:
		return errors.New("the re-encryption is still active")
	case len(in.Keyslots) != 1 || in.Keyslots[0].ID != 0:
		return fmt.Errorf("keyslots %+v", in.Keyslots)
	case in.KeyDigest == m.was:
		return errors.New("the old volume key")
	}
	if _, err := v.Unlock(ctx, pass("first")); !errors.Is(err, luks.ErrWrongPassphrase) {
		return fmt.Errorf("the old passphrase: %v", err)
	}
	plain, err := luks.Plaintext(v, pass("second"))
	if err != nil {
		return err
	}
	if !m.f.same(plain, img[m.f.offset:]) {
		return errors.New("LOST: the data differs")
	}
	// Nothing of the old keyslot's material may be left.
	for off := 32768; off < m.f.offset; off += 512 {
		was := m.base[off : off+512]
		if bytes.Equal(img[off:off+512], was) && !bytes.Equal(was, make([]byte, 512)) {
			return fmt.Errorf("the header at %d is as it was", off)
		}
	}
	return nil
}

// survive finishes the work on what an interruption left and judges the result.
func (m *model) survive(img []byte) error {
	d := lukstest.NewDisk(img, m.block)
	if err := m.work(context.Background(), d); err != nil {
		return err
	}
	return m.judge(d.Bytes())
}

// A point is one interruption: the disk's content, and how it came about.
type point struct {
	what string
	img  func() []byte
}

// points lists n interruptions of a run: ordered prefixes first (all, or as many as
// fill half of the list), then torn writes, power losses with reordering, and power
// losses during the recovery.
func (m *model) points(n int, r *rand.Rand) []point {
	var out []point
	step := 1 + 2*len(m.log)/n
	for k := 0; k <= len(m.log); k += step {
		out = append(out, point{fmt.Sprintf("prefix %d", k), func() []byte { return lukstest.Replay(m.base, m.log[:k]) }})
	}
	for len(out) < n {
		k, seed := r.IntN(len(m.log)+1), r.Uint64()
		rr := rand.New(rand.NewPCG(seed, 1))
		switch r.IntN(4) {
		case 0:
			out = append(out, point{fmt.Sprintf("torn %d/%d", k, seed), func() []byte {
				return lukstest.Replay(m.base, lukstest.Torn(m.log, k, m.block, rr))
			}})
		case 1, 2:
			keep := []float64{0.1, 0.5, 0.9}[r.IntN(3)]
			out = append(out, point{fmt.Sprintf("power %d/%d keep %.1f", k, seed, keep), func() []byte {
				return lukstest.Replay(m.base, lukstest.PowerLoss(m.log, k, m.block, keep, rr))
			}})
		case 3:
			out = append(out, point{fmt.Sprintf("power %d/%d, then power in the recovery", k, seed), func() []byte {
				img := lukstest.Replay(m.base, lukstest.PowerLoss(m.log, k, m.block, 0.5, rr))
				d := lukstest.NewDisk(slices.Clone(img), m.block)
				d.Record()
				if err := m.work(context.Background(), d); err != nil {
					return img // survive will say so
				}
				log := d.Log()
				// Most of the new log repeats the first run: look at its beginning twice as often.
				n := len(log)
				if rr.IntN(2) == 0 {
					n = min(n, 12)
				}
				return lukstest.Replay(img, lukstest.PowerLoss(log, rr.IntN(n+1), m.block, 0.5, rr))
			}})
		}
	}
	return out
}

func (m *model) enumerate(t *testing.T, n int) {
	t.Helper()
	points := m.points(n, rand.New(rand.NewPCG(42, uint64(n))))
	var lost, done atomic.Int64
	var mu sync.Mutex
	work := make(chan point)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for p := range work {
				if err := m.survive(p.img()); err != nil {
					lost.Add(1)
					mu.Lock()
					t.Errorf("%s: %v", p.what, err)
					mu.Unlock()
				}
				done.Add(1)
			}
		})
	}
	for _, p := range points {
		if lost.Load() > 20 {
			break
		}
		work <- p
	}
	close(work)
	wg.Wait()
	t.Logf("%d operations, lost %d of %d points", len(m.log), lost.Load(), done.Load())
}

func TestCrashEnumeration(t *testing.T) {
	n := 18
	if lukstest.Soak() {
		n = 2200
	}
	for _, c := range []struct {
		name  string
		shape shape
		o     luks.ReencryptOptions
		block int
	}{
		{"checksum 512", shape{size: 512 << 10, sector: 512, slots: 1}, luks.ReencryptOptions{Hotzone: 64 << 10}, 512},
		{"checksum 4096", shape{size: 512 << 10, sector: 4096}, luks.ReencryptOptions{Hotzone: 64 << 10}, 4096},
		{"checksum 512 to 4096", shape{size: 512 << 10, sector: 512},
			luks.ReencryptOptions{Hotzone: 64 << 10, SectorSize: 4096}, 4096},
		{"detached header", shape{size: 512 << 10, sector: 4096, detached: true}, luks.ReencryptOptions{Hotzone: 64 << 10},
			4096},
		{"sparse", shape{size: 2 << 20, sector: 512, sparse: true}, luks.ReencryptOptions{Hotzone: 256 << 10}, 512},
		{"sparse journal", shape{size: 2 << 20, sector: 512, sparse: true},
			luks.ReencryptOptions{Hotzone: 128 << 10, Resilience: luks.Journal}, 512},
		{"journal 512", shape{size: 512 << 10, sector: 512},
			luks.ReencryptOptions{Hotzone: 64 << 10, Resilience: luks.Journal}, 512},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := format(t, c.shape)
			record(t, f, c.o, c.block).enumerate(t, n)
		})
	}
}

// faultShapes are what faults are tried on.
var faultShapes = []struct {
	name  string
	shape shape
	o     luks.ReencryptOptions
	step  int // between the operations that fail, outside a soak
	block int
}{
	{"512", shape{size: 256 << 10, sector: 512}, luks.ReencryptOptions{Hotzone: 64 << 10}, 29, 512},
	{"512 to 4096", shape{size: 256 << 10, sector: 512}, luks.ReencryptOptions{Hotzone: 64 << 10, SectorSize: 4096}, 47,
		4096},
	{"journal", shape{size: 256 << 10, sector: 512}, luks.ReencryptOptions{Hotzone: 64 << 10, Resilience: luks.Journal},
		47, 512},
	{"detached header", shape{size: 256 << 10, sector: 4096, detached: true}, luks.ReencryptOptions{Hotzone: 64 << 10}, 47,
		4096},
}

// Every write and flush fails once, or the disk dies there: the error must be
// reported, and the next run must finish.
func TestFaultAtEveryOperation(t *testing.T) {
	for _, c := range faultShapes {
		t.Run(c.name, func(t *testing.T) {
			f := format(t, c.shape)
			m := record(t, f, c.o, c.block)
			if lukstest.Soak() {
				c.step = 1
			}
			lost, points := 0, 0
			for k := 0; k < len(m.log); k += c.step {
				for _, mode := range []string{"once", "short", "dead"} {
					d := lukstest.NewDisk(slices.Clone(m.base), c.block)
					d.Fault = func(n int, op lukstest.Op) (int, error) {
						switch {
						case n == k && mode == "short":
							return len(op.Data) / 1024 * 512, lukstest.ErrFault
						case n == k, n > k && mode == "dead":
							return 0, lukstest.ErrFault
						}
						return 0, nil
					}
					points++
					if err := m.work(context.Background(), d); !errors.Is(err, lukstest.ErrFault) {
						t.Errorf("%s at %d (%v) was not reported: %v", mode, k, m.log[k], err)
					}
					if err := m.survive(d.Bytes()); err != nil {
						lost++
						t.Errorf("%s at %d (%v): %v", mode, k, m.log[k], err)
					}
				}
			}
			t.Logf("lost %d of %d points", lost, points)
		})
	}
}

// A read fails once, any of them, in a run from the start or from where the power
// failed. What is done then may fail; it may not do harm. The first copy of the header is
// the case that matters: the other may be older.
func TestFaultAtEveryRead(t *testing.T) {
	for _, c := range faultShapes {
		t.Run(c.name, func(t *testing.T) {
			f := format(t, c.shape)
			m := record(t, f, c.o, c.block)
			r := rand.New(rand.NewPCG(4, 4))
			lost, failed, points := 0, 0, 12
			if lukstest.Soak() {
				points = 2000
			}
			for i := range points {
				img := slices.Clone(m.base)
				if i > 0 {
					img = lukstest.Replay(m.base, lukstest.PowerLoss(m.log, r.IntN(len(m.log)+1), c.block, 0.5, r))
				}
				d := lukstest.NewDisk(img, c.block)
				at, n := int64(r.IntN(40)), atomic.Int64{}
				header := i%2 == 0 // every read of the first copy, by one load
				d.BadRead = func(off int64, _ int) error {
					if header && off == 0 && n.Add(1) == 1 || !header && n.Add(1) == at+1 {
						return &luks.IOError{Op: "read", Offset: off, Err: lukstest.ErrFault}
					}
					return nil
				}
				if m.work(context.Background(), d) != nil {
					failed++
				}
				d.BadRead = nil
				if err := m.survive(d.Bytes()); err != nil {
					lost++
					t.Errorf("point %d, header %v: %v", i, header, err)
				}
			}
			t.Logf("lost %d of %d points; %d runs failed", lost, points, failed)
		})
	}
}

// Between the two copies of an update the second one is older, and the first one's keyslots
// are free space to it. One read of the first that fails must not have key material there
// overwritten or wiped while the first still counts.
func TestFirstCopyUnreadableOnce(t *testing.T) {
	f := format(t, shape{size: 256 << 10, sector: 4096, slots: 1})
	m := record(t, f, luks.ReencryptOptions{Hotzone: 64 << 10}, 4096)
	points := 0
	for k, op := range m.log {
		if op.Name == luks.WriteArea {
			break // from here on the second copy speaks of the re-encryption, and is no substitute
		}
		if op.Sync || op.Name != luks.WriteSecondary {
			continue
		}
		for _, dies := range []bool{false, true} {
			for hit, at := true, 1; hit; at += 2 { // a load reads it twice
				d := lukstest.NewDisk(lukstest.Replay(m.base, m.log[:k]), m.block)
				var reads atomic.Int64
				d.BadRead = func(off int64, _ int) error {
					if off == 0 && reads.Add(1) == int64(at) {
						return &luks.IOError{Op: "read", Offset: off, Err: lukstest.ErrFault}
					}
					return nil
				}
				last := -1 // the write after the failure that is the last one to succeed
				d.Fault = func(n int, op lukstest.Op) (int, error) {
					switch {
					case reads.Load() < int64(at) || !dies:
					case last < 0 && !op.Sync:
						last = n
					case last >= 0 && n > last+1: // its flush
						return 0, lukstest.ErrFault
					}
					return 0, nil
				}
				_ = m.work(context.Background(), d)
				hit = reads.Load() >= int64(at)
				d.BadRead, d.Fault = nil, nil
				points++
				if err := m.survive(d.Bytes()); err != nil {
					t.Errorf("before operation %d, read %d of the first copy, dies %v: %v", k, at, dies, err)
				}
			}
		}
	}
	t.Logf("%d points", points)
}

// The second copy of the header may be older than data that has been written. If the
// first one cannot be read, it is no substitute.
func TestFirstCopyUnreadable(t *testing.T) {
	f := format(t, shape{size: 512 << 10, sector: 512})
	m := record(t, f, luks.ReencryptOptions{Hotzone: 64 << 10}, 512)
	points, second := 0, -1
	for k, op := range m.log {
		switch {
		case op.Sync:
			second = -1
		case op.Name == luks.WriteSecondary:
			second = k
		case op.Name == luks.WriteData && second >= 0:
			points++
			ops := slices.Delete(slices.Clone(m.log[:k+1]), second, second+1) // it was in the cache
			img := lukstest.Replay(m.base, ops)
			d := lukstest.NewDisk(slices.Clone(img), 512)
			remapped := false // as disks do when a bad sector is written to
			d.Observe = func(_ int, op lukstest.Op) { remapped = remapped || !op.Sync && op.Off == 0 }
			d.BadRead = func(off int64, _ int) error {
				if off > 0 || remapped {
					return nil
				}
				return &luks.IOError{Op: "read", Offset: off, Err: lukstest.ErrFault}
			}
			if err := m.work(context.Background(), d); !errors.Is(err, lukstest.ErrFault) || !bytes.Equal(d.Bytes(), img) {
				t.Errorf("after %d operations: %v; changed: %v", k, err, !bytes.Equal(d.Bytes(), img))
			}
			d.BadRead = nil
			if err := m.survive(d.Bytes()); err != nil {
				t.Errorf("after %d operations: %v", k, err)
			}
		}
	}
	if points == 0 {
		t.Error("there is no such point in the log")
	}
	t.Logf("%d points", points)
}

// The enumeration must be able to fail: without one of its flushes a disk may keep what was written after it and
// lose what was written before, and the same judge says so.
func TestEnumerationFindsMissingFlushes(t *testing.T) {
	f := format(t, shape{size: 512 << 10, sector: 512})
	m := record(t, f, luks.ReencryptOptions{Hotzone: 64 << 10}, 512)
	for _, name := range []string{luks.WriteArea, luks.WriteKeyslot, luks.WriteData} {
		log := slices.DeleteFunc(slices.Clone(m.log), func(op lukstest.Op) bool { return op.Sync && op.Name == name })
		synced, points, lost := 0, 0, false
		for n := 1; n <= len(log) && !lost; n++ {
			if log[n-1].Sync {
				synced = n
				continue
			}
			late := slices.DeleteFunc(slices.Clone(log[synced:n]), func(op lukstest.Op) bool { return op.Name == name })
			if len(late) == n-synced || len(late) == 0 || log[n-1].Name == name {
				continue // nothing of it is lost, or nothing else was kept
			}
			points++
			lost = m.survive(lukstest.Replay(m.base, slices.Concat(log[:synced], late))) != nil
		}
		if !lost {
			t.Errorf("without the flush of %s nothing was lost at %d points", name, points)
		}
		t.Logf("without the flush of %s: %d points", name, points)
	}
}
