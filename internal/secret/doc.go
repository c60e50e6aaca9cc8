// Package secret keeps passphrases, PINs and keys in memory that is locked
// against swapping, left out of core dumps, placed outside the Go heap (so that
// the garbage collector never copies it) and wiped when it is no longer needed.
//
// A Buffer has no String method: every formatting verb, log handler and JSON or
// text marshaller prints "[secret]". Code that needs the bytes calls Bytes and
// must not convert them to a string.
//
// Ownership: who creates a Buffer wipes it. A function that is given a Buffer
// reads it and neither wipes nor keeps it, unless its comment says so.
//
// What it does not do: it cannot clear CPU registers, or copies that the kernel
// makes on the way to a device. The firmware's kernel should run with
// init_on_free=1 for those.
package secret
