package gpgcard_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/internal/pcsc"
)

// cheap are the algorithms whose keys are made in no time.
var cheap = []gpgcard.Algorithm{gpgcard.RSA2048, gpgcard.P256, gpgcard.P384, gpgcard.P521, gpgcard.Curve25519}

func TestBackupIsForGPG(t *testing.T) {
	peer(t, "gpg")
	for _, alg := range cheap {
		t.Run(alg.String(), func(t *testing.T) {
			long(t, alg != gpgcard.P256 && alg != gpgcard.RSA2048)
			set, err := gpgcard.NewKeySet(alg, jane, created)
			if err != nil {
				t.Fatal(err)
			}
			defer set.Wipe()
			pass := pin("a long passphrase")
			backup, err := set.Export(pass)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := gpgcard.ParseKeySet(backup, pin("another")); !errors.Is(err, gpgcard.ErrWrongPassphrase) {
				t.Fatalf("another passphrase: %v", err)
			}
			home := shortDir(t)
			file := filepath.Join(home, "backup.asc")
			if err := os.WriteFile(file, backup, 0o600); err != nil {
				t.Fatal(err)
			}
			gpg(t, home, []byte("a long passphrase\n"), "--pinentry-mode", "loopback", "--passphrase-fd", "0", "--import", file)
			out := gpg(t, home, nil, "--with-colons", "--check-sigs")
			if strings.Count(out, "\nsig:!:") != 4 {
				t.Fatalf("signatures:\n%s", out)
			}
			in := filepath.Join(home, "in")
			if err := os.WriteFile(in, []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
			gpg(t, home, []byte("a long passphrase\n"), "--pinentry-mode", "loopback", "--passphrase-fd", "0", "-o", in+".sig",
				"--detach-sign", in)
			sig, err := os.ReadFile(in + ".sig")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := gpgcard.VerifyDetached(set.Cert(), sig, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			gpg(t, home, nil, "--trust-model", "always", "-r", "jane@example.org", "-o", in+".gpg", "-e", in)
			if out := gpg(t, home, []byte("a long passphrase\n"), "--pinentry-mode", "loopback", "--passphrase-fd", "0", "-d",
				in+".gpg"); !strings.Contains(out, "hello") {
				t.Fatal(out)
			}
			rev, err := set.Revocation(created)
			if err != nil {
				t.Fatal(err)
			}
			gpg(t, home, rev, "--import")
			if out := gpg(t, home, nil, "--with-colons", "-k"); !strings.Contains(out, "\npub:r:") {
				t.Fatalf("not revoked:\n%s", out)
			}
			_, _ = tryGPGConf(home)
		})
	}
}

// TestImportThenGPG moves a key set to a card and lets gpg use it there.
func TestImportThenGPG(t *testing.T) {
	for _, tc := range []struct {
		p    cardtest.Profile
		algs []gpgcard.Algorithm
	}{
		{cardtest.ZeitControl, []gpgcard.Algorithm{gpgcard.RSA2048, gpgcard.P521}},
		{cardtest.Nitrokey3, []gpgcard.Algorithm{gpgcard.RSA4096, gpgcard.Curve25519}},
		{cardtest.Gnuk, []gpgcard.Algorithm{gpgcard.RSA2048, gpgcard.RSA4096, gpgcard.Curve25519}},
		{cardtest.YubiKey, []gpgcard.Algorithm{gpgcard.RSA2048, gpgcard.P256}},
		{cardtest.CanoKey, []gpgcard.Algorithm{gpgcard.RSA2048, gpgcard.RSA4096, gpgcard.P384}},
	} {
		for _, alg := range tc.algs {
			t.Run(tc.p.Name+"/"+alg.String(), func(t *testing.T) {
				long(t, alg == gpgcard.RSA4096)
				set := keySet(t, alg)
				testImported(t, tc.p, set, "")
			})
		}
	}
}

// TestImportGPGs imports keys that gpg made, in both of Heads's layouts.
func TestImportGPGs(t *testing.T) {
	peer(t, "gpg")
	for name, batch := range map[string][]string{
		"subkeys": {
			"Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign\n",
			"rsa2048 sign never", "rsa2048 encr never", "rsa2048 auth never",
		},
		"primary signs": {
			"Key-Type: EDDSA\nKey-Curve: ed25519\nKey-Usage: sign\n",
			"cv25519 encr never", "ed25519 auth never",
		},
		"p256": {
			"Key-Type: ECDSA\nKey-Curve: nistp256\nKey-Usage: cert\n",
			"nistp256/ecdsa sign never", "nistp256/ecdh encr never", "nistp256/ecdsa auth never",
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := shortDir(t)
			if err := os.WriteFile(filepath.Join(home, "gpg-agent.conf"), []byte("s2k-count 65536\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = tryGPGConf(home) }()
			loop := []string{"--pinentry-mode", "loopback", "--passphrase", "pass"}
			gpg(t, home, []byte(batch[0]+"Name-Real: Jane Doe\nName-Email: jane@example.org\nExpire-Date: 0\nPassphrase: pass\n%commit\n"), append(loop, "--gen-key")...)
			fpr := field(gpg(t, home, nil, "--with-colons", "-k"), "fpr", 9)
			for _, sub := range batch[1:] {
				gpg(t, home, nil, append(append(loop, "--quick-add-key", fpr), strings.Fields(sub)...)...)
			}
			set, err := gpgcard.ParseKeySet([]byte(gpg(t, home, nil, append(loop, "--armor", "--export-secret-keys", fpr)...)),
				pin("pass"))
			if err != nil {
				t.Fatal(err)
			}
			defer set.Wipe()
			testImported(t, cardtest.YubiKey, set, fpr)
			// Without the primary's secret, as gpg exports subkeys alone.
			if name != "primary signs" {
				part, err := gpgcard.ParseKeySet([]byte(gpg(t, home, nil,
					append(loop, "--armor", "--export-secret-subkeys", fpr)...)), pin("pass"))
				if err != nil {
					t.Fatal(err)
				}
				defer part.Wipe()
				testImported(t, cardtest.Nitrokey3, part, fpr)
			}
		})
	}
}

// testImported imports a set twice (a card and its spare) and lets gpg sign and
// decrypt with the first.
func testImported(t *testing.T, p cardtest.Profile, set *gpgcard.KeySet, fpr string) {
	t.Helper()
	ctx := context.Background()
	cert := set.Cert()
	if fpr != "" && cert.Fingerprint() != fpr {
		t.Fatalf("%s became %s", fpr, cert.Fingerprint())
	}
	d, g := daemon(t, cardtest.New(p), cardtest.New(p))
	for _, reader := range []string{"pcsc:Virtual PCD 0 00 00", "pcsc:Virtual PCD 0 00 01"} {
		c, err := gpgcard.Open(ctx, gpgcard.Selector{Reader: reader}, pcsc.Bus{Socket: d.Socket})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Import(ctx, set, gpgcard.ImportOptions{}); err != nil {
			t.Fatal(err)
		}
		sig, err := c.SignDetached(ctx, cert, nil, []byte("boot"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := c.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range info.Keys {
			if !k.Present || !k.Consistent {
				t.Fatalf("%+v", k)
			}
		}
		c.Close()
		judge(t, cert, sig, []byte("boot"), len(cert.Keys()))
	}
	d.Slots[1].Insert(nil) // gpg 2.2 takes the first card it finds
	file := filepath.Join(g.Home, "cert.asc")
	if err := os.WriteFile(file, cert.Armored(), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, g, nil, "--import", file)
	must(t, g, nil, "--card-status")
	in, sig, enc := filepath.Join(g.Home, "in"), filepath.Join(g.Home, "sig"), filepath.Join(g.Home, "enc")
	if err := os.WriteFile(in, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, g, []byte("123456\n"), "-u", cert.Fingerprint(), "-o", sig, "--detach-sign", in)
	must(t, g, nil, "--verify", sig, in)
	must(t, g, nil, "--trust-model", "always", "-r", cert.Fingerprint(), "-o", enc, "-e", in)
	if out := must(t, g, []byte("123456\n"), "-d", enc); !strings.Contains(out, "hello") {
		t.Fatalf("decrypted:\n%s", out)
	}
}

var sets = map[gpgcard.Algorithm]*gpgcard.KeySet{}

// keySet makes a key set once for all tests: large RSA keys take seconds.
func keySet(t testing.TB, alg gpgcard.Algorithm) *gpgcard.KeySet {
	t.Helper()
	if sets[alg] == nil {
		s, err := gpgcard.NewKeySet(alg, jane, created)
		if err != nil {
			t.Fatal(err)
		}
		sets[alg] = s
	}
	return sets[alg]
}

// field returns a column of the first line of gpg's colon listing with a type.
func field(out, typ string, n int) string {
	for _, l := range strings.Split(out, "\n") {
		if f := strings.Split(l, ":"); f[0] == typ && len(f) > n {
			return f[n]
		}
	}
	return ""
}
