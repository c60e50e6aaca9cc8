package atomicfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNotRegular: a name is not a regular file, or one with further names where there
// must be only one.
var ErrNotRegular = errors.New("not a regular file")

// A Dir is a directory by its handle. Names are relative to it and may have several
// elements, such as "a/b"; none of them may be a symbolic link, or "..".
type Dir struct {
	f *os.File
}

// An Info is what fstatat tells of a name, of a link itself.
type Info struct {
	Type     fs.FileMode // type bits only
	Size     int64       // bytes
	Links    uint64      // names of the file
	Dev, Ino uint64      // which file it is, while it is open or has no links gone
}

// Open opens a directory; links in path itself are followed.
func Open(path string) (*Dir, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &Dir{f}, nil
}

// Close closes the handle.
func (d *Dir) Close() error { return d.f.Close() }

// OpenDir opens a directory below; "." is the directory itself.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	fd, err := d.at(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	cur := &Dir{os.NewFile(uintptr(fd), d.f.Name())}
	if name == "." {
		return cur, nil
	}
	for e := range strings.SplitSeq(name, "/") {
		if e == "" || e == "." || e == ".." {
			cur.Close()
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
		}
		fd, err := cur.at(e, unix.O_RDONLY|unix.O_DIRECTORY)
		cur.Close()
		if err != nil {
			return nil, err
		}
		cur = &Dir{os.NewFile(uintptr(fd), name)}
	}
	return cur, nil
}

// at is openat of one element; a link there is an error.
func (d *Dir) at(name string, flags int) (fd int, err error) {
	for {
		fd, err = unix.Openat(int(d.f.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// in calls do with the directory that holds the last element of name.
func (d *Dir) in(name string, do func(dir *Dir, base string) error) error {
	dir, base := path.Split(name)
	if base == "" || base == "." || base == ".." {
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if dir == "" {
		return do(d, base)
	}
	sub, err := d.OpenDir(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return err
	}
	defer sub.Close()
	return do(sub, base)
}

// Names calls each with the names in the directory, in its own order.
func (d *Dir) Names(each func(name string) error) error {
	sub, err := d.OpenDir(".") // a handle of its own, read from the start
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		list, err := sub.f.Readdirnames(1024)
		for _, n := range list {
			if err := each(n); err != nil {
				return err
			}
		}
		if len(list) == 0 {
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		}
	}
}

// Stat looks at a name; a link is looked at itself.
func (d *Dir) Stat(name string) (i Info, err error) {
	err = d.in(name, func(dir *Dir, base string) error {
		var st unix.Stat_t
		if err := unix.Fstatat(int(dir.f.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "stat", Path: name, Err: err}
		}
		i = info(&st)
		return nil
	})
	return i, err
}

func info(st *unix.Stat_t) Info {
	types := map[uint32]fs.FileMode{
		unix.S_IFREG: 0, unix.S_IFDIR: fs.ModeDir, unix.S_IFLNK: fs.ModeSymlink, unix.S_IFIFO: fs.ModeNamedPipe,
		unix.S_IFSOCK: fs.ModeSocket, unix.S_IFBLK: fs.ModeDevice, unix.S_IFCHR: fs.ModeDevice | fs.ModeCharDevice,
	}
	t, ok := types[st.Mode&unix.S_IFMT]
	if !ok {
		t = fs.ModeIrregular
	}
	return Info{Type: t, Size: st.Size, Links: uint64(st.Nlink), Dev: uint64(st.Dev), Ino: st.Ino}
}

// Readlink returns where a link points, at most 4,095 bytes.
func (d *Dir) Readlink(name string) (target string, err error) {
	err = d.in(name, func(dir *Dir, base string) error {
		b := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(int(dir.f.Fd()), base, b)
		if err != nil {
			return &fs.PathError{Op: "readlink", Path: name, Err: err}
		}
		target = string(b[:n])
		return nil
	})
	return target, err
}

// OpenFile opens a regular file for reading, without waiting for a pipe's writer.
// ErrNotRegular for anything else.
func (d *Dir) OpenFile(name string) (*os.File, Info, error) {
	return d.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
}

func (d *Dir) open(name string, flags int) (f *os.File, i Info, err error) {
	err = d.in(name, func(dir *Dir, base string) error {
		fd, err := dir.at(base, flags)
		if errors.Is(err, unix.ELOOP) {
			return fmt.Errorf("%s: %w", name, ErrNotRegular)
		}
		if err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), name)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return errors.Join(err, f.Close())
		}
		if i = info(&st); !i.Type.IsRegular() {
			return errors.Join(fmt.Errorf("%s: %w", name, ErrNotRegular), f.Close())
		}
		return nil
	})
	if err != nil {
		return nil, Info{}, err
	}
	return f, i, nil
}

// Create makes a file that must not exist, with mode 0600, for writing.
func (d *Dir) Create(name string) (*os.File, error) {
	f, _, err := d.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	return f, err
}

// Append opens a file for writing at its end, and makes it, with mode 0600, if it does
// not exist. One with further names is ErrNotRegular: they would change, too.
func (d *Dir) Append(name string) (*os.File, error) {
	f, i, err := d.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND|unix.O_NONBLOCK)
	if err == nil && i.Links > 1 {
		err = errors.Join(fmt.Errorf("%s: %w: it has %d names", name, ErrNotRegular, i.Links), f.Close())
		f = nil
	}
	return f, err
}

