package prepare

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/gpgcard"
	"reown/internal/secret"
)

// ErrBuyer says that the buyer's certificate cannot be used: it is none, not the one
// that the order names, or it has no valid encryption key.
var ErrBuyer = errors.New("the buyer's certificate cannot be used")

// A Buyer can be written to.
type Buyer struct {
	Fingerprint string // of the primary key, upper-case hexadecimal
	cert        *gpgcard.Cert
	entity      *openpgp.Entity
}

// ParseBuyer reads exactly one certificate, armoured or binary, and checks that a
// message to it can be made at this time. Only what package gpgcard has checked of it counts.
func ParseBuyer(cert []byte, now time.Time) (*Buyer, error) {
	c, err := gpgcard.ParseCert(cert)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBuyer, err)
	}
	if c.Revoked() {
		return nil, fmt.Errorf("%w: it was revoked", ErrBuyer)
	}
	list, err := openpgp.ReadKeyRing(bytes.NewReader(c.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBuyer, err)
	}
	e := list[0]
	if _, ok := e.EncryptionKey(now); !ok {
		return nil, fmt.Errorf("%w: it has no valid encryption key", ErrBuyer)
	}
	return &Buyer{c.Fingerprint(), c, e}, nil
}

// Encrypt makes an armoured OpenPGP message (RFC 9580, 10.3: signed, then encrypted,
// integrity protected, not compressed) that only the buyer's key opens. sign makes an
// armoured detached signature over the document's bytes, which becomes the message's
// own. go-crypto works on the heap: the document stands there until the process ends.
func (b *Buyer) Encrypt(doc *secret.Buffer, now time.Time, sign func([]byte) ([]byte, error)) ([]byte, error) {
	sig, err := sign(doc.Bytes())
	if err != nil {
		return nil, fmt.Errorf("signing the message to the buyer: %w", err)
	}
	var out bytes.Buffer
	a, err := armor.Encode(&out, "PGP MESSAGE", nil)
	if err == nil {
		err = b.encrypt(a, doc, sig, now)
	}
	if err == nil {
		err = a.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("writing to the buyer: %w", err)
	}
	return append(out.Bytes(), '\n'), nil
}

// staysOpen keeps a writer open when the packet that is written into it ends.
type staysOpen struct{ io.Writer }

func (staysOpen) Close() error { return nil }

// encrypt writes the packets: the session key for the buyer, and, under it, the
// announcement of a signature, the document, and the signature.
func (b *Buyer) encrypt(w io.Writer, doc *secret.Buffer, armored []byte, now time.Time) error {
	block, err := armor.Decode(bytes.NewReader(armored))
	if err != nil {
		return err
	}
	p, err := packet.Read(block.Body)
	if err != nil {
		return err
	}
	sig, ok := p.(*packet.Signature)
	if !ok || sig.SigType != packet.SigTypeBinary || sig.IssuerKeyId == nil {
		return errors.New("the signature is not one over a document")
	}
	to, ok := b.entity.EncryptionKey(now)
	if !ok {
		return fmt.Errorf("%w: it has no valid encryption key", ErrBuyer)
	}
	conf := &packet.Config{DefaultCipher: packet.CipherAES256, Time: func() time.Time { return now }}
	key := secret.Random(conf.Cipher().KeySize())
	defer key.Wipe()
	if err := packet.SerializeEncryptedKey(w, to.PublicKey, conf.Cipher(), key.Bytes(), conf); err != nil {
		return err
	}
	inner, err := packet.SerializeSymmetricallyEncrypted(w, conf.Cipher(), false, packet.CipherSuite{}, key.Bytes(), conf)
	if err != nil {
		return err
	}
	ops := packet.OnePassSignature{Version: 3, SigType: sig.SigType, Hash: sig.Hash, PubKeyAlgo: sig.PubKeyAlgo,
		KeyId: *sig.IssuerKeyId, IsLast: true}
	if err := ops.Serialize(inner); err != nil {
		return err
	}
	text, err := packet.SerializeLiteral(staysOpen{inner}, true, "", 0)
	if err == nil {
		_, err = text.Write(doc.Bytes())
	}
	if err == nil {
		err = errors.Join(text.Close(), sig.Serialize(inner), inner.Close())
	}
	return err
}
