package initrd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestArchive lets busybox unpack an archive.
func TestArchive(t *testing.T) {
	dir := t.TempDir()
	a := NewArchive()
	a.Add("lib/x/file", 0o640, []byte("content"))
	a.Add("init", 0o755, nil)
	a.Link("bin/sh", "busybox")
	file := filepath.Join(dir, "a.cpio")
	if err := a.Save(file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	unpack := exec.Command("busybox", "sh", "-c", "cd "+out+" && busybox cpio -id 'lib*' bin/sh init")
	unpack.Stdin = bytes.NewReader(data)
	if err := unpack.Run(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(out, "lib/x/file"))
	st, serr := os.Stat(filepath.Join(out, "init"))
	link, lerr := os.Readlink(filepath.Join(out, "bin/sh"))
	if err != nil || serr != nil || lerr != nil || string(got) != "content" || st.Mode().Perm() != 0o755 ||
		link != "busybox" {
		t.Fatalf("%q %v %v %v %q %v", got, err, st, serr, link, lerr)
	}
}

func TestModulesInOrder(t *testing.T) {
	tree := &moduleTree{
		path:    map[string]string{"a": "a.ko", "b": "b.ko", "c": "c.ko", "soft_one": "s.ko"},
		deps:    map[string][]string{"a": {"b", "c"}, "b": {"c"}},
		soft:    map[string][]string{"c": {"alias", "absent"}},
		aliases: map[string][]string{"alias": {"soft_one"}},
		builtin: map[string]bool{"core": true},
	}
	got, err := tree.resolve("a", "core", "c")
	if want := []string{"soft_one", "c", "b", "a"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v %v, want %v", got, err, want)
	}
	if _, err := tree.resolve("unknown"); err == nil {
		t.Fatal("an unknown module is no error")
	}
}

func TestPayloadOfGarbage(t *testing.T) {
	img := make([]byte, 4096)
	if _, err := payload(img); err == nil {
		t.Error("zeros are no kernel")
	}
	copy(img[0x202:], "HdrS")
	copy(img[0x248:], "\xff\xff\xff\x7f\xff\xff\xff\x7f")
	if _, err := payload(img); err == nil {
		t.Error("a payload outside of the file")
	}
	if _, err := payload(nil); err == nil {
		t.Error("an empty file")
	}
}
