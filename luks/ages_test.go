package luks_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// A keyslot that this program cannot use is one keyslot less, and what cryptsetup calls
// no LUKS header is none here.
func TestHeadersOfOtherAges(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512, slots: 1})
	good, ctx := f.Read("img"), context.Background()
	slot0 := `"keyslots":{"0":{"type":"luks2"`
	if !bytes.Contains(good, []byte(slot0)) {
		t.Fatalf("%s", good[4096:6000])
	}
	rest := string(good[4096 : 4096+bytes.IndexByte(good[4096:], 0)])
	digest := rest[strings.Index(rest, `"digests":`):]
	digest = digest[:strings.Index(digest, `}}`)+2]
	for _, c := range []struct {
		name, from, to string
		usable         bool // by the other keyslot
	}{
		{"an unknown key derivation", firstKDF(rest), `"kdf":{"type":"balloon","cost":3}`, true},
		{"an unknown digest beside", digest, strings.Replace(digest[:len(digest)-1], `"keyslots":["0","1"]`,
			`"keyslots":["1"]`, 1) + `,"1":{"type":"x","keyslots":["0"],"segments":[]}}`, true},
		{"a keyslot in no digest", `"keyslots":["0","1"]`, `"keyslots":["1"]`, false},
		{"no digest", digest, `"digests":{}`, false},
		{"a flag without a description", `"config":{`, `"config":{"requirements":{"mandatory":["online-reencrypt-v2"]},`,
			false},
		{"requirements that are a list", `"config":{`, `"config":{"requirements":["opal"],`, false},
	} {
		img := luks.EditJSON(t, good, c.from, c.to)
		f.put(img)
		_, dump := f.Try("luksDump", f.img)
		if (dump == nil) != c.usable {
			t.Errorf("%s: cryptsetup says %v", c.name, dump)
		}
		v, err := luks.Open(ctx, f.img, luks.Options{})
		if !c.usable {
			if k := luks.Find(ctx, f.img, luks.Options{}).Kind; err == nil || k != luks.Ambiguous {
				t.Errorf("%s: %v, found as %v", c.name, err, k)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if slot, err := v.Unlock(ctx, pass("slot1")); err != nil || slot != 1 {
			t.Errorf("%s: %d %v", c.name, slot, err)
		}
		var un *luks.UnsupportedError
		if _, err := v.Unlock(ctx, pass("first")); !errors.As(err, &un) && !errors.Is(err, luks.ErrWrongPassphrase) {
			t.Errorf("%s, its own passphrase: %v", c.name, err)
		}
		if err := v.SetPassphrase(ctx, pass("slot1"), pass("mine")); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		v.Close()
		f.judge(t, f.Write("mine", []byte("mine")), 512)
	}
}

// firstKDF is the description of the first keyslot's key derivation.
func firstKDF(json string) string {
	s := json[strings.Index(json, `"kdf":{`):]
	return s[:strings.Index(s, "}")+1]
}

// cryptsetup's encryption and decryption in place are named, and left to it. The advice
// that is given is followed here.
func TestOtherModesOfCryptsetup(t *testing.T) {
	ctx := context.Background()
	p := lukstest.NewPeer(t)
	key := p.Write("key", []byte("first"))
	plain := lukstest.Random(24<<20, 1)
	img := p.Write("img", append(bytes.Clone(plain), make([]byte, 8<<20)...))
	p.Run("reencrypt", "--batch-mode", "--force-offline-reencrypt", "--encrypt", "--init-only", "--type", "luks2",
		"--reduce-device-size", "8M",
		"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", key, img)
	refused := func(mode string, want error) {
		t.Helper()
		before := p.Read("img")
		v, err := luks.Open(ctx, img, luks.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if r := v.Info().Reencryption; !r.Active || r.Mode != mode {
			t.Errorf("%+v", r)
		}
		for name, err := range map[string]error{
			"passwd":    v.SetPassphrase(ctx, pass("first"), pass("mine")),
			"resume":    v.Resume(ctx, pass("first"), luks.ReencryptOptions{}),
			"reencrypt": v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{}),
		} {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if r, err := v.Rehearse(ctx, luks.ReencryptOptions{}, true); err != nil || len(r.Problems) != 1 ||
			!errors.Is(r.Problems[0], want) {
			t.Errorf("rehearsed: %+v %v", r, err)
		}
		if !bytes.Equal(before, p.Read("img")) {
			t.Error("something was written")
		}
	}
	refused("encrypt", luks.ErrEncrypting)
	p.Run("reencrypt", "--batch-mode", "--resume-only", "--force-offline-reencrypt", "--key-file", key, img)
	v := open(t, img)
	if got, err := luks.Plaintext(v, pass("first")); err != nil || !bytes.HasPrefix(got, plain) {
		t.Errorf("after the advice the data differs: %v", err)
	}
}

// LUKS1 as cryptsetup 1.0 laid it out: key material from byte 1,024 on, right behind the
// table. Made from one of today; cryptsetup says whether it is still one.
func TestLUKS1OfCryptsetup10(t *testing.T) {
	f := format1(t, 1<<20, 0)
	img := f.Read("img")
	be := binary.BigEndian
	const area = 64 * 4000
	material := bytes.Clone(img[4096 : 4096+area])
	clear(img[1024 : 8*area+1024])
	copy(img[1024:], material)
	for i := range 8 {
		be.PutUint32(img[208+48*i+40:], uint32(1024+i*area)/512)
	}
	f.put(img)
	f.Run("open", "--test-passphrase", "--key-file", f.key, f.img)
	ctx := context.Background()
	if k := luks.Find(ctx, f.img, luks.Options{}); k.Kind != luks.Container || k.Version != 1 {
		t.Errorf("%+v", k)
	}
	v := open(t, f.img)
	r, err := v.Rehearse(ctx, luks.ReencryptOptions{}, true)
	var un *luks.UnsupportedError
	if err != nil || len(r.Problems) != 1 || !errors.As(r.Problems[0], &un) {
		t.Errorf("%+v %v", r, err)
	}
	if err := v.SetPassphrase(ctx, pass("first"), pass("mine")); err != nil {
		t.Fatal(err)
	}
	f.judge(t, f.Write("mine", []byte("mine")), 512)
}

// A volume whose partition ends before the run that it describes.
func TestVolumeShorterThanItsRun(t *testing.T) {
	f := format(t, shape{size: 2 << 20, sector: 512})
	half := f.stopped(t)
	for _, n := range []int{f.offset + 512<<10, f.offset + 4096} {
		d := lukstest.NewDisk(bytes.Clone(half[:n]), 512)
		v, err := luks.OpenDevice("disk", d, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Resume(context.Background(), pass("first"), luks.ReencryptOptions{}); !errors.Is(err, luks.ErrTooSmall) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if !bytes.Equal(d.Bytes(), half[:n]) {
			t.Error("something was written")
		}
	}
}
