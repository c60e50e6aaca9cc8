package xts

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"reown/internal/xts/internal/peer"
)

// The kernels for other architectures, under QEMU's user-mode emulation.
func TestForeignKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	for _, f := range []struct {
		goarch, qemu string
		kernel       kernel
	}{
		{"arm64", "qemu-aarch64-static", armCE},
		{"ppc64le", "qemu-ppc64le-static", vcipher},
	} {
		t.Run(f.goarch, func(t *testing.T) {
			if f.goarch == runtime.GOARCH {
				t.Skip("this machine runs it directly")
			}
			qemu := peer.Need(t, f.qemu)
			bin := filepath.Join(t.TempDir(), "xts.test")
			build := exec.Command(peer.Need(t, "go"), "test", "-c", "-o", bin, ".")
			build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+f.goarch, "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("building for %s: %v\n%s", f.goarch, err, out)
			}
			out, err := exec.Command(qemu, bin, "-test.short", "-test.v").CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			ran := regexp.MustCompile(`--- PASS: TestAgainstReference/` + f.kernel.String() + ` `)
			if !ran.Match(out) {
				t.Fatalf("the kernel %v did not run:\n%s", f.kernel, out)
			}
		})
	}
}
