package boot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestEvilMaid: what /boot/oem means, on directories as they arise, with signatures
// checked by the key that the ROM holds.
func TestEvilMaid(t *testing.T) {
	sellerSign, seller := fakeKey("seller")
	ownerSign, owner := fakeKey("owner")
	maidSign, maid := fakeKey("maid")
	noKey := func(sig, data []byte) error { return errors.New("the ROM holds no key") }

	touch := func(t *testing.T, dir string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "oem"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shipped := func(t *testing.T) string {
		dir := makeLayout(t, "debian")
		ship(t, dir, sellerSign, seller)
		return dir
	}
	owned := func(t *testing.T) string {
		dir := shipped(t)
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := takeOver(d, ownerSign, owner); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	// shipped2019 follows the instructions of 2019: sign, then touch.
	shipped2019 := func(t *testing.T) string {
		dir := makeLayout(t, "debian")
		os.Remove(filepath.Join(dir, "oem"))
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		replace(t, d, BuildOptions{}, sellerSign, seller)
		touch(t, dir)
		return dir
	}
	touched := func(t *testing.T) string {
		dir := owned(t)
		touch(t, dir)
		return dir
	}
	stageIn := func(t *testing.T, dir string, sign func([]byte) []byte) string {
		t.Helper()
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		set, err := d.Build(context.Background(), BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Stage(set, sign(set.SignedBytes())); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	staged := func(t *testing.T) string { return stageIn(t, shipped(t), ownerSign) }
	maidStaged := func(t *testing.T) string { return stageIn(t, touched(t), maidSign) }
	signedByMaid := func(t *testing.T) string {
		dir := owned(t)
		if err := clean(dir); err != nil {
			t.Fatal(err)
		}
		ship(t, dir, maidSign, maid)
		return dir
	}
	changed := func(make func(*testing.T) string) func(*testing.T) string {
		return func(t *testing.T) string {
			dir := make(t)
			if err := os.WriteFile(filepath.Join(dir, "vmlinuz-6.1.0-18-amd64"), []byte("evil"), 0o644); err != nil {
				t.Fatal(err)
			}
			return dir
		}
	}
	unsigned := func(t *testing.T) string {
		dir := shipped(t)
		if err := clean(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}

	for _, c := range []struct {
		name string
		dir  func(*testing.T) string
		rom  Verifier
		key  KeyOwner
		want Verdict
	}{
		{"as shipped", shipped, seller, KeySeller, Offer},
		{"as shipped, fingerprint not known yet", shipped, seller, KeyUnknown, Offer},
		{"as shipped, then changed", changed(shipped), seller, KeySeller, Tampering},
		{"as shipped, signature dropped", unsigned, seller, KeySeller, Tampering},
		{"the order of 2019", shipped2019, seller, KeySeller, OfferTouched},
		{"the order of 2019, then changed", changed(shipped2019), seller, KeySeller, Tampering},
		{"the order of 2019, seller not known", shipped2019, seller, KeyUnknown, Unexplained},
		{"owned", owned, owner, KeyOther, NoTrigger},
		{"owned, trigger added by the maid", touched, owner, KeyOther, Tampering},
		{"owned, trigger added, seller not known", touched, owner, KeyUnknown, Unexplained},
		{"owned, the seller's /boot put back", shipped, owner, KeyOther, Tampering},
		{"owned, the seller's /boot put back, not known", shipped, owner, KeyUnknown, Tampering},
		{"owned, all signed by the maid's key", signedByMaid, owner, KeyOther, Tampering},
		{"owned, no signature at all", unsigned, owner, KeyOther, Tampering},
		{"our run, firmware written, set staged", staged, owner, KeyThisRun, Continue},
		{"our run before the firmware was written", staged, seller, KeySeller, Offer},
		{"owned, a set staged by the maid", maidStaged, owner, KeyOther, Tampering},
		{"our run, only the trigger left", touched, owner, KeyThisRun, Continue},
		{"our run, only the trigger left, but changed", changed(touched), owner, KeyThisRun, Tampering},
		{"our run, staged, but changed", changed(staged), owner, KeyThisRun, Tampering},
		{"the firmware holds no key", shipped, noKey, KeyNone, Unexplained},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := c.dir(t)
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, dir)
			r, err := d.Verify(c.rom)
			if err != nil {
				t.Fatal(err)
			}
			e, err := d.Evidence(r, c.rom, c.key)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Judge(e)
			if got != c.want {
				t.Errorf("%q from %+v, want %q", got, e, c.want)
			}
			if refused := got == Tampering || got == Unexplained; refused != errors.Is(err, ErrTampering) {
				t.Errorf("%q comes with %v", got, err)
			}
			sameTree(t, before, snapshot(t, dir))
		})
	}
}

// TestJudgeTotal: every combination has a verdict, and no uncovered trigger is an
// invitation unless the key is the seller's and all else is as signed.
func TestJudgeTotal(t *testing.T) {
	for _, oem := range []OEMState{OEMAbsent, OEMCovered, OEMAdded} {
		for bits := range 8 {
			for key := KeyUnknown; key <= KeyNone; key++ {
				e := Evidence{oem, bits&1 != 0, bits&2 != 0, bits&4 != 0, key}
				v, err := Judge(e)
				if v == "" || (v == Tampering || v == Unexplained) != (err != nil) {
					t.Errorf("%+v: %q, %v", e, v, err)
				}
				if (v == Offer || v == OfferTouched) && !(e.Signed && e.Clean) {
					t.Errorf("%+v: %q without a signature that holds", e, v)
				}
				if oem == OEMAdded && (v == Offer || v == OfferTouched) && key != KeySeller {
					t.Errorf("%+v: %q", e, v)
				}
			}
		}
	}
}
