package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// sbin is appended to PATH: Debian keeps cryptsetup, sfdisk and mke2fs there,
// and an ordinary user's PATH does not.
const sbin = ":/usr/sbin:/sbin"

// tool runs a program and returns its standard output. A failure carries what
// the program said.
func tool(ctx context.Context, stdin io.Reader, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+sbin, "LC_ALL=C")
	if path, err := lookPath(name); err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	cmd.Stdin = stdin
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err,
			strings.TrimSpace(errs.String()+out.String()))
	}
	return out.Bytes(), nil
}

func lookPath(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, d := range strings.Split(strings.TrimPrefix(sbin, ":"), ":") {
		if st, err := os.Stat(d + "/" + name); err == nil && st.Mode()&0o111 != 0 {
			return d + "/" + name, nil
		}
	}
	return "", exec.ErrNotFound
}
