package main

import (
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
