package gpgcard

import (
	"errors"
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// SignatureInfo is what a good signature says.
type SignatureInfo struct {
	Fingerprint string    `json:"fingerprint"` // of the key that signed
	Created     time.Time `json:"created"`
	Hash        string    `json:"hash"`
}

// VerifyDetached checks a detached signature, binary or armoured, over data: one
// signature of type binary document, made by the certificate's primary key or a
// signing subkey, with a hash of at least 256 bits. A signature that is not good
// is ErrBadSignature. The computer's clock plays no part: a key or signature from
// the future is told by its Created.
func VerifyDetached(cert *Cert, sig, data []byte) (*SignatureInfo, error) {
	if len(sig) > maxCert {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadSignature, len(sig))
	}
	raw, err := dearmor(sig, openpgp.SignatureType)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	s, err := oneSignature(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	if s.SigType != packet.SigTypeBinary {
		return nil, fmt.Errorf("%w: not a signature of a document", ErrBadSignature)
	}
	if !strong(s.Hash) {
		return nil, fmt.Errorf("%w: hash %v", ErrBadSignature, s.Hash)
	}
	why := errors.New("no signing key of the certificate made it")
	if cert.Revoked() {
		return nil, fmt.Errorf("%w: the key was revoked", ErrBadSignature)
	}
	for i, k := range cert.keys {
		if !k.mayHaveMade(s) {
			continue
		}
		h, err := s.PrepareVerify()
		if err == nil {
			h.Write(data)
			err = k.pub.VerifySignature(h, s)
		}
		if err == nil {
			err = errors.Join(k.maySign(s.CreationTime), cert.keys[0].maySign(s.CreationTime))
		}
		if err == nil {
			return &SignatureInfo{Fingerprint: cert.keys[i].fingerprint(), Created: s.CreationTime.UTC(), Hash: s.Hash.String()},
				nil
		}
		why = err
	}
	return nil, fmt.Errorf("%w: %w", ErrBadSignature, why)
}

// mayHaveMade says whether the signature can be this key's, from what it says of itself.
func (k certKey) mayHaveMade(s *packet.Signature) bool {
	return k.sig.FlagsValid && k.sig.FlagSign && s.PubKeyAlgo == k.pub.PubKeyAlgo &&
		(s.IssuerKeyId == nil || *s.IssuerKeyId == k.pub.KeyId)
}

// oneSignature parses what has to be one packet of an old or new form.
func oneSignature(raw []byte) (*packet.Signature, error) {
	_, head, n, err := packetLength(raw)
	if err != nil || n != len(raw) {
		return nil, errors.New("not one signature packet")
	}
	tag := raw[0] >> 2 & 15
	if raw[0]&0x40 != 0 {
		tag = raw[0] & 63
	}
	if tag != tagSignature {
		return nil, errors.New("not one signature packet")
	}
	return parseSignature(raw[head:])
}

// notBefore is a moment that has certainly passed: when this was written.
var notBefore = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// checkClock refuses a time that is certainly wrong. after may be zero.
func (c *Card) checkClock(at, after time.Time) error {
	switch {
	case at.Before(notBefore):
		return &ClockError{Now: at, Earliest: notBefore, Why: "this program is younger"}
	case !after.IsZero() && at.Before(after):
		return &ClockError{Now: at, Earliest: after, Why: "the key was made then"}
	case at.Unix() > 1<<32-1:
		return &ClockError{Now: at, Earliest: notBefore, Why: "OpenPGP cannot write later times than 2106"}
	}
	return nil
}
