// Package atomicfile replaces a file so that a cut of power leaves the old content
// or the new one, never a part: a temporary name in the same directory, sync, rename,
// sync of the directory.
//
// A Dir does each of these by itself, through handles of directories, so that package
// boot can give each write a name. No link is followed below it: what lies at a name
// is replaced or removed, never written through. It does not choose when to sync.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile replaces the file at path by data with the given permissions. It is made
// with mode 0600 under a new name, whatever lies there; a link at path is replaced, not
// followed. On error the old file is still there and the temporary one is not.
func WriteFile(path string, data []byte, perm os.FileMode) (err error) {
	base := filepath.Base(path)
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	d, err := Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	f, name, err := d.createTemp("." + base)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.Rename(name, base)
	}
	if err != nil {
		return errors.Join(err, d.Remove(name))
	}
	return d.Sync()
}
