package luks_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// interruptedRuns are disks on which a run of cryptsetup was killed in the middle of a
// hotzone: one for each of its hotzones.
func (f *fixture) interruptedRuns(t *testing.T, args ...string) [][]byte {
	t.Helper()
	base := f.image()
	log := f.record(f.peerReencrypt(args...)...)
	r := rand.New(rand.NewPCG(8, 8))
	var out [][]byte
	for k, op := range log {
		if !op.Sync && op.Off >= int64(f.offset) && len(op.Data) == peerHotzone {
			out = append(out, lukstest.Replay(base, lukstest.Torn(log, k+1, 4096, r)))
		}
	}
	if len(out) != len(f.plain)/peerHotzone {
		t.Fatalf("%d hotzones in the log", len(out))
	}
	return out
}

// repair lets cryptsetup recover the hotzone and returns what it wrote.
func (f *fixture) repair(img []byte) []lukstest.Op {
	f.put(img)
	return f.record(f.on("repair", "--batch-mode", "--key-file", f.key)...)
}

// read lets cryptsetup read the header, which makes its two copies the same.
func (f *fixture) read(img []byte) []byte {
	f.put(img)
	f.Run(f.on("luksDump")...)
	return f.image()
}

// `cryptsetup repair` writes the header that calls a hotzone done without a flush of
// what it recovered. Power fails within it; the work is finished by us at once, by us
// after cryptsetup has read the header, or by cryptsetup. Of the last hotzone something
// can be lost for good: there cryptsetup destroys the old key before the data is flushed,
// and with a header on another device never flushes it. It is refused where it shows.
func TestPowerFailsInCryptsetupsRepair(t *testing.T) {
	n := 2
	if lukstest.Soak() {
		n = 100
	}
	peerLost := 0
	for _, c := range matrix() {
		if c.shape.slots > 0 || c.name == "large hotzones" {
			continue
		}
		if !lukstest.Soak() && c.name != "512" && c.name != "512, journal" {
			continue // a sample
		}
		t.Run(c.name, func(t *testing.T) {
			f := format(t, c.shape)
			r := rand.New(rand.NewPCG(9, uint64(len(c.name))))
			runs := f.interruptedRuns(t, c.args...)
			vk, err := f.volumeKey(f.key)
			if err != nil {
				t.Fatal(err)
			}
			points, gone, goneOf, peer, peerPoints := 0, 0, 0, 0, 0
			for z, before := range runs {
				if !lukstest.Soak() && z%2 == 0 {
					continue
				}
				log := f.repair(before)
				for i := range n {
					var ops []lukstest.Op
					if i == 0 { // the worst that can be: nothing of the data, and the header
						ops = slices.DeleteFunc(untilFlush(log), func(op lukstest.Op) bool { return op.Off >= int64(f.offset) })
					} else {
						k := []int{len(log), r.IntN(len(log) + 1)}[i%2]
						ops = lukstest.PowerLoss(log, k, 4096, []float64{0.1, 0.5, 0.9}[r.IntN(3)], r)
					}
					img := lukstest.Replay(before, ops)
					for _, how := range []string{"at once", "after a look"} {
						left := img
						if how == "after a look" {
							left = f.read(img)
						}
						out, err := f.ourResume(left)
						sound := err == nil && bytes.Equal(lukstest.XTS(vk, out[f.offset:], c.sector, false), f.plain)
						if z == len(runs)-1 {
							goneOf++
							if !sound {
								gone++
								if f.hdr == "" && (!errors.Is(err, luks.ErrOldKey) || !bytes.Equal(out, left)) {
									t.Errorf("last hotzone, point %d, %s: %v; changed: %v", i, how, err, !bytes.Equal(out, left))
								}
							}
							continue
						}
						points++
						if !sound {
							t.Errorf("hotzone %d, point %d, %s: %v", z, i, how, err)
						}
					}
					if i == 0 && z == 1 || lukstest.Soak() && i < 10 {
						peerPoints++
						if out, err := f.peerResume(img); err != nil || f.data(out, c.sector) != nil {
							peer++
						}
					}
				}
			}
			peerLost += peer
			t.Logf("power failures in cryptsetup's repair, finished by us: %d, of the last hotzone: lost %d of %d; finished by cryptsetup: lost %d of %d",
				points, gone, goneOf, peer, peerPoints)
		})
	}
	if peerLost == 0 {
		t.Error("cryptsetup lost nothing: this test has lost its subject")
	}
}

// untilFlush is what stands before the first flush that follows a write.
func untilFlush(ops []lukstest.Op) []lukstest.Op {
	for i, op := range ops {
		if op.Sync && i > 0 && !ops[i-1].Sync {
			return slices.Clone(ops[:i])
		}
	}
	return slices.Clone(ops)
}

