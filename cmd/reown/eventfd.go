//go:build !noeventfd

package main

import "golang.org/x/sys/unix"

// runtimeFits tells whether the Go runtime in this build can work on the running
// kernel. A release build (`make build`) carries a runtime that needs no eventfd
// and is compiled with the tag noeventfd.
func runtimeFits() bool {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err == unix.ENOSYS {
		return false
	}
	if err == nil {
		unix.Close(fd)
	}
	return true
}
