// Package rom reads and changes coreboot firmware images: the flash map (FMAP),
// the file system inside it (CBFS), and the few files in it that belong to the
// owner of a machine with Heads (everything below "heads/").
//
// It follows coreboot's fmap_serialized.h and cbfs_serialized.h, and it edits an
// image exactly as one of two programs would: coreboot's cbfstool or Heads'
// cbfs. The two differ in which hole a new file gets and in the padding of its
// name (see Style). Both read what either writes.
//
// Plan is the heart of the package: given the image as read from the chip and
// the owner's new files, it builds the new image in memory, places the owner's
// files on erase blocks that hold nothing a start of the machine needs, and
// proves that nothing else changed. Package flash carries a Plan to the chip.
//
// What it does not do: it does not add or move stages, payloads or compressed
// files, it does not sign, and it refuses images whose CBFS is verified by the
// boot block (a metadata hash anchor, or vboot), because any change would keep
// such a machine from starting.
package rom
