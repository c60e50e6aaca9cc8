package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"reown/internal/lab"
)

// bootStart is where the laptop's first partition begins, in bytes; it ends where
// the encrypted one begins.
const bootStart = 1 << 20

// ErrOn says that another program has switched the laptop on.
var ErrOn = errors.New("the laptop is on")

// lockFile keeps other programs from switching a laptop on, until the file is closed
// or the program ends.
func lockFile(l *lab.Laptop) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(l.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, ErrOn
	}
	return f, nil
}

// onDisk marks a laptop whose /boot is what its disk says, and no longer what the boot
// directory says: the machine may have been killed before anyone took it back.
func onDisk(l *lab.Laptop) string { return filepath.Join(l.Dir, "boot-on-disk") }

// Install puts the laptop's boot directory on its disk, as the ext4 file system that
// the guest mounts. It does nothing when the disk has it already: between Install and
// Collect the disk counts.
func Install(ctx context.Context, l *lab.Laptop) error {
	if _, err := os.Stat(onDisk(l)); err == nil {
		return nil
	}
	end, _ := l.Window()
	img := filepath.Join(l.Dir, "boot.img")
	defer os.Remove(img)
	f, err := os.Create(img)
	if err != nil {
		return err
	}
	err = f.Truncate(end - bootStart)
	f.Close()
	if err != nil {
		return err
	}
	if _, err := run(ctx, nil, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "boot", "-d", l.BootDir(), "-E", "root_owner=0:0",
		img); err != nil {
		return err
	}
	if err := copyRange(l.Disk(), bootStart, img, 0, end-bootStart); err != nil {
		return err
	}
	return os.WriteFile(onDisk(l), nil, 0o600)
}

// Collect takes the boot directory back from the disk of a laptop that is off, so
// that host mode can use it and the laptop be judged. It does nothing when the laptop
// was not installed. The error is ErrOn when the laptop is not off.
func Collect(ctx context.Context, l *lab.Laptop) error {
	lock, err := lockFile(l)
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := os.Stat(onDisk(l)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := collect(ctx, l, false); err != nil {
		return err
	}
	return os.Remove(onDisk(l))
}

// collect takes the boot directory back; with repair, a file system that the kernel would
// not mount is repaired as a rescue system does, and repaired says so.
func collect(ctx context.Context, l *lab.Laptop, repair bool) (repaired bool, err error) {
	end, _ := l.Window()
	img := filepath.Join(l.Dir, "boot.img")
	defer os.Remove(img)
	f, err := os.Create(img)
	if err != nil {
		return false, err
	}
	f.Close()
	if err := copyRange(img, 0, l.Disk(), bootStart, end-bootStart); err != nil {
		return false, err
	}
	// As the next start's mount would: after a power cut the journal is replayed.
	if _, err := run(ctx, nil, "e2fsck", "-p", "-E", "journal_only", img); err != nil {
		if !repair {
			return false, err
		}
		var exit *exec.ExitError
		if _, err := run(ctx, nil, "e2fsck", "-f", "-y", img); err != nil &&
			!(errors.As(err, &exit) && exit.ExitCode() == 1) { // 1: errors were corrected
			return false, err
		}
		repaired = true
	}
	if _, err := run(ctx, nil, "e2fsck", "-f", "-n", img); err != nil {
		return false, fmt.Errorf("/boot's file system after the journal was replayed: %w", err)
	}
	if err := os.RemoveAll(l.BootDir()); err != nil {
		return false, err
	}
	if err := os.Mkdir(l.BootDir(), 0o755); err != nil {
		return false, err
	}
	_, err = run(ctx, nil, "debugfs", "-R", "rdump / "+l.BootDir(), img)
	return repaired, err
}

// copyRange copies n bytes between files, and zeros too: the target may hold other
// data.
func copyRange(dst string, dstAt int64, src string, srcAt, n int64) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(out, dstAt), io.NewSectionReader(in, srcAt, n))
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("copying from %s to %s: %w", src, dst, err)
	}
	return nil
}
