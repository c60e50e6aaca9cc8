package luks_test

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"testing"

	"reown/internal/secret"
	"reown/luks"
	"reown/luks/lukstest"
)

func pass(s string) *secret.Buffer { return secret.From([]byte(s)) }

// A fixture is a small LUKS2 image made by cryptsetup, with known plaintext.
type fixture struct {
	*lukstest.Peer
	img, key string // image and key file, passphrase "first"
	oldKey   []byte
	plain    []byte
	offset   int
}

type shape struct {
	size     int // of the data, bytes
	sector   int
	keyBits  int
	keyslots string // --luks2-keyslots-size
	slots    int    // further keyslots, passphrases "slot1", ...
}

func format(t testing.TB, s shape) *fixture {
	t.Helper()
	p := lukstest.NewPeer(t)
	f := &fixture{Peer: p, offset: 1 << 20}
	if s.keyslots == "" {
		s.keyslots = "992k"
	}
	if s.keyBits == 0 {
		s.keyBits = 512
	}
	f.key = p.Write("key", []byte("first"))
	f.img = p.Write("img", make([]byte, f.offset+s.size))
	p.Run("luksFormat", "--batch-mode", "--type", "luks2", "--luks2-metadata-size", "16k", "--luks2-keyslots-size", s.keyslots,
		"--offset", strconv.Itoa(f.offset/512), "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
		"--sector-size", strconv.Itoa(s.sector), "--key-size", strconv.Itoa(s.keyBits), "--key-file", f.key, f.img)
	for i := 1; i <= s.slots; i++ {
		k := p.Write("key"+strconv.Itoa(i), []byte("slot"+strconv.Itoa(i)))
		p.Run("luksAddKey", "--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", f.key, f.img, k)
	}
	var err error
	if f.oldKey, err = p.VolumeKey(f.img, f.key); err != nil {
		t.Fatal(err)
	}
	f.plain = lukstest.Random(s.size, 7)
	img := p.Read("img")
	copy(img[f.offset:], lukstest.XTS(f.oldKey, f.plain, s.sector, true))
	p.Write("img", img)
	return f
}

// judge lets cryptsetup open the image with a key file and compares the data,
// decrypted by other code, with the original.
func (f *fixture) judge(t testing.TB, keyFile string, sector int) []byte {
	t.Helper()
	if out := f.Run("luksDump", f.img); bytes.Contains([]byte(out), []byte("reencrypt")) {
		t.Fatalf("the re-encryption is not finished:\n%s", out)
	}
	f.Run("open", "--test-passphrase", "--key-file", keyFile, f.img)
	vk, err := f.VolumeKey(f.img, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	img, err := os.ReadFile(f.img)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(lukstest.XTS(vk, img[f.offset:], sector, false), f.plain) {
		t.Fatal("the data differs")
	}
	return vk
}

func open(t testing.TB, path string) *luks.Volume {
	t.Helper()
	v, err := luks.Open(context.Background(), path, luks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func TestReencryptJudgedByCryptsetup(t *testing.T) {
	for _, c := range []struct {
		name    string
		shape   shape
		o       luks.ReencryptOptions
		sector  int
		keySize int
	}{
		{"512", shape{size: 2 << 20, sector: 512}, luks.ReencryptOptions{Hotzone: 512 << 10}, 512, 64},
		{"4096", shape{size: 2 << 20, sector: 4096}, luks.ReencryptOptions{Hotzone: 768 << 10}, 4096, 64},
		{"512 to 4096", shape{size: 2 << 20, sector: 512}, luks.ReencryptOptions{Hotzone: 1 << 20, SectorSize: 4096}, 4096, 64},
		{"256 to 512 bit", shape{size: 2 << 20, sector: 512, keyBits: 256}, luks.ReencryptOptions{KeyBits: 512}, 512, 64},
		{"512 to 256 bit", shape{size: 2 << 20, sector: 512}, luks.ReencryptOptions{KeyBits: 256}, 512, 32},
		{"journal", shape{size: 3 << 20, sector: 512}, luks.ReencryptOptions{Resilience: luks.Journal}, 512, 64},
		{"odd size", shape{size: 2<<20 + 512, sector: 512}, luks.ReencryptOptions{Hotzone: 512 << 10}, 512, 64},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := format(t, c.shape)
			v := open(t, f.img)
			before := v.Info()
			var last, total int64
			c.o.Progress = func(d, n int64) { last, total = d, n }
			if err := v.Reencrypt(context.Background(), pass("first"), c.o); err != nil {
				t.Fatal(err)
			}
			if last != total || total != int64(c.shape.size) {
				t.Errorf("progress ended at %d of %d", last, total)
			}
			vk := f.judge(t, f.key, c.sector)
			if bytes.Equal(vk, f.oldKey) || len(vk) != c.keySize {
				t.Errorf("the volume key is the old one or %d bytes long", len(vk))
			}
			in := open(t, f.img).Info()
			if in.KeyDigest == before.KeyDigest || in.Reencryption.Active || len(in.Keyslots) != 1 || in.Keyslots[0].ID != 0 {
				t.Errorf("afterwards: %+v", in)
			}
		})
	}
}

func TestSetPassphrase(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512, slots: 2})
	second := f.Write("second", []byte("second"))
	v := open(t, f.img)
	ctx := context.Background()
	if err := v.SetPassphrase(ctx, pass("wrong"), pass("second")); err == nil {
		t.Fatal("a wrong passphrase was accepted")
	}
	for range 2 { // the second time is a no-op
		if err := v.SetPassphrase(ctx, pass("first"), pass("second")); err != nil {
			t.Fatal(err)
		}
	}
	if vk := f.judge(t, second, 512); !bytes.Equal(vk, f.oldKey) {
		t.Error("the volume key changed")
	}
	for _, k := range []string{f.key, f.Path("key1"), f.Path("key2")} {
		if _, err := f.Try("open", "--test-passphrase", "--key-file", k, f.img); err == nil {
			t.Errorf("%s still opens the volume", k)
		}
	}
	if in := v.Info(); len(in.Keyslots) != 1 || in.Keyslots[0].ID != 0 {
		t.Errorf("keyslots: %+v", in.Keyslots)
	}
}

func TestPeerFinishesOurs(t *testing.T) {
	f := format(t, shape{size: 4 << 20, sector: 512})
	v := open(t, f.img)
	ctx, cancel := context.WithCancel(context.Background())
	err := v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{Hotzone: 512 << 10, Progress: func(d, n int64) {
		if d >= n/2 {
			cancel()
		}
	}})
	if err == nil {
		t.Fatal("the run was not stopped")
	}
	t.Log(err)
	v.Close()
	f.Run("reencrypt", "--resume-only", "--force-offline-reencrypt", "--batch-mode", "--key-file", f.key, f.img)
	f.judge(t, f.key, 512)
}
