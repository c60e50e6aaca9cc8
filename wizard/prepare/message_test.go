package prepare

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/internal/secret"
)

// gpg runs the real one in a home of the test's own.
func gpg(t *testing.T, home, stdin string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	cmd := exec.Command("gpg", append([]string{"--homedir", home, "--batch", "--no-tty", "--yes", "--pinentry-mode",
		"loopback", "--passphrase", ""}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gpg %q: %v\n%s", args, err, &errs)
	}
	return string(out)
}

// home is a directory whose agent ends with the test.
func home(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gpg") // short: a socket lies in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", dir, "--kill", "all").Run()
		os.RemoveAll(dir)
	})
	return dir
}

// fingerprint is that of a home's first key.
func fingerprint(t *testing.T, home string) string {
	t.Helper()
	return strings.Split(strings.Split(gpg(t, home, "", "--with-colons", "--list-keys"), "\nfpr:")[1], ":")[8]
}

// TestGPGReadsTheMessage: for each kind of key that buyers have.
func TestGPGReadsTheMessage(t *testing.T) {
	const text = "{\n  \"secret.disk\": \"one two three\"\n}\n"
	shop := home(t)
	gpg(t, shop, "", "--quick-gen-key", "Example Shop <shop@example.com>", "nistp256", "default", "0")
	sign := func(data []byte) ([]byte, error) {
		return []byte(gpg(t, shop, string(data), "--detach-sign", "--armor", "--digest-algo", "SHA256")), nil
	}
	for _, kind := range []string{"default", "rsa3072", "nistp256"} {
		h := home(t)
		gpg(t, h, "", "--quick-gen-key", "Ada Buyer <ada@example.org>", kind, "default", "0")
		if kind != "default" { // gpg makes no subkey by itself
			gpg(t, h, "", "--quick-add-key", fingerprint(t, h), kind, "encr", "0")
		}
		gpg(t, h, gpg(t, shop, "", "--export"), "--import")
		for _, armor := range []string{"--armor", "--no-armor"} {
			b, err := ParseBuyer([]byte(gpg(t, h, "", armor, "--export", "ada@example.org")), time.Now())
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			msg, err := b.Encrypt(secret.From([]byte(text)), time.Now(), sign)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if strings.Contains(string(msg), "one two") {
				t.Fatalf("%s: not encrypted", kind)
			}
			if got := gpg(t, h, string(msg), "--decrypt"); got != text {
				t.Errorf("%s: gpg reads %q", kind, got)
			}
			status := gpg(t, h, string(msg), "--status-fd", "1", "--decrypt")
			if !strings.Contains(status, "[GNUPG:] GOODSIG") ||
				!strings.Contains(status, "[GNUPG:] VALIDSIG "+fingerprint(t, shop)) {
				t.Errorf("%s: gpg does not show the shop's signature:\n%s", kind, status)
			}
			if packets := gpg(t, h, string(msg), "--list-packets"); strings.Contains(packets, "compressed") ||
				!strings.Contains(packets, "mdc_method") {
				t.Errorf("%s: compressed, or not protected:\n%s", kind, packets)
			}
		}
	}
}

// TestBuyerThatCannotBeWrittenTo: refused before anything is changed.
func TestBuyerThatCannotBeWrittenTo(t *testing.T) {
	signer, expired := home(t), home(t)
	gpg(t, signer, "", "--quick-gen-key", "Signer <s@example.org>", "ed25519", "sign", "0")
	gpg(t, expired, "", "--faked-system-time", "20200101T000000!", "--quick-gen-key", "Late <l@example.org>", "default",
		"default", "1y")
	two := home(t)
	gpg(t, two, "", "--quick-gen-key", "One <1@example.org>", "default", "default", "0")
	gpg(t, two, "", "--quick-gen-key", "Two <2@example.org>", "default", "default", "0")
	// What the door leaves out does not count: here all that could be written to.
	revoked := home(t)
	gpg(t, revoked, "", "--quick-gen-key", "Gone <g@example.org>", "default", "default", "0")
	rev, err := os.ReadFile(filepath.Join(revoked, "openpgp-revocs.d", fingerprint(t, revoked)+".rev"))
	if err != nil {
		t.Fatal(err)
	}
	gpg(t, revoked, strings.Replace(string(rev), ":-----BEGIN", "-----BEGIN", 1), "--import")
	weak := home(t)
	gpg(t, weak, "", "--quick-gen-key", "Old <o@example.org>", "dsa2048", "default", "0")
	gpg(t, weak, "", "--quick-add-key", fingerprint(t, weak), "elg2048", "encr", "0")
	secretKey := gpg(t, two, "", "--export-secret-keys", "1@example.org")
	for name, cert := range map[string]string{
		"signs only":  gpg(t, signer, "", "--export"),
		"expired":     gpg(t, expired, "", "--export"),
		"revoked":     gpg(t, revoked, "", "--export"),
		"DSA":         gpg(t, weak, "", "--export"),
		"two":         gpg(t, two, "", "--export"),
		"nothing":     "",
		"garbage":     "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nnonsense\n",
		"cut":         gpg(t, two, "", "--export", "1@example.org")[:100],
		"not OpenPGP": "ssh-ed25519 AAAA ada@example.org",
		"secret, cut": secretKey[:len(secretKey)/2],
	} {
		if b, err := ParseBuyer([]byte(cert), time.Now()); !errors.Is(err, ErrBuyer) || b != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
