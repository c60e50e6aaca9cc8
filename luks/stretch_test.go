package luks_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// stopped2 is a volume that cryptsetup was killed on after two hotzones of an unprotected run.
func stopped2(t *testing.T, f *fixture, plain []byte) []byte {
	t.Helper()
	f.replacePlain(plain, 512)
	base := f.Read("img")
	log := f.record(f.peerReencrypt("--resilience", "none")...)
	data := 0
	for k, op := range log {
		if op.Off >= int64(f.offset) {
			if data++; data == 2 {
				return lukstest.Replay(base, log[:k+1])
			}
		}
	}
	t.Fatal("too few hotzones")
	return nil
}

// TestStretchInDoubt: where nothing tells how far cryptsetup came, one stretch is named and nothing is written.
// The length of its hotzones settles it; or the stretch is saved, and any place in it can be taken, also later.
func TestStretchInDoubt(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	const stop = 2 * peerHotzone
	img := stopped2(t, f, mix(prose(1<<20), stop-1024, 2048))
	want := luks.Range{Offset: stop - 1024, Length: 2048}

	out, _, err := rescue(img, luks.RescueOptions{InOrder: true})
	var edge *luks.EdgeError
	if !errors.As(err, &edge) || !errors.Is(err, luks.ErrUnproven) || edge.Range != want {
		t.Fatalf("%+v", err)
	}
	if !bytes.Equal(out, img) {
		t.Error("something was written")
	}

	out, found, err := rescue(img, luks.RescueOptions{InOrder: true, Hotzone: peerHotzone})
	if err != nil || found.Position != stop {
		t.Fatalf("with the hotzone's length: %+v, %v", found, err)
	}
	if err := f.data(out, 512); err != nil {
		t.Error(err)
	}

	at := int64(stop)
	file := filepath.Join(t.TempDir(), "stretch")
	out, found, err = rescue(img, luks.RescueOptions{InOrder: true, AcceptLoss: file, At: &at})
	if err != nil || found.Position != stop || found.InDoubt != want {
		t.Fatalf("the right place: %+v, %v", found, err)
	}
	if err := f.data(out, 512); err != nil {
		t.Error(err)
	}

	// The wrong place loses no more than the stretch, and that is in the file.
	wrong := int64(stop - 512)
	if _, _, err := rescue(img, luks.RescueOptions{InOrder: true, AcceptLoss: file, At: &wrong}); !errors.Is(err,
		os.ErrExist) {
		t.Errorf("a file that exists: %v", err)
	}
	file = filepath.Join(t.TempDir(), "stretch")
	out, _, err = rescue(img, luks.RescueOptions{InOrder: true, AcceptLoss: file, At: &wrong})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.data(out, 512); err == nil {
		t.Fatal("the test shows nothing: the wrong place is right")
	}
	f.Write("img", out)
	key, err := f.volumeKey(f.key)
	if err != nil {
		t.Fatal(err)
	}
	got := lukstest.XTS(key, out[f.offset:], 512, false)
	copy(got[want.Offset:][:want.Length], f.plain[want.Offset:])
	if !bytes.Equal(got, f.plain) {
		t.Error("more than the stretch is lost")
	}
	checkStretch(t, file, stop-want.Offset, key, f.plain[want.Offset:want.Offset+want.Length], want.Offset)

	for _, at := range []int64{want.Offset - 512, want.Offset + want.Length + 512, stop + 1} {
		beside := filepath.Join(t.TempDir(), "stretch")
		out, _, err := rescue(img, luks.RescueOptions{InOrder: true, AcceptLoss: beside, At: &at})
		if !errors.Is(err, luks.ErrUnproven) || !bytes.Equal(out, img) {
			t.Errorf("byte %d, which is not in it: %v", at, err)
		}
		if _, err := os.Stat(beside); err == nil {
			t.Errorf("byte %d: a file was made", at)
		}
	}
}

// checkStretch finishes a saved stretch with another place: its data is then all there, under the new key and
// with the numbers that its sectors have on the device.
func checkStretch(t *testing.T, file string, at int64, key, plain []byte, offset int64) {
	t.Helper()
	if i, err := os.Stat(file); err != nil || i.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", i, err)
	}
	ctx := context.Background()
	v, err := luks.Open(ctx, file, luks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	copied := filepath.Join(t.TempDir(), "again")
	found, err := v.Rescue(ctx, pass("first"), luks.RescueOptions{InOrder: true, AcceptLoss: copied, At: &at})
	if err != nil || found.Position != at {
		t.Fatalf("the saved stretch: %+v, %v", found, err)
	}
	if err := v.Resume(ctx, pass("first"), luks.ReencryptOptions{}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data := raw[len(raw)-len(plain):]
	got := lukstest.XTS(key, slices.Concat(make([]byte, offset), data), 512, false)[offset:]
	if !bytes.Equal(got, plain) {
		t.Error("what was saved is not what was on the device")
	}
}
