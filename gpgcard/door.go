package gpgcard

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Bounds of what is read of certificates from outside.
const (
	maxPackets   = 20000 // in one input
	maxKeys      = 64    // of one certificate
	maxUserIDs   = 64    // of one certificate
	maxUserID    = 2048  // bytes, as GnuPG's
	maxSelfSig   = 8192  // bytes
	maxChecks    = 300   // signatures that are verified for one input
	minRSA       = 2048  // bits
	maxRSA       = 8192  // bits
	tagSignature = 2
	tagPrimary   = 6
	tagUserID    = 13
	tagSubkey    = 14
)

// An UnusableKey is a key of a ring that this package does not read: another
// version, DSA, too large, or without a user ID that it signed itself. GnuPG may
// still accept signatures by it.
type UnusableKey struct {
	Fingerprint string // 40 hexadecimal digits; empty where it is not a key of version 4
	Err         error
}

// An UnusableKeysError comes beside the certificates that could be read.
type UnusableKeysError struct{ Keys []UnusableKey }

func (e *UnusableKeysError) Error() string {
	return fmt.Sprintf("%d of the keys cannot be used: %v", len(e.Keys), e.Keys[0].Err)
}

// Unwrap makes it an ErrBadCert.
func (e *UnusableKeysError) Unwrap() error { return ErrBadCert }

// certKey is a checked key of a certificate, and the newest self-signature that
// speaks of it: the primary user ID's, or the binding signature.
type certKey struct {
	pub     *packet.PublicKey
	sig     *packet.Signature
	revoked bool
}

// group is a packet and the signatures after it.
type group struct {
	tag  byte
	body []byte
	sigs [][]byte
}

// door reads certificates from outside. What it keeps was checked, and written anew.
type door struct{ checks int }

var errTooMuch = fmt.Errorf("%w: more than %d signatures to check", ErrBadCert, maxChecks)

// read cuts a keyring at its primary keys. Secret keys, and all that belongs to them,
// are left out.
func (d *door) read(b []byte) (certs []*Cert, unusable []UnusableKey, err error) {
	var groups []group
	end := func() error {
		if len(groups) == 0 {
			return nil
		}
		c, err := d.cert(groups)
		if errors.Is(err, errTooMuch) {
			return err
		}
		if err != nil {
			u := UnusableKey{Err: err}
			if k := groups[0].body; len(k) > 0 && k[0] == 4 && len(k) < 1<<16 {
				u.Fingerprint = fmt.Sprintf("%X", fingerprint(k))
			}
			unusable = append(unusable, u)
		} else {
			certs = append(certs, c)
		}
		groups = nil
		return nil
	}
	secret := false
	skip := true // signatures belong to a packet that is left out
	packets := 0
	for at := 0; at < len(b); packets++ {
		tag, head, n, err := packetLength(b[at:])
		if err == nil && packets == maxPackets {
			err = fmt.Errorf("more than %d packets", maxPackets)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrBadCert, err)
		}
		body := b[at+head : at+n]
		at += n
		switch {
		case tag == tagPrimary || tag == 5:
			if err := end(); err != nil {
				return nil, nil, err
			}
			secret = secret || tag == 5
			if skip = tag == 5; !skip {
				groups = []group{{tag: tag, body: body}}
			}
		case groups == nil:
		case tag == tagUserID || tag == tagSubkey:
			skip = false
			groups = append(groups, group{tag: tag, body: body})
		case tag == tagSignature && !skip:
			last := &groups[len(groups)-1]
			last.sigs = append(last.sigs, body)
		case tag != tagSignature && tag != 12 && tag != 10: // GnuPG's trust packets and markers say nothing
			skip = true
		}
	}
	if err := end(); err != nil {
		return nil, nil, err
	}
	if len(certs) == 0 && len(unusable) == 0 {
		if secret {
			return nil, nil, fmt.Errorf("%w: a secret key, where a public one is expected", ErrBadCert)
		}
		return nil, nil, fmt.Errorf("%w: it is empty", ErrBadCert)
	}
	return certs, unusable, nil
}

