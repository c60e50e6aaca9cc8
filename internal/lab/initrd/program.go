package initrd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// AddProgram adds a dynamic program of this machine with its libraries.
func (a *Archive) AddProgram(ctx context.Context, name, from string) error {
	if err := a.Copy(name, from); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "ldd", from).Output()
	if err != nil {
		return fmt.Errorf("ldd %s: %w", from, err)
	}
	for _, w := range strings.Fields(string(out)) {
		if _, err := os.Stat(w); err != nil || !strings.HasPrefix(w, "/") {
			continue
		}
		if err := a.Copy(w, w); err != nil {
			return err
		}
	}
	return nil
}
