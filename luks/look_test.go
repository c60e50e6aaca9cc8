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
