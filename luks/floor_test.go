package luks_test

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"

	luksgo "github.com/anatol/luks.go"

	"reown/luks"
	"reown/luks/lukstest"
)

// sellers is a volume as a seller might make it who wants back in: weak in everything
// that a header chooses.
func sellers(t *testing.T) *fixture {
	t.Helper()
	p := lukstest.NewPeer(t)
	f := &fixture{Peer: p, offset: 2 << 20, key: p.Write("key", []byte("first")), img: p.Write("img", make([]byte, 4<<20))}
	weak := []string{"--batch-mode", "--pbkdf", "pbkdf2", "--hash", "sha1", "--pbkdf-force-iterations", "1000",
		"--key-file", f.key}
	p.Run(append([]string{"luksFormat", "--type", "luks2", "--offset", "4096", "--luks2-metadata-size", "16k",
		"--luks2-keyslots-size", "1984k",
		"--cipher", "aes-cbc-plain", "--key-size", "128", f.img}, weak...)...)
	p.Run(append(append([]string{"luksAddKey"}, weak...), "--unbound", "--key-size", "256", f.img,
		p.Write("own", []byte("unbound")))...)
	p.Run("token", "add", "--key-description", "seller", "--key-slot", "0", f.img)
	f.put(luks.EditJSON(t, f.Read("img"), `"config":{`, `"config":{"flags":["allow-discards"],`))
	return f
}

// What a seller chose ends with the re-encryption: cryptsetup says what is there instead.
func TestSellersChoicesEnd(t *testing.T) {
	f := sellers(t)
	luks.AtTheFloor(t)
	ctx := context.Background()
	v := open(t, f.img)
	luks.SetFreeMemory(v, 100<<20)
	weak, err := luks.Plaintext(v, pass("first"))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.SetPassphrase(ctx, pass("first"), pass("mine")); err != nil {
		t.Fatal(err)
	}
	if k := v.Info().Keyslots; len(k) != 1 || k[0].KDF != "argon2id" || k[0].Memory < 64<<20 {
		t.Errorf("after the passphrase: %+v", k)
	}
	if err := v.Reencrypt(ctx, pass("mine"), luks.ReencryptOptions{Fill: true}); err != nil {
		t.Fatal(err)
	}
	v.Close()
	dump := f.Run("luksDump", f.img)
	for _, want := range []string{`cipher: aes-xts-plain64`, `Cipher key: +512 bits`, `PBKDF: +argon2id`,
		`Flags:\s+\(no flags\)`, `AF hash: +sha256`,
		`Digests:\s+0: pbkdf2\s+Hash: +sha256`, `Tokens:\nDigests:`,
		`Keyslots:\n  0: luks2\n\tKey: +512 bits\n\tPriority: +normal`} {
		if !regexp.MustCompile(want).MatchString(dump) {
			t.Errorf("no %q in\n%s", want, dump)
		}
	}
	if m := regexp.MustCompile(`Memory: +(\d+)`).FindStringSubmatch(dump); m == nil {
		t.Error("no memory")
	} else if kib, _ := strconv.Atoi(m[1]); kib < 64<<10 {
		t.Errorf("Argon2 with %d KiB", kib)
	}
	if strings.Contains(dump, "  1: luks2") {
		t.Errorf("the unbound keyslot is there:\n%s", dump)
	}
	mine := f.Write("mine", []byte("mine"))
	vk, err := f.volumeKey(mine)
	if err != nil || !bytes.Equal(lukstest.XTS(vk, f.Read("img")[f.offset:], 4096, false), weak) {
		t.Errorf("the data differs: %v", err)
	}
	dev, err := luksgo.Open(f.img)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if _, err := dev.UnsealVolume(0, []byte("mine")); err != nil {
		t.Error(err)
	}
}

