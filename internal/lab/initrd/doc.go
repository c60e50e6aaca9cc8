// Package initrd makes what a Linux kernel starts from: a cpio archive (newc) with
// programs and their libraries, the kernel's modules with what they depend on, and the
// kernel itself, as Debian installed them on this machine. For the lab and for tests.
package initrd
