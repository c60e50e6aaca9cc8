package luks_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// Every key derivation and cipher that this cryptsetup can make a keyslot with, we
// open, and we make one like it that cryptsetup opens.
func TestKeyslotsOfEveryKind(t *testing.T) {
	for _, c := range []struct {
		args string
		must bool // every build of cryptsetup has it
	}{
		{"--pbkdf pbkdf2 --hash sha1 --pbkdf-force-iterations 1000", true},
		{"--pbkdf pbkdf2 --hash sha512 --pbkdf-force-iterations 1000", true},
		{"--pbkdf argon2i --pbkdf-memory 64 --pbkdf-force-iterations 4 --pbkdf-parallel 1", true},
		{"--pbkdf argon2id --pbkdf-memory 1024 --pbkdf-force-iterations 4 --pbkdf-parallel 4", true},
		{"--cipher aes-cbc-essiv:sha256 --key-size 256 --pbkdf pbkdf2 --pbkdf-force-iterations 1000", true},
		{"--cipher aes-cbc-plain64 --key-size 128 --pbkdf pbkdf2 --pbkdf-force-iterations 1000", true},
		{"--cipher aes-xts-plain --key-size 256 --pbkdf pbkdf2 --pbkdf-force-iterations 1000", true},
		{"--cipher camellia-xts-plain64 --key-size 512 --pbkdf pbkdf2 --pbkdf-force-iterations 1000", false},
		{"--cipher camellia-cbc-plain64 --key-size 256 --pbkdf pbkdf2 --pbkdf-force-iterations 1000", false},
		{"--cipher twofish-xts-plain64 --key-size 512 --pbkdf pbkdf2 --pbkdf-force-iterations 1000", false},
		{"--pbkdf pbkdf2 --hash blake2b-512 --pbkdf-force-iterations 1000", false},
		{"--pbkdf pbkdf2 --hash ripemd160 --pbkdf-force-iterations 1000", false},
		{"--pbkdf pbkdf2 --hash sha3-256 --pbkdf-force-iterations 1000", false},
	} {
		t.Run(c.args, func(t *testing.T) {
			p := lukstest.NewPeer(t)
			img := p.Write("img", make([]byte, 2<<20))
			key, second := p.Write("key", []byte("first")), p.Write("second", []byte("second"))
			args := append([]string{"luksFormat", "--batch-mode", "--type", "luks2", "--luks2-metadata-size", "16k",
				"--luks2-keyslots-size", "992k", "--offset", "2048", "--key-file", key, img}, strings.Fields(c.args)...)
			if out, err := p.Try(args...); err != nil {
				if c.must {
					t.Fatal(err)
				}
				t.Skipf("this cryptsetup cannot: %s", out)
			}
			v := open(t, img)
			if _, err := v.Unlock(context.Background(), pass("first")); err != nil {
				t.Fatal(err)
			}
			before := v.Info().Keyslots[0]
			if err := v.SetPassphrase(context.Background(), pass("first"), pass("second")); err != nil {
				t.Fatal(err)
			}
			if after := v.Info().Keyslots[0]; after != before {
				t.Errorf("the keyslot was %+v and is %+v", before, after)
			}
			p.Run("open", "--test-passphrase", "--key-file", second, img)
			if _, err := p.Try("open", "--test-passphrase", "--key-file", key, img); err == nil {
				t.Error("the old passphrase still opens it")
			}
		})
	}
}

// Tokens, label and members of the header that nobody knows stay what and where
// they are through a passphrase change and a re-encryption.
func TestNothingIsDropped(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512, slots: 2})
	f.Run("config", "--label", "my disk", "--subsystem", "laptop", f.img)
	f.Run("config", "--priority", "prefer", "--key-slot", "1", f.img)
	f.Write("token", []byte(`{"type":"acme-tpm","keyslots":["1"],"acme-blob":{"a":[1,2.50,"\u00e9"]}}`))
	f.Run("token", "import", "--json-file", f.Path("token"), f.img)
	f.put(luks.EditJSON(t, f.Read("img"), `"config":{`, `"x-future":[null,{"k":1e3}],"config":{"x-hint":"keep me",`))
	v := open(t, f.img)
	ctx := context.Background()
	if err := v.SetPassphrase(ctx, pass("slot1"), pass("second")); err != nil {
		t.Fatal(err)
	}
	if err := v.Reencrypt(ctx, pass("second"), luks.ReencryptOptions{}); err != nil {
		t.Fatal(err)
	}
	text := f.Run("luksDump", "--dump-json-metadata", f.img)
	raw := string(f.Read("img")[4096:16384])
	for _, want := range []string{`"x-future":[null,{"k":1e3}]`, `"x-hint":"keep me"`, `"acme-blob":{"a":[1,2.5`} {
		if !strings.Contains(raw, want) {
			t.Errorf("%s was dropped from\n%s", want, text)
		}
	}
	in := v.Info()
	if in.Label != "my disk" || len(in.Keyslots) != 1 || in.Keyslots[0].ID != 1 || in.Keyslots[0].Priority != 2 ||
		len(in.Tokens) != 1 || !slices.Equal(in.Tokens[0].Keyslots, []int{1}) {
		t.Errorf("%+v", in)
	}
	if out := f.Run("luksDump", f.img); !strings.Contains(out, "laptop") || !strings.Contains(out, "acme-tpm") {
		t.Errorf("subsystem or token is gone:\n%s", out)
	}
	f.judge(t, f.Write("second", []byte("second")), 512)
}

// A bad sector stops the run where it is; once it can be read the run goes on.
func TestUnreadableSector(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	d := lukstest.NewDisk(f.image(), 512)
	bad := int64(f.offset + 700<<10)
	d.BadRead = func(off int64, n int) error {
		if off <= bad && bad < off+int64(n) {
			return &luks.IOError{Op: "read", Offset: off, Len: n, Err: lukstest.ErrFault}
		}
		return nil
	}
	v, err := f.open(d)
	if err != nil {
		t.Fatal(err)
	}
	o := luks.ReencryptOptions{Hotzone: 128 << 10}
	var ioErr *luks.IOError
	if err := v.Reencrypt(context.Background(), pass("first"), o); !errors.As(err, &ioErr) ||
		!errors.Is(err, lukstest.ErrFault) {
		t.Fatalf("%v", err)
	}
	re := v.Info().Reencryption
	if !re.Active || re.Crash || re.Done != 640<<10 {
		t.Errorf("stopped at %+v", re)
	}
	if _, err := f.peerResume(bytes.Clone(d.Bytes())); err != nil {
		t.Errorf("cryptsetup cannot go on: %v", err)
	}
	d.BadRead = nil
	if err := v.Reencrypt(context.Background(), pass("first"), o); err != nil {
		t.Fatal(err)
	}
	if err := f.data(d.Bytes(), 512); err != nil {
		t.Error(err)
	}
}

// With all room for keyslots taken, the slots that have to go anyway make room.
func TestSetPassphraseInAFullHeader(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512, slots: 2}) // three areas fit
	if err := open(t, f.img).SetPassphrase(context.Background(), pass("slot2"), pass("second")); err != nil {
		t.Fatal(err)
	}
	in := open(t, f.img).Info()
	if len(in.Keyslots) != 1 || in.Keyslots[0].ID != 2 {
		t.Errorf("%+v", in.Keyslots)
	}
	f.judge(t, f.Write("second", []byte("second")), 512)
}
