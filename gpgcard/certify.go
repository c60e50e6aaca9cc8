package gpgcard

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/internal/secret"
)

// cardKey is one of the card's keys with its packet.
type cardKey struct {
	*publicKey
	created time.Time
	packet  *packet.PublicKey
}

// cardKeys reads the three keys and checks each against the fingerprint beside it.
func (c *Card) cardKeys(ctx context.Context) (keys [slots]cardKey, err error) {
	d, err := c.applicationData(ctx)
	if err != nil {
		return keys, err
	}
	for s := range slots {
		a, err := parseAttribute(s, d.attr[s])
		if err != nil {
			return keys, err
		}
		k, err := c.publicKey(ctx, s, a)
		if err != nil {
			return keys, err
		}
		body := k.body(d.created[s])
		if fingerprint(body) != d.fpr[s] {
			return keys, fmt.Errorf("%v: %w", s, ErrKeyMismatch)
		}
		p, err := parseKeyPacket(body, s != Signature)
		if err != nil {
			return keys, fmt.Errorf("%v: %w", s, err)
		}
		keys[s] = cardKey{k, time.Unix(int64(d.created[s]), 0), p}
	}
	return keys, nil
}

// Certificate makes the certificate of a card whose keys were made on it: the
// signature key is the primary key [SC], then come the authentication and the
// decryption subkey, in GnuPG's order. Every signature is made by the card. It can
// be made again at any time from the card alone and the same identity; the
// signatures carry the time of the keys, so that RSA and Ed25519 give the same
// bytes. user nil means the factory PIN.
func (c *Card) Certificate(ctx context.Context, id Identity, user *secret.Buffer) (*Cert, error) {
	u, err := id.userID()
	if err != nil {
		return nil, err
	}
	user, done := orFactory(UserPIN, user)
	defer done()
	keys, err := c.cardKeys(ctx)
	if err != nil {
		return nil, err
	}
	prim := keys[Signature]
	at := prim.created
	for _, k := range keys {
		if k.created.After(at) {
			at = k.created
		}
	}
	signer := &cardSigner{ctx: ctx, c: c, pin: user, alg: prim.alg}
	priv := signer.privateKey(prim.packet)
	cfg := packetConfig(at)

	var out bytes.Buffer
	write := func(p interface{ Serialize(io.Writer) error }, err error) error {
		if err = signer.cause(err); err != nil {
			return err
		}
		return p.Serialize(&out)
	}
	if err := write(prim.packet, nil); err != nil {
		return nil, err
	}
	if err := write(u, nil); err != nil {
		return nil, err
	}
	sig := newSignature(prim.packet, prim.alg, packet.SigTypePositiveCert, at)
	primary := true
	sig.IsPrimaryId = &primary
	sig.FlagsValid, sig.FlagCertify, sig.FlagSign = true, true, true
	preferences(sig)
	if err := write(sig, sig.SignUserId(u.Id, prim.packet, priv, cfg)); err != nil {
		return nil, fmt.Errorf("certifying the user id: %w", err)
	}
	for _, s := range []Slot{Authentication, Decryption} {
		sub := keys[s]
		if err := write(sub.packet, nil); err != nil {
			return nil, err
		}
		sig := newSignature(prim.packet, prim.alg, packet.SigTypeSubkeyBinding, at)
		sig.FlagsValid = true
		sig.FlagAuthenticate = s == Authentication
		sig.FlagEncryptStorage, sig.FlagEncryptCommunications = s == Decryption, s == Decryption
		if err := write(sig, sig.SignKey(sub.packet, priv, cfg)); err != nil {
			return nil, fmt.Errorf("binding the %v key: %w", s, err)
		}
	}
	cert, err := ParseCert(out.Bytes())
	if err != nil { // the packets are ours, so it is the signatures
		return nil, fmt.Errorf("%w (%v)", ErrFalseKey, err)
	}
	return cert, nil
}

// newSignature is a signature packet still to be made.
func newSignature(by *packet.PublicKey, alg Algorithm, kind packet.SignatureType, at time.Time) *packet.Signature {
	id := by.KeyId
	return &packet.Signature{Version: 4, SigType: kind, PubKeyAlgo: by.PubKeyAlgo, Hash: alg.hash(), CreationTime: at,
		IssuerKeyId: &id}
}

// SignDetached signs data with the card and returns an armoured detached signature
// (binary document, RFC 4880, 5.2.1). The card must hold the certificate's primary
// key or one of its signing subkeys, else ErrWrongCard, found before the PIN is
// used. The signature is verified with the certificate before it is returned. user
// nil means the factory PIN.
func (c *Card) SignDetached(ctx context.Context, cert *Cert, user *secret.Buffer, data []byte) ([]byte, error) {
	d, err := c.applicationData(ctx)
	if err != nil {
		return nil, err
	}
	if d.fpr[Signature] == [20]byte{} {
		return nil, fmt.Errorf("%v: %w", Signature, ErrNoKey)
	}
	pub := cert.signingKey(d.fpr[Signature])
	if pub == nil {
		return nil, fmt.Errorf("%w: the card has %X, the certificate is %s", ErrWrongCard, d.fpr[Signature],
			cert.Fingerprint())
	}
	a, err := parseAttribute(Signature, d.attr[Signature])
	if err != nil {
		return nil, err
	}
	at := c.now().Truncate(time.Second)
	if err := c.checkClock(at, pub.CreationTime); err != nil {
		return nil, err
	}
	user, done := orFactory(UserPIN, user)
	defer done()
	signer := &cardSigner{ctx: ctx, c: c, pin: user, alg: a.Algorithm}
	cfg := packetConfig(at)
	sig := newSignature(pub, a.Algorithm, packet.SigTypeBinary, at)
	h, err := sig.PrepareSign(cfg)
	if err != nil {
		return nil, err
	}
	h.Write(data)
	err = sig.Sign(h, signer.privateKey(pub), cfg)
	if err := signer.cause(err); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := sig.Serialize(&out); err != nil {
		return nil, err
	}
	armored := enarmor(out.Bytes(), openpgp.SignatureType)
	if _, err := VerifyDetached(cert, armored, data); err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrFalseKey, err)
	}
	return armored, nil
}

// Revocation makes an armoured certificate that revokes a key whose primary key is
// on the card. user nil means the factory PIN.
func (c *Card) Revocation(ctx context.Context, cert *Cert, user *secret.Buffer) ([]byte, error) {
	d, err := c.applicationData(ctx)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(d.fpr[Signature][:], cert.keys[0].pub.Fingerprint) {
		return nil, fmt.Errorf("%w: the card has %X, the primary key is %s", ErrWrongCard, d.fpr[Signature],
			cert.Fingerprint())
	}
	at := c.now().Truncate(time.Second)
	if err := c.checkClock(at, cert.Created()); err != nil {
		return nil, err
	}
	alg, err := algorithmOf(cert.keys[0].pub)
	if err != nil {
		return nil, err
	}
	user, done := orFactory(UserPIN, user)
	defer done()
	signer := &cardSigner{ctx: ctx, c: c, pin: user, alg: alg}
	return revocation(cert.keys[0].pub, signer.privateKey(cert.keys[0].pub), at, signer)
}
