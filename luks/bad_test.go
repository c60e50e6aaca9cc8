package luks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"reown/luks"
	"reown/luks/lukstest"
)

// spoil makes blocks of a disk unreadable until they are written. bad are bytes of the
// decrypted volume.
func (f *fixture) spoil(d *lukstest.Disk, bad ...luks.Range) {
	sick := map[int64]bool{}
	for _, r := range bad {
		for at := r.Offset; at < r.Offset+r.Length; at += 512 {
			sick[int64(f.offset)+at] = true
		}
	}
	d.BadRead = func(off int64, n int) error {
		for at := off &^ 511; at < off+int64(n); at += 512 {
			if sick[at] {
				return &luks.IOError{Op: "read", Offset: off, Len: n, Err: unix.EIO}
			}
		}
		return nil
	}
	d.Observe = func(_ int, op lukstest.Op) {
		for at := op.Off; at < op.Off+int64(len(op.Data)); at += 512 {
			delete(sick, at)
		}
	}
}

// lostOnly checks that a finished disk has lost just these bytes, which read as zeros.
func (f *fixture) lostOnly(img []byte, sector int, lost ...luks.Range) error {
	was := f.plain
	defer func() { f.plain = was }()
	f.plain = bytes.Clone(was)
	for _, r := range lost {
		clear(f.plain[r.Offset : r.Offset+r.Length])
	}
	return f.data(img, sector)
}

// A run stops at blocks that cannot be read, names them, and goes on without exactly these.
func TestBadSectors(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		shape  shape
		o      luks.ReencryptOptions
		sector int
		step   int64
	}{
		{"512", shape{size: 2 << 20, sector: 512}, luks.ReencryptOptions{Hotzone: 256 << 10}, 512, 512},
		{"4096", shape{size: 2 << 20, sector: 4096, sparse: true}, luks.ReencryptOptions{Hotzone: 256 << 10}, 4096, 4096},
		{"512 to 4096", shape{size: 2 << 20, sector: 512}, luks.ReencryptOptions{SectorSize: 4096}, 4096, 512},
		{"journal", shape{size: 1 << 20, sector: 512, sparse: true},
			luks.ReencryptOptions{Resilience: luks.Journal, Hotzone: 256 << 10}, 512, 512},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := format(t, c.shape)
			d := lukstest.NewDisk(f.image(), 512)
			// Two in one zone, of which one is not a whole step, and one in another.
			bad := []luks.Range{{Offset: 2*64<<10 + 1024, Length: 512}, {Offset: 2*64<<10 + 8192, Length: 8192},
				{Offset: 13*64<<10 + 4096, Length: 512}}
			want := []luks.Range{}
			for _, r := range bad {
				off := r.Offset / c.step * c.step
				want = append(want, luks.Range{Offset: off, Length: (r.Offset+r.Length+c.step-1)/c.step*c.step - off})
			}
			f.spoil(d, bad...)
			v, err := f.open(d)
			if err != nil {
				t.Fatal(err)
			}
			s, err := v.Survey(ctx, nil)
			if err != nil || !reflect.DeepEqual(s.Bad, want) {
				t.Errorf("survey: %+v, %v", s.Bad, err)
			}
			var named []luks.Range
			var result luks.Result
			for i := 0; ; i++ {
				o := c.o
				o.Result = &result
				o.Lose = func(rs []luks.Range) bool {
					for _, r := range rs {
						if !covered(r, named) {
							return false
						}
					}
					return true
				}
				err := v.Reencrypt(ctx, pass("first"), o)
				if err == nil {
					break
				}
				var e *luks.BadSectorsError
				if !errors.As(err, &e) || i > 3 {
					t.Fatal(err)
				}
				named = luks.Merge(append(named, e.Ranges...)...)
				if in := v.Info().Reencryption; !in.Active || in.Crash {
					t.Errorf("stopped with %+v", in)
				}
			}
			if !reflect.DeepEqual(named, want) || !reflect.DeepEqual(result.Lost, want) {
				t.Errorf("named %v, lost %v, bad %v", named, result.Lost, want)
			}
			if err := f.lostOnly(d.Bytes(), c.sector, want...); err != nil {
				t.Error(err)
			}
		})
	}
}

