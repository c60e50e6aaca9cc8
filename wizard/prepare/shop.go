package prepare

import (
	"context"
	"errors"
	"fmt"

	"reown/internal/handover"
	"reown/wizard"
)

// ErrShop says that the shop's own key cannot sign: its security key is not there, or
// holds other keys than the certificate, or its PIN was refused.
var ErrShop = errors.New("the shop's own key cannot sign")

// A Shop is the seller's own key, which signs for all his laptops and whose fingerprint
// his buyers know. It is not the key of the laptop's security key.
type Shop struct {
	Cert        []byte // OpenPGP certificate, binary
	Fingerprint string // of its primary key
	// Sign returns an armoured detached signature over data; nil: it is made elsewhere,
	// after the run.
	Sign func(ctx context.Context, data []byte) ([]byte, error)
}

func (s *Shop) later() bool { return s != nil && s.Sign == nil }

// maxShopCert leaves room for the laptop's certificate and the receiver's in a file
// whose readers take no more than a statement's size.
const maxShopCert = handover.MaxStatement / 2

// try lets the key sign once, before anything is changed, and makes sure that it is
// not on the card that this run will erase.
func (s *Shop) try(ctx context.Context, pgp wizard.OpenPGP, laptop wizard.CardInfo) error {
	fprs, err := pgp.Fingerprints(s.Cert)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrShop, err)
	}
	keys, err := pgp.Keys(s.Cert)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrShop, err)
	}
	if holds(laptop, keys) {
		return fmt.Errorf("%w: the security key %s, which is to be erased for the laptop, is the shop's own", ErrShop,
			laptop.Serial)
	}
	if len(s.Cert) > maxShopCert {
		return fmt.Errorf("%w: its certificate has %d bytes; more than %d do not fit beside a hand-over file", ErrShop,
			len(s.Cert), maxShopCert)
	}
	if s.later() {
		if fprs[0] == "" {
			return fmt.Errorf("%w: its certificate has no key for signing", ErrShop)
		}
		return nil
	}
	data := []byte("reown prepare: trying the key\n")
	sig, err := s.Sign(ctx, data)
	if err == nil {
		err = pgp.Verify(s.Cert, data, sig)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrShop, err)
	}
	return nil
}

// received returns the index of the statement by which the laptop was handed to this
// shop, or -1. A statement that an interrupted run of this order has added since does
// not count.
func (s *Shop) received(c *handover.Chain, order string) int {
	if c == nil {
		return -1
	}
	for i := len(c.Links) - 1; i >= 0; i-- {
		l := c.Links[i]
		if l.To == s.Fingerprint {
			return i
		}
		if l.From != s.Fingerprint || l.Order != order {
			return -1
		}
	}
	return -1
}
