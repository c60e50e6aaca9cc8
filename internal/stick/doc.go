// Package stick finds USB sticks and puts small files on them: the backup of a key,
// a certificate.
//
// A stick is a block device that hangs on USB and carries a file system (FAT, exFAT,
// ext2 to ext4) that the kernel can mount, on a partition or on the whole of it. A
// device of which any part is mounted, held by another driver or excluded by the
// caller is none, so that the disks of the machine are never offered, on whatever bus
// they are.
//
// A file system is mounted only while files are written (nosuid, nodev, noexec,
// synchronous), then mounted once more, read-only, so that what is compared comes
// from the medium and not from memory. A file is replaced as a whole: written under
// a temporary name, synced, renamed.
//
// Nothing is formatted, partitioned or repaired. In a firmware whose usb-storage
// driver is a module that nobody has loaded yet, List loads it, measured as Heads' own
// insmod does.
package stick
