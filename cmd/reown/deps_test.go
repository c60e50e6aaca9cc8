package main

import (
	"bytes"
	"errors"
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
		cmd := exec.Command("go", "list", "-deps", "-modfile", filepath.Join(overlay, "go.mod"), "-tags",
			"tcell_minimal,noeventfd", ".")
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

// TestTheSameBinaryAnywhere: somebody who builds the source of a release with the same Go gets the
// same bytes, in whatever folder and as whatever user, without a network or a cache of modules. A
// buyer can check what is in the ROM. The source of a release made of that source is the same, too.
func TestTheSameBinaryAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the shipped binary twice")
	}
	dir := t.TempDir()
	tar, again := filepath.Join(dir, "a.tar.gz"), filepath.Join(dir, "b.tar.gz")
	script := func(in string, env []string, name string, args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(in, name), args...)
		cmd.Dir, cmd.Env = in, append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s in %s: %v\n%s", name, in, err, out)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	const version = "1.2.3"
	script(root, nil, "scripts/tarball", tar, version+" 0123456789 2026-11-30T10:00:00Z")
	archs := []string{"amd64"}
	if os.Getenv("REOWN_SOAK") == "1" {
		archs = append(archs, "arm64", "ppc64le")
	}
	var built [2]map[string][]byte
	for i, folder := range []string{"x", "a folder of another name"} {
		in := filepath.Join(dir, folder)
		if err := os.Mkdir(in, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("tar", "-xzf", tar, "-C", in).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		in = filepath.Join(in, "reown-"+version)
		// What another user has not.
		env := []string{"GOPROXY=off", "GOFLAGS=-mod=mod", "GOMODCACHE=" + filepath.Join(dir, "none"), "HOME=" + in,
			"GOCACHE=" + goCache(t)}
		if i == 1 && len(archs) > 1 {
			env = append(env, "GOCACHE="+filepath.Join(dir, "cache"))
		}
		if i == 1 {
			script(in, env, "scripts/tarball", again)
		}
		built[i] = map[string][]byte{}
		for _, arch := range archs {
			script(in, append(env, "GOARCH="+arch), "scripts/build", "bin/"+arch)
			if built[i][arch], err = os.ReadFile(filepath.Join(in, "bin", arch)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, arch := range archs {
		a, b := built[0][arch], built[1][arch]
		if len(a) < 1<<20 || !bytes.Equal(a, b) {
			t.Errorf("%s depends on the folder or the user (%d and %d bytes)", arch, len(a), len(b))
		}
		if !bytes.Contains(a, []byte(version+" 0123456789 ")) {
			t.Errorf("%s does not know its version", arch)
		}
	}
	first, err1 := os.ReadFile(tar)
	second, err2 := os.ReadFile(again)
	if err := errors.Join(err1, err2); err != nil || !bytes.Equal(first, second) {
		t.Errorf("the source of a release gives another source (%v)", err)
	}
}

func goCache(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