func covered(r luks.Range, by []luks.Range) bool {
	for _, b := range by {
		if r.Offset >= b.Offset && r.Offset+r.Length <= b.Offset+b.Length {
			return true
		}
	}
	return false
}

// Of an interrupted hotzone a block cannot be read: the others are kept, by checksums or
// by the journal, which does not even need that block.
func TestBadSectorInHotzone(t *testing.T) {
	ctx := context.Background()
	for _, res := range []luks.Resilience{luks.Checksum, luks.Journal} {
		f := format(t, shape{size: 1 << 20, sector: 512})
		base := f.image()
		d := lukstest.NewDisk(bytes.Clone(base), 512)
		d.Record()
		v, err := f.open(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{Hotzone: 256 << 10, Resilience: res}); err != nil {
			t.Fatal(err)
		}
		log, points := d.Log(), 0
		for k, op := range log {
			if op.Sync || op.Name != luks.WriteData || points == 2 {
				continue
			}
			points++
			img := lukstest.Replay(base, log[:k+1])
			at := op.Off - int64(f.offset)
			for _, r := range []luks.Range{{Offset: at, Length: 512}, {Offset: at + 65536 - 1024, Length: 1024}} {
				d := lukstest.NewDisk(bytes.Clone(img), 512)
				f.spoil(d, r)
				v, err := f.open(d)
				if err != nil {
					t.Fatal(err)
				}
				var e *luks.BadSectorsError
				err = v.Resume(ctx, pass("first"), luks.ReencryptOptions{})
				if res == luks.Journal {
					if err == nil {
						err = f.data(d.Bytes(), 512)
					}
					if err != nil {
						t.Errorf("journal, after %d operations, %v: %v", k, r, err)
					}
					continue
				}
				if !errors.As(err, &e) || !reflect.DeepEqual(e.Ranges, []luks.Range{r}) || !bytes.Equal(d.Bytes(), img) {
					t.Errorf("after %d operations, %v: %v; changed: %v", k, r, err, !bytes.Equal(d.Bytes(), img))
				}
				var result luks.Result
				err = v.Resume(ctx, pass("first"), luks.ReencryptOptions{Result: &result,
					Lose: func(rs []luks.Range) bool { return covered(rs[0], []luks.Range{r}) }})
				if err == nil {
					err = f.lostOnly(d.Bytes(), 512, r)
				}
				if err != nil || !reflect.DeepEqual(result.Lost, []luks.Range{r}) {
					t.Errorf("after %d operations, %v: %v; lost %v", k, r, err, result.Lost)
				}
			}
		}
		if points == 0 {
			t.Error("no data in the log")
		}
	}
}

