package prepare

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/internal/secret"
)

// ErrBuyer says that the buyer's certificate cannot be used: it is none, not the one
// that the order names, or it has no valid encryption key.
var ErrBuyer = errors.New("the buyer's certificate cannot be used")

// A Buyer can be written to.
type Buyer struct {
	Fingerprint string // of the primary key, upper-case hexadecimal
	entity      *openpgp.Entity
}

// ParseBuyer reads exactly one certificate, armoured or binary, and checks that a
// message to it can be made at this time.
func ParseBuyer(cert []byte, now time.Time) (*Buyer, error) {
	read := openpgp.ReadKeyRing
	if bytes.HasPrefix(bytes.TrimSpace(cert), []byte("-----BEGIN")) {
		read = openpgp.ReadArmoredKeyRing
	}
	list, err := read(bytes.NewReader(cert))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBuyer, err)
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%w: %d certificates where one is expected", ErrBuyer, len(list))
	}
	e := list[0]
	if _, ok := e.EncryptionKey(now); !ok {
		return nil, fmt.Errorf("%w: it has no valid encryption key", ErrBuyer)
	}
	return &Buyer{fmt.Sprintf("%X", e.PrimaryKey.Fingerprint), e}, nil
}

// Encrypt makes an armoured OpenPGP message (RFC 4880; no compression, integrity
// protected) that only the buyer's key opens. go-crypto works on the heap: the
// document stands there until the process ends.
func (b *Buyer) Encrypt(doc *secret.Buffer, now time.Time) ([]byte, error) {
	var out bytes.Buffer
	a, err := armor.Encode(&out, "PGP MESSAGE", nil)
	if err != nil {
		return nil, err
	}
	conf := &packet.Config{DefaultCipher: packet.CipherAES256, Time: func() time.Time { return now }}
	w, err := openpgp.Encrypt(a, []*openpgp.Entity{b.entity}, nil, &openpgp.FileHints{IsBinary: true}, conf)
	if err == nil {
		_, err = w.Write(doc.Bytes())
	}
	if err == nil {
		err = errors.Join(w.Close(), a.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("writing to the buyer: %w", err)
	}
	return append(out.Bytes(), '\n'), nil
}
