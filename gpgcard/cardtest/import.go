package cardtest

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
)

// importKey is PUT DATA odd with the extended header list 4D (clause 4.4.3.12).
func (c *Card) importKey(a apdu) int {
	if a.p1 != 0x3f || a.p2 != 0xff {
		return swWrongP1P2
	}
	if !c.v.admin {
		return swSecurity
	}
	list, ok := find(a.data, 0x4d)
	if !ok {
		return swWrongData
	}
	slot, ok := slotOf(list)
	if !ok {
		return swWrongData
	}
	_, _, rest, ok := next(list)
	if !ok {
		return swWrongData
	}
	tmpl, ok1 := find(rest, 0x7f48)
	val, ok2 := find(rest, 0x5f48)
	if !ok1 || !ok2 {
		return swWrongData
	}
	parts := map[uint16][]byte{}
	for len(tmpl) > 0 {
		// Only tag and length stand in 7F48; the values follow in 5F48.
		t, n, r, ok := header(tmpl)
		if !ok || n > len(val) {
			return swWrongData
		}
		parts[t], val, tmpl = val[:n], val[n:], r
	}
	if len(val) != 0 {
		return swWrongData
	}
	alg := c.slotAlgorithm(slot)
	for _, no := range c.p.GenerateOnly {
		if alg == no {
			return swConditions
		}
	}
	der, sw := c.privateFrom(slot, alg, parts)
	if sw != swOK {
		return sw
	}
	c.setKey(slot, &key{Alg: alg, PKCS8: der, Origin: 2})
	return swOK
}

// header reads a tag and a length.
func header(b []byte) (tag uint16, n int, rest []byte, ok bool) {
	if len(b) < 2 {
		return
	}
	tag, b = uint16(b[0]), b[1:]
	n, b = int(b[0]), b[1:]
	switch {
	case n == 0x81 && len(b) >= 1:
		n, b = int(b[0]), b[1:]
	case n == 0x82 && len(b) >= 2:
		n, b = int(b[0])<<8|int(b[1]), b[2:]
	case n >= 0x80:
		return
	}
	return tag, n, b, true
}

func (c *Card) privateFrom(slot int, alg string, parts map[uint16][]byte) ([]byte, int) {
	var k any
	if n := rsaBits(alg); n > 0 {
		attr := c.st.DO[0xc1+uint16(slot)]
		ebits := int(attr[3])<<8 | int(attr[4])
		if len(parts[0x91]) != (ebits+7)/8 || len(parts[0x92]) != n/16 || len(parts[0x93]) != n/16 {
			return nil, swWrongData
		}
		f := attr[5]
		if f >= 2 && (len(parts[0x94]) == 0 || len(parts[0x95]) == 0 || len(parts[0x96]) == 0) {
			return nil, swWrongData
		}
		if f&1 == 1 && len(parts[0x97]) != n/8 {
			return nil, swWrongData
		}
		p, q := new(big.Int).SetBytes(parts[0x92]), new(big.Int).SetBytes(parts[0x93])
		e := new(big.Int).SetBytes(parts[0x91])
		one := big.NewInt(1)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(e, phi)
		if d == nil {
			return nil, swWrongData
		}
		r := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: int(e.Int64())}, D: d,
			Primes: []*big.Int{p, q}}
		if r.N.BitLen() != n || r.Validate() != nil {
			return nil, swWrongData
		}
		r.Precompute()
		k = r
	} else {
		d := parts[0x92]
		if c.p.Odd.PublicAtImport {
			// As opcard 1.5: the point with its form in front, also of Curve25519.
			form, pub := byte(4), parts[0x99]
			if alg == "ed25519" || alg == "cv25519" {
				form = 0x40
			}
			if len(pub) == 0 || pub[0] != form {
				return nil, swWrongData
			}
		}
		var err error
		switch alg {
		case "p256":
			k, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), pad(d, 32))
		case "p384":
			k, err = ecdsa.ParseRawPrivateKey(elliptic.P384(), pad(d, 48))
		case "p521":
			k, err = ecdsa.ParseRawPrivateKey(elliptic.P521(), pad(d, 66))
		case "ed25519":
			if len(d) != 32 {
				return nil, swWrongData
			}
			k = ed25519.NewKeyFromSeed(d)
		case "cv25519":
			if len(d) != 32 {
				return nil, swWrongData
			}
			// OpenPGP's byte order: most significant first.
			le := bytes.Clone(d)
			for i := range le {
				le[i] = d[31-i]
			}
			k, err = ecdh.X25519().NewPrivateKey(le)
		}
		if err != nil || k == nil {
			return nil, swWrongData
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, swFailed
	}
	return der, swOK
}

func pad(b []byte, n int) []byte {
	if len(b) >= n {
		return b
	}
	return append(make([]byte, n-len(b)), b...)
}
