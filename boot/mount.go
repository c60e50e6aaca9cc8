package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mountFlags are the per-mount options that a remount must repeat to keep.
var mountFlags = map[string]uintptr{
	"ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
	"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
}

// Writable makes /boot writable if it is mounted read-only, and returns the function
// that leaves it as it was found. Call that on success and on error alike; it syncs
// first. A directory that is no mount point is left alone. "busy" at the end is
// returned: a /boot that stays writable is not what was found.
func (d *Dir) Writable() (restore func() error, err error) {
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
		f, err := os.Open(abs)
		if err == nil {
			err = errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
		}
		if err := errors.Join(err, unix.Mount("", abs, "", unix.MS_REMOUNT|flags, "")); err != nil {
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
