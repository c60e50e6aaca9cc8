package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoFakeHardwareIsLinked checks what the shipped binary (`make build`) is made
// of: no emulator, nothing of the lab or the testing package, and no network.
func TestNoFakeHardwareIsLinked(t *testing.T) {
	overlay := filepath.Join(t.TempDir(), "overlay")
	goRun(t, "../..", "run", "./scripts/overlay", overlay)
	for _, arch := range []string{"amd64", "arm64", "ppc64le"} {
		cmd := exec.Command("go", "list", "-deps", "-modfile", filepath.Join(overlay, "go.mod"), "-tags", "tcell_minimal,noeventfd", ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := strings.Fields(string(out))
		if len(deps) < 50 {
			t.Fatalf("only %d packages listed", len(deps))
		}
		for _, d := range deps {
			ours := strings.HasPrefix(d, "reown/")
			switch {
			case d == "net", d == "net/http", d == "testing", d == "text/template", d == "plugin":
				t.Errorf("%s: cmd/reown links %s", arch, d)
			case ours && (strings.HasSuffix(d, "test") || strings.Contains(d, "test/") || strings.Contains(d, "internal/lab")):
				t.Errorf("%s: cmd/reown links %s", arch, d)
			}
		}
	}
}

// TestTheSameBinaryAnywhere: whoever builds the same source with the same Go gets the
// same bytes, in whatever folder. A buyer can check what is in the ROM; and its size,
// which is close to the budget, does not depend on the length of a path.
func TestTheSameBinaryAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the shipped binary twice")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "a folder of another name")
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "bin" || e.Name() == ".git" || e.Name() == ".lab" {
			continue
		}
		to := filepath.Join(other, e.Name())
		if e.IsDir() {
			err = os.CopyFS(to, os.DirFS(filepath.Join(root, e.Name())))
		} else {
			var data []byte
			if data, err = os.ReadFile(filepath.Join(root, e.Name())); err == nil {
				err = os.WriteFile(to, data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var binaries [2][]byte
	for i, dir := range []string{root, other} {
		if out, err := exec.Command("make", "-C", dir, "build").CombinedOutput(); err != nil {
			t.Fatalf("make build in %s: %v\n%s", dir, err, out)
		}
		if binaries[i], err = os.ReadFile(filepath.Join(dir, "bin/reown")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(binaries[0], binaries[1]) {
		t.Fatalf("the binary depends on the folder it is built in (%d and %d bytes)", len(binaries[0]), len(binaries[1]))
	}
}