// createTemp makes a file with a name that nobody can have foreseen.
func (d *Dir) createTemp(prefix string) (*os.File, string, error) {
	var random [8]byte
	rand.Read(random[:])
	name := prefix + "." + hex.EncodeToString(random[:]) + ".tmp"
	f, err := d.Create(name)
	return f, name, err
}

// Mkdir makes a directory with mode 0755; one that exists is fs.ErrExist.
func (d *Dir) Mkdir(name string) error {
	return d.in(name, func(dir *Dir, base string) error {
		if err := unix.Mkdirat(int(dir.f.Fd()), base, 0o755); err != nil {
			return &fs.PathError{Op: "mkdir", Path: name, Err: err}
		}
		return nil
	})
}

// Rename replaces to by from.
func (d *Dir) Rename(from, to string) error {
	return d.in(from, func(a *Dir, base string) error {
		return d.in(to, func(b *Dir, other string) error {
			if err := unix.Renameat(int(a.f.Fd()), base, int(b.f.Fd()), other); err != nil {
				return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
			}
			return nil
		})
	})
}

// Remove removes what lies at a name, a directory with all below it, a link itself. A
// name that does not exist is no error.
func (d *Dir) Remove(name string) error {
	err := d.in(name, func(dir *Dir, base string) error { return dir.remove(base, 0) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// maxDepth bounds the directories below each other that Remove opens.
const maxDepth = 256

func (d *Dir) remove(name string, depth int) error {
	err := unix.Unlinkat(int(d.f.Fd()), name, 0)
	if err == nil {
		return nil
	}
	// EISDIR on Linux; POSIX says EPERM, which an immutable file gives, too.
	if i, serr := d.Stat(name); serr != nil || !i.Type.IsDir() || depth > maxDepth {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	sub, err := d.OpenDir(name)
	if err != nil {
		return err
	}
	var names []string
	err = sub.Names(func(n string) error { names = append(names, n); return nil })
	for _, n := range names {
		if err == nil {
			err = sub.remove(n, depth+1)
		}
	}
	if err = errors.Join(err, sub.Close()); err != nil {
		return err
	}
	if err := unix.Unlinkat(int(d.f.Fd()), name, unix.AT_REMOVEDIR); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// Sync makes the names in the directory last. File systems that cannot (vfat) answer
// EINVAL, which is no error here.
func (d *Dir) Sync() error {
	if err := d.f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}
