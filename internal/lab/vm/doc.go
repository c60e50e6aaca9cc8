// Package vm switches the lab's laptop on for real: QEMU without KVM boots Debian's
// kernel with an initrd built here, in which busybox's shell plays Heads' init and
// the shipped reown binary finds a disk behind the kernel's own drivers, swtpm
// behind /dev/tpm0, the emulated token behind the kernel's USB stack, and a flash
// chip as a file. When it is switched off, the laptop's directory is as host mode
// leaves it, and lab.Laptop.Judge can judge it.
//
// Three choices are not obvious. The firmware is SeaBIOS' microvm build, because
// the usual one drives the TPM itself: it sets a platform passphrase and takes
// physical presence away, which coreboot with Heads does not. The kernel is started
// as an ELF image (PVH), which saves decompressing it. The initrd is put into memory
// by QEMU's generic loader, because its PVH loader puts it over the ACPI tables when
// there is a TPM.
//
// What it leaves out: coreboot and Heads' own scripts do not run (labd extends the
// PCRs as they would), and a virtual disk has no cache that loses writes; for that
// there is the write log (Log).
package vm
