package luks_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// A mark is that of the key that cryptsetup shows; it changes with the key and with
// nothing else.
func TestMark(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512, slots: 1})
	ctx, salt := context.Background(), lukstest.Random(16, 1)
	v := open(t, f.img)
	mark := func(pw string) luks.Mark {
		t.Helper()
		m, err := v.Mark(ctx, pass(pw), salt)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	expect := func(key []byte) (m luks.Mark) {
		mac := hmac.New(sha256.New, key)
		mac.Write(luks.MarkMessage(salt))
		return luks.Mark(mac.Sum(nil))
	}
	old := mark("first")
	if !old.Equal(expect(f.oldKey)) || !old.Equal(mark("slot1")) {
		t.Error("the mark is not that of the key")
	}
	if err := v.SetPassphrase(ctx, pass("first"), pass("mine")); err != nil {
		t.Fatal(err)
	}
	if !old.Equal(mark("mine")) {
		t.Error("a passphrase changed the mark")
	}
	stop, cancel := context.WithCancel(ctx)
	told, digest := luks.Mark{}, ""
	o := luks.ReencryptOptions{Hotzone: 256 << 10, Progress: func(int64, int64) { cancel() }}
	refused := errors.New("not now")
	o.Begin = func(string, func([]byte) (luks.Mark, error)) error { return refused }
	before := v.Info().KeyDigest
	if err := v.Reencrypt(stop, pass("mine"), o); !errors.Is(err, refused) || v.Info().Reencryption.Active ||
		v.Info().KeyDigest != before {
		t.Fatalf("refused, and %v", err)
	}
	o.Begin = func(d string, mark func([]byte) (luks.Mark, error)) (err error) {
		digest = d
		told, err = mark(salt)
		return err
	}
	if err := v.Reencrypt(stop, pass("mine"), o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	half := mark("mine")
	if !told.Equal(half) || digest != v.Info().KeyDigest {
		t.Error("what was told of the key before it was used is not so")
	}
	if half.Equal(old) {
		t.Error("in a run the mark is the old key's")
	}
	if err := v.Resume(ctx, pass("mine"), luks.ReencryptOptions{}); err != nil {
		t.Fatal(err)
	}
	vk, err := f.VolumeKey(f.img, f.Write("mine", []byte("mine")))
	if err != nil || !half.Equal(expect(vk)) || !half.Equal(mark("mine")) {
		t.Errorf("afterwards it is not the new key's: %v", err)
	}
	if _, err := v.Mark(ctx, pass("mine"), salt[:8]); err == nil {
		t.Error("a short salt was taken")
	}
	if _, err := v.Mark(ctx, pass("first"), salt); !errors.Is(err, luks.ErrWrongPassphrase) {
		t.Error(err)
	}
}

// The seller's passphrase opens nothing only if every keyslot said so, unbound and ignored
// ones as well.
func TestOpensNothing(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512, slots: 1})
	ctx := context.Background()
	v := open(t, f.img)
	digest, err := v.OpensNothing(ctx, pass("never"))
	if err != nil || len(digest) != 64 {
		t.Fatal(digest, err)
	}
	opens := func(slot int, pw string) {
		t.Helper()
		var e *luks.OpensError
		if _, err := v.OpensNothing(ctx, pass(pw)); !errors.As(err, &e) || e.Slot != slot {
			t.Errorf("%s: %v", pw, err)
		}
	}
	opens(1, "slot1")
	f.Run("config", "--priority", "ignore", "--key-slot", "1", f.img)
	opens(1, "slot1")
	f.Run("luksAddKey", "--batch-mode", "--unbound", "--key-size", "512", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations",
		"1000", "--key-slot", "3", "--key-file", f.key, f.img, f.Write("own", []byte("own")))
	opens(3, "own")
	// The digest stays through what opens nothing, and changes with what does.
	if got, _ := v.OpensNothing(ctx, pass("never")); got == digest {
		t.Error("a keyslot more, and the digest is the same")
	}
	now, _ := v.SlotsDigest(ctx)
	f.Run("config", "--label", "x", f.img)
	f.Run("token", "add", "--key-description", "x", "--key-slot", "0", f.img)
	if got, _ := v.SlotsDigest(ctx); got != now {
		t.Error("a label or token changes the digest of the keyslots")
	}
	img := f.Read("img")
	i := v.Info().Keyslots[0]
	img[32768+100]++ // a byte of slot 0's key material
	f.put(img)
	if got, _ := v.SlotsDigest(ctx); got == now {
		t.Errorf("changed key material of %+v, and the digest is the same", i)
	}
	// What could not be tried is not known.
	f.put(luks.EditJSON(t, img, `"keyslots":{"0":{"type":"luks2"`, `"keyslots":{"0":{"type":"sellers"`))
	if _, err := v.OpensNothing(ctx, pass("never")); err == nil {
		t.Error("a keyslot of an unknown kind was not tried, and that is fine")
	}
}
