package ttyinput

import (
	"syscall"
	"unsafe"
)

func ioctlByte(fd int, request uintptr, p *byte) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(p))); errno != 0 {
		return errno
	}
	return nil
}
