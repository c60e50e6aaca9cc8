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
