package gpgcard

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"reown/internal/secret"
)

// The protection of secret key packets (RFC 4880, 5.5.3) is done here and not by go-crypto,
// whose passphrase hashing leaves dozens of copies of the passphrase in the runtime's
// memory.

const (
	usageSHA1    = 254 // S2K usage: what is encrypted ends with a SHA-1
	cipherAES256 = 9
	hashSHA256   = 8
	s2kIterated  = 3
	s2kCount     = 0xff // coded (3.7.1.3): 65011712 bytes
	protectedLen = 1 + 1 + 3 + 8 + aes.BlockSize
)

// s2kBytes decodes a count (3.7.1.3).
func s2kBytes(c byte) uint32 { return (16 + uint32(c&15)) << (c>>4 + 6) }

// secretPart splits a version 4 secret key packet: its tag, the public part of its body,
// and what follows that.
func secretPart(p []byte) (tag byte, pub, rest []byte, err error) {
	tag, head, n, err := packetLength(p)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("%w: %w", ErrBadCert, err)
	}
	body := p[head:n]
	if _, rest, err = parseBody(body); err != nil {
		return 0, nil, nil, err
	}
	if len(rest) == 0 {
		return 0, nil, nil, fmt.Errorf("%w: a secret key without numbers", ErrBadCert)
	}
	return tag, body[:len(body)-len(rest)], rest, nil
}

// packetHead is the header of a packet, with a length of four bytes.
func packetHead(tag byte, n int) []byte {
	return binary.BigEndian.AppendUint32([]byte{0xc0 | tag, 0xff}, uint32(n))
}

// protect encrypts a secret key packet (AES-256, iterated and salted S2K with SHA-256). A
// packet without numbers in the clear is returned as it is.
func protect(p []byte, passphrase *secret.Buffer) ([]byte, error) {
	tag, pub, rest, err := secretPart(p)
	if err != nil || rest[0] != 0 {
		return p, err
	}
	if len(rest) < 3 {
		return nil, fmt.Errorf("%w: a secret key without numbers", ErrBadCert)
	}
	numbers := rest[1 : len(rest)-2] // without their checksum
	random := secret.Random(8 + aes.BlockSize)
	defer random.Wipe()
	salt, iv := random.Bytes()[:8], random.Bytes()[8:]
	plain := secret.New(len(numbers) + sha1.Size)
	defer plain.Wipe()
	sum := sha1.Sum(numbers)
	copy(plain.Bytes()[copy(plain.Bytes(), numbers):], sum[:])
	//lint:ignore SA1019 RFC 4880, 5.5.3
	stream, err := s2kStream(passphrase, salt, s2kCount, iv, cipher.NewCFBEncrypter)
	if err != nil {
		return nil, err
	}
	n := len(pub) + protectedLen + plain.Len()
	out := append(packetHead(tag, n), pub...)
	out = append(out, usageSHA1, cipherAES256, s2kIterated, hashSHA256)
	out = append(append(out, salt...), s2kCount)
	out = append(out, iv...)
	at := len(out)
	out = append(out, make([]byte, plain.Len())...)
	stream.XORKeyStream(out[at:], plain.Bytes())
	return out, nil
}

// unprotect decrypts a secret key packet that protect has made, or another program in the
// same way; ok is false for other packets. The caller wipes the result.
func unprotect(p []byte, passphrase *secret.Buffer) (plain *secret.Buffer, ok bool, err error) {
	tag, pub, rest, err := secretPart(p)
	if err != nil || len(rest) < protectedLen+sha1.Size || rest[0] != usageSHA1 || rest[1] != cipherAES256 ||
		rest[2] != s2kIterated || rest[3] != hashSHA256 {
		return nil, false, nil // go-crypto says what is wrong with it
	}
	salt, count, iv, enc := rest[4:12], rest[12], rest[13:protectedLen], rest[protectedLen:]
	//lint:ignore SA1019 RFC 4880, 5.5.3
	stream, err := s2kStream(passphrase, salt, count, iv, cipher.NewCFBDecrypter)
	if err != nil {
		return nil, true, err
	}
	open := secret.New(len(enc))
	defer open.Wipe()
	stream.XORKeyStream(open.Bytes(), enc)
	numbers := open.Bytes()[:len(enc)-sha1.Size]
	if sum := sha1.Sum(numbers); subtle.ConstantTimeCompare(sum[:], open.Bytes()[len(numbers):]) != 1 {
		return nil, true, ErrWrongPassphrase
	}
	var sum uint16
	for _, b := range numbers {
		sum += uint16(b)
	}
	n := len(pub) + 1 + len(numbers) + 2
	head := packetHead(tag, n)
	plain = secret.New(len(head) + n)
	b := append(plain.Bytes()[:0], head...)
	b = append(append(b, pub...), 0)
	binary.BigEndian.AppendUint16(append(b, numbers...), sum)
	return plain, true, nil
}

// s2kStream derives the key from a passphrase and makes a cipher of it.
func s2kStream(passphrase *secret.Buffer, salt []byte, count byte, iv []byte,
	mode func(cipher.Block, []byte) cipher.Stream) (cipher.Stream, error) {
	k := &kdf{hash: hashSHA256, n: s2kBytes(count)}
	k.salt[UserPIN.index()] = salt
	key := k.derive(UserPIN, passphrase.Bytes())
	defer key.Wipe()
	block, err := aes.NewCipher(key.Bytes())
	if err != nil {
		return nil, err
	}
	return mode(block, iv), nil
}
