// Package handover reads, checks and makes the hand-over file: a statement by the
// seller of what the laptop was when it left him, so that the buyer's machine can
// compare itself with it, and the chain of such statements when a laptop passes
// through several hands.
//
// A statement is an in-toto Statement v1 (github.com/in-toto/attestation, spec/v1)
// in JSON. Its signature is a detached OpenPGP signature beside it, which gpg and
// gpgv check over the file's bytes as they are. Each transfer is a new statement
// with the SHA-256 of the last one, from = the last one's to, signed by from; the
// receiver may add a signature of his own to the same file.
//
// Rules: the bytes that are verified are the bytes that are parsed, in that order;
// the signer is the fingerprint that the chain demands, never one that a signature
// names; sizes, depth and links are limited; duplicate keys, trailing data and
// invalid UTF-8 are refused; unknown fields are ignored, so that what a verifier
// does not know can only fail to help, never turn a refusal into consent.
//
// The certificates that verify a chain may travel with it; they are then a way to find
// a key and nobody's word for it. Whether the first signer is the right one is decided
// by somebody who knows a fingerprint of the chain from elsewhere, and that the chain is this
// machine's by a signature of the firmware's key on its last statement: both are the
// caller's.
//
// The package checks no signature itself: the caller gives a Verifier. A comparison
// proves that values are equal, not that somebody who measured them was honest: an
// attacker who rewrites the whole flash chip can replay measurements.
package handover