// Where cryptsetup has gone on after such a failure, only the data can tell, and rescue
// asks it. A run that is in order gives no alarm.
func TestRescueAfterCryptsetupsRepair(t *testing.T) {
	ctx := context.Background()
	f := format(t, shape{size: 1 << 20, sector: 512})
	for _, c := range []struct {
		name  string
		plain []byte
		want  error
	}{
		{"text", prose(1 << 20), nil},
		{"random near by", mix(prose(1<<20), 300<<10, 4096), luks.ErrLeftBehind},
	} {
		fresh := f.image()
		f.replacePlain(c.plain, 512)
		start := f.image()
		runs := f.interruptedRuns(t)
		log := f.repair(runs[1])
		// Nothing of the recovered data, all of the header, and then one hotzone more.
		ops := slices.DeleteFunc(slices.Clone(log), func(op lukstest.Op) bool { return op.Off >= int64(f.offset) })
		left := lukstest.Replay(runs[1], ops)
		f.put(left)
		on := f.record(f.on("reencrypt", "--resume-only", "--force-offline-reencrypt", "--batch-mode", "--hotzone-size",
			"256k", "--key-file", f.key)...)
		for k, op := range on {
			if op.Off >= int64(f.offset)+2*peerHotzone { // data, its flush, and the header twice with theirs
				on = on[:k+10]
				break
			}
		}
		img := lukstest.Replay(left, on)
		for _, o := range []luks.RescueOptions{{DryRun: true}, {}} {
			out, found, err := rescueOnly(img, o)
			switch {
			case c.want != nil && (!errors.Is(err, c.want) || !bytes.Equal(out, img)):
				t.Errorf("%s: %+v, %v; changed: %v", c.name, found, err, !bytes.Equal(out, img))
			case c.want == nil && err != nil:
				t.Errorf("%s: %+v, %v", c.name, found, err)
			case o.DryRun && !bytes.Equal(out, img):
				t.Errorf("%s: a dry run wrote", c.name)
			case c.name == "text" && (found.Mixed == 0 || found.Position < peerHotzone || found.Position+
				found.Mixed != 3*peerHotzone):
				t.Errorf("%s: %+v", c.name, found)
			}
			if c.name == "text" && !o.DryRun {
				if out, err = f.ourResume(out); err == nil {
					err = f.data(out, 512)
				}
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			}
		}
		if c.want != nil {
			f.put(fresh)
			continue
		}
		// The same run without a failure of the power.
		f.put(start)
		v := open(t, f.img)
		stopped, cancel := context.WithCancel(ctx)
		if err := v.Reencrypt(stopped, pass("first"), luks.ReencryptOptions{Hotzone: peerHotzone, Progress: func(d, n int64) {
			if d >= n/2 {
				cancel()
			}
		}}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		v.Close()
		img = f.image()
		if out, found, err := rescueOnly(img, luks.RescueOptions{}); err != nil || found.Mixed != 0 ||
			!bytes.Equal(out, img) {
			t.Errorf("%s, no failure: %+v, %v; changed: %v", c.name, found, err, !bytes.Equal(out, img))
		}
		f.put(fresh)
	}
}

// rescueOnly is rescue without the rest of the work.
func rescueOnly(img []byte, o luks.RescueOptions) ([]byte, luks.Rescue, error) {
	d := lukstest.NewDisk(slices.Clone(img), 512)
	v, err := luks.OpenDevice("disk", d, nil)
	if err != nil {
		return nil, luks.Rescue{}, err
	}
	found, err := v.Rescue(context.Background(), pass("first"), o)
	return d.Bytes(), found, err
}

// Blocks that are old, next to blocks of which nothing is known: nothing is written.
func TestResumeRefusesToGuess(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	runs := f.interruptedRuns(t)
	ops := slices.DeleteFunc(f.repair(runs[1]), func(op lukstest.Op) bool { return op.Off >= int64(f.offset) })
	img := lukstest.Replay(runs[1], ops)
	copy(img[f.offset+peerHotzone+8192:], lukstest.Random(4096, 5)) // somebody wrote there since
	out, err := f.ourResume(img)
	if !errors.Is(err, luks.ErrLeftBehind) || !bytes.Equal(out, img) {
		t.Errorf("%v; changed: %v", err, !bytes.Equal(out, img))
	}
}

// Where cryptsetup has done all data and not closed the header, the data may still be in
// the disk's cache only: it is flushed before a header gives up the old key.
func TestFlushBeforeTheLastHeader(t *testing.T) {
	for _, detached := range []bool{false, true} {
		f := format(t, shape{size: 1 << 20, sector: 512, detached: detached})
		base := f.image()
		log := f.record(f.peerReencrypt()...)
		found := false
		for k := range log {
			img := lukstest.Replay(base, log[:k])
			d := lukstest.NewDisk(img, 512)
			v, err := f.open(d)
			if err != nil || !v.Info().Reencryption.Finished {
				continue
			}
			found = true
			d.Record()
			if err := v.Resume(context.Background(), pass("first"), luks.ReencryptOptions{}); err != nil {
				t.Fatal(err)
			}
			dev := 0
			if detached {
				dev = 1
			}
			if op := d.Log()[0]; !op.Sync || op.Dev != dev {
				t.Errorf("after %d operations: %v came first", k, op)
			}
		}
		if !found {
			t.Error("there is no such state in the log")
		}
	}
}
