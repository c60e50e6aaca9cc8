package gpgcard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
)

// TestVerifyIsStrict lets gpg make signatures that must and must not be accepted.
func TestVerifyIsStrict(t *testing.T) {
	peer(t, "gpg")
	home := shortDir(t)
	defer func() { _, _ = tryGPGConf(home) }()
	if err := os.WriteFile(filepath.Join(home, "gpg-agent.conf"), []byte("s2k-count 65536\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var certs []*gpgcard.Cert
	for _, alg := range []gpgcard.Algorithm{gpgcard.Curve25519, gpgcard.RSA2048} {
		set := keySet(t, alg)
		b, err := set.Export(pin("pass"))
		if err != nil {
			t.Fatal(err)
		}
		gpg(t, home, b, "--pinentry-mode", "loopback", "--passphrase", "pass", "--import")
		certs = append(certs, set.Cert())
	}
	mine, other := certs[1], certs[0]
	data := []byte("kexec hashes\n")
	file := filepath.Join(home, "data")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(args ...string) []byte {
		t.Helper()
		args = append([]string{"--pinentry-mode", "loopback", "--passphrase", "pass", "--yes", "-o", file + ".sig"}, args...)
		gpg(t, home, nil, append(args, file)...)
		b, err := os.ReadFile(file + ".sig")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	u := mine.Fingerprint()
	for name, sig := range map[string][]byte{
		"binary":   sign("-u", u, "--detach-sign"),
		"armoured": sign("-u", u, "--armor", "--detach-sign"),
		"SHA-512":  sign("-u", u, "--digest-algo", "SHA512", "--detach-sign"),
	} {
		info, err := gpgcard.VerifyDetached(mine, sig, data)
		if err != nil || info.Fingerprint != mine.Keys()[1].Fingerprint {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		if _, err := gpgcard.VerifyDetached(mine, sig, append(bytes.Clone(data), '\n')); !errors.Is(err,
			gpgcard.ErrBadSignature) {
			t.Errorf("%s over other data: %v", name, err)
		}
		if _, err := gpgcard.VerifyDetached(other, sig, data); !errors.Is(err, gpgcard.ErrBadSignature) {
			t.Errorf("%s by another key: %v", name, err)
		}
	}
	good := sign("-u", u, "--detach-sign")
	for name, sig := range map[string][]byte{
		"empty":          nil,
		"text document":  sign("-u", u, "--textmode", "--detach-sign"),
		"SHA-1":          sign("-u", u, "--digest-algo", "SHA1", "--weak-digest", "MD5", "--detach-sign"),
		"two signatures": append(bytes.Clone(good), good...),
		"whole message":  sign("-u", u, "--compress-algo", "none", "--sign"),
		"a certificate":  mine.Bytes(),
		"expired": sign("-u", u, "--faked-system-time", "20261121T000000!", "--default-sig-expire", "1d",
			"--detach-sign"),
		"trailing bytes":     append(bytes.Clone(good), 0),
		"without its armour": []byte("iQEzBAABCAAdFiEE"),
	} {
		_, err := gpgcard.VerifyDetached(mine, sig, data)
		if name == "expired" {
			// It was good when it was made: the clock plays no part.
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.Is(err, gpgcard.ErrBadSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExchangedCard: a card that says that it holds a key, and signs by another, gives nothing that could be
// taken for that key's.
func TestExchangedCard(t *testing.T) {
	ctx := context.Background()
	var saved [2]map[string]any
	var certs [2]*gpgcard.Cert
	for i := range saved {
		card := cardtest.New(cardtest.Nitrokey3)
		c := open(t, card)
		err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created})
		if err == nil {
			certs[i], err = c.Certificate(ctx, jane, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := card.Save()
		if err == nil {
			err = json.Unmarshal(b, &saved[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	saved[1]["DO"] = saved[0]["DO"] // with the fingerprints
	b, err := json.Marshal(saved[1])
	if err != nil {
		t.Fatal(err)
	}
	card, err := cardtest.Load(b)
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, card)
	if sig, err := c.SignDetached(ctx, certs[0], nil, []byte("x")); !errors.Is(err, gpgcard.ErrFalseKey) || sig != nil {
		t.Errorf("SignDetached: %q, %v", sig, err)
	}
	if rev, err := c.Revocation(ctx, certs[0], nil); !errors.Is(err, gpgcard.ErrFalseKey) || rev != nil {
		t.Errorf("Revocation: %q, %v", rev, err)
	}
	if cert, err := c.Certificate(ctx, jane, nil); !errors.Is(err, gpgcard.ErrKeyMismatch) || cert != nil {
		t.Errorf("Certificate: %v", err)
	}
}

// TestCardRevokesItself: gpg takes the revocation that the card made.
func TestCardRevokesItself(t *testing.T) {
	ctx := context.Background()
	c := open(t, cardtest.New(cardtest.ZeitControl))
	if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created}); err != nil {
		t.Fatal(err)
	}
	cert, err := c.Certificate(ctx, jane, nil)
	if err != nil {
		t.Fatal(err)
	}
	rev, err := c.Revocation(ctx, cert, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Revocation(ctx, keySet(t, gpgcard.P256).Cert(), nil); !errors.Is(err, gpgcard.ErrWrongCard) {
		t.Fatalf("another key: %v", err)
	}
	peer(t, "gpg")
	home := shortDir(t)
	gpg(t, home, cert.Armored(), "--import")
	gpg(t, home, rev, "--import")
	out := gpg(t, home, nil, "--with-colons", "-k")
	if !strings.Contains(out, "\npub:r:") {
		t.Fatalf("not revoked:\n%s", out)
	}
	// A signature by a revoked key is not accepted.
	sig, err := c.SignDetached(ctx, cert, nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := gpgcard.ParseCert([]byte(gpg(t, home, nil, "--armor", "--export")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gpgcard.VerifyDetached(revoked, sig, []byte("x")); !errors.Is(err, gpgcard.ErrBadSignature) {
		t.Fatalf("revoked: %v", err)
	}
}

func TestNames(t *testing.T) {
	ctx := context.Background()
	for _, p := range cardtest.Profiles {
		c := open(t, cardtest.New(p))
		long := "Wolfeschlegelsteinhausenbergerdorff Ångström-Møller"
		for given, want := range map[string]string{
			"Jane Q. Doe": "Jane Q. Doe", "Plato": "Plato", "": "", "Ünal Çelik": "Ünal Çelik",
			long: "Ångström-Møller", // the given name is cut off to nothing but a part
		} {
			if err := c.SetIdentity(ctx, nil, given, "login@example.org"); err != nil {
				t.Fatal(err)
			}
			info, err := c.Info(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if info.Name != want && !(given == long && strings.HasSuffix(info.Name, want)) {
				t.Errorf("%s: %q became %q", p.Name, given, info.Name)
			}
		}
		if err := errors.Join(c.SetURL(ctx, nil, "https://example.org/k"), c.SetLanguage(ctx, nil, "deen")); err != nil {
			t.Fatal(err)
		}
		info, err := c.Info(ctx)
		if err != nil || info.URL != "https://example.org/k" || info.Language != "deen" {
			t.Fatalf("%s: %+v %v", p.Name, info, err)
		}
		// The JSON of status is a contract.
		b, err := json.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{`"reader":"test:0"`, `"tries_left":3`, `"min_length":6`, `"slot":"signature"`,
			`"resettable":true`, `"algorithms":["`} {
			if !strings.Contains(string(b), k) {
				t.Errorf("no %s in %s", k, b)
			}
		}
	}
}

func TestAlgorithmNames(t *testing.T) {
	for name, want := range map[string]string{"rsa3072": "rsa3072", "nistp256": "p256", "p384": "p384", "ed25519": "25519",
		"cv25519": "25519"} {
		a, err := gpgcard.ParseAlgorithm(name)
		if err != nil || a.String() != want {
			t.Errorf("%s: %v %v", name, a, err)
		}
	}
	if _, err := gpgcard.ParseAlgorithm("dsa1024"); err == nil {
		t.Error("dsa1024 is an algorithm")
	}
	if e := (&gpgcard.ClockError{Now: time.Unix(0, 0), Earliest: created, Why: "w"}).Error(); !strings.Contains(e,
		"1970") || !strings.Contains(e, "2026") {
		t.Error(e)
	}
}
