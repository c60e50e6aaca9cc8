package luks_test

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reown/luks"
	"reown/luks/lukstest"
)

// What was never written is left alone, or filled if that is asked for.
func TestSparse(t *testing.T) {
	for _, c := range []struct {
		name   string
		shape  shape
		o      luks.ReencryptOptions
		sector int
	}{
		{"512", shape{size: 6 << 20, sector: 512, sparse: true}, luks.ReencryptOptions{Hotzone: 256 << 10}, 512},
		{"512 to 4096", shape{size: 6 << 20, sector: 512, sparse: true},
			luks.ReencryptOptions{Hotzone: 256 << 10, SectorSize: 4096}, 4096},
		{"one zone", shape{size: 6<<20 + 4096, sector: 4096, sparse: true}, luks.ReencryptOptions{}, 4096},
		{"journal", shape{size: 6 << 20, sector: 512, sparse: true},
			luks.ReencryptOptions{Hotzone: 128 << 10, Resilience: luks.Journal}, 512},
		{"fill", shape{size: 6 << 20, sector: 512, sparse: true}, luks.ReencryptOptions{Hotzone: 256 << 10, Fill: true}, 512},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := format(t, c.shape)
			d := lukstest.NewDisk(f.image(), 512)
			d.Record()
			v, err := f.open(d)
			if err != nil {
				t.Fatal(err)
			}
			var r luks.Result
			c.o.Result = &r
			if err := v.Reencrypt(context.Background(), pass("first"), c.o); err != nil {
				t.Fatal(err)
			}
			want := int64(empty(f.raw))
			if c.o.Fill {
				want = 0
			}
			if r.Skipped != want || r.Written+r.Skipped != int64(c.shape.size) || r.Lost != nil {
				t.Errorf("%+v; never written were %d bytes", r, want)
			}
			data, headers := int64(0), 0
			for _, op := range d.Log() {
				switch op.Name {
				case luks.WriteData:
					data += int64(len(op.Data))
				case luks.WritePrimary:
					if !op.Sync {
						headers++
					}
				}
			}
			if data != r.Written {
				t.Errorf("%d bytes of data were written, not %d", data, r.Written)
			}
			// Of 2 MiB, three zones of 128 KiB (or four) hold something.
			if most := 4*3 + 6; c.o.Hotzone > 0 && c.o.Resilience == "" && !c.o.Fill && headers > most {
				t.Errorf("%d headers, more than %d", headers, most)
			}
			raw := bytes.Clone(d.Bytes()[f.offset:])
			if n := int64(empty(raw)); n != want {
				t.Errorf("%d bytes are zero afterwards, not %d", n, want)
			}
			if err := f.data(d.Bytes(), c.sector); err != nil {
				t.Error(err)
			}
		})
	}
}

