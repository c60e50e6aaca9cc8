package gpgcard

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/eddsa"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/internal/secret"
)

// digestInfo is the DER prefix that turns a digest into the input of an RSA
// signature (PKCS #1 v1.5, RFC 8017, 9.2); cards pad, but do not build it.
var digestInfo = map[crypto.Hash][]byte{
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
		0x04, 0x20},
	crypto.SHA384: {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00,
		0x04, 0x30},
	crypto.SHA512: {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00,
		0x04, 0x40},
}

// computeSignature is PSO: COMPUTE DIGITAL SIGNATURE (clause 7.2.10) over a digest.
// The user PIN is verified each time: the card may forget it after one signature.
// RSA gives the signature, curves give two numbers of equal length side by side.
func (c *Card) computeSignature(ctx context.Context, pin *secret.Buffer, alg Algorithm, h crypto.Hash,
	digest []byte) ([]byte, error) {
	if len(digest) != h.Size() {
		return nil, fmt.Errorf("digest of %d bytes for %v", len(digest), h)
	}
	in := digest
	if alg.bits() > 0 {
		in = append(append([]byte{}, digestInfo[h]...), digest...)
	}
	if err := c.verify(ctx, UserPIN, refSign, pin); err != nil {
		return nil, err
	}
	out, err := c.withKey(ctx, Signature, command{name: "signing", ins: insPSO, p1: 0x9e, p2: 0x9a, data: in,
		want: wantLong})
	switch {
	case isStatus(err, swRefNotFound):
		return nil, fmt.Errorf("%v: %w: %w", Signature, ErrNoKey, err)
	case err != nil:
		return nil, err
	}
	want := alg.bits() / 8
	switch alg {
	case P256, Curve25519:
		want = 64
	case P384:
		want = 96
	case P521:
		want = 132
	}
	if len(out) != want {
		return nil, fmt.Errorf("signing: %w: signature of %d bytes, not %d", ErrMalformed, len(out), want)
	}
	return out, nil
}

// Authenticate signs with the authentication key (INTERNAL AUTHENTICATE, clause
// 7.2.13): for RSA input is a DigestInfo, for NIST curves a digest, for Ed25519
// the message. The answer is as the card gives it.
func (c *Card) Authenticate(ctx context.Context, pin *secret.Buffer, input []byte) ([]byte, error) {
	if err := c.Verify(ctx, UserPIN, pin); err != nil {
		return nil, err
	}
	out, err := c.withKey(ctx, Authentication,
		command{name: "INTERNAL AUTHENTICATE", ins: insAuth, data: input, want: wantLong})
	if isStatus(err, swRefNotFound) {
		return nil, fmt.Errorf("%v: %w: %w", Authentication, ErrNoKey, err)
	}
	return out, err
}

// Decipher decrypts a session key with the decryption key (PSO: DECIPHER, clause
// 7.2.11). For RSA input is the cryptogram, as long as the modulus, and the answer
// the message without padding; for curves input is the other side's public point
// and the answer the shared secret.
func (c *Card) Decipher(ctx context.Context, pin *secret.Buffer, input []byte) (*secret.Buffer, error) {
	d, err := c.applicationData(ctx)
	if err != nil {
		return nil, err
	}
	a, err := parseAttribute(Decryption, d.attr[Decryption])
	if err != nil {
		return nil, err
	}
	data := append([]byte{0}, input...) // padding indicator
	if a.bits() == 0 {
		data = appendTLV(nil, 0xa6, appendTLV(nil, 0x7f49, appendTLV(nil, 0x86, input)))
	}
	if err := c.Verify(ctx, UserPIN, pin); err != nil {
		return nil, err
	}
	out, err := c.withKey(ctx, Decryption, command{name: "decrypting", ins: insPSO, p1: 0x80, p2: 0x86, data: data,
		want: wantLong})
	if isStatus(err, swRefNotFound) {
		return nil, fmt.Errorf("%v: %w: %w", Decryption, ErrNoKey, err)
	}
	if err != nil {
		return nil, err
	}
	return secret.From(out), nil
}

