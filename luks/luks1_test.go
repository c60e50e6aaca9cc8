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

// format1 makes a LUKS1 image with cryptsetup.
func format1(t testing.TB, data, slots int, args ...string) *fixture {
	t.Helper()
	p := lukstest.NewPeer(t)
	f := &fixture{Peer: p, offset: 2 << 20}
	f.key = p.Write("key", []byte("first"))
	f.img = p.Write("img", make([]byte, f.offset+data))
	p.Run(append([]string{"luksFormat", "--batch-mode", "--type", "luks1", "--pbkdf-force-iterations", "1000",
		"--key-file", f.key, f.img}, args...)...)
	for i := 1; i <= slots; i++ {
		k := p.Write(fmt.Sprintf("key%d", i), []byte(fmt.Sprintf("slot%d", i)))
		p.Run("luksAddKey", "--batch-mode", "--pbkdf-force-iterations", "1000", "--key-file", f.key, f.img, k)
	}
	var err error
	if f.oldKey, err = f.volumeKey(f.key); err != nil {
		t.Fatal(err)
	}
	f.replacePlain(lukstest.Random(data, 7), 512)
	return f
}

// tries lists which of the passphrases cryptsetup can open the image with.
func (f *fixture) tries(keys ...string) string {
	var ok []string
	for _, k := range keys {
		if _, err := f.Try("open", "--test-passphrase", "--key-file", f.Path(k), f.img); err == nil {
			ok = append(ok, k)
		}
	}
	return strings.Join(ok, " ")
}

func TestLUKS1Keyslots(t *testing.T) {
	f := format1(t, 1<<20, 7) // all eight in use
	f.Write("second", []byte("second"))
	ctx := context.Background()
	v := open(t, f.img)
	in := v.Info()
	if in.Version != 1 || len(in.Keyslots) != 8 || in.KeyBits != 512 && in.KeyBits != 256 ||
		in.DataOffset != int64(f.offset) {
		t.Errorf("%+v", in)
	}
	for slot, p := range map[int]string{0: "first", 5: "slot5", 6: "slot6", 7: "slot7"} {
		if got, err := v.Unlock(ctx, pass(p)); err != nil || got != slot {
			t.Errorf("%s opens %d, %v", p, got, err)
		}
	}
	if err := v.KillKeyslot(ctx, 6, pass("first")); err != nil {
		t.Fatal(err)
	}
	if got := f.tries("key", "key5", "key6", "key7"); got != "key key5 key7" {
		t.Errorf("after killing 6: %s", got)
	}
	if slot, err := v.AddKeyslot(ctx, pass("slot7"), pass("second"), -1); err != nil || slot != 6 {
		t.Errorf("added %d, %v", slot, err)
	}
	if got := f.tries("key", "second"); got != "key second" {
		t.Errorf("after adding: %s", got)
	}
	if err := v.SetPassphrase(ctx, pass("slot3"), pass("third")); err != nil {
		t.Fatal(err)
	}
	f.Write("third", []byte("third"))
	if got := f.tries("key", "key1", "key3", "key7", "second", "third"); got != "third" {
		t.Errorf("after the change: %s", got)
	}
	if in := v.Info(); len(in.Keyslots) != 1 || in.Keyslots[0].ID != 3 {
		t.Errorf("%+v", in.Keyslots)
	}
	f.judge(t, f.Path("third"), 512)
}

func TestLUKS1Backup(t *testing.T) {
	f := format1(t, 1<<20, 1)
	ctx := context.Background()
	if err := open(t, f.img).BackupFile(ctx, f.Path("backup")); err != nil {
		t.Fatal(err)
	}
	f.Run("luksHeaderBackup", "--header-backup-file", f.Path("peer"), f.img)
	for _, name := range []string{"backup", "peer"} {
		img := f.image()
		clear(img[:1<<20])
		f.put(img)
		if err := luks.RestoreHeader(ctx, f.img, bytes.NewReader(f.Read(name)), false, luks.Options{}); err != nil {
			t.Fatal(name, err)
		}
		f.judge(t, f.key, 512)
	}
	f.Run("luksHeaderRestore", "--batch-mode", "--header-backup-file", f.Path("backup"), f.img)
	f.judge(t, f.key, 512)
}

