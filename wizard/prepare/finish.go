package prepare

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"reown/internal/handover"
	"reown/internal/words"
)

// finished refuses a laptop that could be shipped as it is: a statement that verifies, and
// a start that is an offer. It is no refusal where that statement is the way in which
// the shop got the laptop, nor where a cut run of this order is to be brought to its end.
func (r *run) finished(ctx context.Context) error {
	if r.o.Again {
		return nil
	}
	chain, err := r.m.Reads(ctx)
	if err != nil {
		return nil // none, or a half-made one
	}
	last := chain.Last()
	if s := r.o.Shop; s != nil && last.To == s.Fingerprint {
		return nil
	}
	if r.sameLaptop() && !textIs(r.o.Known, nameHandover, chain.Digest) {
		return nil
	}
	key, err := r.m.Key(ctx)
	if err != nil || r.m.OEM.Offers(ctx, key) != nil {
		return nil
	}
	sum, err := hex.DecodeString(chain.Digest)
	if err != nil {
		return err
	}
	return &FinishedError{last.Order, strings.Join(words.Four(sum), "-")}
}

// encrypt makes the messages to the buyer.
func (r *run) encrypt(ctx context.Context) error {
	doc, err := r.message(handover.Digest(r.res.Statement))
	if err != nil {
		return err
	}
	defer doc.Wipe()
	if r.o.Buyer == nil {
		return nil
	}
	sign := r.sign(ctx)
	if r.o.Shop != nil && !r.o.Shop.later() {
		sign = func(data []byte) ([]byte, error) { return r.o.Shop.Sign(ctx, data) }
	}
	now := r.m.Platform.Now()
	if r.res.Message, err = r.o.Buyer.Encrypt(doc, now, sign); err != nil {
		return err
	}
	uri, err := r.uri()
	if err != nil || uri == nil {
		return err
	}
	defer uri.Wipe()
	picture, err := phone(uri)
	if err != nil {
		return err
	}
	defer picture.Wipe()
	r.res.Phone, err = r.o.Buyer.Encrypt(picture, now, sign)
	return err
}

// deliver writes what is sent, and then notes that the laptop is finished.
func (r *run) deliver(context.Context) error {
	if r.o.Deliver != nil {
		if err := r.o.Deliver(&r.res); err != nil {
			return fmt.Errorf("writing what is to be sent: %w", err)
		}
	}
	if r.res.Unsigned || r.o.Finished == nil {
		return nil
	}
	doc := r.made.Document()
	defer doc.Wipe()
	if err := r.o.Finished.Replace(doc); err != nil {
		return fmt.Errorf("noting that the laptop is finished: %w", err)
	}
	return nil
}
