package gpgcard

import (
	"bytes"
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
		out = append(out, CertKey{Fingerprint: k.fingerprint(), Created: k.pub.CreationTime, Primary: i == 0,
			Usage: usage(k.sig), Revoked: k.revoked})
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
	}{{s.FlagCertify, "C"}, {s.FlagSign, "S"}, {s.FlagEncryptStorage || s.FlagEncryptCommunications, "E"},
		{s.FlagAuthenticate, "A"}} {
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
		if strings.ContainsAny(s, "()<>\x00") || s != "" && !showable(s) ||
			strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 ||
			!bytes.Equal([]byte(strings.ToValidUTF8(s, "")), []byte(s)) {
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
