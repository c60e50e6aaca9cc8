package gpgcard

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/internal/secret"
)

// maxCert bounds a certificate or signature, in bytes.
const maxCert = 1 << 20

// A Cert is an OpenPGP certificate (transferable public key, RFC 4880, 11.1) of
// version 4. It consists of what was checked and nothing else: the primary key, user
// IDs that it signed, subkeys that it bound (signing ones with their back-signature),
// and revocations. RSA of 2048 to 8192 bits and the curves that cards have.
type Cert struct {
	raw  []byte
	keys []certKey // the primary key first
	uids []string
}

// ParseCert reads exactly one certificate, binary or armoured, and checks it. What is
// beside it or in it and cannot be used (secret keys, other kinds of keys, user IDs
// that it did not sign) is left out. ErrBadCert: nothing is left, or several are.
func ParseCert(data []byte) (*Cert, error) {
	certs, err := ParseCerts(data)
	if len(certs) == 0 {
		return nil, err
	}
	if len(certs) != 1 {
		return nil, fmt.Errorf("%w: %d certificates where one is expected", ErrBadCert, len(certs))
	}
	return certs[0], nil
}

// ParseCerts reads a keyring: certificates one after the other. If some of its keys
// cannot be used, the others come with an *UnusableKeysError.
func ParseCerts(data []byte) ([]*Cert, error) {
	if len(data) > maxCert {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadCert, len(data))
	}
	raw, err := dearmor(data, openpgp.PublicKeyType)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCert, err)
	}
	certs, unusable, err := new(door).read(raw)
	if err == nil && len(unusable) > 0 {
		err = &UnusableKeysError{unusable}
	}
	return certs, err
}

// A Packet is one OpenPGP packet of a certificate.
type Packet struct {
	Tag    byte
	Offset int // of Body in Cert.Bytes
	Body   []byte
}

// Packets lists the certificate's packets.
func (c *Cert) Packets() []Packet {
	var out []Packet
	for at := 0; at < len(c.raw); {
		tag, head, n, err := packetLength(c.raw[at:])
		if err != nil {
			return out // cannot happen: we wrote it
		}
		out = append(out, Packet{tag, at + head, c.raw[at+head : at+n]})
		at += n
	}
	return out
}

// packetLength reads a packet header (RFC 4880, 4.2) and returns the packet's tag,
// the header's length and the packet's whole length. Partial and indeterminate lengths do not occur in keys.
func packetLength(b []byte) (tag byte, head, n int, err error) {
	bad := errors.New("malformed packet header")
	if len(b) < 2 || b[0]&0x80 == 0 {
		return 0, 0, 0, bad
	}
	if b[0]&0x40 == 0 { // old format
		tag = b[0] >> 2 & 15
		switch b[0] & 3 {
		case 0:
			head, n = 2, int(b[1])
		case 1:
			if len(b) < 3 {
				return 0, 0, 0, bad
			}
			head, n = 3, int(binary.BigEndian.Uint16(b[1:]))
		case 2:
			if len(b) < 5 {
				return 0, 0, 0, bad
			}
			head, n = 5, int(binary.BigEndian.Uint32(b[1:]))
		default:
			return 0, 0, 0, bad
		}
	} else {
		tag = b[0] & 63
		switch l := b[1]; {
		case l < 192:
			head, n = 2, int(l)
		case l < 224:
			if len(b) < 3 {
				return 0, 0, 0, bad
			}
			head, n = 3, (int(l)-192)<<8+int(b[2])+192
		case l == 255:
			if len(b) < 6 {
				return 0, 0, 0, bad
			}
			head, n = 6, int(binary.BigEndian.Uint32(b[2:]))
		default:
			return 0, 0, 0, bad
		}
	}
	if n < 0 || n > len(b)-head {
		return 0, 0, 0, bad
	}
	return tag, head, head + n, nil
}

// dearmor returns binary data as it is and armoured data decoded.
func dearmor(data []byte, kind string) ([]byte, error) {
	if len(data) > 0 && data[0]&0x80 != 0 {
		return bytes.Clone(data), nil
	}
	b, err := armor.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if b.Type != kind {
		return nil, fmt.Errorf("armour says %q, not %q", b.Type, kind)
	}
	// It may be a secret key without protection: one buffer that does not grow.
	out := bytes.NewBuffer(make([]byte, 0, len(data)+bytes.MinRead))
	_, err = out.ReadFrom(io.LimitReader(b.Body, maxCert))
	return out.Bytes(), err
}

