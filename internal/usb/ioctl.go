//go:build linux && !ppc64 && !ppc64le && !mips && !mipsle && !mips64 && !mips64le

package usb

// Layout of an ioctl number (asm-generic/ioctl.h).
const (
	iocNone      = 0
	iocRead      = 2
	iocWrite     = 1
	iocSizeShift = 16
	iocDirShift  = 30
)
