package gpgcard

import (
	"bytes"
	"crypto"
	_ "crypto/sha256" // the hashes that hash names
	_ "crypto/sha512"
	"encoding/binary"
	"fmt"
)

// An Algorithm is what a key is made for; Curve25519 stands for Ed25519 in the
// signature and authentication slots and X25519 in the decryption slot.
type Algorithm int

// The algorithms this package makes keys of.
const (
	RSA2048 Algorithm = iota + 1
	RSA3072
	RSA4096
	P256
	P384
	P521
	Curve25519
)

var algorithmNames = map[Algorithm]string{
	RSA2048: "rsa2048", RSA3072: "rsa3072", RSA4096: "rsa4096",
	P256: "p256", P384: "p384", P521: "p521", Curve25519: "25519",
}

func (a Algorithm) String() string {
	if s := algorithmNames[a]; s != "" {
		return s
	}
	return fmt.Sprintf("algorithm %d", int(a))
}

// MarshalText names the algorithm in JSON.
func (a Algorithm) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// ParseAlgorithm reads a name such as "rsa3072", "p256" or "25519"; "ed25519",
// "cv25519", "nistp256" and the like are taken too.
func ParseAlgorithm(s string) (Algorithm, error) {
	switch s {
	case "ed25519", "cv25519", "curve25519":
		return Curve25519, nil
	case "nistp256":
		return P256, nil
	case "nistp384":
		return P384, nil
	case "nistp521":
		return P521, nil
	}
	for a, name := range algorithmNames {
		if name == s {
			return a, nil
		}
	}
	return 0, fmt.Errorf("unknown algorithm %q", s)
}

// bits is the modulus length of RSA, 0 for curves.
func (a Algorithm) bits() int {
	switch a {
	case RSA2048:
		return 2048
	case RSA3072:
		return 3072
	case RSA4096:
		return 4096
	}
	return 0
}

// hash is the digest that goes with the algorithm: a P-384 key needs one of its
// own size for gpg to accept the signature.
func (a Algorithm) hash() crypto.Hash {
	switch a {
	case P384:
		return crypto.SHA384
	case P521:
		return crypto.SHA512
	}
	return crypto.SHA256
}

// Curve object identifiers (clause 4.4.3.10; RFC 4880bis, 9.2).
var (
	oidP256    = []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	oidP384    = []byte{0x2b, 0x81, 0x04, 0x00, 0x22}
	oidP521    = []byte{0x2b, 0x81, 0x04, 0x00, 0x23}
	oidEd25519 = []byte{0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01}
	oidX25519  = []byte{0x2b, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01}
)

// OpenPGP public key algorithms, which are also the first byte of attributes.
const (
	pkRSA   = 1
	pkECDH  = 18
	pkECDSA = 19
	pkEdDSA = 22
)

// curve returns the curve's identifier and the public key algorithm in a slot.
func (a Algorithm) curve(s Slot) (oid []byte, pk byte) {
	pk = pkECDSA
	if s == Decryption {
		pk = pkECDH
	}
	switch a {
	case P256:
		return oidP256, pk
	case P384:
		return oidP384, pk
	case P521:
		return oidP521, pk
	case Curve25519:
		if s == Decryption {
			return oidX25519, pkECDH
		}
		return oidEd25519, pkEdDSA
	}
	return nil, pkRSA
}

// pointLen is the length of a public point on the card, in bytes.
func (a Algorithm) pointLen() int {
	switch a {
	case P256:
		return 65
	case P384:
		return 97
	case P521:
		return 133
	case Curve25519:
		return 32
	}
	return 0
}

// attribute is an algorithm attribute, DO C1 to C3 (clause 4.4.3.9).
type attribute struct {
	Algorithm
	exponentBits int  // RSA
	format       byte // RSA import format: 0 e p q, 1 with n, 2 with CRT values, 3 both
	withPublic   bool // EC: the public key is wanted at import
}

// parseAttribute decodes an attribute.
func parseAttribute(s Slot, b []byte) (attribute, error) {
	if len(b) >= 5 && b[0] == pkRSA {
		a := attribute{exponentBits: int(binary.BigEndian.Uint16(b[3:]))}
		if len(b) >= 6 {
			a.format = b[5]
		}
		for alg := range algorithmNames {
			if n := alg.bits(); n != 0 && n == int(binary.BigEndian.Uint16(b[1:])) {
				a.Algorithm = alg
				return a, nil
			}
		}
	}
	if len(b) >= 2 {
		oid := b[1:]
		withPublic := oid[len(oid)-1] == 0xff
		// A trailing byte FF asks for the public key at import, 00 does not; YubiKey
		// 5.2 adds one without meaning.
		for _, alg := range []Algorithm{P256, P384, P521, Curve25519} {
			want, pk := alg.curve(s)
			if !bytes.HasPrefix(oid, want) || len(oid) > len(want)+1 {
				continue
			}
			// The list in DO FA of some cards has 13 or 16 for 12; the curve decides.
			if b[0] == pk || s == Decryption && (b[0] == pkECDSA || b[0] == pkEdDSA) {
				return attribute{Algorithm: alg, withPublic: withPublic && len(oid) == len(want)+1}, nil
			}
		}
	}
	return attribute{}, fmt.Errorf("unknown algorithm attribute %X of the %v key", b, s)
}

// encode encodes the attribute for PUT DATA.
func (a attribute) encode(s Slot) []byte {
	oid, pk := a.curve(s)
	if pk == pkRSA {
		b := []byte{pkRSA}
		b = binary.BigEndian.AppendUint16(b, uint16(a.bits()))
		b = binary.BigEndian.AppendUint16(b, uint16(a.exponentBits))
		return append(b, a.format)
	}
	b := append([]byte{pk}, oid...)
	if a.withPublic {
		b = append(b, 0xff)
	}
	return b
}
