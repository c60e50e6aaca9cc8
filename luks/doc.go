// Package luks reads and edits LUKS headers and re-encrypts LUKS volumes in
// place, so that a laptop's data comes under a volume key nobody upstream has
// seen. It follows the LUKS2 On-Disk Format Specification 1.1.4 and the LUKS1
// specification 1.2.3, and the on-disk conventions of cryptsetup 2.4 to 2.8 for
// re-encryption (requirement flag online-reencrypt-v2).
//
// Two promises hold at every instant, power loss included:
//
//   - the passphrase the owner gave opens the volume, and no byte of data is lost;
//   - what is on the disk is a volume that cryptsetup itself can resume, and this
//     package resumes what cryptsetup began.
//
// A Volume is opened with Open; nothing is written until a method that says so is
// called. Every write has a name (the Write constants), so that a test can fail,
// tear or reorder exactly that write.
//
// # Order of writes
//
// Passphrase: the new keyslot's area, flush; header, both copies, a flush after
// each; the new slot is opened again from the disk; only then is the header
// written that drops the other slots; their areas are wiped last.
//
// Re-encryption, for each hotzone k of the data: checksums of the old ciphertext
// of k, flush; primary header "k is in re-encryption, k-1 is done", flush;
// secondary header and the new data, flush. The last header goes from "the last
// hotzone is in re-encryption" straight to "finished", and the old keyslots are
// wiped after it. There is no moment at which the header says neither where the
// old key ends nor that it has ended.
//
// What was never written, and is zero on the disk, is not written: see sparse.go. A zone
// with nothing else in it is passed over without a header.
//
// Erase: key material, flush, read back; only then the header that has none.
//
// Passphrases and keys are *secret.Buffer, a type of this module's own, on purpose: memory that is
// locked and wiped. Bytes or strings in these signatures would leave copies that nobody wipes.
//
// # What it does not do
//
// It does not activate volumes (no device-mapper), does not encrypt plain devices
// or decrypt for good, and does not handle integrity (AEAD) volumes, OPAL drives,
// or re-encryption with a data shift. It cannot reach what an SSD keeps in blocks
// it has remapped: that is what the new volume key is for.
package luks
