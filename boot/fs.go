package boot

import (
	"errors"
	"fmt"
	"io/fs"

	"reown/internal/atomicfile"
)

// FS is every write this package makes. name is relative to /boot; op names the
// write ("commit.rename:kexec.sig") so that a test can fail it or cut the power
// there. Names of operations are stable.
type FS interface {
	// Mkdir makes a directory; one that exists already is not an error.
	Mkdir(op, name string) error
	// WriteFile makes a new file in the place of what lies there, writes data and
	// syncs the file.
	WriteFile(op, name string, data []byte) error
	// Append adds to a file, creating it, and syncs the file. One that has further
	// names, or is none, is atomicfile.ErrNotRegular.
	Append(op, name string, data []byte) error
	// Rename replaces newName by oldName.
	Rename(op, oldName, newName string) error
	// Remove removes a file, or a directory with all below it; a name that does
	// not exist is not an error.
	Remove(op, name string) error
	// SyncDir makes the names in a directory last.
	SyncDir(op, name string) error
}

// System is the FS of a directory of the running system, which Open uses. It follows no
// link below that directory.
func System(path string) FS { return osFS{path} }

// osFS writes to a directory of the running system. It holds no handle, so that the
// file system can be unmounted.
type osFS struct{ root string }

// in calls do with the directory.
func (f osFS) in(do func(*atomicfile.Dir) error) error {
	d, err := atomicfile.Open(f.root)
	if err != nil {
		return err
	}
	return errors.Join(do(d), d.Close())
}

func (f osFS) Mkdir(_, name string) error {
	return f.in(func(d *atomicfile.Dir) error {
		err := d.Mkdir(name)
		if errors.Is(err, fs.ErrExist) {
			if i, serr := d.Stat(name); serr == nil && i.Type.IsDir() {
				return nil
			}
		}
		return err
	})
}

func (f osFS) WriteFile(_, name string, data []byte) error {
	return f.in(func(d *atomicfile.Dir) error {
		// A new file after a removal: never write through a link that somebody left.
		if err := d.Remove(name); err != nil {
			return err
		}
		w, err := d.Create(name)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		if err == nil {
			err = w.Chmod(0o644) // the installed system's users may read /boot
		}
		if err == nil {
			err = w.Sync()
		}
		return errors.Join(err, w.Close())
	})
}

func (f osFS) Append(_, name string, data []byte) error {
	return f.in(func(d *atomicfile.Dir) error {
		w, err := d.Append(name)
		if err != nil {
			return err
		}
		if _, err = w.Write(data); err == nil {
			err = w.Sync()
		}
		return errors.Join(err, w.Close())
	})
}

func (f osFS) Rename(_, oldName, newName string) error {
	return f.in(func(d *atomicfile.Dir) error { return d.Rename(oldName, newName) })
}

func (f osFS) Remove(_, name string) error {
	return f.in(func(d *atomicfile.Dir) error { return d.Remove(name) })
}

func (f osFS) SyncDir(_, name string) error {
	return f.in(func(d *atomicfile.Dir) error {
		sub, err := d.OpenDir(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return errors.Join(sub.Sync(), sub.Close())
	})
}