// cardSigner makes go-crypto sign with the card. Version 1.5.2 of go-crypto loses
// the error of an RSA or EdDSA signer, so it is kept here and asked for after
// each signature.
type cardSigner struct {
	ctx context.Context
	c   *Card
	pin *secret.Buffer
	alg Algorithm
	err error
}

// cause is why a signature was not made, once: go-crypto passes an ECDSA signer's error on.
func (s *cardSigner) cause(err error) error {
	if s.err != nil {
		return s.err
	}
	return err
}

func (s *cardSigner) Public() crypto.PublicKey { return nil }

// Sign implements crypto.Signer for RSA and ECDSA.
func (s *cardSigner) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	out, err := s.c.computeSignature(s.ctx, s.pin, s.alg, o.HashFunc(), digest)
	if err != nil {
		s.err = err
		return nil, err
	}
	if s.alg.bits() > 0 {
		return out, nil
	}
	n := len(out) / 2
	return derIntegers(out[:n], out[n:]), nil
}

// derIntegers is a SEQUENCE of two INTEGERs of at most 66 bytes. (encoding/asn1 takes 12 KB of the packed program.)
func derIntegers(r, s []byte) []byte {
	var body []byte
	for _, v := range [][]byte{r, s} {
		if v = bytes.TrimLeft(v, "\x00"); len(v) == 0 || v[0] >= 0x80 {
			v = append([]byte{0}, v...)
		}
		body = append(append(body, 0x02, byte(len(v))), v...)
	}
	if len(body) >= 0x80 {
		return append([]byte{0x30, 0x81, byte(len(body))}, body...)
	}
	return append([]byte{0x30, byte(len(body))}, body...)
}

// privateKey is what go-crypto takes for a private key.
func (s *cardSigner) privateKey(pub *packet.PublicKey) *packet.PrivateKey {
	k := &packet.PrivateKey{PublicKey: *pub, PrivateKey: s}
	if pub.PubKeyAlgo == packet.PubKeyAlgoEdDSA {
		k.PrivateKey = eddsa.NewPrivateKey(*eddsa.NewPublicKey(cardCurve{s}))
	}
	return k
}

// cardCurve is the Ed25519 curve whose secret operations happen on the card.
// go-crypto has no crypto.Signer for EdDSA; it has this interface.
type cardCurve struct{ s *cardSigner }

var errCardOnly = errors.New("the secret key is on the card")

func (cardCurve) GetCurveName() string                           { return "ed25519" }
func (cardCurve) MarshalBytePoint(x []byte) []byte               { return append([]byte{0x40}, x...) }
func (cardCurve) UnmarshalBytePoint(p []byte) []byte             { return p[min(1, len(p)):] }
func (cardCurve) MarshalByteSecret([]byte) []byte                { return nil }
func (cardCurve) UnmarshalByteSecret([]byte) []byte              { return nil }
func (cardCurve) MarshalSignature(sig []byte) (r, s []byte)      { return sig[:32], sig[32:] }
func (cardCurve) UnmarshalSignature(r, s []byte) []byte          { return nil }
func (cardCurve) GenerateEdDSA(io.Reader) (_, _ []byte, _ error) { return nil, nil, errCardOnly }
func (cardCurve) Verify(_, _, _ []byte) bool                     { return false }
func (cardCurve) ValidateEdDSA(_, _ []byte) error                { return errCardOnly }

// Sign signs an OpenPGP digest, which is EdDSA's message.
func (k cardCurve) Sign(_, _, digest []byte) ([]byte, error) {
	h := map[int]crypto.Hash{32: crypto.SHA256, 48: crypto.SHA384, 64: crypto.SHA512}[len(digest)]
	out, err := k.s.c.computeSignature(k.s.ctx, k.s.pin, k.s.alg, h, digest)
	if err != nil {
		k.s.err = err
	}
	return out, err
}
