package luks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// kind is the exported error that another one wraps.
func kind(err error) string {
	for _, s := range []error{luks.ErrNoSpace, luks.ErrTooSmall, luks.ErrPartitioned, luks.ErrDisagree, luks.ErrForeign,
		luks.ErrMember, luks.ErrEncrypting,
		luks.ErrUnproven, luks.ErrDecrypting, luks.ErrTwoHeaders, luks.ErrReencrypting} {
		if errors.Is(err, s) {
			return s.Error()
		}
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e.(type) {
		case *luks.UnsupportedError, *luks.RequirementError, *luks.MemoryError, *luks.SlowKDFError, *luks.HeaderError:
			return reflect.TypeOf(e).String()
		}
	}
	return fmt.Sprint(err)
}

// What a rehearsal says is what happens: on volumes of all kinds it names the reason for
// which the run would stop, or none if the run reaches its end. It writes nothing.
func TestRehearsalTellsTheTruth(t *testing.T) {
	ctx := context.Background()
	plain := format(t, shape{size: 1 << 20, sector: 512, slots: 1})
	good := plain.image()
	full := format(t, shape{size: 1 << 20, sector: 512, keyslots: "256k"})
	edit := func(from, to string) []byte { return luks.EditJSON(t, good, from, to) }
	const kdf = `"type":"pbkdf2","hash":"sha256","iterations":1000,"salt":"`
	one := format(t, shape{size: 1 << 20, sector: 512}).image()
	lone := func(to string) []byte { return luks.EditJSON(t, one, kdf, to+`"salt":"`) }
	narrow := format1(t, 1<<20, 1, "--key-size", "256", "--align-payload", "1")
	stopped := format(t, shape{size: 1 << 20, sector: 512}).stopped(t)
	for _, c := range []struct {
		name  string
		img   []byte
		o     luks.ReencryptOptions
		old   string
		alike bool // to another row; for the soak
	}{
		{"LUKS2", good, luks.ReencryptOptions{}, "first", false},
		{"to sectors of 4096", good, luks.ReencryptOptions{SectorSize: 4096}, "first", true},
		{"to sectors of 1000", good, luks.ReencryptOptions{SectorSize: 1000}, "first", false},
		{"journal", good, luks.ReencryptOptions{Resilience: luks.Journal}, "first", true},
		{"no room", full.image(), luks.ReencryptOptions{}, "first", false},
		{"no room for the journal", full.image(), luks.ReencryptOptions{Resilience: luks.Journal}, "first", true},
		{"serpent", edit(`"encryption":"aes-xts-plain64","sector_size"`, `"encryption":"serpent-xts-plain64","sector_size"`),
			luks.ReencryptOptions{}, "first", false},
		{"a requirement of the future", edit(`"config":{`, `"config":{"requirements":{"mandatory":["quantum-v9"]},`),
			luks.ReencryptOptions{}, "first", false},
		{"integrity", edit(`"sector_size":512}`,
			`"sector_size":512,"integrity":{"type":"hmac(sha256)","journal_encryption":"none","journal_integrity":"none"}}`),
			luks.ReencryptOptions{}, "first", false},
		{"data of a fixed size", edit(`"size":"dynamic"`, `"size":"1048576"`), luks.ReencryptOptions{}, "first", false},
		{"data beyond the device", edit(`"size":"dynamic"`, `"size":"1052672"`), luks.ReencryptOptions{}, "first", true},
		{"Argon2 for ever", lone(`"type":"argon2id","time":2147483647,"memory":65536,"cpus":1,`), luks.ReencryptOptions{},
			"first", false},
		{"Argon2 of 4 GiB", lone(`"type":"argon2id","time":4,"memory":4194304,"cpus":4,`), luks.ReencryptOptions{}, "first",
			false},
		{"an unknown key derivation", lone(`"type":"balloon",`), luks.ReencryptOptions{}, "first", false},
		{"an interrupted run", stopped, luks.ReencryptOptions{}, "first", false},
		{"LUKS1", format1(t, 1<<20, 1).image(), luks.ReencryptOptions{BackToLUKS1: true}, "first", true},
		{"LUKS1 with all keyslots", format1(t, 1<<20, 7).image(), luks.ReencryptOptions{}, "first", false},
		{"LUKS1 without room for a longer key", narrow.image(), luks.ReencryptOptions{BackToLUKS1: true}, "first", true},
		{"LUKS1 without room, key kept", narrow.image(), luks.ReencryptOptions{BackToLUKS1: true, KeyBits: 256}, "first",
			false},
		{"a second copy of other times", append(bytes.Clone(good[:16384]), one[16384:]...), luks.ReencryptOptions{}, "first",
			true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.alike && !lukstest.Soak() {
				t.Skip("another of this kind is tried: REOWN_SOAK=1")
			}
			if lukstest.Soak() || c.name == "LUKS2" || strings.HasPrefix(c.name, "Argon2") {
				luks.AtTheFloor(t) // half a second a passphrase
			}
			d := lukstest.NewDisk(bytes.Clone(c.img), 512)
			v, err := luks.OpenDevice("disk", d, nil)
			if err != nil {
				t.Fatal(err)
			}
			v.SetKDF(luks.KDFPBKDF2)
			luks.SetFreeMemory(v, 1<<30)
			r, err := v.Rehearse(ctx, c.o, true)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(d.Bytes(), c.img) {
				t.Fatal("the rehearsal wrote")
			}
			mine := "mine"
			if c.name == "an interrupted run" {
				mine = "first"
			}
			err = v.SetPassphrase(ctx, pass(c.old), pass(mine))
			if err == nil {
				err = v.Reencrypt(ctx, pass(mine), c.o)
			}
			switch {
			case err == nil && len(r.Problems) > 0:
				t.Errorf("it went well; foretold: %v", r.Problems)
			case err != nil && (len(r.Problems) == 0 || kind(r.Problems[0]) != kind(err)):
				t.Errorf("foretold %v, but: %v", r.Problems, err)
			}
			t.Log(r.Problems, r.Cipher, r.KeyBits, err)
		})
	}
}

