package luks_test

import (
	"bytes"
	"context"
	"errors"
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
	hdr      string // detached header's file; img then holds only data
	oldKey   []byte
	plain    []byte
	raw      []byte // the ciphertext of plain, as it was at first
	offset   int    // of the data in image()
}

// image returns the volume's bytes, those of a detached header in front.
func (f *fixture) image() []byte {
	if f.hdr != "" {
		return append(f.Read("hdr"), f.Read("img")...)
	}
	return f.Read("img")
}

// put is the inverse of image.
func (f *fixture) put(img []byte) {
	if f.hdr != "" {
		f.Write("hdr", img[:f.offset])
		img = img[f.offset:]
	}
	f.Write("img", img)
}

// on returns cryptsetup's arguments with the device last, and its header.
func (f *fixture) on(args ...string) []string {
	if f.hdr != "" {
		args = append(args, "--header", f.hdr)
	}
	return append(args, f.img)
}

// open opens a volume whose image() is in memory.
func (f *fixture) open(d *lukstest.Disk) (*luks.Volume, error) {
	if f.hdr != "" {
		return luks.OpenDevice("disk", d.Window(1, int64(f.offset), d.Size()-int64(f.offset)),
			d.Window(0, 0, int64(f.offset)))
	}
	return luks.OpenDevice("disk", d, nil)
}

// record runs cryptsetup and returns what it wrote, offsets as in image().
func (f *fixture) record(args ...string) []lukstest.Op {
	if f.hdr != "" {
		return f.Recorded([]string{f.hdr, f.img}, []int64{0, int64(f.offset)}, args...)
	}
	return f.Recorded([]string{f.img}, []int64{0}, args...)
}

type shape struct {
	size     int // of the data, bytes
	sector   int
	keyBits  int
	keyslots string // --luks2-keyslots-size
	slots    int    // further keyslots, passphrases "slot1", ...
	detached bool
	sparse   bool // most of the data was never written
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
	start := f.offset
	if s.detached {
		start = 0
		f.hdr = p.Write("hdr", make([]byte, f.offset))
	}
	f.img = p.Write("img", make([]byte, start+s.size))
	p.Run(f.on("luksFormat", "--batch-mode", "--type", "luks2", "--luks2-metadata-size", "16k", "--luks2-keyslots-size",
		s.keyslots,
		"--offset", strconv.Itoa(start/512), "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
		"--sector-size", strconv.Itoa(s.sector), "--key-size", strconv.Itoa(s.keyBits), "--key-file", f.key)...)
	for i := 1; i <= s.slots; i++ {
		k := p.Write("key"+strconv.Itoa(i), []byte("slot"+strconv.Itoa(i)))
		p.Run(append(f.on("luksAddKey", "--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file",
			f.key), k)...)
	}
	var err error
	if f.oldKey, err = f.volumeKey(f.key); err != nil {
		t.Fatal(err)
	}
	f.replacePlain(lukstest.Random(s.size, 7), s.sector)
	if s.sparse {
		f.clearPieces(s.sector)
	}
	return f
}

// volumeKey asks cryptsetup for the volume key.
func (f *fixture) volumeKey(keyFile string) ([]byte, error) {
	if f.hdr != "" {
		return f.VolumeKey(f.hdr, keyFile)
	}
	return f.VolumeKey(f.img, keyFile)
}

// replacePlain gives a fixture other data.
func (f *fixture) replacePlain(plain []byte, sector int) {
	f.plain = plain
	img := f.image()
	f.raw = lukstest.XTS(f.oldKey, plain, sector, true)
	copy(img[f.offset:], f.raw)
	f.put(img)
}

// written are the pieces of 64 KiB that a sparse fixture keeps, of every 32: some alone,
// some together, some between zones of which nothing was written.
const written = 1<<2 | 1<<9 | 1<<10 | 1<<13 | 1<<28

// clearPieces makes a fixture sparse: as on a disk that was used for a while, one sector
// of a piece is enough to have it written.
func (f *fixture) clearPieces(sector int) {
	const piece = 64 << 10
	raw := bytes.Clone(f.raw)
	for at := 0; at < len(raw); at += piece {
		p := raw[at:min(at+piece, len(raw))]
		switch n := at / piece % 32; {
		case written>>n&1 == 0:
			clear(p)
		case n == 9:
			clear(p[sector:])
		case n == 13:
			clear(p[:len(p)-sector])
		}
	}
	f.raw, f.plain = raw, lukstest.XTS(f.oldKey, raw, sector, false)
	img := f.image()
	copy(img[f.offset:], raw)
	f.put(img)
}

// same reports whether data is intact: plain is what it decrypts to now, raw what stands on
// the disk. What was never written must be so still, or else be what it decrypted to.
func (f *fixture) same(plain, raw []byte) bool {
	if len(plain) != len(f.plain) {
		return false
	}
	zero := make([]byte, 512)
	for i := 0; i < len(plain); i += 512 {
		if !bytes.Equal(plain[i:i+512], f.plain[i:i+512]) &&
			!(bytes.Equal(f.raw[i:i+512], zero) && bytes.Equal(raw[i:i+512], zero)) {
			return false
		}
	}
	return true
}

// empty is how many bytes are zero, of the pieces of 64 KiB that are.
func empty(raw []byte) (n int) {
	const piece = 64 << 10
	for at := 0; at < len(raw); at += piece {
		if p := raw[at:min(at+piece, len(raw))]; bytes.Equal(p, make([]byte, len(p))) {
			n += len(p)
		}
	}
	return n
}

// judge lets cryptsetup open the image with a key file and compares the data,
// decrypted by other code, with the original.
func (f *fixture) judge(t testing.TB, keyFile string, sector int) []byte {
	t.Helper()
	if out := f.Run(f.on("luksDump")...); bytes.Contains([]byte(out), []byte("reencrypt")) {
		t.Fatalf("the re-encryption is not finished:\n%s", out)
	}
	f.Run(f.on("open", "--test-passphrase", "--key-file", keyFile)...)
	vk, err := f.volumeKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	raw := f.image()[f.offset:]
	if !f.same(lukstest.XTS(vk, raw, sector, false), raw) {
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
		{"512 to 4096", shape{size: 2 << 20, sector: 512}, luks.ReencryptOptions{Hotzone: 1 << 20, SectorSize: 4096}, 4096,
			64},
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

// Hotzones of the size that is the default, stopped and resumed by either program.
func TestLargeVolume(t *testing.T) {
	size := 72 << 20
	if lukstest.Soak() {
		size = 700<<20 + 4096
	}
	f := format(t, shape{size: size, sector: 4096, keyslots: "992k"})
	for _, by := range []string{"us", "cryptsetup"} {
		ctx, cancel := context.WithCancel(context.Background())
		v := open(t, f.img)
		err := v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{Progress: func(done, n int64) {
			if done > n/3 {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		v.Close()
		if by == "us" {
			err = open(t, f.img).Resume(context.Background(), pass("first"), luks.ReencryptOptions{})
		} else {
			_, err = f.Try("reencrypt", "--resume-only", "--force-offline-reencrypt", "--batch-mode", "--key-file", f.key, f.img)
		}
		if err != nil {
			t.Fatalf("finished by %s: %v", by, err)
		}
		f.judge(t, f.key, 4096)
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
