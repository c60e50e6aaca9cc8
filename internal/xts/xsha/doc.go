// Package xsha hashes many blocks of equal length with SHA-256 (FIPS 180-4), as
// LUKS2's checksum resilience needs for every sector of a hotzone. One SHA-256 is
// a chain of dependent steps that leaves most of a processor idle; independent
// blocks hashed side by side fill it.
//
// On amd64 it takes two blocks at a time with the SHA extensions; without those
// eight with AVX2, or four with AVX. Elsewhere, and for block sizes that are not
// a multiple of 64 bytes, it calls crypto/sha256. All give the same bytes.
//
// Blocks are hashed as they lie on the disk, encrypted: nothing here is secret.
package xsha
