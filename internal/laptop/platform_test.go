package laptop

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWipeSecretsRemovesTheFirmwaresFiles(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"tpm_owner_passphrase", "gpg_pin"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("12345678"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keep, err := os.Open(filepath.Join(dir, "gpg_pin")) // the pages, as a memory dump would see them
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	if err := (&platform{secretDir: dir}).WipeSecrets(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	var buf [8]byte
	if _, err := keep.Read(buf[:]); err != nil || buf != [8]byte{} {
		t.Errorf("the old content is still there: %q %v", buf, err)
	}
}