// cert checks one certificate and writes it anew: the primary key, its revocation,
// each user ID with its newest self-signature, each subkey with its revocation and
// its newest binding signature.
func (d *door) cert(groups []group) (*Cert, error) {
	prim, err := checkedKey(groups[0].body, false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCert, err)
	}
	if !prim.PubKeyAlgo.CanSign() {
		return nil, fmt.Errorf("%w: the primary key cannot sign", ErrBadCert)
	}
	c := &Cert{keys: []certKey{{pub: prim}}}
	main := &c.keys[0]
	out := appendPacket(nil, tagPrimary, groups[0].body)
	rev, body, err := d.newest(prim, groups[0].sigs, func(s *packet.Signature) error {
		if s.SigType != packet.SigTypeKeyRevocation {
			return ErrBadSignature
		}
		return prim.VerifyRevocationSignature(s)
	})
	if err != nil {
		return nil, err
	}
	if rev != nil {
		main.revoked = true
		out = appendPacket(out, tagSignature, body)
	}
	var subs []byte
	for _, g := range groups[1:] {
		switch g.tag {
		case tagUserID:
			kept, err := d.userID(c, g)
			if err != nil {
				return nil, err
			}
			out = append(out, kept...)
		case tagSubkey:
			kept, err := d.subkey(c, g)
			if err != nil {
				return nil, err
			}
			subs = append(subs, kept...)
		}
	}
	if len(c.uids) == 0 {
		return nil, fmt.Errorf("%w: no user ID that the key itself signed with SHA-256 or better", ErrBadCert)
	}
	c.raw = append(out, subs...)
	return c, nil
}

// userID returns a user ID that the primary key signed, with that signature, or nothing.
func (d *door) userID(c *Cert, g group) ([]byte, error) {
	id, prim := string(g.body), c.keys[0].pub
	if !showable(id) || len(c.uids) == maxUserIDs || slices.Contains(c.uids, id) {
		return nil, nil
	}
	check := func(kinds ...packet.SignatureType) (*packet.Signature, []byte, error) {
		return d.newest(prim, g.sigs, func(s *packet.Signature) error {
			if !slices.Contains(kinds, s.SigType) {
				return ErrBadSignature
			}
			return prim.VerifyUserIdSignature(id, prim, s)
		})
	}
	sig, body, err := check(packet.SigTypeGenericCert, packet.SigTypePersonaCert, packet.SigTypeCasualCert,
		packet.SigTypePositiveCert)
	if err != nil || sig == nil {
		return nil, err
	}
	rev, _, err := check(packet.SigTypeCertificationRevocation)
	if err != nil || rev != nil && !rev.CreationTime.Before(sig.CreationTime) {
		return nil, err
	}
	c.uids = append(c.uids, id)
	if main := &c.keys[0]; main.sig == nil || preferred(sig, main.sig) {
		main.sig = sig
	}
	return appendPacket(appendPacket(nil, tagUserID, g.body), tagSignature, body), nil
}

// preferred says whether a speaks for the primary key rather than b: the one of the
// primary user ID, else the newest.
func preferred(a, b *packet.Signature) bool {
	pa, pb := a.IsPrimaryId != nil && *a.IsPrimaryId, b.IsPrimaryId != nil && *b.IsPrimaryId
	return pa && !pb || pa == pb && a.CreationTime.After(b.CreationTime)
}

// showable says whether a user ID is one line of text, and cannot be taken for armour.
func showable(id string) bool {
	return len(id) > 0 && len(id) <= maxUserID && utf8.ValidString(id) && !strings.Contains(id, "-----") &&
		!strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 })
}

// subkey returns a subkey that is bound to the primary key, or nothing. One that may
// sign has itself confirmed that it belongs there.
func (d *door) subkey(c *Cert, g group) ([]byte, error) {
	pub, err := checkedKey(g.body, true)
	prim := c.keys[0].pub
	if err != nil || len(c.keys) == maxKeys ||
		slices.ContainsFunc(c.keys, func(k certKey) bool { return bytes.Equal(k.pub.Fingerprint, pub.Fingerprint) }) {
		return nil, nil
	}
	sig, body, err := d.newest(prim, g.sigs, func(s *packet.Signature) error {
		if s.SigType != packet.SigTypeSubkeyBinding {
			return ErrBadSignature
		}
		if e := s.EmbeddedSignature; s.FlagSign &&
			(e == nil || e.Version != 4 || !strong(e.Hash) || e.SigType != packet.SigTypePrimaryKeyBinding || !pub.CanSign()) {
			return ErrBadSignature
		}
		return prim.VerifyKeySignature(pub, s) // with the back-signature
	})
	if err != nil || sig == nil {
		return nil, err
	}
	k := certKey{pub: pub, sig: sig}
	out := appendPacket(nil, tagSubkey, g.body)
	rev, revBody, err := d.newest(prim, g.sigs, func(s *packet.Signature) error {
		if s.SigType != packet.SigTypeSubkeyRevocation {
			return ErrBadSignature
		}
		return prim.VerifySubkeyRevocationSignature(s, pub)
	})
	if err != nil {
		return nil, err
	}
	if rev != nil {
		k.revoked = true
		out = appendPacket(out, tagSignature, revBody)
	}
	c.keys = append(c.keys, k)
	return appendPacket(out, tagSignature, body), nil
}