// An error says what had been written before it, counted at the device: at every write
// and flush that can fail.
func TestErrorsCountWhatWasWritten(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512, slots: 1})
	img, ctx := f.image(), context.Background()
	run := func(n int) (*lukstest.Disk, int, error) {
		d := lukstest.NewDisk(bytes.Clone(img), 512)
		ops := 0
		d.Fault = func(i int, op lukstest.Op) (int, error) {
			ops = i + 1
			if i == n {
				return len(op.Data) / 2, lukstest.ErrFault
			}
			return len(op.Data), nil
		}
		v, err := luks.OpenDevice("disk", d, nil)
		if err == nil {
			err = v.SetPassphrase(ctx, pass("first"), pass("mine"))
		}
		if err == nil {
			err = v.Reencrypt(ctx, pass("mine"), luks.ReencryptOptions{Hotzone: 256 << 10})
		}
		return d, ops, err
	}
	_, total, err := run(-1)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for n := 0; n < total; n++ {
		d, _, err := run(n)
		var w *luks.WroteError
		if !errors.Is(err, lukstest.ErrFault) {
			t.Fatalf("%d of %d: %v", n, total, err)
		}
		if !errors.As(err, &w) {
			t.Fatalf("%d of %d: an error in a write, and nothing was written: %v", n, total, err)
		}
		now := d.Bytes()
		if !w.Header() && !bytes.Equal(now[:32768], img[:32768]) {
			t.Errorf("%d: the header was written: %v", n, w.Names)
		}
		if !w.Data() && !bytes.Equal(now[f.offset:], img[f.offset:]) {
			t.Errorf("%d: data was written: %v", n, w.Names)
		}
		seen[fmt.Sprint(w.Header(), w.Data())] = true
	}
	if len(seen) != 3 {
		t.Errorf("not all kinds of account: %v", seen)
	}
	v, err := luks.OpenDevice("disk", lukstest.NewDisk(bytes.Clone(img), 512), nil)
	if err != nil {
		t.Fatal(err)
	}
	var w *luks.WroteError
	if err := v.SetPassphrase(ctx, pass("wrong"), pass("mine")); errors.As(err, &w) ||
		!errors.Is(err, luks.ErrWrongPassphrase) {
		t.Error(err)
	}
	if err := v.SetPassphrase(ctx, pass("first"), pass("")); !errors.Is(err, luks.ErrEmptyPassphrase) {
		t.Error(err)
	}
}
