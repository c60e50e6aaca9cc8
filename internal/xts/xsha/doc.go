// Package xsha hashes many blocks of equal length with SHA-256 (FIPS 180-4), as
// LUKS2's checksum resilience needs for every sector of a hotzone. One SHA-256 is
// a chain of dependent steps that leaves most of a processor idle; independent
// blocks hashed side by side fill it.
package xsha
