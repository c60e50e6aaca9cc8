// Package programs gives tests the two programs that `make build` and `make lab` make, so that what
// is tested is what is shipped, and nothing is compiled in yet another way.
package programs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Reown copies the shipped program into a folder, or the one that REOWN_BINARY names, and returns
// its name there.
func Reown(ctx context.Context, dir string) (string, error) {
	if b := os.Getenv("REOWN_BINARY"); b != "" {
		return copied(b, filepath.Join(dir, "reown"))
	}
	return made(ctx, "build", "reown", dir)
}

// Lab does the same for the virtual laptop.
func Lab(ctx context.Context, dir string) (string, error) { return made(ctx, "lab", "lab", dir) }

func made(ctx context.Context, target, name, dir string) (string, error) {
	root, err := top()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(root, "bin", ".programs"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "make", "-s", "-C", root, target).CombinedOutput(); err != nil {
		return "", fmt.Errorf("make %s: %w: %s", target, err, out)
	}
	return copied(filepath.Join(root, "bin", name), filepath.Join(dir, name))
}

func copied(from, to string) (string, error) {
	data, err := os.ReadFile(from)
	if err != nil {
		return "", err
	}
	return to, os.WriteFile(to, data, 0o755)
}

// top is the project's folder: the nearest that has its go.mod, above the package under test.
func top() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		mod, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module reown\n") {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not below the project's folder", dir)
		}
	}
}
