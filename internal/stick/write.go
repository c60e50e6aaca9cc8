package stick

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A File is what is put on a stick.
type File struct {
	Name string // without a directory; see CheckName
	Data []byte
}

// Dir is the root of a file system that is mounted. Each method that writes is one
// named write.
type Dir interface {
	Free() (int64, error)                  // bytes
	Create(name string, data []byte) error // replaces and syncs
	Rename(from, to string) error
	Remove(name string) error // no error if there is none
	Sync() error              // the names
	Read(name string, limit int64) ([]byte, error)
}

// MaxFile bounds a file, in bytes.
const MaxFile = 1 << 20

// slack is the room that must be left besides the files, in bytes: the directory and
// the clusters that files do not fill.
const slack = 256 << 10

// CheckName says by ErrName whether a name may stand in the root of any of the file
// systems: letters, digits, dot, hyphen and underscore, 64 bytes at most, not hidden.
func CheckName(name string) error {
	if name == "" || len(name) > 64 || name[0] == '.' {
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(".-_", c) >= 0) {
			return fmt.Errorf("%w: %q", ErrName, name)
		}
	}
	return nil
}

// Write puts files on the stick with this name (Volume.Name), each replaced as a
// whole, in the order in which they are given; reads them back from the medium and
// compares. Nothing is mounted when it returns. Without files it tries whether the
// stick can be written at all.
func (s *System) Write(ctx context.Context, name string, files []File) (err error) {
	all, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, v := range all {
		if v.Name == name {
			return s.write(v, files)
		}
	}
	return fmt.Errorf("%w: %s", ErrGone, name)
}

func (s *System) write(v Volume, files []File) error {
	if err := s.with(v, false, func(d Dir) error { return Put(d, files) }); err != nil {
		return err
	}
	return s.with(v, true, func(d Dir) error { return Compare(d, files) })
}

// with mounts a volume for f.
func (s *System) with(v Volume, readOnly bool, f func(Dir) error) error {
	at, err := os.MkdirTemp("", "reown-stick-")
	if err != nil {
		return err
	}
	defer os.Remove(at)
	if err := s.mount(filepath.Join(s.Dev, v.Name), at, v.FS, readOnly); err != nil {
		return err
	}
	err = f(Folder(at))
	if uerr := s.unmount(at); uerr != nil {
		err = errors.Join(err, fmt.Errorf("unmounting the stick: %w", uerr))
	}
	return err
}

// temporary is the name of a file while it is written.
func temporary(name string) string { return name + ".new" }

// Put replaces files in a directory. Cut anywhere, each of them has its old content
// or its new one.
func Put(d Dir, files []File) error {
	need := int64(slack)
	for _, f := range files {
		if err := CheckName(f.Name); err != nil {
			return err
		}
		if len(f.Data) > MaxFile {
			return fmt.Errorf("%s: %w: more than %d bytes", f.Name, ErrFull, MaxFile)
		}
		need += int64(len(f.Data))
	}
	if free, err := d.Free(); err != nil {
		return err
	} else if free < need {
		return fmt.Errorf("%w: %d KiB are free, %d are needed", ErrFull, free>>10, need>>10)
	}
	const probe = "reown-probe"
	if len(files) == 0 {
		if err := d.Create(temporary(probe), []byte("reown\n")); err != nil {
			return err
		}
		return d.Remove(temporary(probe))
	}
	for _, f := range files {
		tmp := temporary(f.Name)
		if err := d.Create(tmp, f.Data); err != nil {
			return errors.Join(err, d.Remove(tmp))
		}
		if err := d.Rename(tmp, f.Name); err != nil {
			return errors.Join(err, d.Remove(tmp))
		}
		if err := d.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// Compare reads files and returns ErrNotWritten for the first that differs.
func Compare(d Dir, files []File) error {
	for _, f := range files {
		got, err := d.Read(f.Name, MaxFile)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrNotWritten, f.Name, err)
		}
		if !bytes.Equal(got, f.Data) {
			return fmt.Errorf("%w: %s", ErrNotWritten, f.Name)
		}
	}
	return nil
}

// Folder is a directory of the machine's own as a Dir: where a stick is mounted.
type Folder string

func (f Folder) path(name string) string { return filepath.Join(string(f), name) }

// Free implements Dir.
func (f Folder) Free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(string(f), &st); err != nil {
		return 0, gone(err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// Create implements Dir. A link of that name is replaced, not followed.
func (f Folder) Create(name string, data []byte) error {
	if err := f.Remove(name); err != nil {
		return err
	}
	w, err := os.OpenFile(f.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return gone(err)
	}
	_, err = w.Write(data)
	return gone(errors.Join(err, w.Sync(), w.Close()))
}

// Rename implements Dir.
func (f Folder) Rename(from, to string) error { return gone(os.Rename(f.path(from), f.path(to))) }

// Remove implements Dir.
func (f Folder) Remove(name string) error {
	if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return gone(err)
	}
	return nil
}

// Sync implements Dir. vfat cannot sync a directory by itself.
func (f Folder) Sync() error {
	d, err := os.Open(string(f))
	if err != nil {
		return gone(err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return gone(err)
	}
	return nil
}

// Read implements Dir.
func (f Folder) Read(name string, limit int64) ([]byte, error) {
	r, err := os.OpenFile(f.path(name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, gone(err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	return b, gone(err)
}

// gone gives the errors of a stick that was pulled out, is full or is protected
// their names.
func gone(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, unix.EIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}
