package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// mountFlags are the per-mount options that a remount must repeat to keep.
var mountFlags = map[string]uintptr{
	"ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
	"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
}

// A mount is what a Dir has done to /boot's mount.
type mount struct {
	mu    sync.Mutex
	users int          // of Writable
	holds int          // of Hold
	undo  func() error // leaves it as it was found; nil: nothing was done
}

// Writable makes /boot writable if it is mounted read-only, and returns the function
// that leaves it as it was found. Call that on success and on error alike; it syncs
// first. While somebody else writes, or holds it, it syncs only. A directory that is no
// mount point is left alone. "busy" at the end is returned: a /boot that stays writable
// is not what was found. The function may be called again then.
func (d *Dir) Writable() (restore func() error, err error) {
	m := &d.mount
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.undo == nil {
		if m.undo, err = d.remount(); err != nil {
			return nil, err
		}
	}
	m.users++
	return ended(m, &m.users, d.path), nil
}

// Hold keeps /boot writable from the next Writable on until it is released, so that
// writes that follow each other remount it once: each remount writes the file system's
// superblock, and a cut of power may tear that. Nothing is remounted if nothing is
// written. Release it before a person is asked and before anything that takes long.
func (d *Dir) Hold() (release func() error) {
	m := &d.mount
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holds++
	return ended(m, &m.holds, d.path)
}

// ended is the end of one use: it syncs, and is the end of all if it was the last.
func ended(m *mount, count *int, path string) func() error {
	once := false
	return func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !once {
			once = true
			*count--
		}
		if m.undo == nil {
			return nil
		}
		if m.users+m.holds > 0 {
			return syncAll(path)
		}
		err := m.undo()
		if err == nil {
			m.undo = nil
		}
		return err
	}
}

// syncAll makes all writes to a file system last: some (vfat) cannot sync a directory.
func syncAll(path string) error {
	f, err := os.Open(path)
	if err == nil {
		err = errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
	}
	if err != nil {
		return fmt.Errorf("making /boot's changes last: %w", err)
	}
	return nil
}

// remount makes /boot writable and returns what undoes that.
func (d *Dir) remount() (undo func() error, err error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("looking for /boot's mount: %w", err)
	}
	abs, err := filepath.Abs(d.path)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for /boot's mount: %w", err)
	}
	flags, mounted := mountOf(string(info), abs)
	if !mounted || flags&unix.MS_RDONLY == 0 {
		return func() error { return nil }, nil
	}
	if err := unix.Mount("", abs, "", unix.MS_REMOUNT|flags&^unix.MS_RDONLY, ""); err != nil {
		return nil, fmt.Errorf("making /boot writable: %w", err)
	}
	return func() error {
		if err := errors.Join(syncAll(abs), unix.Mount("", abs, "", unix.MS_REMOUNT|flags, "")); err != nil {
			return fmt.Errorf("making /boot read-only again: %w", err)
		}
		return nil
	}, nil
}

// mountOf finds the uppermost mount at a path in /proc/self/mountinfo (proc(5)).
// Read-only of the mount or of the file system counts.
func mountOf(info, path string) (flags uintptr, mounted bool) {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for l := range strings.Lines(info) {
		f := strings.Fields(l)
		if len(f) < 10 || unescape.Replace(f[4]) != path {
			continue
		}
		mounted, flags = true, 0
		for _, o := range strings.Split(f[5]+","+f[len(f)-1], ",") {
			flags |= mountFlags[o]
		}
	}
	return flags, mounted
}
