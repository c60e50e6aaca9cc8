// Package boot makes and checks what Heads expects of /boot: the hashes of its
// files, the list of its names, the default entry, and one OpenPGP signature over
// all of that; and it replaces one owner's set by the next one's so that the power
// may fail at any write.
//
// There is no specification but Heads itself. The formats follow linuxboot/heads
// aedae4f: print_tree, verify_checksums, check_config and assert_signable in
// initrd/etc/functions.sh, scan_boot_options with kexec-parse-boot.sh and
// kexec-parse-bls.sh for the entries and their numbers, kexec-save-default.sh and
// kexec-sign-config.sh for the rest. Tests run the same commands (sha256sum -c,
// find, sort -z, cmp, gpgv) over our output.
//
// The order of a replacement is: Build in memory, sign SignedBytes elsewhere, Stage
// in kexec_reown.stage/ (a name that Heads neither hashes nor lists), VerifyStaged,
// Commit. The staged set is a redo log: Commit writes each file under a temporary
// name, syncs it and renames it, the signature last, and may be repeated from the
// start after a cut. The list and the hashes are made as if /boot/oem were absent,
// so that removing it, which is the last act, turns a set that differs "only by
// ./oem" into one that does not differ.
//
// It does not sign and does not check signatures: both are functions the caller
// gives. The files about the TPM (rollback counter, primary key, Disk Unlock Key)
// come ready made from package tpm; to this package they are bytes to sign.
package boot
