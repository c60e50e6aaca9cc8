package luks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// prose is data in which every sector can be told from random bytes.
func prose(n int) []byte {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%08d all work and no play makes jack a dull boy\n", i)
	}
	return []byte(b.String()[:n])
}

// rescue is what `reown luks rescue` does, on a disk in memory.
func rescue(img []byte, o luks.RescueOptions) ([]byte, luks.Rescue, error) {
	d := lukstest.NewDisk(slices.Clone(img), 512)
	v, err := luks.OpenDevice("disk", d, nil)
	if err != nil {
		return nil, luks.Rescue{}, err
	}
	found, err := v.Rescue(context.Background(), pass("first"), o)
	if err != nil {
		return d.Bytes(), found, err
	}
	err = v.Resume(context.Background(), pass("first"), luks.ReencryptOptions{Hotzone: peerHotzone})
	return d.Bytes(), found, err
}

func TestRescueUnprotectedRun(t *testing.T) {
	for _, c := range []struct {
		name   string
		sector int
		args   []string
		to     int
	}{
		{"512", 512, nil, 512},
		{"4096", 4096, nil, 4096},
		{"512 to 4096", 512, []string{"--sector-size", "4096"}, 4096},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := format(t, shape{size: 1 << 20, sector: c.sector})
			f.replacePlain(prose(len(f.plain)), c.sector)
			base := f.Read("img")
			log := f.record(f.peerReencrypt(append(c.args, "--resilience", "none")...)...)
			r := rand.New(rand.NewPCG(5, 5))
			tried, peerLost, peerTried := 0, 0, 0
			step := 8
			if lukstest.Soak() {
				step = 1
			}
			for k := 0; k < len(log); k += step {
				for _, how := range []string{"killed", "power"} {
					ops := log[:k]
					if how == "power" {
						ops = lukstest.PowerLoss(log, k, 4096, 0.5, r)
					}
					img := lukstest.Replay(base, ops)
					v, err := luks.OpenDevice("disk", lukstest.NewDisk(slices.Clone(img), 512), nil)
					if err != nil {
						t.Fatal(err)
					}
					if re := v.Info().Reencryption; !re.Active || re.Finished || re.Resilience != "none" {
						continue
					}
					tried++
					if err := v.Resume(context.Background(), pass("first"), luks.ReencryptOptions{}); !errors.Is(err,
						luks.ErrUnproven) {
						t.Fatalf("%s after %d: resumed without proof: %v", how, k, err)
					}
					out, found, err := rescue(img, luks.RescueOptions{})
					if err != nil {
						t.Fatalf("%s after %d: %+v: %v", how, k, found, err)
					}
					if err := f.data(out, c.to); err != nil {
						t.Fatalf("%s after %d: %+v: %v", how, k, found, err)
					}
					if how == "killed" && k%4 == 0 && peerTried < 8 {
						peerTried++
						if out, err := f.peerResume(img); err != nil || f.data(out, c.to) != nil {
							peerLost++
						}
					}
				}
			}
			if tried == 0 || peerLost == 0 {
				t.Errorf("the test shows nothing: %d points, cryptsetup alone lost %d", tried, peerLost)
			}
			t.Logf("rescued %d of %d; cryptsetup alone lost %d of %d", tried, tried, peerLost, peerTried)
		})
	}
}

// What cannot be proven is left as it is.
func TestRescueRefusesToGuess(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	fresh := f.Read("img")
	for _, c := range []struct {
		name  string
		plain []byte
		o     luks.RescueOptions
		ok    bool
	}{
		{"random throughout", lukstest.Random(1<<20, 3), luks.RescueOptions{InOrder: true}, false},
		{"random near the position", mix(prose(1<<20), 64<<10, 128<<10), luks.RescueOptions{}, false},
		{"random near the position, in order", mix(prose(1<<20), 64<<10, 128<<10), luks.RescueOptions{InOrder: true}, true},
		{"a little random near the position", mix(prose(1<<20), 64<<10, 32<<10), luks.RescueOptions{}, true},
		{"random at the position", mix(prose(1<<20), 2*peerHotzone-512, 1024), luks.RescueOptions{InOrder: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.Write("img", fresh)
			f.replacePlain(c.plain, 512)
			base := f.Read("img")
			log := f.record(f.peerReencrypt("--resilience", "none")...)
			data := 0
			for k, op := range log { // two hotzones written
				if op.Off >= int64(f.offset) {
					if data++; data == 2 {
						log = log[:k+1]
						break
					}
				}
			}
			img := lukstest.Replay(base, log)
			out, found, err := rescue(img, c.o)
			if !c.ok {
				if !errors.Is(err, luks.ErrUnproven) {
					t.Errorf("%+v, %v", found, err)
				}
				if !bytes.Equal(out, img) {
					t.Error("something was written")
				}
				return
			}
			if err != nil || found.Position != 2*peerHotzone {
				t.Fatalf("%+v, %v", found, err)
			}
			if err := f.data(out, 512); err != nil {
				t.Error(err)
			}
		})
	}
}

func mix(p []byte, off, n int) []byte {
	copy(p[off:], lukstest.Random(n, 9))
	return p
}

