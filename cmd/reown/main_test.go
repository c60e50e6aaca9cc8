package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutEventfd, given as the first argument of the test binary, makes it run
// the rest of its arguments on a kernel that seems to lack what the kernels of
// Heads' boards lack.
const withoutEventfd = "-without-eventfd"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case asReown:
			os.Args = append(os.Args[:1], os.Args[2:]...)
			main()
		case attach:
			os.Exit(attachTo(os.Args[2]))
		}
	}
	if len(os.Args) > 2 && os.Args[1] == withoutEventfd {
		err := denySyscalls()
		if err == nil {
			err = syscall.Exec(os.Args[2], os.Args[2:], os.Environ())
		}
		fmt.Fprintln(os.Stderr, "without-eventfd:", err)
		os.Exit(99)
	}
	os.Exit(m.Run())
}

// denySyscalls installs a seccomp filter on this thread that answers ENOSYS, as a
// kernel built without these calls does. It stays in force across exec.
func denySyscalls() error {
	runtime.LockOSThread()
	denied := []uint32{unix.SYS_EVENTFD2, unix.SYS_MADVISE, unix.SYS_MEMFD_CREATE, unix.SYS_TIMERFD_CREATE,
		unix.SYS_SIGNALFD4, unix.SYS_INOTIFY_INIT1, unix.SYS_IO_SETUP}
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}}
	for _, nr := range denied {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}