func TestConvertJudgedByCryptsetup(t *testing.T) {
	for _, c := range []struct {
		name  string
		slots int
		args  []string
	}{
		{"512 bit", 1, []string{"--key-size", "512"}},
		{"256 bit sha512", 2, []string{"--key-size", "256", "--hash", "sha512"}},
		{"cbc-essiv sha1", 0, []string{"--cipher", "aes-cbc-essiv:sha256", "--key-size", "256", "--hash", "sha1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := format1(t, 1<<20, c.slots, c.args...)
			ctx := context.Background()
			v := open(t, f.img)
			same := func(when, typ string) {
				t.Helper()
				f.Run("open", "--test-passphrase", "--type", typ, "--key-file", f.key, f.img)
				for i := range c.slots {
					f.Run("open", "--test-passphrase", "--type", typ, "--key-file", f.Path(fmt.Sprintf("key%d", i+1)), f.img)
				}
				if vk, err := f.volumeKey(f.key); err != nil || !bytes.Equal(vk, f.oldKey) {
					t.Fatalf("%s: another volume key, %v", when, err)
				}
			}
			data := bytes.Clone(f.image()[f.offset:])
			for range 2 {
				if err := v.Convert(ctx, 2); err != nil {
					t.Fatal(err)
				}
				same("LUKS2", "luks2")
				if err := v.Convert(ctx, 1); err != nil {
					t.Fatal(err)
				}
				same("LUKS1", "luks1")
			}
			// And cryptsetup can convert what we converted.
			f.Run("convert", "--batch-mode", "--type", "luks2", f.img)
			same("converted by cryptsetup", "luks2")
			if err := open(t, f.img).Convert(ctx, 1); err != nil {
				t.Fatal(err)
			}
			same("and back by us", "luks1")
			if !bytes.Equal(data, f.image()[f.offset:]) {
				t.Error("data was touched")
			}
		})
	}
}

// A LUKS1 volume is re-encrypted by way of LUKS2 and comes back as LUKS1.
func TestReencryptLUKS1(t *testing.T) {
	f := format1(t, 1<<20, 2)
	v := open(t, f.img)
	if err := v.Reencrypt(context.Background(), pass("slot1"),
		luks.ReencryptOptions{Hotzone: 256 << 10, BackToLUKS1: true}); err != nil {
		t.Fatal(err)
	}
	vk := f.judge(t, f.Path("key1"), 512)
	if bytes.Equal(vk, f.oldKey) {
		t.Error("the volume key is the old one")
	}
	if out := f.Run("luksDump", f.img); !strings.Contains(out, "Key Slot 1: ENABLED") ||
		strings.Count(out, "ENABLED") != 1 {
		t.Errorf("not LUKS1 with only slot 1:\n%s", out)
	}
	if got := f.tries("key", "key1", "key2"); got != "key1" {
		t.Errorf("%s open the volume", got)
	}
}

// At no point of the way up and back is the passphrase without a header, and
// cryptsetup opens every one of the states.
func TestConvertCrash(t *testing.T) {
	f := format1(t, 64<<10, 1, "--key-size", "512")
	ctx := context.Background()
	base := f.image()
	d := lukstest.NewDisk(slices.Clone(base), 512)
	d.Record()
	convert := func(d *lukstest.Disk, to ...int) error {
		for _, version := range to {
			v, err := f.open(d)
			if err != nil {
				return err
			}
			if err := v.Convert(ctx, version); err != nil {
				return err
			}
		}
		return nil
	}
	if err := convert(d, 2, 1); err != nil {
		t.Fatal(err)
	}
	log := d.Log()
	n, peerEvery := 100, 20
	if lukstest.Soak() {
		n, peerEvery = 3000, 30
	}
	r := rand.New(rand.NewPCG(8, 8))
	lost := 0
	for i := range n {
		ops := []lukstest.Op(nil)
		switch k := r.IntN(len(log) + 1); {
		case i <= len(log):
			ops = log[:i]
		case i%3 == 0:
			ops = lukstest.Torn(log, k, 512, r)
		default:
			ops = lukstest.PowerLoss(log, k, 512, 0.5, r)
		}
		img := lukstest.Replay(base, ops)
		err := func() error {
			for _, p := range []string{"first", "slot1"} {
				v, err := f.open(lukstest.NewDisk(slices.Clone(img), 512))
				if err != nil {
					return err
				}
				if _, err := v.Unlock(ctx, pass(p)); err != nil {
					return fmt.Errorf("%s: %w", p, err)
				}
			}
			if i%peerEvery == 0 || i <= len(log) && lukstest.Soak() {
				f.put(img)
				if got := f.tries("key", "key1"); got != "key key1" {
					return fmt.Errorf("cryptsetup opens it with %q", got)
				}
			}
			after := lukstest.NewDisk(slices.Clone(img), 512)
			if err := convert(after, 1+i%2); err != nil {
				return fmt.Errorf("going on: %w", err)
			}
			v, err := f.open(after)
			if err != nil {
				return err
			}
			plain, err := luks.Plaintext(v, pass("slot1"))
			if err == nil && !bytes.Equal(plain, f.plain) {
				err = errors.New("LOST: the data differs")
			}
			return err
		}()
		if err != nil {
			if lost++; lost < 10 {
				t.Errorf("point %d, %d operations: %v", i, len(ops), err)
			}
		}
	}
	t.Logf("%d operations, lost %d of %d points", len(log), lost, n)
}
