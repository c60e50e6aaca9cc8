package keybox_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/keybox"
)

var created = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// certs makes certificates on emulated cards.
func certs(t testing.TB, n int) (out []*gpgcard.Cert, sig []byte) {
	t.Helper()
	ctx := context.Background()
	for i := range n {
		for {
			c, err := gpgcard.Open(ctx, gpgcard.Selector{}, cardtest.NewBus(cardtest.New(cardtest.Nitrokey3)))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.Curve25519, Created: created}); err != nil {
				t.Fatal(err)
			}
			cert, err := c.Certificate(ctx, gpgcard.Identity{Name: "Jane Doe", Comment: string(rune('a' + i)),
				Email: "jane@example.org"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 && out[0].Fingerprint()[:2] == cert.Fingerprint()[:2] {
				continue // the trustdb writer refuses these
			}
			out = append(out, cert)
			if sig, err = c.SignDetached(ctx, cert, nil, []byte("data")); err != nil {
				t.Fatal(err)
			}
			c.Close()
			break
		}
	}
	return out, sig
}

func run(t *testing.T, home, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "GNUPGHOME="+home, "LC_ALL=C.UTF-8")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestGnuPGReadsOurs puts our two files into a home and lets gpg work with it as
// Heads does.
func TestGnuPGReadsOurs(t *testing.T) {
	list, sig := certs(t, 2)
	home, err := os.MkdirTemp("/tmp", "kb")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	kbx, err := keybox.Write(created, list...)
	if err != nil {
		t.Fatal(err)
	}
	tdb, err := keybox.WriteTrustDB(created, list...)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"pubring.kbx": kbx, "trustdb.gpg": tdb, "sig": sig, "data": []byte("data")} {
		if err := os.WriteFile(filepath.Join(home, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func() string {
		return run(t, home, "gpg", "--batch", "--no-auto-check-trustdb", "--with-colons", "--list-keys")
	}
	out := read()
	for _, c := range list {
		if !strings.Contains(out, "fpr:::::::::"+c.Fingerprint()+":") {
			t.Fatalf("gpg does not list %s:\n%s", c.Fingerprint(), out)
		}
	}
	if strings.Count(out, "\npub:u:") != 2 || strings.Count(out, "\nuid:u:") != 2 {
		t.Fatalf("not ultimately trusted:\n%s", out)
	}
	v := run(t, home, "gpg", "--batch", "--status-fd", "1", "--no-auto-check-trustdb", "--verify",
		filepath.Join(home, "sig"), filepath.Join(home, "data"))
	if !strings.Contains(v, "TRUST_ULTIMATE") {
		t.Fatalf("gpg --verify:\n%s", v)
	}
	run(t, home, "gpg", "--batch", "--list-keys", "jane@example.org") // finds by user id, from the index
	run(t, home, "gpgv", "--keyring", filepath.Join(home, "pubring.kbx"), filepath.Join(home, "sig"),
		filepath.Join(home, "data"))
	if out := run(t, home, "kbxutil", filepath.Join(home, "pubring.kbx")); strings.Contains(strings.ToLower(out),
		"error") {
		t.Fatalf("kbxutil:\n%s", out)
	}
	for name, want := range map[string][]byte{"pubring.kbx": kbx, "trustdb.gpg": tdb} {
		if got, err := os.ReadFile(filepath.Join(home, name)); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("gpg had to change %s (%v)", name, err)
		}
	}
	run(t, home, "gpg", "--batch", "--check-trustdb")
	if out := read(); strings.Count(out, "\nuid:u:") != 2 {
		t.Fatalf("after gpg's own check:\n%s", out)
	}
}

// TestWeReadGnuPGs reads a keybox that gpg wrote.
func TestWeReadGnuPGs(t *testing.T) {
	list, _ := certs(t, 2)
	home, err := os.MkdirTemp("/tmp", "kb")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	for _, c := range list {
		p := filepath.Join(home, "c")
		if err := os.WriteFile(p, c.Armored(), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, home, "gpg", "--batch", "--import", p)
	}
	b, err := os.ReadFile(filepath.Join(home, "pubring.kbx"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := keybox.Read(b)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d certificates, %v", len(got), err)
	}
	for i := range got {
		if got[i].Fingerprint() != list[i].Fingerprint() || len(got[i].Keys()) != 3 {
			t.Fatalf("certificate %d: %s", i, got[i].Fingerprint())
		}
	}
}

func TestReadRefusesDamage(t *testing.T) {
	list, _ := certs(t, 1)
	kbx, err := keybox.Write(created, list...)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keybox.Read(kbx); err != nil || len(got) != 1 || got[0].Fingerprint() != list[0].Fingerprint() {
		t.Fatalf("our own file: %v", err)
	}
	for at := 32; at < len(kbx); at++ {
		if at >= 36 && at < 40 {
			continue // type and flags of a blob: another type is skipped
		}
		bad := bytes.Clone(kbx)
		bad[at] ^= 1
		if _, err := keybox.Read(bad); !errors.Is(err, keybox.ErrMalformed) {
			t.Fatalf("byte %d changed: %v", at, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	list, _ := certs(f, 1)
	kbx, err := keybox.Write(created, list...)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(kbx)
	f.Add(kbx[:32])
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := keybox.Read(b); err == nil {
			for _, x := range c {
				_ = x.UserIDs()
			}
		}
	})
}
