package main

import "golang.org/x/sys/unix"

// harden keeps what the process knows from others of the same user, and from the disk: nobody but
// root may attach to it or read its memory, and it leaves no core. What a kernel does not offer is
// done without. Programs that are started inherit the limit alone.
func harden() {
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}
