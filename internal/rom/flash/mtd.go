package flash

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"reown/internal/rom"
)

// An MTD is a Device on Linux's memory technology device (mtd-abi.h). Few of
// Heads' kernels have one; the board's flash program is the usual way.
type MTD struct {
	f    mtdFile
	info unix.MtdInfo
}

// mtdFile is what MTD needs of /dev/mtdN.
type mtdFile interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Sync() error
	Close() error
	info() (unix.MtdInfo, error)
	erase(start, length uint32) error
	unlock(start, length uint32) error
}

// OpenMTD opens a character device such as /dev/mtd0. The device must be NOR flash
// that may be written (ErrLocked) and show the whole chip.
func OpenMTD(name string) (*NOR, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the flash device: %w", err)
	}
	d, err := newMTD(mtdDevice{f})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("opening the flash device %s: %w", name, err)
	}
	return &NOR{Device: d, Name: "MTD " + name}, nil
}

func newMTD(f mtdFile) (*MTD, error) {
	info, err := f.info()
	if err != nil {
		return nil, err
	}
	switch {
	case info.Type != unix.MTD_NORFLASH:
		return nil, fmt.Errorf("%w: the device is no NOR flash (type %d)", rom.ErrUnknownLayout, info.Type)
	case info.Flags&unix.MTD_WRITEABLE == 0:
		return nil, fmt.Errorf("%w: the kernel gives read-only access", ErrLocked)
	case info.Erasesize < PageSize || info.Erasesize&(info.Erasesize-1) != 0 || info.Size%info.Erasesize != 0:
		return nil, fmt.Errorf("%w: erase blocks of %d bytes in %d bytes", rom.ErrUnknownLayout, info.Erasesize, info.Size)
	}
	return &MTD{f, info}, nil
}

// Close closes the device.
func (d *MTD) Close() error { return d.f.Close() }

// Size implements Device.
func (d *MTD) Size() int64 { return int64(d.info.Size) }

// EraseSize implements Device.
func (d *MTD) EraseSize() int64 { return int64(d.info.Erasesize) }

// ReadAt implements Device.
func (d *MTD) ReadAt(p []byte, off int64) (int, error) { return d.f.ReadAt(p, off) }

// Erase implements Device.
func (d *MTD) Erase(_ string, off int64) error {
	start, length := uint32(off), d.info.Erasesize
	// Devices without locking answer EOPNOTSUPP.
	if err := d.f.unlock(start, length); err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOTTY) {
		return fmt.Errorf("%w: unlocking: %w", ErrLocked, err)
	}
	return locked(d.f.erase(start, length))
}

// Program implements Device.
func (d *MTD) Program(_ string, off int64, p []byte) error {
	_, err := d.f.WriteAt(p, off)
	return locked(err)
}

// Sync implements Device.
func (d *MTD) Sync() error {
	// A character device need not know fsync; its writes are not buffered.
	if err := d.f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

func locked(err error) error {
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return err
}

// mtdDevice is a real /dev/mtdN.
type mtdDevice struct{ *os.File }

func (d mtdDevice) info() (unix.MtdInfo, error) {
	var info unix.MtdInfo
	err := d.ioctl(unix.MEMGETINFO, unsafe.Pointer(&info))
	return info, err
}

func (d mtdDevice) erase(start, length uint32) error {
	e := unix.EraseInfo{Start: start, Length: length}
	return d.ioctl(unix.MEMERASE, unsafe.Pointer(&e))
}

func (d mtdDevice) unlock(start, length uint32) error {
	e := unix.EraseInfo{Start: start, Length: length}
	return d.ioctl(unix.MEMUNLOCK, unsafe.Pointer(&e))
}

func (d mtdDevice) ioctl(req uintptr, arg unsafe.Pointer) error {
	c, err := d.SyscallConn()
	if err != nil {
		return err
	}
	var errno unix.Errno
	if err := c.Control(func(fd uintptr) {
		_, _,
			errno = unix.Syscall(unix.SYS_IOCTL, fd, req, uintptr(arg))
	}); err != nil {
		return err
	}
	if errno != 0 {
		return errno
	}
	return nil
}
