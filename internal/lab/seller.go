package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// gpg runs GnuPG in a home directory without any dialogue.
func gpg(ctx context.Context, home, stdin string, args ...string) ([]byte, error) {
	base := []string{"--homedir", home, "--batch", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""}
	return tool(ctx, strings.NewReader(stdin), "gpg", append(base, args...)...)
}

// makeSellerKey makes the seller's OpenPGP key in memory, in the layout that a
// card's own key generation gives: a P-256 primary key that signs, and an
// encryption subkey. It returns the primary key's fingerprint.
func makeSellerKey(ctx context.Context, home string) (string, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", err
	}
	if _, err := gpg(ctx, home, "", "--quick-gen-key", "OEM Key (OEM-generated key) <oem@example.com>", "nistp256", "sign,cert", "0"); err != nil {
		return "", err
	}
	fpr, err := primaryFingerprint(ctx, home)
	if err != nil {
		return "", err
	}
	_, err = gpg(ctx, home, "", "--quick-add-key", fpr, "nistp256", "encr", "0")
	return fpr, err
}

func primaryFingerprint(ctx context.Context, home string) (string, error) {
	out, err := gpg(ctx, home, "", "--with-colons", "--list-keys")
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(string(out), "\n") {
		if f := strings.Split(line, ":"); f[0] == "fpr" && len(f) > 9 {
			return f[9], nil
		}
	}
	return "", fmt.Errorf("no key in %s", home)
}

// romKeyring makes the two files that Heads keeps in the ROM, with GnuPG: a
// keybox with the certificate and a trust database that trusts it ultimately.
func romKeyring(ctx context.Context, cert []byte, fpr, work string) (kbx, trustdb []byte, err error) {
	home, err := os.MkdirTemp(work, "gnupg")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(home)
	if _, err = gpg(ctx, home, string(cert), "--import"); err != nil {
		return nil, nil, err
	}
	if _, err = gpg(ctx, home, fpr+":6:\n", "--import-ownertrust"); err != nil {
		return nil, nil, err
	}
	if kbx, err = os.ReadFile(filepath.Join(home, "pubring.kbx")); err != nil {
		return nil, nil, err
	}
	trustdb, err = os.ReadFile(filepath.Join(home, "trustdb.gpg"))
	return kbx, trustdb, err
}

// signBoot signs the kexec*.txt files the way Heads does.
func signBoot(ctx context.Context, dir, home, fpr string) error {
	signed, err := HeadsSignedBytes(ctx, dir)
	if err != nil {
		return err
	}
	sig, err := gpg(ctx, home, string(signed), "--detach-sign", "--local-user", fpr, "--digest-algo", "SHA256", "-a", "-o", "-")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "kexec.sig"), sig, 0o644)
}
