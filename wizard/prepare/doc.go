// Package prepare is the seller's side of a hand-over: it makes a laptop ready to
// ship, so that the buyer's run (package wizard) finds what it expects.
//
// A run asks nothing. Everything is per device and random: the disk's passphrase,
// the PINs, the TPM's owner passphrase and the TOTP secret, which are with their
// keeper (a Sink) before they are set anywhere. Each step may be repeated, so a run
// that was cut is simply run again: with the same order and the secrets that the
// first one handed out, it begins at the first step and ends in the same state.
// The last step trusts none of the others: it reads the devices afresh and compares
// them with the signed statement, line by line.
//
// The package does not write an operating system to the disk, and it does not
// protect from a seller who lies: see package handover.
package prepare
