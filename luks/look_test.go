package luks_test

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// TestLook: what mkfs and its like make is told from noise; a header of before, put back in the middle of
// a re-encryption, is found, and a volume that nobody ever wrote to is fine. Nothing is written.
func TestLook(t *testing.T) {
	ctx := context.Background()
	const size = 8 << 20
	for _, kind := range []struct{ version, sector int }{{2, 512}, {2, 4096}, {1, 512}} {
		var f *fixture
		sector := kind.sector
		if kind.version == 1 {
			f = format1(t, size, 0)
		} else {
			f = format(t, shape{size: size, sector: sector, slots: 1})
		}
		look := func(what string, want error) {
			t.Helper()
			before := f.image()
			if err := open(t, f.img).Look(ctx, pass("first")); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s, LUKS%d, sectors of %d: %v", what, kind.version, sector, err)
			}
			if !bytes.Equal(before, f.image()) {
				t.Errorf("%s: the image was changed", what)
			}
		}
		look("noise", luks.ErrNoise)
		if err := open(t, f.img).Look(ctx, pass("never")); !errors.Is(err, luks.ErrWrongPassphrase) {
			t.Error(err)
		}
		img := f.image()
		copy(img[f.offset:], make([]byte, size))
		f.put(img)
		look("never written", nil)
		made := 0
		for _, mk := range [][]string{{"mkfs.ext4", "-q", "-F"}, {"mkfs.vfat"}, {"mkswap", "-q"}} {
			if _, err := exec.LookPath(mk[0]); err != nil {
				continue
			}
			p := f.Write("plain", make([]byte, size))
			if out, err := exec.Command(mk[0], append(mk[1:], p)...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", mk[0], err, out)
			}
			plain := f.Read("plain")
			// All that mkfs has left alone was full of something else before.
			for i := 0; i < size; i += 4096 {
				if b := plain[i : i+4096]; bytes.Count(b, []byte{0}) == len(b) && i >= 1<<20 {
					copy(b, lukstest.Random(4096, byte(i>>12)))
				}
			}
			f.replacePlain(plain, sector)
			look(mk[0], nil)
			made++
		}
		if made == 0 {
			t.Skip("no mkfs")
		}
		header := f.image()[:f.offset]
		stop, cancel := context.WithCancel(ctx)
		o := luks.ReencryptOptions{Hotzone: 4 << 20, Fill: true, Progress: func(done, _ int64) {
			if done > 0 {
				cancel()
			}
		}}
		if err := open(t, f.img).Reencrypt(stop, pass("first"), o); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		img = f.image()
		copy(img, header)
		f.put(img)
		look("a header put back", luks.ErrNoise)
	}
}

// TestLookUnderWay: at every write of an honest re-encryption, cut there, the beginning shows what it holds.
// Every header of that run, put back over a disk that has gone on under a third key, shows noise.
func TestLookUnderWay(t *testing.T) {
	ctx := context.Background()
	for _, resilience := range []string{"checksum", "journal", "none"} {
		f := format(t, shape{size: 2 << 20, sector: 512})
		plain := f.Read("img")[f.offset:]
		copy(plain, make([]byte, 4096)) // what any file system has somewhere at its start
		f.replacePlain(plain, 512)
		before := f.image()
		ops := f.record(f.peerReencrypt("--resilience", resilience)...)
		after := f.image()
		if err := open(t, f.img).Reencrypt(ctx, pass("first"), luks.ReencryptOptions{}); err != nil {
			t.Fatal(err)
		}
		third := f.image()
		look := func(img []byte) error {
			v, err := f.open(lukstest.NewDisk(img, 512))
			if err != nil {
				return err
			}
			return v.Look(ctx, pass("first"))
		}
		if err := look(after); err != nil {
			t.Fatal(err)
		}
		under, noise := 0, 0
		for n := 0; n <= len(ops); n += max(1, len(ops)/20) {
			img := lukstest.Replay(before, ops[:n])
			if err := look(img); err != nil {
				t.Errorf("%s, cut at write %d of %d: %v", resilience, n, len(ops), err)
			}
			if open(t, f.Write("cut", img)).Info().Reencryption.Active {
				under++
			}
			err := look(append(bytes.Clone(img[:f.offset]), third[f.offset:]...))
			if !errors.Is(err, luks.ErrNoise) {
				t.Errorf("%s, the header of write %d over a third key's data: %v", resilience, n, err)
			}
			noise++
		}
		if under < noise/2 {
			t.Errorf("%s: only %d of %d headers are of a run under way", resilience, under, noise)
		}
	}
}

// TestLookUnread: bad sectors at the beginning are no proof that nothing is there. One of them alone hides
// nothing, and behind a bad start the first megabyte that was written still tells noise.
func TestLookUnread(t *testing.T) {
	ctx := context.Background()
	f := format(t, shape{size: 8 << 20, sector: 512})
	noise := f.image()
	plain := noise[f.offset:]
	copy(plain, make([]byte, 1<<20))
	f.replacePlain(plain, 512)
	written := f.image()
	empty := bytes.Clone(written)
	copy(empty[f.offset:], make([]byte, 8<<20))
	for _, c := range []struct {
		name string
		img  []byte
		bad  []luks.Range // in the data
		want error
	}{
		{"one bad sector", written, []luks.Range{{Offset: 4096, Length: 512}}, nil},
		{"a bad start", written, []luks.Range{{Offset: 0, Length: 1 << 20}}, luks.ErrNoise},
		{"nothing can be read", written, []luks.Range{{Offset: 0, Length: 8 << 20}}, luks.ErrUnseen},
		{"never written, a bad start", empty, []luks.Range{{Offset: 0, Length: 1 << 20}}, luks.ErrUnseen},
		{"never written", empty, nil, nil},
	} {
		d := lukstest.NewDisk(bytes.Clone(c.img), 512)
		f.spoil(d, c.bad...)
		v, err := f.open(d)
		if err != nil {
			t.Fatal(err)
		}
		err = v.Look(ctx, pass("first"))
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var ioErr *luks.IOError
		if errors.Is(err, luks.ErrUnseen) && !errors.As(err, &ioErr) {
			t.Errorf("%s: the device's error is lost: %v", c.name, err)
		}
	}
}
