package cardtest

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// key is one key slot.
type key struct {
	Alg    string
	PKCS8  []byte
	Origin byte // 1 generated, 2 imported (DO DE)
}

// oids are the curve identifiers of the algorithm attributes (clause 4.4.3.10).
var oids = map[string][]byte{
	"p256":    unhex("2a8648ce3d030107"),
	"p384":    unhex("2b81040022"),
	"p521":    unhex("2b81040023"),
	"ed25519": unhex("2b06010401da470f01"),
	"cv25519": unhex("2b060104019755010501"),
}

func rsaBits(alg string) int {
	n := 0
	if _, err := fmt.Sscanf(alg, "rsa%d", &n); err != nil {
		return 0
	}
	return n
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// attribute encodes an algorithm for a slot (0 signature, 1 decryption, 2
// authentication).
func (c *Card) attribute(slot int, alg string) []byte {
	if n := rsaBits(alg); n > 0 {
		return []byte{1, byte(n >> 8), byte(n), byte(c.p.RSAEBits >> 8), byte(c.p.RSAEBits), c.p.RSAFormat}
	}
	id := byte(0x13)
	switch {
	case alg == "ed25519":
		id = 0x16
	case slot == 1:
		id = 0x12
	}
	b := append([]byte{id}, oids[alg]...)
	if c.p.Odd.PublicAtImport {
		b = append(b, 0xff)
	}
	return b
}

// algorithm decodes an attribute; "" when the slot does not offer it.
func (c *Card) algorithm(slot int, attr []byte) string {
	for _, a := range c.p.Algorithms[slot] {
		w := c.attribute(slot, a)
		if attr[0] == 1 {
			if len(attr) == 6 && bytes.Equal(attr[:3], w[:3]) && (!c.p.StrictRSA || bytes.Equal(attr, w)) {
				return a
			}
			continue
		}
		if bytes.Equal(attr, w) || !c.p.Odd.PublicAtImport && bytes.Equal(attr, append(w, 0xff)) {
			return a
		}
	}
	return ""
}

// setAttribute is PUT DATA C1..C3; a new algorithm deletes the key.
func (c *Card) setAttribute(slot int, v []byte) int {
	if len(v) < 2 || c.algorithm(slot, v) == "" {
		return swWrongData
	}
	if c.p.Odd.IgnoresAttribute {
		return swOK
	}
	tag := 0xc1 + uint16(slot)
	if !bytes.Equal(c.st.DO[tag], v) {
		c.st.Keys[slot] = nil
		delete(c.st.DO, 0xc7+uint16(slot))
		delete(c.st.DO, 0xce+uint16(slot))
	}
	c.st.DO[tag] = v
	if c.p.Odd.AttributeEndsPIN {
		c.v.sign, c.v.user, c.v.admin = false, false, false
	}
	return swOK
}

func (c *Card) slotAlgorithm(slot int) string { return c.algorithm(slot, c.st.DO[0xc1+uint16(slot)]) }

// slotOf reads a control reference template: B6, B8 or A4.
func slotOf(crt []byte) (int, bool) {
	if len(crt) < 2 {
		return 0, false
	}
	switch crt[0] {
	case 0xb6:
		return 0, true
	case 0xb8:
		return 1, true
	case 0xa4:
		return 2, true
	}
	return 0, false
}

// generatePKCS8 makes a new private key.
func generatePKCS8(alg string) ([]byte, error) {
	var k any
	var err error
	switch alg {
	case "p256":
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "p521":
		k, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ed25519":
		_, k, err = ed25519.GenerateKey(rand.Reader)
	case "cv25519":
		k, err = ecdh.X25519().GenerateKey(rand.Reader)
	default:
		n := rsaBits(alg)
		if n == 0 {
			return nil, fmt.Errorf("algorithm %q", alg)
		}
		k, err = rsa.GenerateKey(rand.Reader, n)
	}
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(k)
}

// private decodes a slot's key.
func (c *Card) private(slot int) any {
	k := c.st.Keys[slot]
	if k == nil {
		return nil
	}
	p, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
	if err != nil {
		return nil
	}
	return p
}

// generate is GENERATE ASYMMETRIC KEY PAIR (clause 7.2.14); P1 81 reads the
// public key.
func (c *Card) generate(a apdu) ([]byte, int) {
	slot, ok := slotOf(a.data)
	if !ok {
		return nil, swWrongData
	}
	switch a.p1 {
	case 0x80:
		if !c.v.admin {
			return nil, swSecurity
		}
		alg := c.slotAlgorithm(slot)
		for _, no := range c.p.NoGenerate {
			if alg == no {
				return nil, swMemory
			}
		}
		der, err := c.keys(alg)
		if err != nil {
			return nil, swMemory
		}
		c.setKey(slot, &key{Alg: alg, PKCS8: der, Origin: 1})
	case 0x81:
	default:
		return nil, swWrongP1P2
	}
	pub := c.public(slot)
	if pub == nil {
		return nil, swRefNotFound
	}
	return tlv(0x7f49, pub), swOK
}

// setKey stores a key with the side effects that makers attach to it.
func (c *Card) setKey(slot int, k *key) {
	c.st.Keys[slot] = k
	if slot == 0 {
		c.st.Counter = 0
	}
	if c.p.Odd.KeyEndsPIN {
		c.v.sign, c.v.user, c.v.admin = false, false, false
	}
	if c.p.UIFResetOnImport {
		c.st.DO[0xd6+uint16(slot)] = []byte{0, 0x20}
	}
	if c.p.ResetsPWStatusOnNewKey {
		if slot == 0 {
			c.v.sign = false
		} else {
			c.v.user = false
		}
	}
}

// public is the content of 7F49.
func (c *Card) public(slot int) []byte {
	switch k := c.private(slot).(type) {
	case *rsa.PrivateKey:
		return append(tlv(0x81, k.N.Bytes()), tlv(0x82, big.NewInt(int64(k.E)).Bytes())...)
	case *ecdsa.PrivateKey:
		p, err := k.PublicKey.Bytes()
		if err != nil {
			return nil
		}
		return tlv(0x86, p)
	case ed25519.PrivateKey:
		return tlv(0x86, k.Public().(ed25519.PublicKey))
	case *ecdh.PrivateKey:
		return tlv(0x86, k.PublicKey().Bytes())
	}
	return nil
}

// confirm waits for the button when the slot's touch policy asks for it.
func (c *Card) confirm(slot int) bool {
	u := c.st.DO[0xd6+uint16(slot)]
	if !c.p.UIF || len(u) != 2 || u[0] == 0 {
		return true
	}
	return c.awaitTouch()
}

// sign is PSO: COMPUTE DIGITAL SIGNATURE (clause 7.2.10).
func (c *Card) sign(in []byte) ([]byte, int) {
	if !c.v.sign {
		return nil, swSecurity
	}
	if c.st.Keys[0] == nil {
		return nil, swRefNotFound
	}
	if !c.confirm(0) {
		return nil, swTouch
	}
	out, sw := signWith(c.private(0), in)
	if sw != swOK {
		return nil, sw
	}
	if c.st.PWStatus == 0 {
		c.v.sign = false
	}
	c.st.Counter++
	return out, swOK
}

// authenticate is INTERNAL AUTHENTICATE (clause 7.2.13).
func (c *Card) authenticate(in []byte) ([]byte, int) {
	if !c.v.user {
		return nil, swSecurity
	}
	if c.st.Keys[2] == nil {
		return nil, swRefNotFound
	}
	if !c.confirm(2) {
		return nil, swTouch
	}
	return signWith(c.private(2), in)
}

func signWith(private any, in []byte) ([]byte, int) {
	switch k := private.(type) {
	case *rsa.PrivateKey:
		if len(in) > k.Size()*4/10 {
			return nil, swLength
		}
		s, err := rsa.SignPKCS1v15(nil, k, crypto.Hash(0), in)
		if err != nil {
			return nil, swWrongData
		}
		return s, swOK
	case *ecdsa.PrivateKey:
		n := (k.Curve.Params().BitSize + 7) / 8
		// Real cards take exactly the digest that belongs to the curve.
		if want := map[int]int{32: 32, 48: 48, 66: 64}[n]; len(in) != want {
			return nil, swWrongData
		}
		r, s, err := signECDSA(k, in)
		if err != nil {
			return nil, swFailed
		}
		return append(r.FillBytes(make([]byte, n)), s.FillBytes(make([]byte, n))...), swOK
	case ed25519.PrivateKey:
		return ed25519.Sign(k, in), swOK
	}
	return nil, swConditions
}

func signECDSA(k *ecdsa.PrivateKey, digest []byte) (r, s *big.Int, err error) {
	der, err := ecdsa.SignASN1(rand.Reader, k, digest)
	if err != nil {
		return nil, nil, err
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, nil, err
	}
	return sig.R, sig.S, nil
}

// decipher is PSO: DECIPHER (clause 7.2.11).
func (c *Card) decipher(in []byte) ([]byte, int) {
	if !c.v.user {
		return nil, swSecurity
	}
	if c.st.Keys[1] == nil {
		return nil, swRefNotFound
	}
	if !c.confirm(1) {
		return nil, swTouch
	}
	switch k := c.private(1).(type) {
	case *rsa.PrivateKey:
		if len(in) != k.Size()+1 || in[0] != 0 {
			return nil, swWrongData
		}
		//lint:ignore SA1019 what an OpenPGP card does
		m, err := rsa.DecryptPKCS1v15(nil, k, in[1:])
		if err != nil {
			return nil, swWrongData
		}
		return m, swOK
	case *ecdsa.PrivateKey:
		e, err := k.ECDH()
		if err != nil {
			return nil, swFailed
		}
		return agree(e, in)
	case *ecdh.PrivateKey:
		return agree(k, in)
	}
	return nil, swConditions
}

// agree is the ECDH form: A6 { 7F49 { 86 point } }.
func agree(k *ecdh.PrivateKey, in []byte) ([]byte, int) {
	a6, ok := find(in, 0xa6)
	if !ok {
		return nil, swWrongData
	}
	t, ok := find(a6, 0x7f49)
	if !ok {
		return nil, swWrongData
	}
	point, ok := find(t, 0x86)
	if !ok {
		return nil, swWrongData
	}
	if k.Curve() == ecdh.X25519() && len(point) == 33 && point[0] == 0x40 {
		point = point[1:]
	}
	pub, err := k.Curve().NewPublicKey(point)
	if err != nil {
		return nil, swWrongData
	}
	z, err := k.ECDH(pub)
	if err != nil {
		return nil, swWrongData
	}
	return z, swOK
}