// Of an interrupted hotzone a block is neither old nor new: the device has changed it, or its
// checksum. The others are kept when it is given up, and so is the block itself where its data
// makes sense under one key.
func TestDamagedBlockInHotzone(t *testing.T) {
	ctx := context.Background()
	f := format(t, shape{size: 1 << 20, sector: 512})
	f.replacePlain(prose(1<<20), 512)
	base := f.image()
	d := lukstest.NewDisk(bytes.Clone(base), 512)
	d.Record()
	v, err := f.open(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{Hotzone: 256 << 10}); err != nil {
		t.Fatal(err)
	}
	log, area, next, hot := d.Log(), int64(0), int64(0), 0
	for k, op := range log {
		if op.Sync {
			continue
		}
		switch op.Name {
		case luks.WriteArea:
			next = op.Off
		case luks.WritePrimary: // refers to it; those of the next hotzone may be there already
			area = next
		}
		if op.Name == luks.WriteData {
			hot = k
			break
		}
	}
	half := log[hot].Data[:len(log[hot].Data)/2]
	log[hot].Data = half
	img := lukstest.Replay(base, log[:hot+1])
	for _, what := range []string{"data", "checksum of new", "checksum of old"} {
		at := log[hot].Off - int64(f.offset) + 2048
		b := bytes.Clone(img)
		switch what {
		case "data":
			clear(b[int64(f.offset)+at:][:400])
		case "checksum of old":
			at += int64(len(half))
			fallthrough
		default:
			b[area+at/512*32] ^= 1
		}
		block := luks.Range{Offset: at, Length: 512}
		d := lukstest.NewDisk(bytes.Clone(b), 512)
		v, err := f.open(d)
		if err != nil {
			t.Fatal(err)
		}
		o := luks.ReencryptOptions{Lose: func([]luks.Range) bool { return true }}
		var e *luks.DoubtError
		if err := v.Resume(ctx, pass("first"), o); !errors.As(err, &e) || !errors.Is(err, luks.ErrInDoubt) ||
			!reflect.DeepEqual(e.Ranges, []luks.Range{block}) || !bytes.Equal(d.Bytes(), b) {
			t.Errorf("%s: %v; changed: %v", what, err, !bytes.Equal(d.Bytes(), b))
		}
		var result luks.Result
		o.Result, o.Doubt = &result, func(rs []luks.Range) bool { return luks.Within(rs, []luks.Range{block}) }
		if err := v.Resume(ctx, pass("first"), o); err != nil || !reflect.DeepEqual(result.Lost, []luks.Range{block}) {
			t.Errorf("%s: %v, lost %v", what, err, result.Lost)
		}
		f.put(d.Bytes())
		key, err := f.volumeKey(f.key)
		if err != nil {
			t.Fatal(err)
		}
		got := lukstest.XTS(key, d.Bytes()[f.offset:], 512, false)
		same := bytes.Equal(got[at:at+512], f.plain[at:at+512])
		copy(got[at:], f.plain[at:at+512])
		if !bytes.Equal(got, f.plain) || same != (what != "data") {
			t.Errorf("%s: the others are kept %v, the block %v", what, bytes.Equal(got, f.plain), same)
		}
	}
}

// A device that has gone has no bad sectors, whatever may be lost; nor has one that does
// not take a write.
func TestDeviceIsGone(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	d := lukstest.NewDisk(f.image(), 512)
	v, err := f.open(d)
	if err != nil {
		t.Fatal(err)
	}
	asked := false
	o := luks.ReencryptOptions{Hotzone: 256 << 10, Lose: func([]luks.Range) bool { asked = true; return true }}
	gone := false
	d.BadRead = func(off int64, n int) error {
		if gone = gone || off > int64(f.offset)+300<<10; gone {
			return &luks.IOError{Op: "read", Offset: off, Len: n, Err: unix.EIO}
		}
		return nil
	}
	var bad *luks.BadSectorsError
	if err := v.Reencrypt(context.Background(), pass("first"), o); err == nil || errors.As(err, &bad) || asked {
		t.Errorf("gone: %v, asked %v", err, asked)
	}
	d.BadRead = nil
	d.Fault = func(n int, op lukstest.Op) (int, error) {
		if op.Name == luks.WriteData && !op.Sync {
			return 0, fmt.Errorf("write: %w", unix.EIO)
		}
		return 0, nil
	}
	if err := v.Reencrypt(context.Background(), pass("first"), o); err == nil || errors.As(err, &bad) || asked {
		t.Errorf("no writes: %v, asked %v", err, asked)
	}
	d.Fault = nil
	if err := v.Reencrypt(context.Background(), pass("first"), o); err != nil {
		t.Fatal(err)
	}
	if err := f.data(d.Bytes(), 512); err != nil {
		t.Error(err)
	}
}
