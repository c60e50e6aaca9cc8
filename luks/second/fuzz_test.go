package second_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	luksgo "github.com/anatol/luks.go"
	"golang.org/x/crypto/xts"

	"reown/luks"
	"reown/luks/second"
)

// What the volumes of FuzzOpen are made of.
const (
	fuzzRounds  = 1000
	fuzzStripes = 4000
)

var fuzzSalt, fuzzKey = bytes.Repeat([]byte("salt"), 8), []byte("a volume key of thirty-two bytes")

// material is the area of a keyslot that "pass" opens: all stripes but the last are zero.
func material(f testing.TB) []byte {
	derived, err := pbkdf2.Key(sha256.New, "pass", fuzzSalt, fuzzRounds, len(fuzzKey))
	if err != nil {
		f.Fatal(err)
	}
	area := make([]byte, fuzzStripes*len(fuzzKey))
	mixed := make([]byte, len(fuzzKey))
	for range fuzzStripes - 1 {
		sum := sha256.Sum256(append([]byte{0, 0, 0, 0}, mixed...))
		copy(mixed, sum[:])
	}
	last := area[len(area)-len(fuzzKey):]
	for i := range last {
		last[i] = mixed[i] ^ fuzzKey[i]
	}
	c, err := xts.NewCipher(aes.NewCipher, derived)
	if err != nil {
		f.Fatal(err)
	}
	for i := 0; i < len(area); i += 512 {
		c.Encrypt(area[i:i+512], area[i:i+512], uint64(i/512))
	}
	return area
}

// phdr is a LUKS1 header whose keyslot is at 4 KiB.
func phdr(f testing.TB) []byte {
	digest, err := pbkdf2.Key(sha256.New, string(fuzzKey), fuzzSalt, fuzzRounds, 20)
	if err != nil {
		f.Fatal(err)
	}
	h := make([]byte, 592)
	copy(h, "LUKS\xba\xbe\x00\x01aes")
	copy(h[40:], "xts-plain64")
	copy(h[72:], "sha256")
	binary.BigEndian.PutUint32(h[104:], 8+8*256)
	binary.BigEndian.PutUint32(h[108:], uint32(len(fuzzKey)))
	copy(h[112:], digest)
	copy(h[132:], fuzzSalt)
	binary.BigEndian.PutUint32(h[164:], fuzzRounds)
	copy(h[168:], "6e4dcb1c-7d9f-4e0c-a2ef-0d4d8f6d2a51")
	for n := range 8 {
		s := h[208+48*n:]
		binary.BigEndian.PutUint32(s, 0x0000dead)
		if n == 0 {
			binary.BigEndian.PutUint32(s, 0x00ac71f3)
			binary.BigEndian.PutUint32(s[4:], fuzzRounds)
			copy(s[8:], fuzzSalt)
		}
		binary.BigEndian.PutUint32(s[40:], uint32(8+n*256))
		binary.BigEndian.PutUint32(s[44:], fuzzStripes)
	}
	return h
}

