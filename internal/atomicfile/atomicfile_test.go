package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "f")
	if err := os.Symlink("elsewhere", p); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"one", "two, longer", ""} {
		if err := WriteFile(p, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(p)
		if err != nil || string(b) != content {
			t.Fatalf("%q, %v", b, err)
		}
	}
	if fi, err := os.Lstat(p); err != nil || fi.Mode() != 0o640 {
		t.Fatalf("%v, %v", fi.Mode(), err)
	}
	list, _ := os.ReadDir(dir)
	if len(list) != 1 {
		t.Fatalf("left behind: %v", list)
	}
}

// A target that cannot be replaced stays, and no temporary file is left.
func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "d")
	if err := os.MkdirAll(filepath.Join(p, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(p, []byte("x"), 0o600); err == nil {
		t.Fatal("a directory was replaced")
	}
	list, _ := os.ReadDir(dir)
	if len(list) != 1 {
		t.Fatalf("left behind: %v", list)
	}
}
