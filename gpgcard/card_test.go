package gpgcard_test

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
	"reown/internal/secret"
)

// created is a fixed creation time.
var created = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

var jane = gpgcard.Identity{Name: "Jane Doe", Email: "jane@example.org"}

func pin(s string) *secret.Buffer { return secret.From([]byte(s)) }

// open opens the emulated card over an in-process link.
func open(t testing.TB, c *cardtest.Card) *gpgcard.Card {
	t.Helper()
	k, err := gpgcard.Open(context.Background(), gpgcard.Selector{}, cardtest.NewBus(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// shortDir is a private directory with a short path, for sockets.
func shortDir(t testing.TB) string {
	t.Helper()
	d, err := os.MkdirTemp("/tmp", "gc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}

// long skips what takes seconds and is much like the rest, unless REOWN_SOAK=1.
func long(t testing.TB, is bool) {
	t.Helper()
	if is && os.Getenv("REOWN_SOAK") != "1" {
		t.Skip("a long one; set REOWN_SOAK=1")
	}
}

// peer finds a foreign program, or skips the test.
func peer(t testing.TB, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// gpg runs gpg in a home.
func gpg(t testing.TB, home string, stdin []byte, args ...string) string {
	t.Helper()
	out, err := tryGPG(home, stdin, args...)
	if err != nil {
		t.Fatalf("gpg %v: %v\n%s", args, err, out)
	}
	return out
}

func tryGPG(home string, stdin []byte, args ...string) (string, error) {
	c := exec.Command("gpg", append([]string{"--batch", "--homedir", home}, args...)...)
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	c.Stdin = strings.NewReader(string(stdin))
	out, err := c.CombinedOutput()
	return string(out), err
}

// judge lets gpg and gpgv check a certificate and a signature.
func judge(t *testing.T, cert *gpgcard.Cert, sig, data []byte, wantSigs int) {
	t.Helper()
	peer(t, "gpg", "gpgv")
	dir := shortDir(t)
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	asc, bin := write("cert.asc", cert.Armored()), write("cert.gpg", cert.Bytes())
	gpg(t, dir, nil, "--import", asc)
	out := gpg(t, dir, nil, "--with-colons", "--check-sigs", cert.Fingerprint())
	if n := strings.Count(out, "\nsig:!:"); n != wantSigs || strings.Contains(out, "sig:-") ||
		strings.Contains(out, "sig:%") {
		t.Fatalf("%d good signatures, want %d:\n%s", n, wantSigs, out)
	}
	if out := gpg(t, dir, nil, "--list-packets", asc); strings.Contains(out, "notation") {
		t.Fatalf("a notation in the certificate:\n%s", out)
	}
	s, d := write("data.asc", sig), write("data", data)
	gpg(t, dir, nil, "--verify", s, d)
	if out, err := exec.Command("gpgv", "--keyring", bin, s, d).CombinedOutput(); err != nil {
		t.Fatalf("gpgv: %v\n%s", err, out)
	}
	write("data", append(data, 'x'))
	if out, err := exec.Command("gpgv", "--keyring", bin, s, d).CombinedOutput(); err == nil {
		t.Fatalf("gpgv accepts other data:\n%s", out)
	}
}

// own takes an emulated card through the whole flow of the wizard.
func own(t *testing.T, card *cardtest.Card, alg gpgcard.Algorithm) {
	t.Helper()
	ownCard(t, open(t, card), alg)
}

// ownCard destroys what is on a card.
func ownCard(t *testing.T, c *gpgcard.Card, alg gpgcard.Algorithm) {
	ctx := context.Background()
	if err := c.Reset(ctx, gpgcard.ResetOptions{}); err != nil {
		t.Fatal(err)
	}
	var steps []int64
	err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: alg, Created: created,
		Progress: func(d, n int64) { steps = append(steps, d, n) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 8 || steps[6] != 3 || steps[7] != 3 {
		t.Fatalf("progress %v", steps)
	}
	user, admin := pin("correct horse 1"), pin("battery staple 1")
	if err := c.SetIdentity(ctx, nil, "Jane Doe", "jane@example.org"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it finds everything done
		if err := c.SetPINs(ctx, user, admin); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := c.Certificate(ctx, jane, user)
	if err != nil {
		t.Fatal(err)
	}
	if got := cert.UserIDs(); len(got) != 1 || got[0] != "Jane Doe <jane@example.org>" {
		t.Fatalf("user ids %q", got)
	}
	data := []byte("kexec_hashes.txt\n")
	sig, err := c.SignDetached(ctx, cert, user, data)
	if err != nil {
		t.Fatal(err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range info.Keys {
		if !k.Present || !k.Consistent || !k.Created.Equal(created) {
			t.Fatalf("key %d: %+v", i, k)
		}
	}
	if info.Keys[0].Fingerprint != cert.Fingerprint() || info.User.Left != 3 || info.Admin.Left != 3 ||
		info.Name != "Jane Doe" {
		t.Fatalf("%+v", info)
	}
	judge(t, cert, sig, data, 3)
	// Rebuilt from the card alone, it is the same key.
	again, err := c.Certificate(ctx, jane, user)
	if err != nil || again.Fingerprint() != cert.Fingerprint() {
		t.Fatal(err)
	}
	if alg == gpgcard.RSA2048 && !bytes.Equal(again.Bytes(), cert.Bytes()) {
		t.Fatal("the certificate made again is another")
	}
	if _, err := gpgcard.VerifyDetached(again, sig, data); err != nil {
		t.Fatal(err)
	}
}

func TestOwnACard(t *testing.T) {
	for _, p := range cardtest.Profiles {
		for _, alg := range []gpgcard.Algorithm{gpgcard.P256, gpgcard.RSA2048} {
			t.Run(p.Name+"/"+alg.String(), func(t *testing.T) { own(t, cardtest.New(p), alg) })
		}
	}
}

func TestWrongPIN(t *testing.T) {
	ctx := context.Background()
	card := cardtest.New(cardtest.ZeitControl)
	c := open(t, card)
	for left := 2; left >= 1; left-- {
		err := c.Verify(ctx, gpgcard.AdminPIN, pin("wrong PIN"))
		var p *gpgcard.PINError
		if !errors.As(err, &p) || p.Left != left || p.Which != gpgcard.AdminPIN {
			t.Fatalf("got %v", err)
		}
	}
	if err := c.Verify(ctx, gpgcard.AdminPIN, pin("12345678")); !errors.Is(err, gpgcard.ErrLastTry) {
		t.Fatalf("got %v", err)
	}
	if _, left := card.Tries(); left != 1 {
		t.Fatalf("%d tries left: the refused attempt reached the card", left)
	}
	c.AllowLastTry = true
	if err := c.Verify(ctx, gpgcard.AdminPIN, pin("wrong PIN")); !errors.Is(err, gpgcard.ErrBlocked) {
		t.Fatalf("got %v", err)
	}
	if err := c.Verify(ctx, gpgcard.AdminPIN, pin("12345678")); !errors.Is(err, gpgcard.ErrBlocked) {
		t.Fatalf("got %v", err)
	}
}

// tryGPGConf ends the agents of a home.
func tryGPGConf(home string) ([]byte, error) {
	return exec.Command("gpgconf", "--homedir", home, "--kill", "all").CombinedOutput()
}