// A run that was begun without Fill and is finished with it leaves nothing empty.
func TestFillAfterwards(t *testing.T) {
	f := format(t, shape{size: 4 << 20, sector: 512, sparse: true})
	d := lukstest.NewDisk(f.image(), 512)
	v, err := f.open(d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := luks.ReencryptOptions{Hotzone: 256 << 10, Progress: func(done, _ int64) {
		if done >= 3<<20 {
			cancel()
		}
	}}
	if err := v.Reencrypt(ctx, pass("first"), o); err == nil {
		t.Fatal("it was not stopped")
	}
	if empty(d.Bytes()[f.offset:f.offset+3<<20]) == 0 {
		t.Fatal("nothing was left alone")
	}
	if err := v.Resume(context.Background(), pass("first"), luks.ReencryptOptions{Fill: true}); err != nil {
		t.Fatal(err)
	}
	if n := empty(d.Bytes()[f.offset:]); n != 0 {
		t.Errorf("%d bytes are empty", n)
	}
	if err := f.data(d.Bytes(), 512); err != nil {
		t.Error(err)
	}
}

// In a sparse file holes stay holes. Cancelled at the end of the data, where no header may
// say that all is done and the run is not, it is finished.
func TestHoles(t *testing.T) {
	f := format(t, shape{size: 8 << 20, sector: 4096, sparse: true})
	file, err := os.OpenFile(f.img, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const piece = 64 << 10
	for at := int64(0); at < int64(len(f.raw)); at += piece {
		if empty(f.raw[at:at+piece]) > 0 {
			if err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(f.offset)+at,
				piece); err != nil {
				t.Skip(err)
			}
		}
	}
	blocks := func() int64 {
		var st unix.Stat_t
		if err := file.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fstat(int(file.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	before := blocks()
	v := open(t, f.img)
	s, err := v.Survey(context.Background(), nil)
	if want := int64(len(f.raw) - empty(f.raw)); err != nil || s.Read != s.Total || s.Total != int64(len(f.raw)) ||
		s.Written != want {
		t.Fatalf("%+v, %v; written are %d bytes", s, err, want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var last int64
	if err := v.Reencrypt(ctx, pass("first"),
		luks.ReencryptOptions{Hotzone: 512 << 10, Survey: &s, Progress: func(done, total int64) {
			if done < last || done > total {
				t.Errorf("progress from %d to %d of %d", last, done, total)
			}
			if last = done; done == total {
				cancel()
			}
		}}); err != nil {
		t.Fatal(err)
	}
	if after := blocks(); after > before {
		t.Errorf("the file has grown from %d to %d bytes", before, after)
	}
	f.judge(t, f.key, 4096)
}

// A recovery by cryptsetup that lost its data when the power failed is found among blocks
// that were left alone, which look the same as ever.
func TestRevisitSparse(t *testing.T) {
	f := format(t, shape{size: 2 << 20, sector: 512, sparse: true})
	base := f.image()
	d := lukstest.NewDisk(bytes.Clone(base), 512)
	d.Record()
	v, err := f.open(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Reencrypt(context.Background(), pass("first"), luks.ReencryptOptions{Hotzone: peerHotzone}); err != nil {
		t.Fatal(err)
	}
	log, points := d.Log(), 0
	for k, op := range log {
		if op.Name != luks.WriteData || op.Sync || points > 0 && !lukstest.Soak() {
			continue
		}
		points++
		img := lukstest.Replay(base, log[:k]) // killed before the first of a hotzone's data
		ops := slices.DeleteFunc(untilFlush(f.repair(img)), func(op lukstest.Op) bool { return op.Off >= int64(f.offset) })
		out, err := f.ourResume(lukstest.Replay(img, ops))
		if err == nil {
			err = f.data(out, 512)
		}
		if err != nil {
			t.Errorf("after %s of %d operations: %v", strconv.Itoa(k), len(log), err)
		}
	}
	if points == 0 {
		t.Error("there is no such point")
	}
}

// slowData is a disk that takes its time for data.
type slowData struct{ *lukstest.Disk }

func (d slowData) WriteAt(name string, p []byte, off int64) error {
	if name == luks.WriteData {
		time.Sleep(20 * time.Millisecond)
	}
	return d.Disk.WriteAt(name, p, off)
}

// The header after a gap calls all before it done: what was still being written is waited
// for.
func TestGapWaits(t *testing.T) {
	f := format(t, shape{size: 2 << 20, sector: 512, sparse: true})
	m := &model{f: f, base: f.image(), o: luks.ReencryptOptions{Hotzone: 256 << 10}, block: 512}
	m.was = m.digest(m.base)
	d := lukstest.NewDisk(slices.Clone(m.base), 512)
	d.Record()
	v, err := luks.OpenDevice("disk", slowData{d}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.SetPassphrase(context.Background(), pass("first"), pass("second")); err != nil {
		t.Fatal(err)
	}
	if err := v.Reencrypt(context.Background(), pass("second"), m.o); err != nil {
		t.Fatal(err)
	}
	points := 0
	for k, op := range d.Log() {
		if op.Name != luks.WritePrimary || !op.Sync {
			continue
		}
		points++
		if err := m.survive(lukstest.Replay(m.base, d.Log()[:k+1])); err != nil {
			t.Errorf("after %d operations: %v", k+1, err)
		}
	}
	if points < 8 {
		t.Errorf("%d headers", points)
	}
}
