package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// FS is every write this package makes. name is relative to /boot; op names the
// write ("commit.rename:kexec.sig") so that a test can fail it or cut the power
// there. Names of operations are stable.
type FS interface {
	// Mkdir makes a directory; one that exists already is not an error.
	Mkdir(op, name string) error
	// WriteFile creates or truncates a file, writes data and syncs the file.
	WriteFile(op, name string, data []byte) error
	// Append adds to a file, creating it, and syncs the file.
	Append(op, name string, data []byte) error
	// Rename replaces newName by oldName.
	Rename(op, oldName, newName string) error
	// Remove removes a file, or a directory with all below it; a name that does
	// not exist is not an error.
	Remove(op, name string) error
	// SyncDir makes the names in a directory last.
	SyncDir(op, name string) error
}

// System is the FS of a directory of the running system, which Open uses.
func System(path string) FS { return osFS{path} }

// osFS writes to a directory of the running system.
type osFS struct{ root string }

func (f osFS) path(name string) string { return filepath.Join(f.root, name) }

func (f osFS) Mkdir(_, name string) error {
	err := os.Mkdir(f.path(name), 0o755)
	if errors.Is(err, fs.ErrExist) {
		if fi, serr := os.Lstat(f.path(name)); serr == nil && fi.IsDir() {
			return nil
		}
	}
	return err
}

func (f osFS) WriteFile(_, name string, data []byte) error {
	// O_EXCL after a removal: never write through a link that somebody left.
	if err := os.RemoveAll(f.path(name)); err != nil {
		return err
	}
	w, err := os.OpenFile(f.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

func (f osFS) Append(_, name string, data []byte) error {
	w, err := os.OpenFile(f.path(name), os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return err
	}
	fi, err := w.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", name, ErrNotRegular)
	}
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

func (f osFS) Rename(_, oldName, newName string) error {
	return os.Rename(f.path(oldName), f.path(newName))
}

func (f osFS) Remove(_, name string) error { return os.RemoveAll(f.path(name)) }

func (f osFS) SyncDir(_, name string) error {
	d, err := os.Open(f.path(name))
	if err != nil {
		return err
	}
	err = d.Sync()
	// Some file systems (vfat) cannot sync a directory and say EINVAL.
	if errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// openRegular opens a regular file without following a link in the last element
// (unless follow) and without waiting for a FIFO's writer.
func openRegular(path string, follow bool) (*os.File, fs.FileInfo, error) {
	flags := os.O_RDONLY | syscall.O_NONBLOCK
	if !follow {
		flags |= syscall.O_NOFOLLOW
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", filepath.Base(path), ErrNotRegular)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, fi, nil
}

// readRegular reads a regular file of at most max bytes.
func readRegular(path string, max int64, follow bool) ([]byte, error) {
	f, _, err := openRegular(path, follow)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s: %w: more than %d bytes", filepath.Base(path), ErrTooLarge, max)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func lstatOrStat(path string, follow bool) (fs.FileInfo, error) {
	if follow {
		return os.Stat(path)
	}
	return os.Lstat(path)
}
