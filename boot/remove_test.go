package boot

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// Whatever write fails, the rest is done by calling again; what does not match stays.
func TestRemove(t *testing.T) {
	mine := func(n string) bool { return strings.HasPrefix(n, "kexec") || n == "oem" }
	for failAt := 0; ; failAt++ {
		dir := t.TempDir()
		writeTree(t, dir, map[string]string{"kexec.sig": "s", "kexec_hashes.txt": "h", "kexec_reown.stage/x": "y", "oem": "",
			"vmlinuz": "v", "grub/kexec": "k"})
		d, err := OpenFS(dir, &recorder{quickFS: quickFS{osFS{dir}}, failAt: failAt})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Remove("test", mine); err == nil {
			if failAt != 5 {
				t.Errorf("%d writes, want 5", failAt)
			}
			break
		} else if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		if err := d.Remove("test", mine); err != nil {
			t.Fatal(err)
		}
		var names []string
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			names = append(names, e.Name())
		}
		if want := []string{"grub", "vmlinuz"}; !slices.Equal(names, want) {
			t.Errorf("cut at write %d: %v", failAt, names)
		}
	}
}