// A boot loader without Argon2, and one that reads LUKS1 only.
func TestFloorForOldBootLoaders(t *testing.T) {
	luks.AtTheFloor(t)
	ctx := context.Background()
	for name, f := range map[string]*fixture{"GRUB": format(t, shape{size: 1 << 20, sector: 512}),
		"LUKS1": format1(t, 1<<20, 1)} {
		v, err := luks.Open(ctx, f.img, luks.Options{KDF: luks.KDFPBKDF2})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.SetPassphrase(ctx, pass("first"), pass("mine")); err != nil {
			t.Fatal(name, err)
		}
		for i := range 2 {
			k := v.Info().Keyslots
			if len(k) != 1 || k[0].KDF != "pbkdf2" || k[0].Iterations < 1_000_000 || i == 1 && k[0].Hash != "sha256" {
				t.Errorf("%s, %d: %+v", name, i, k)
			}
			if i == 0 {
				if err := v.Reencrypt(ctx, pass("mine"), luks.ReencryptOptions{BackToLUKS1: name == "LUKS1"}); err != nil {
					t.Fatal(name, err)
				}
			}
		}
		v.Close()
		f.Run("open", "--test-passphrase", "--key-file", f.Write("mine", []byte("mine")), f.img)
	}
}

// A key derivation that takes too long is refused without being run; one that is merely
// long can be left.
func TestSlowKDF(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	good := f.Read("img")
	const is = `"type":"pbkdf2","hash":"sha256","iterations":1000,"salt":"`
	for name, text := range map[string]string{
		"PBKDF2":           `"type":"pbkdf2","hash":"sha256","iterations":2147483647,"salt":"`,
		"Argon2":           `"type":"argon2id","time":2147483647,"memory":65536,"cpus":1,"salt":"`,
		"Argon2, 4 GiB":    `"type":"argon2id","time":400,"memory":4194304,"cpus":4,"salt":"`,
		"a digest as well": "",
	} {
		img := good
		if text != "" {
			img = luks.EditJSON(t, good, is, text)
		} else {
			is := string(regexp.MustCompile(`"digests":\{"0":\{[^}]*?"iterations":`).Find(good))
			rounds := string(regexp.MustCompile(regexp.QuoteMeta(is) + `\d+`).Find(good))
			img = luks.EditJSON(t, good, rounds, is+"2147483647")
		}
		f.put(img)
		v := open(t, f.img)
		luks.SetFreeMemory(v, 8<<30)
		var slow *luks.SlowKDFError
		if _, err := v.Unlock(context.Background(), pass("first")); !errors.As(err, &slow) || slow.Need.Minutes() < 1 {
			t.Errorf("%s: %v", name, err)
		}
		v.Close()
	}
	f.put(luks.EditJSON(t, good, is, `"type":"argon2id","time":20,"memory":65536,"cpus":1,"salt":"`))
	ctx, cancel := context.WithCancel(context.Background())
	v := open(t, f.img)
	luks.SetFreeMemory(v, 1<<30)
	luks.WhenArgonRuns(cancel)
	if _, err := v.Unlock(ctx, pass("first")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A passphrase that opens the volume already gets a keyslot at the floor, once.
func TestSamePassphraseAtTheFloor(t *testing.T) {
	luks.AtTheFloor(t)
	ctx := context.Background()
	for name, f := range map[string]*fixture{"LUKS2": format(t, shape{size: 1 << 20, sector: 512, slots: 1}),
		"LUKS1": format1(t, 1<<20, 1)} {
		v := open(t, f.img)
		v.SetKDF(luks.KDFPBKDF2)
		var before []byte
		for range 2 {
			before = f.Read("img")
			if err := v.SetPassphrase(ctx, pass("never"), pass("slot1")); err != nil {
				t.Fatal(name, err)
			}
			if k := v.Info().Keyslots; len(k) != 1 || k[0].ID != 1 || k[0].Iterations < 1_000_000 {
				t.Errorf("%s: %+v", name, k)
			}
		}
		if !bytes.Equal(before, f.Read("img")) {
			t.Errorf("%s: the second time was not harmless", name)
		}
		f.judge(t, f.Path("key1"), 512)
	}
}