// newest returns the newest of the signatures that by has made and check accepts, and
// its body written anew. nil: there is none. The only error is errTooMuch.
func (d *door) newest(by *packet.PublicKey, sigs [][]byte, check func(*packet.Signature) error) (*packet.Signature,
	[]byte, error) {
	var best *packet.Signature
	var body []byte
	for _, b := range sigs {
		s, err := parseSignature(b)
		if err != nil || s.PubKeyAlgo != by.PubKeyAlgo || s.IssuerKeyId != nil && *s.IssuerKeyId != by.KeyId {
			continue
		}
		revokes := s.SigType == packet.SigTypeKeyRevocation || s.SigType == packet.SigTypeSubkeyRevocation ||
			s.SigType == packet.SigTypeCertificationRevocation
		// A weak hash may take away, not give. What ends by itself would need a clock that can be believed.
		if !revokes && (!strong(s.Hash) || s.SigLifetimeSecs != nil && *s.SigLifetimeSecs != 0) {
			continue
		}
		if best != nil && !s.CreationTime.After(best.CreationTime) {
			continue
		}
		if d.checks++; d.checks > maxChecks {
			return nil, nil, errTooMuch
		}
		if check(s) != nil {
			continue
		}
		if again, err := rebuiltSignature(b, by.KeyId); err == nil {
			best, body = s, again
		}
	}
	return best, body, nil
}

func strong(h crypto.Hash) bool {
	return h == crypto.SHA256 || h == crypto.SHA384 || h == crypto.SHA512
}

// parseSignature reads the body of a signature packet of version 4. A critical part
// that is not understood makes it useless.
func parseSignature(body []byte) (*packet.Signature, error) {
	if len(body) > maxSelfSig || len(body) == 0 || body[0] != 4 {
		return nil, ErrBadSignature
	}
	p, err := packet.Read(bytes.NewReader(appendPacket(nil, tagSignature, body)))
	if err != nil {
		return nil, err
	}
	s, ok := p.(*packet.Signature)
	if !ok || slices.ContainsFunc(s.Notations, func(n *packet.Notation) bool { return n.IsCritical }) {
		return nil, ErrBadSignature
	}
	return s, nil
}

// rebuiltSignature writes a signature without what it does not cover: of the unhashed
// area stay the issuer, and a back-signature, which is checked by itself.
func rebuiltSignature(b []byte, issuer uint64) ([]byte, error) {
	if len(b) < 8 {
		return nil, ErrBadSignature
	}
	hashed := 6 + int(binary.BigEndian.Uint16(b[4:]))
	if len(b) < hashed+2 {
		return nil, ErrBadSignature
	}
	end := hashed + 2 + int(binary.BigEndian.Uint16(b[hashed:]))
	if len(b) < end+2 {
		return nil, ErrBadSignature
	}
	var unhashed []byte
	for area := b[hashed+2 : end]; len(area) > 0; {
		kind, body, rest, err := nextSubpacket(area)
		if err != nil {
			return nil, err
		}
		switch area = rest; kind {
		case 16:
			unhashed = binary.BigEndian.AppendUint64(append(unhashed, 9, 16), issuer)
		case 32:
			s, err := parseSignature(body)
			if err != nil || s.IssuerKeyId == nil {
				return nil, ErrBadSignature
			}
			if body, err = rebuiltSignature(body, *s.IssuerKeyId); err != nil {
				return nil, err
			}
			unhashed = append(appendPacketLength(unhashed, len(body)+1), 32)
			unhashed = append(unhashed, body...)
		}
	}
	out := append(slices.Clone(b[:hashed]), byte(len(unhashed)>>8), byte(len(unhashed)))
	out = append(append(out, unhashed...), b[end:end+2]...)
	n := 1
	if b[2] != pkRSA {
		n = 2 // r and s
	}
	for rest := b[end+2:]; n > 0 || len(rest) > 0; n-- {
		v, more, err := nextMPI(rest)
		if err != nil || n == 0 {
			return nil, ErrBadSignature
		}
		rest = more
		out = appendMPI(out, v)
	}
	return out, nil
}