func enarmor(data []byte, kind string) []byte {
	var out bytes.Buffer
	w, err := armor.Encode(&out, kind, nil)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic("armour into memory: " + err.Error()) // a bytes.Buffer does not fail
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// Fingerprint is the primary key's fingerprint, 40 capital hexadecimal digits. It is
// what people compare.
func (c *Cert) Fingerprint() string { return c.keys[0].fingerprint() }

// Created is the primary key's creation time.
func (c *Cert) Created() time.Time { return c.keys[0].pub.CreationTime }

// Revoked says that the primary key revoked itself: no signature by it or a subkey counts.
func (c *Cert) Revoked() bool { return c.keys[0].revoked }

// Bytes is the certificate in binary form. The caller must not change it.
func (c *Cert) Bytes() []byte { return c.raw }

// Armored is the certificate in text form.
func (c *Cert) Armored() []byte { return enarmor(c.raw, openpgp.PublicKeyType) }

// UserIDs lists the user ids, in the order of the certificate. Each is one line of
// text, at most 2048 bytes of UTF-8 without control characters.
func (c *Cert) UserIDs() []string { return slices.Clone(c.uids) }

// A CertKey is one key of a certificate.
type CertKey struct {
	Fingerprint string    `json:"fingerprint"`
	Created     time.Time `json:"created"`
	Primary     bool      `json:"primary"`
	Usage       string    `json:"usage"` // of the letters C, S, E, A
	Revoked     bool      `json:"revoked,omitempty"`
}

// Keys lists the primary key and the subkeys.
func (c *Cert) Keys() []CertKey {
	var out []CertKey
	for i, k := range c.keys {
		out = append(out, CertKey{Fingerprint: k.fingerprint(), Created: k.pub.CreationTime, Primary: i == 0, Usage: usage(k.sig), Revoked: k.revoked})
	}
	return out
}

// Holds says whether a key of any use, revoked ones too, has the fingerprint (40
// capital hexadecimal digits). It is no reason to allow anything: a card that others
// made may hold any subkey.
func (c *Cert) Holds(fingerprint string) bool {
	return slices.ContainsFunc(c.keys, func(k certKey) bool { return k.fingerprint() == fingerprint })
}

// SignsWith says whether the key with the fingerprint may sign for this certificate:
// the primary key, or a subkey that has confirmed that it belongs to it; neither revoked.
func (c *Cert) SignsWith(fingerprint string) bool {
	return slices.ContainsFunc(c.keys, func(k certKey) bool { return k.fingerprint() == fingerprint && c.signs(k) })
}

func (c *Cert) signs(k certKey) bool {
	return !c.Revoked() && !k.revoked && k.sig.FlagsValid && k.sig.FlagSign
}

func (k certKey) fingerprint() string { return fmt.Sprintf("%X", k.pub.Fingerprint) }

func usage(s *packet.Signature) string {
	if s == nil || !s.FlagsValid {
		return ""
	}
	u := ""
	for _, f := range []struct {
		set  bool
		name string
	}{{s.FlagCertify, "C"}, {s.FlagSign, "S"}, {s.FlagEncryptStorage || s.FlagEncryptCommunications, "E"}, {s.FlagAuthenticate, "A"}} {
		if f.set {
			u += f.name
		}
	}
	return u
}

// signingKey returns the key of the certificate that has the fingerprint and may
// sign data: the primary key (keys made on the card) or a subkey (keys made in
// memory and moved to the card).
func (c *Cert) signingKey(fpr [20]byte) *packet.PublicKey {
	for _, k := range c.keys {
		if bytes.Equal(k.pub.Fingerprint, fpr[:]) && c.signs(k) {
			return k.pub
		}
	}
	return nil
}

// An Identity is who a certificate speaks of; its user id is "Name (Comment) <Email>".
type Identity struct {
	Name, Comment, Email string
}

// ErrBadIdentity says that a name, comment or e-mail address cannot stand in a
// user id.
var ErrBadIdentity = errors.New("this name or address cannot stand in a key")

// Check says whether the identity can stand in a key: nil or ErrBadIdentity.
func (id Identity) Check() error {
	_, err := id.userID()
	return err
}

// userID checks the parts and puts them together.
func (id Identity) userID() (*packet.UserId, error) {
	for _, s := range []string{id.Name, id.Comment, id.Email} {
		if strings.ContainsAny(s, "()<>\x00") || s != "" && !showable(s) || strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 || !bytes.Equal([]byte(strings.ToValidUTF8(s, "")), []byte(s)) {
			return nil, fmt.Errorf("%w: %q", ErrBadIdentity, s)
		}
	}
	if id.Name == "" && id.Email == "" || len(id.Name)+len(id.Comment)+len(id.Email) > 1000 {
		return nil, fmt.Errorf("%w: empty or too long", ErrBadIdentity)
	}
	u := packet.NewUserId(id.Name, id.Comment, id.Email)
	if u == nil {
		return nil, ErrBadIdentity
	}
	return u, nil
}

// noNotation keeps signatures reproducible: go-crypto would add a random notation.
var noNotation = false

func packetConfig(at time.Time) *packet.Config {
	return &packet.Config{NonDeterministicSignaturesViaNotation: &noNotation, Time: func() time.Time { return at }}
}

// parseKeyPacket makes go-crypto's public key of a packet body.
func parseKeyPacket(body []byte, sub bool) (*packet.PublicKey, error) {
	tag := byte(6)
	if sub {
		tag = 14
	}
	b := binary.BigEndian.AppendUint32([]byte{0xc0 | tag, 0xff}, uint32(len(body)))
	p, err := packet.Read(bytes.NewReader(append(b, body...)))
	if err != nil {
		return nil, err
	}
	k, ok := p.(*packet.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: not a public key", ErrMalformed)
	}
	return k, nil
}

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
	return &packet.Signature{Version: 4, SigType: kind, PubKeyAlgo: by.PubKeyAlgo, Hash: alg.hash(), CreationTime: at, IssuerKeyId: &id}
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
		return nil, fmt.Errorf("%w: the card has %X, the certificate is %s", ErrWrongCard, d.fpr[Signature], cert.Fingerprint())
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
		return nil, fmt.Errorf("%w: the card has %X, the primary key is %s", ErrWrongCard, d.fpr[Signature], cert.Fingerprint())
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
