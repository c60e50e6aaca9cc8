package gpgcard_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/pcscdtest"
	"reown/internal/pcsc"
)

// daemon starts a private pcscd with the cards, and a GnuPG home.
func daemon(t testing.TB, cards ...*cardtest.Card) (*pcscdtest.Daemon, *pcscdtest.GPG) {
	t.Helper()
	if err := pcscdtest.Available(); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := shortDir(t)
	d, err := pcscdtest.Start(dir, cards...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	g, err := d.GPG(filepath.Join(dir, "gpg"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Kill)
	return d, g
}

// must runs gpg in a home with the card.
func must(t testing.TB, g *pcscdtest.GPG, stdin []byte, args ...string) string {
	t.Helper()
	out, err := g.Run(stdin, "gpg", append([]string{"--batch", "--pinentry-mode", "loopback", "--passphrase-fd", "0"},
		args...)...)
	if err != nil {
		t.Fatalf("gpg %v: %v\n%s", args, err, out)
	}
	return out
}

// TestOursThenGPG makes keys with our code through pcscd, and lets gpg use them on
// the same card.
func TestOursThenGPG(t *testing.T) {
	for _, tc := range []struct {
		p   cardtest.Profile
		alg gpgcard.Algorithm
	}{
		{cardtest.ZeitControl, gpgcard.RSA2048}, {cardtest.ZeitControl, gpgcard.RSA3072},
		{cardtest.ZeitControl, gpgcard.P256},
		{cardtest.Nitrokey3, gpgcard.P256}, {cardtest.Nitrokey3, gpgcard.Curve25519},
		{cardtest.Gnuk, gpgcard.RSA2048}, {cardtest.Gnuk, gpgcard.Curve25519},
		{cardtest.YubiKey, gpgcard.P384}, {cardtest.YubiKey, gpgcard.Curve25519},
		{cardtest.CanoKey, gpgcard.P384},
		{cardtest.YubiKey, gpgcard.RSA4096}, {cardtest.ZeitControl, gpgcard.P521},
	} {
		t.Run(tc.p.Name+"/"+tc.alg.String(), func(t *testing.T) {
			long(t, tc.alg == gpgcard.RSA4096)
			ctx := context.Background()
			d, g := daemon(t, cardtest.New(tc.p))
			c, err := gpgcard.Open(ctx, gpgcard.Selector{Reader: "pcsc"}, pcsc.Bus{Socket: d.Socket})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Reset(ctx, gpgcard.ResetOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: tc.alg, Created: created}); err != nil {
				t.Fatal(err)
			}
			user, admin := pin("654321 user"), pin("87654321 admin")
			if err := c.SetPINs(ctx, user, admin); err != nil {
				t.Fatal(err)
			}
			cert, err := c.Certificate(ctx, jane, user)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}

			file := filepath.Join(g.Home, "cert.asc")
			if err := os.WriteFile(file, cert.Armored(), 0o600); err != nil {
				t.Fatal(err)
			}
			must(t, g, nil, "--import", file)
			status := must(t, g, nil, "--card-status")
			if strings.Count(status, "ssb>") != 2 || strings.Count(status, "sec>") != 1 {
				t.Fatalf("gpg does not find the keys on the card:\n%s", status)
			}
			// gpg signs and decrypts with the keys that we made.
			in, sig, enc := filepath.Join(g.Home, "in"), filepath.Join(g.Home, "sig"), filepath.Join(g.Home, "enc")
			if err := os.WriteFile(in, []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
			must(t, g, []byte("654321 user\n"), "-u", cert.Fingerprint(), "-o", sig, "--detach-sign", in)
			b, err := os.ReadFile(sig)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := gpgcard.VerifyDetached(cert, b, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			must(t, g, nil, "--trust-model", "always", "-r", cert.Fingerprint(), "-o", enc, "-e", in)
			if out := must(t, g, []byte("654321 user\n"), "-d", enc); !strings.Contains(out, "hello") {
				t.Fatalf("decrypted:\n%s", out)
			}
			g.Kill()

			// And we sign again afterwards.
			c, err = gpgcard.Open(ctx, gpgcard.Selector{Serial: c.Serial().String()}, pcsc.Bus{Socket: d.Socket})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s, err := c.SignDetached(ctx, cert, user, []byte("boot"))
			if err != nil {
				t.Fatal(err)
			}
			judge(t, cert, s, []byte("boot"), 3)
		})
	}
}