// cryptsetup was asked to resume, as the net advises, and was interrupted again: the
// old key is all that can bring back what it encrypted twice, and must stay.
func TestRescueKeepsWhatWasEncryptedTwice(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	f.replacePlain(mix(prose(1<<20), 64<<10, 128<<10), 512)
	base := f.image()
	hotzones := func(log []lukstest.Op, n int) []lukstest.Op {
		for k, op := range log {
			if op.Off >= int64(f.offset) {
				if n--; n == 0 {
					return log[:k+1]
				}
			}
		}
		t.Fatal("too few hotzones")
		return nil
	}
	img := lukstest.Replay(base, hotzones(f.record(f.peerReencrypt("--resilience", "none")...), 3))
	if _, found, err := rescueOnly(img, luks.RescueOptions{InOrder: true, DryRun: true}); err != nil ||
		found.Position != 3*peerHotzone {
		t.Fatalf("%+v, %v", found, err)
	}
	f.put(img)
	img = lukstest.Replay(img, hotzones(f.record(f.on("reencrypt", "--resume-only", "--force-offline-reencrypt",
		"--batch-mode",
		"--resilience", "none", "--hotzone-size", "256k", "--key-file", f.key)...), 1))
	out, found, err := rescueOnly(img, luks.RescueOptions{InOrder: true})
	if !errors.Is(err, luks.ErrTwice) || !bytes.Equal(out, img) {
		t.Errorf("%+v, %v; changed: %v", found, err, !bytes.Equal(out, img))
	}
}

// The rescue is itself interrupted: each write and flush of it and of what follows fails
// once, is cut short, or is the disk's last; or the power fails there. It is reported, and
// the same command again finishes.
func TestFaultInRescue(t *testing.T) {
	for _, c := range []struct {
		name  string
		mixed bool // the power failed in the run: old and new data lie mixed
	}{{"killed", false}, {"power failed", true}} {
		t.Run(c.name, func(t *testing.T) {
			f := format(t, shape{size: 1 << 20, sector: 512})
			f.replacePlain(prose(len(f.plain)), 512)
			base := f.image()
			log := f.record(f.peerReencrypt("--resilience", "none")...)
			r := rand.New(rand.NewPCG(6, 6))
			var img []byte
			for try := 0; ; try++ { // a point in the middle of the data
				ops := log[:r.IntN(len(log))]
				if c.mixed {
					ops = lukstest.PowerLoss(log, len(ops), 4096, 0.5, r)
				}
				img = lukstest.Replay(base, ops)
				_, found, err := rescueOnly(img, luks.RescueOptions{DryRun: true})
				if err == nil && found.Position > 0 && found.Position < found.Total && (found.Mixed > 0) == c.mixed {
					break
				}
				if try == 1000 {
					t.Fatal("no such point")
				}
			}
			// work is `reown luks rescue` and `resume`, from whatever there is.
			work := func(d *lukstest.Disk) error {
				v, err := luks.OpenDevice("disk", d, nil)
				if err != nil {
					return err
				}
				if v.Info().Reencryption.Resilience == "none" {
					if _, err := v.Rescue(t.Context(), pass("first"), luks.RescueOptions{}); err != nil {
						return err
					}
				}
				return v.Resume(t.Context(), pass("first"), luks.ReencryptOptions{Hotzone: peerHotzone})
			}
			d := lukstest.NewDisk(slices.Clone(img), 512)
			d.Record()
			if err := work(d); err != nil {
				t.Fatal(err)
			}
			ops := d.Log()
			survive := func(what string, left []byte) {
				t.Helper()
				d := lukstest.NewDisk(left, 512)
				if v, err := luks.OpenDevice("disk", d, nil); err != nil {
					t.Errorf("%s: %v", what, err)
				} else if v.Info().Reencryption.Active {
					if err := work(d); err != nil {
						t.Errorf("%s: again: %v", what, err)
					}
				}
				if err := f.data(d.Bytes(), 512); err != nil {
					t.Errorf("%s: LOST: %v", what, err)
				}
			}
			step, reads, points := 24, 2, 0
			if lukstest.Soak() {
				step, reads = 1, 40
			}
			for k := r.IntN(step); k < len(ops); k += step {
				for _, mode := range []string{"once", "short", "dead"} {
					what := fmt.Sprintf("%s at %d (%v)", mode, k, ops[k])
					d := lukstest.NewDisk(slices.Clone(img), 512)
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
					if err := work(d); !errors.Is(err, lukstest.ErrFault) {
						t.Errorf("%s was not reported: %v", what, err)
					}
					survive(what, d.Bytes())
				}
				points++
				survive(fmt.Sprintf("the power fails at %d (%v)", k, ops[k]),
					lukstest.Replay(img, lukstest.PowerLoss(ops, k, 512, 0.5, r)))
			}
			// A sector that cannot be read: no guess without it.
			for i := range reads {
				d := lukstest.NewDisk(slices.Clone(img), 512)
				n := 0
				d.BadRead = func(off int64, _ int) error {
					if off >= int64(f.offset) {
						if n++; n == i+1 {
							return &luks.IOError{Op: "read", Offset: off, Err: lukstest.ErrFault}
						}
					}
					return nil
				}
				points++
				_ = work(d)
				d.BadRead = nil
				survive(fmt.Sprintf("read %d of the data fails", i), d.Bytes())
			}
			t.Logf("%d operations of the rescue, %d points", len(ops), points)
		})
	}
}
