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

// TestSlim: a program without lines still recovers, grows and scans its stacks, is stopped in
// a loop, and says where it died; the lines are found again with the full program.
func TestSlim(t *testing.T) {
	over := filepath.Join(t.TempDir(), "overlay")
	changed := exec.Command("go", "run", "./scripts/overlay", over)
	changed.Dir = "../.."
	if out, err := changed.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, arch := range []string{"amd64", "arm64", "ppc64le"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			full, slimmed := filepath.Join(dir, "full"), filepath.Join(dir, "slim")
			build := exec.Command("go", "build", "-trimpath", "-overlay", filepath.Join(over, "overlay.json"), "-ldflags=-s -w",
				"-o", full, "./testdata/prog")
			build.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if err := run([]string{full, slimmed}, nil, nil); err != nil {
				t.Fatal(err)
			}
			if a, b := read(t, full), read(t, slimmed); len(a) != len(b) ||
				bytes.Count(b, []byte{0}) < bytes.Count(a, []byte{0})+100_000 {
				t.Fatalf("%d zeros of %d bytes before, %d of %d after",
					bytes.Count(a, []byte{0}), len(a), bytes.Count(b, []byte{0}), len(b))
			}
			if id, err := exec.Command("go", "tool", "buildid", slimmed).Output(); err == nil &&
				strings.Trim(string(id), "\x00\n") != "" {
				t.Errorf("the build ID is still there: %q", id)
			}
			if err := slim(read(t, slimmed)); err != nil {
				t.Errorf("once more: %v", err)
			}
			cmd := exec.Command(slimmed)
			if arch != "amd64" {
				qemu := "qemu-" + map[string]string{"arm64": "aarch64"}[arch] + "-static"
				if arch == "ppc64le" {
					qemu = "qemu-ppc64le-static"
				}
				cmd = exec.Command(qemu, slimmed)
			}
			var trace bytes.Buffer
			cmd.Stderr = &trace
			out, err := cmd.Output()
			if err == nil || !strings.HasPrefix(string(out),
				"recovered index out of range [7] with length 3\nsum 5000050000\nstopped\n") {
				t.Fatalf("%v: %s%s", err, out, &trace)
			}
			said := trace.String()
			if !strings.Contains(said, nameless+"(") || strings.Contains(said, ".go:") || strings.Contains(said, "0x5ec2e7") ||
				strings.Contains(said, "main.") {
				t.Errorf("the traceback: %s", said)
			}
			var found bytes.Buffer
			if err := run([]string{"lines", full}, &trace, &found); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(found.String(), "main.(*tree).fall") ||
				!strings.Contains(found.String(), "prog/main.go:14 +0x") || strings.Contains(found.String(), "?:0") {
				t.Errorf("with lines: %s", &found)
			}
		})
	}
}

// TestForeign: what is not known is refused, and a program that still needs what would be taken out.
func TestForeign(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	build := exec.Command("go", "build", "-o", plain, "./testdata/prog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	good := read(t, plain)
	if err := slim(bytes.Clone(good)); !errors.Is(err, errStops) {
		t.Fatalf("a program by an unchanged Go: %v", err)
	}
	bad := bytes.Clone(good)
	tab, err := open(bad)
	if err != nil {
		t.Fatal(err)
	}
	tab.pcln[0]--
	if err := slim(bad); err == nil {
		t.Error("another version of the table is accepted")
	}
	if err := slim(good[:1<<16]); err == nil {
		t.Error("half a file is accepted")
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
