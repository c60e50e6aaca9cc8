package peer

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// A Machine is a processor that QEMU's user-mode emulation stands in for.
type Machine struct {
	GOARCH string
	CPU    string // QEMU's name for it; "" for its default
	Best   string // the kernel that must be chosen on it
}

func (m Machine) String() string {
	if m.CPU == "" {
		return m.GOARCH
	}
	return m.CPU
}

var qemu = map[string]string{
	"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static", "ppc64le": "qemu-ppc64le-static",
}

// RunOn runs the tests of the current package, in their short form, on each of
// the machines. It fails unless TestImplementation logged the kernel expected
// there and TestAgainstReference passed with it. A kernel that needs more than
// the processor has dies of an illegal instruction.
func RunOn(t *testing.T, machines ...Machine) {
	if testing.Short() {
		t.Skip("short")
	}
	dir, built := t.TempDir(), map[string]bool{}
	for _, m := range machines {
		t.Run(m.String(), func(t *testing.T) {
			emulator, compiler := Need(t, qemu[m.GOARCH]), Need(t, "go")
			bin := filepath.Join(dir, m.GOARCH)
			if !built[m.GOARCH] {
				build := exec.Command(compiler, "test", "-c", "-o", bin, ".")
				build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+m.GOARCH, "CGO_ENABLED=0")
				if out, err := build.CombinedOutput(); err != nil {
					t.Fatalf("building for %s: %v\n%s", m.GOARCH, err, out)
				}
				built[m.GOARCH] = true
			}
			args := []string{bin, "-test.short", "-test.v"}
			if m.CPU != "" {
				args = append([]string{"-cpu", m.CPU}, args...)
			}
			out, err := exec.Command(emulator, args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{
				`chosen: ` + m.Best + `\n`,
				`--- PASS: TestAgainstReference/` + m.Best + ` `,
			} {
				if !regexp.MustCompile(want).Match(out) {
					t.Fatalf("no %q in:\n%s", want, out)
				}
			}
		})
	}
}
