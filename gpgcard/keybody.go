package gpgcard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
)

// parseBody decodes a public key packet's body, the opposite of publicKey.body,
// and returns what follows it (the secret part, in a secret key packet).
func parseBody(b []byte) (*publicKey, []byte, error) {
	bad := func(what string) (*publicKey, []byte, error) {
		return nil, nil, fmt.Errorf("%w: %s", ErrBadCert, what)
	}
	if len(b) < 7 || b[0] != 4 {
		return bad("not a version 4 key")
	}
	pk, rest := b[5], b[6:]
	if pk == pkRSA {
		n, rest, err := nextMPI(rest)
		if err != nil {
			return nil, nil, err
		}
		e, rest, err := nextMPI(rest)
		if err != nil {
			return nil, nil, err
		}
		for a := range algorithmNames {
			if bits := a.bits(); bits != 0 && bits == new(big.Int).SetBytes(n).BitLen() {
				return &publicKey{alg: a, n: n, e: e}, rest, nil
			}
		}
		return bad(fmt.Sprintf("RSA key of %d bits", new(big.Int).SetBytes(n).BitLen()))
	}
	k := &publicKey{slot: Signature}
	switch pk {
	case pkECDH:
		k.slot = Decryption
	case pkECDSA, pkEdDSA:
	default:
		return bad(fmt.Sprintf("public key algorithm %d", pk))
	}
	if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
		return bad("curve")
	}
	oid, rest := rest[1:1+rest[0]], rest[1+rest[0]:]
	for _, a := range []Algorithm{P256, P384, P521, Curve25519} {
		if want, p := a.curve(k.slot); p == pk && bytes.Equal(want, oid) {
			k.alg = a
		}
	}
	if k.alg == 0 {
		return bad(fmt.Sprintf("curve %X", oid))
	}
	point, rest, err := nextMPI(rest)
	if err != nil {
		return nil, nil, err
	}
	if k.alg == Curve25519 && len(point) == 33 {
		point = point[1:]
	}
	k.point = point
	if pk == pkECDH {
		if len(rest) < 1 || len(rest) < 1+int(rest[0]) {
			return bad("key derivation parameters")
		}
		rest = rest[1+rest[0]:]
	}
	return k, rest, nil
}

// nextMPI reads a multiprecision integer.
func nextMPI(b []byte) (v, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, fmt.Errorf("%w: number", ErrBadCert)
	}
	n := (int(binary.BigEndian.Uint16(b)) + 7) / 8
	if n > len(b)-2 {
		return nil, nil, fmt.Errorf("%w: number", ErrBadCert)
	}
	return b[2 : 2+n], b[2+n:], nil
}
