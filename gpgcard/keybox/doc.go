// Package keybox reads and writes the two files of a GnuPG home that make a public
// key known and trusted: pubring.kbx (keybox, version 1 of doc keybox-blob.c) and
// trustdb.gpg (version 3, doc DETAILS and tdbio.h). GnuPG 2.2 and 2.4 read both
// from a read-only directory, without rebuilding anything.
//
// It handles OpenPGP blobs of version 4 keys. It does not handle X.509 blobs, which
// are skipped, and keyboxd's database.
package keybox
