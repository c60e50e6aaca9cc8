package lab

import (
	"encoding/base32"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"reown/gpgcard/cardtest/pcscdtest"
	"reown/tpm/tpmtest"
)

// templates are laptops as they were shipped, switched off, by what was
// asked for: building one takes seconds, copying one does not.
var templates = map[Options]*Laptop{}

// newLaptop returns a laptop as the seller ships it, switched on.
func newLaptop(t *testing.T, o Options) *Laptop {
	t.Helper()
	o.Lean = !soak()
	key := o
	if templates[key] == nil {
		dir, err := os.MkdirTemp("/tmp", "lab") // sockets want a short path
		if err != nil {
			t.Fatal(err)
		}
		o.Dir = dir
		l, err := New(t.Context(), o)
		if errors.Is(err, pcscdtest.ErrMissing) || errors.Is(err, tpmtest.ErrNoSwtpm) {
			os.RemoveAll(dir)
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Stop()
		templates[key] = l
	}
	return templates[key].copyOf(t)
}

// TestSellersLaptop checks that the lab's laptop is what a seller ships: Heads
// would boot it, and its TPM unseals after a restart.
func TestSellersLaptop(t *testing.T) {
	ctx := t.Context()
	l := newLaptop(t, Options{DataMiB: 64})
	files, err := ROMFiles(ctx, l.ROM())
	if err != nil {
		t.Fatal(err)
	}
	ring := filepath.Join(l.Dir, "ring.kbx")
	for _, f := range files {
		if f.Name == "heads/initrd/.gnupg/pubring.kbx" {
			if err := os.WriteFile(ring, f.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := HeadsVerify(ctx, l.BootDir(), ring); err != nil {
		t.Error(err)
	}
	l.Stop()
	l, err = Load(l.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	got, err := l.Heads.Unseal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if base32.StdEncoding.EncodeToString(got) != l.Seller.TOTP {
		t.Error("another secret was unsealed")
	}
	rollback, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_rollback.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Heads.CheckRollback(ctx, rollback); err != nil {
		t.Error(err)
	}
	if _, err := l.SellerSigns([]byte("x")); err != nil {
		t.Errorf("the seller's card after a restart: %v", err)
	}
}