// metadata is the JSON of a LUKS2 header whose keyslot is at 32 KiB.
func metadata(f testing.TB) []byte {
	digest, err := pbkdf2.Key(sha256.New, string(fuzzKey), fuzzSalt, fuzzRounds, 32)
	if err != nil {
		f.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"keyslots":{"0":{"type":"luks2","key_size":32,"af":{"type":"luks1","stripes":4000,"hash":"sha256"},`+
		`"area":{"type":"raw","offset":"32768","size":"131072","encryption":"aes-xts-plain64","key_size":32},`+
		`"kdf":{"type":"pbkdf2","hash":"sha256","iterations":%d,"salt":"%s"}}},"tokens":{},`+
		`"segments":{"0":{"type":"crypt","offset":"1048576","size":"dynamic","iv_tweak":"0","encryption":"aes-xts-plain64","sector_size":512}},`+
		`"digests":{"0":{"type":"pbkdf2","keyslots":["0"],"segments":["0"],"hash":"sha256","iterations":%d,"salt":"%s","digest":"%s"}},`+
		`"config":{"json_size":"12288","keyslots_size":"1015808"}}`, fuzzRounds, b64(fuzzSalt), fuzzRounds, b64(fuzzSalt),
		b64(digest))
}

// volume puts a header that may be anything before the keyslot that is meant to open it: a LUKS1
// header, or the JSON of a LUKS2 header, which gets its two copies and right checksums.
func volume(header, material []byte) []byte {
	img := make([]byte, 2<<20)
	if bytes.HasPrefix(header, []byte("LUKS")) {
		copy(img[:4096], header)
		copy(img[4096:], material)
		return img
	}
	for off, magic := range map[int]string{0: "LUKS\xba\xbe", 16384: "SKUL\xba\xbe"} {
		h := img[off : off+16384]
		copy(h, magic)
		binary.BigEndian.PutUint16(h[6:], 2)
		binary.BigEndian.PutUint64(h[8:], uint64(len(h)))
		binary.BigEndian.PutUint64(h[16:], 1)
		copy(h[72:], "sha256")
		copy(h[168:], "6e4dcb1c-7d9f-4e0c-a2ef-0d4d8f6d2a51")
		binary.BigEndian.PutUint64(h[256:], uint64(off))
		copy(h[4096:], header)
		sum := sha256.Sum256(h)
		copy(h[448:], sum[:])
	}
	copy(img[32768:], material)
	return img
}

// FuzzOpen: of a header that package luks has opened the second reader says that it finds the
// same key, or that it cannot open it. It never finds another key, and ends.
func FuzzOpen(f *testing.F) {
	area, ctx, salt := material(f), context.Background(), []byte("salt of the mark")
	name := filepath.Join(f.TempDir(), "volume")
	open := func(header []byte, offset int64) (byUs bool, err error) {
		img := append(make([]byte, offset), volume(header, area)...)
		if err := os.WriteFile(name, img, 0o600); err != nil {
			return false, err
		}
		v, err := luks.Open(ctx, name, luks.Options{Offset: offset, ReadOnly: true})
		if err != nil {
			return false, err
		}
		defer v.Close()
		for _, k := range v.Info().Keyslots {
			if k.Iterations > 10*fuzzRounds || k.Time > 4 || k.Memory > 1<<20 {
				return false, errors.New("costs more than fuzzing has time for")
			}
		}
		slot, err := v.Unlock(ctx, pass("pass"))
		if err != nil {
			return false, err
		}
		mark, err := v.Mark(ctx, pass("pass"), salt)
		if err != nil {
			return false, err
		}
		return true, second.Open(ctx, name, offset, 0, slot, pass("pass"), salt, mark)
	}
	for _, seed := range [][]byte{phdr(f), metadata(f)} {
		for _, offset := range []int64{0, 1 << 20} {
			if byUs, err := open(seed, offset); err != nil || !byUs {
				f.Fatalf("the seed at %d is opened by us %v, %v", offset, byUs, err)
			}
		}
		f.Add(seed)
	}
	f.Add(bytes.Replace(metadata(f), []byte(`"digest":"`), []byte(`"digest":"AAAA`), 1)) // longer than the hash
	f.Fuzz(func(t *testing.T, header []byte) {
		if byUs, err := open(header, 0); byUs && err != nil && !errors.Is(err, second.ErrCannot) {
			t.Fatal(err)
		}
	})
}

// TestWipe: the volume key is gone when the readers have been compared. Only the library that is
// shipped can do that.
func TestWipe(t *testing.T) {
	if _, ok := any(new(luksgo.Volume)).(interface{ Wipe() }); !ok {
		t.Skip("the library without our patches, which make test uses, keeps the key")
	}
	name := filepath.Join(t.TempDir(), "volume")
	if err := os.WriteFile(name, volume(metadata(t), material(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	dev, err := luksgo.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	v, err := dev.UnsealVolume(0, []byte("pass"))
	if err != nil {
		t.Fatal(err)
	}
	mac := func() []byte {
		sum, err := v.HMAC(crypto.SHA256, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	of := func(key []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte("message"))
		return h.Sum(nil)
	}
	if !bytes.Equal(mac(), of(fuzzKey)) {
		t.Fatal("another key")
	}
	any(v).(interface{ Wipe() }).Wipe()
	if !bytes.Equal(mac(), of(make([]byte, len(fuzzKey)))) {
		t.Error("the key is still there")
	}
}
