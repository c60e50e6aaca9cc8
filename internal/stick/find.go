package stick

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Volume is a file system on a stick.
type Volume struct {
	Name   string // of the device, as the kernel has it: "sdb1"
	Vendor string // as the stick says, trimmed; escape it before showing
	Model  string
	Serial string // of the USB device; often empty
	Size   int64  // bytes, of the device that carries the file system
	FS     string // the type it is mounted as: vfat, exfat or ext4
}

// System is where the kernel shows its devices. The zero value is not usable; Kernel
// makes the right one.
type System struct {
	Sysfs   string // "/sys"
	Dev     string // "/dev"
	Proc    string // "/proc"
	Modules string // directory with usb-storage.ko; "": none is loaded
	// Exclude names devices (paths) whose whole disk is never a stick.
	Exclude []string
	// Measure notes a kernel module before it is loaded; nil: nobody wants to know. An error
	// keeps it from being loaded.
	Measure func(ctx context.Context, module []byte) error

	mount   func(source, target, fs string, readOnly bool) error
	unmount func(target string) error
	load    func(module []byte) error
}

// Kernel is this machine, without the disks that devices (paths) lie on.
func Kernel(exclude ...string) *System {
	return &System{Sysfs: "/sys", Dev: "/dev", Proc: "/proc", Modules: "/lib/modules", Exclude: exclude, mount: mount,
		unmount: umount, load: load}
}

// onUSB says whether a device's place in sysfs has a /usbN/ in it: it hangs on USB.
func onUSB(place string) bool {
	for part := range strings.SplitSeq(filepath.Dir(place), "/") {
		if n, ok := strings.CutPrefix(part, "usb"); ok && n != "" && strings.Trim(n, "0123456789") == "" {
			return true
		}
	}
	return false
}

// List returns the sticks that are plugged in, in the order of their names.
func (s *System) List(ctx context.Context) ([]Volume, error) {
	found, err := s.list()
	if err != nil || len(found) > 0 || !s.loadDriver(ctx) {
		return found, err
	}
	// The driver waits a second before it looks at a stick.
	for range 30 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		if found, err = s.list(); err != nil || len(found) > 0 {
			return found, err
		}
	}
	return nil, nil
}

func (s *System) list() ([]Volume, error) {
	links, err := filepath.Glob(filepath.Join(s.Sysfs, "class/block/*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(links)
	used, err := s.mounted()
	if err != nil {
		return nil, err
	}
	var all []device
	busy, parts := map[string]bool{}, map[string]bool{} // by the place of the disk
	for _, l := range links {
		place, err := filepath.EvalSymlinks(l)
		if err != nil || !onUSB(place) {
			continue
		}
		d := device{filepath.Base(l), place, place}
		if exists(filepath.Join(place, "partition")) {
			d.disk = filepath.Dir(place)
			parts[d.disk] = true
		}
		held, _ := os.ReadDir(filepath.Join(place, "holders"))
		if len(held) > 0 || used[read(place, "dev")] || s.excluded(d.name) || read(place, "ro") == "1" {
			busy[d.disk] = true
		}
		all = append(all, d)
	}
	var out []Volume
	known := s.filesystems()
	for _, d := range all {
		if busy[d.disk] || d.disk == d.place && parts[d.place] {
			continue
		}
		if v, ok := s.volume(d); ok && slices.Contains(known, v.FS) {
			out = append(out, v)
		}
	}
	return out, nil
}

// A device is a disk or a partition; place and disk are folders of sysfs.
type device struct{ name, place, disk string }

// volume describes a device; false: it is empty, or holds no file system that is known.
func (s *System) volume(d device) (Volume, bool) {
	sectors, err := strconv.ParseInt(read(d.place, "size"), 10, 64)
	if err != nil || sectors <= 0 {
		return Volume{}, false // a card reader without a card
	}
	v := Volume{
		Name: d.name, Size: sectors * 512, FS: filesystem(filepath.Join(s.Dev, d.name)),
		Vendor: read(d.disk, "device/vendor"), Model: read(d.disk, "device/model"),
	}
	for p := filepath.Dir(d.disk); strings.Contains(p, "/usb"); p = filepath.Dir(p) {
		if exists(filepath.Join(p, "idVendor")) {
			v.Serial = read(p, "serial")
			break
		}
	}
	return v, v.FS != ""
}

// excluded says whether a caller's device is this one.
func (s *System) excluded(name string) bool {
	for _, x := range s.Exclude {
		if p, err := filepath.EvalSymlinks(x); err == nil {
			x = p
		}
		if filepath.Base(x) == name {
			return true
		}
	}
	return false
}

// read returns a small file of sysfs, trimmed; "" when it is not there.
func read(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || len(b) > 256 {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// mounted returns the numbers (major:minor) of the devices that are mounted.
func (s *System) mounted() (map[string]bool, error) {
	b, err := os.ReadFile(filepath.Join(s.Proc, "self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("reading what is mounted: %w", err)
	}
	m := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 {
			m[f[2]] = true
		}
	}
	return m, nil
}

// filesystems are the types that the kernel can mount now.
func (s *System) filesystems() (all []string) {
	b, _ := os.ReadFile(filepath.Join(s.Proc, "filesystems"))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 0 {
			all = append(all, f[len(f)-1])
		}
	}
	return all
}

// filesystem tells the type by which a device is mounted, by its superblock; "" for
// another one and for a device that cannot be read.
func filesystem(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, 2048)
	if n, _ := f.ReadAt(b, 0); n < len(b) {
		return ""
	}
	return superblock(b)
}

// superblock tells a file system by its first 2048 bytes.
func superblock(b []byte) string {
	switch {
	case len(b) < 2048:
		return ""
	case bytes.Equal(b[3:11], []byte("EXFAT   ")):
		return "exfat"
	case b[1080] == 0x53 && b[1081] == 0xef: // s_magic, little-endian
		return "ext4"
	case b[510] == 0x55 && b[511] == 0xaa &&
		(bytes.Equal(b[54:57], []byte("FAT")) || bytes.Equal(b[82:87], []byte("FAT32"))):
		return "vfat"
	}
	return ""
}

// loadDriver loads usb-storage where it is a module that is not loaded; true if it
// is there only now. What is measured is what is loaded.
func (s *System) loadDriver(ctx context.Context) bool {
	if s.Modules == "" || exists(filepath.Join(s.Sysfs, "bus/usb/drivers/usb-storage")) {
		return false
	}
	f, err := os.Open(filepath.Join(s.Modules, Driver))
	if err != nil {
		return false
	}
	defer f.Close()
	module, err := io.ReadAll(io.LimitReader(f, maxDriver+1))
	if err != nil || len(module) > maxDriver {
		return false
	}
	if s.Measure != nil && s.Measure(ctx, module) != nil {
		return false
	}
	return s.load(module) == nil
}

// Driver is the file of the kernel module for sticks; maxDriver bounds it, in bytes.
const (
	Driver    = "usb-storage.ko"
	maxDriver = 16 << 20
)

func load(module []byte) error { return unix.InitModule(module, "") }

func mount(source, target, fs string, readOnly bool) error {
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_SYNCHRONOUS)
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	err := unix.Mount(source, target, fs, flags, "")
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOMEDIUM):
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrFilesystem, fs, err)
}

func umount(target string) error { return unix.Unmount(target, 0) }