// nextSubpacket reads a signature subpacket (RFC 4880, 5.2.3.1).
func nextSubpacket(b []byte) (kind byte, body, rest []byte, err error) {
	head, n := 1, int(b[0])
	switch {
	case n == 255 && len(b) >= 5:
		head, n = 5, int(binary.BigEndian.Uint32(b[1:]))
	case n >= 192 && n < 255 && len(b) >= 2:
		head, n = 2, (n-192)<<8+int(b[1])+192
	}
	if n < 1 || n > len(b)-head {
		return 0, nil, nil, ErrBadSignature
	}
	return b[head] & 0x7f, b[head+1 : head+n], b[head+n:], nil
}

// checkedKey parses the body of a key packet if it is one that this package takes, in
// the one form in which it can be written: version 4; RSA, the curves of cards.
func checkedKey(b []byte, sub bool) (*packet.PublicKey, error) {
	if len(b) < 7 || b[0] != 4 {
		return nil, errors.New("not a key of version 4")
	}
	if len(b) > 6+2+maxRSA/8+2+3 {
		return nil, errors.New("the key is too large")
	}
	pk, rest := b[5], b[6:]
	number := func() (v []byte, ok bool) {
		v, more, err := nextMPI(rest)
		if err != nil || len(v) == 0 || int(binary.BigEndian.Uint16(rest)) != 8*(len(v)-1)+bits.Len8(v[0]) {
			return nil, false
		}
		rest = more
		return v, true
	}
	bad := fmt.Errorf("a malformed key of algorithm %d", pk)
	switch pk {
	case pkRSA:
		n, ok := number()
		e, ok2 := number()
		if !ok || !ok2 || len(rest) != 0 {
			return nil, bad
		}
		if size := 8*(len(n)-1) + bits.Len8(n[0]); size < minRSA || size > maxRSA {
			return nil, fmt.Errorf("an RSA key of %d bits", size)
		}
		if n[len(n)-1]&1 == 0 || e[len(e)-1]&1 == 0 || len(e) > 3 || len(e) == 1 && e[0] < 3 {
			return nil, bad
		}
	case pkECDSA, pkECDH, pkEdDSA:
		if len(rest) < 1+int(rest[0]) {
			return nil, bad
		}
		oid := rest[1 : 1+rest[0]]
		rest = rest[1+rest[0]:]
		want, ok := cardCurves[string(oid)]
		if point, is := number(); !ok || !is || len(point) != want {
			return nil, fmt.Errorf("a key on a curve that cards do not have (%X)", oid[:min(len(oid), 16)])
		}
		switch {
		case pk == pkECDH && (len(rest) != 4 || rest[0] != 3 || rest[1] != 1), pk != pkECDH && len(rest) != 0:
			return nil, bad
		}
	default:
		return nil, fmt.Errorf("a key of algorithm %d", pk)
	}
	return parseKeyPacket(b, sub)
}

// cardCurves are the curves of cards, by object identifier, with the length of a point in bytes.
var cardCurves = map[string]int{
	string(oidP256): 65, string(oidP384): 97, string(oidP521): 133, string(oidEd25519): 33, string(oidX25519): 33,
	"\x2b\x24\x03\x03\x02\x08\x01\x01\x07": 65,  // brainpoolP256r1
	"\x2b\x24\x03\x03\x02\x08\x01\x01\x0b": 97,  // brainpoolP384r1
	"\x2b\x24\x03\x03\x02\x08\x01\x01\x0d": 129, // brainpoolP512r1
}

// appendPacketLength appends a length as in packet headers of the new format (RFC 4880, 4.2.2),
// which is also that of subpackets.
func appendPacketLength(b []byte, n int) []byte {
	switch {
	case n < 192:
		return append(b, byte(n))
	case n < 8384:
		return append(b, byte((n-192)>>8)+192, byte(n-192))
	}
	return binary.BigEndian.AppendUint32(append(b, 255), uint32(n))
}

func appendPacket(b []byte, tag byte, body []byte) []byte {
	return append(appendPacketLength(append(b, 0xc0|tag), len(body)), body...)
}

// maySign says whether a signature of that moment by the key counts.
func (k certKey) maySign(at time.Time) error {
	switch {
	case k.revoked:
		return errors.New("the key was revoked")
	case at.Before(k.pub.CreationTime):
		return errors.New("it is older than its key")
	case k.sig.KeyLifetimeSecs != nil && *k.sig.KeyLifetimeSecs != 0 &&
		at.After(k.pub.CreationTime.Add(time.Duration(*k.sig.KeyLifetimeSecs)*time.Second)):
		return errors.New("the key had expired")
	}
	return nil
}
