//go:build linux && (ppc64 || ppc64le)

package usb

// Layout of an ioctl number on POWER (arch/powerpc/include/uapi/asm/ioctl.h).
const (
	iocNone      = 1
	iocRead      = 2
	iocWrite     = 4
	iocSizeShift = 16
	iocDirShift  = 29
)
