package main

import (
	"os"
	"path/filepath"
	"testing"

	"reown/internal/secret"
)

// A secrets file has mode 0600 and goes nowhere else, whatever somebody has left at its
// name or at the one that former versions used while they wrote it.
func TestSecretsOutWhateverLiesThere(t *testing.T) {
	for _, stale := range []string{"s", "s.new"} {
		for _, link := range []bool{false, true} {
			dir := t.TempDir()
			p, other := filepath.Join(dir, "s"), filepath.Join(dir, "other")
			for name, mode := range map[string]os.FileMode{other: 0o666, filepath.Join(dir, stale): 0o666} {
				if link && name != other {
					if err := os.Symlink("other", name); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if err := os.WriteFile(name, []byte("old"), mode); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(name, mode); err != nil {
					t.Fatal(err)
				}
			}
			doc := secret.From([]byte("the paper"))
			defer doc.Wipe()
			if err := secretsFile(p).Replace(doc); err != nil {
				t.Fatal(err)
			}
			fi, err := os.Lstat(p)
			if err != nil || fi.Mode() != 0o600 {
				t.Errorf("%s, link %v: mode %v, %v", stale, link, fi.Mode(), err)
			}
			if b, _ := os.ReadFile(p); string(b) != "the paper" {
				t.Errorf("%s, link %v: %q", stale, link, b)
			}
			if b, _ := os.ReadFile(other); string(b) != "old" {
				t.Errorf("%s, link %v: the other file became %q", stale, link, b)
			}
		}
	}
}
