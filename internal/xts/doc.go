// Package xts encrypts and decrypts disk sectors with AES-XTS, the cipher that
// dm-crypt calls aes-xts-plain64 (IEEE 1619-2018; NIST SP 800-38E), as fast as
// the processor can. Re-encrypting a disk passes every byte through here twice,
// and golang.org/x/crypto/xts handles one block at a time.
//
// Which code runs is chosen once, from what the processor has:
//
//	vaes      amd64 with AVX2, VAES and VPCLMULQDQ, 16 blocks at a time
//	aes-ni    amd64 with AES-NI, 8 blocks at a time
//	ssse3     amd64 without AES-NI, 8 blocks at a time, bitsliced
//	armv8-ce  arm64 with the AES extension, 8 blocks at a time
//	vcipher   ppc64le (POWER8 and later), 8 blocks at a time
//	generic   everything else, through crypto/aes
//
// The speed beside OpenSSL's: go test -run - -bench VersusOpenSSL ./internal/xts/...
//
// All give the same bytes; tests force each in turn and compare it with
// x/crypto/xts. The assembly is written by gen (go generate).
//
// What it does not do: there is no ciphertext stealing (a sector is whole
// 512-byte units), no authentication (XTS has none), no other IV than plain64.
// Wipe clears the round keys, not what encryption leaves on goroutines' stacks:
// tweaks and intermediate blocks.
package xts

//go:generate go run ./gen
