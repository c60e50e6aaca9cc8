package tpm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ReadEventLog gets the log from the kernel or, failing that, from coreboot's cbmem
// tool. Where the firmware has not mounted securityfs, it is mounted for as long as
// the reading takes. The result is for ParseEventLog. Error: ErrNoEventLog.
func ReadEventLog(ctx context.Context) ([]byte, error) {
	b, err := kernelLog("/sys/kernel/security", securityFS{})
	if err == nil {
		return b, nil
	}
	out, cerr := exec.CommandContext(ctx, "cbmem", "-L").Output()
	if cerr != nil || len(out) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrNoEventLog, errors.Join(err, cerr))
	}
	return out, nil
}

// mounter mounts securityfs at a directory.
type mounter interface {
	mounted(dir string) bool
	mount(dir string) error
	unmount(dir string) error
}

type securityFS struct{}

func (securityFS) mounted(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.SECURITYFS_MAGIC
}

func (securityFS) mount(dir string) error {
	return unix.Mount("securityfs", dir, "securityfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "")
}

func (securityFS) unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }

// kernelLog reads the log below dir, and leaves securityfs there as it was.
func kernelLog(dir string, m mounter) (b []byte, err error) {
	if !m.mounted(dir) {
		if err := m.mount(dir); err != nil {
			return nil, fmt.Errorf("mounting securityfs: %w", err)
		}
		defer func() {
			if uerr := m.unmount(dir); uerr != nil && err == nil {
				err = fmt.Errorf("unmounting securityfs: %w", uerr)
			}
		}()
	}
	f, err := os.Open(filepath.Join(dir, "tpm0/binary_bios_measurements"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err = io.ReadAll(io.LimitReader(f, MaxEventLog+1))
	if err == nil && len(b) == 0 {
		err = errors.New("the kernel's log is empty")
	}
	return b, err
}
