package prepare

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/internal/judge"
	"reown/wizard"
)

// ErrCardElsewhere says that the security key holds keys that are neither this laptop's nor of an
// interrupted run of this order: it may work for another one.
var ErrCardElsewhere = errors.New("the security key holds keys of something else")

// holds says whether any slot of a card holds any of these keys.
func holds(c wizard.CardInfo, keys []string) bool {
	return slices.ContainsFunc(c.Fingerprints[:], func(f string) bool { return f != "" && slices.Contains(keys, f) })
}

// whose says what the card in the reader is, each slot compared with every key that is known.
func (r *run) whose(ctx context.Context) (judge.Card, error) {
	if r.card.Terminated || r.card.Fingerprints == [3]string{} {
		return judge.CardBlank, nil
	}
	if r.o.Shop != nil {
		if keys, err := r.m.PGP.Keys(r.o.Shop.Cert); err != nil {
			return judge.CardUnknown, err
		} else if holds(r.card, keys) {
			return judge.CardSigner, nil
		}
	}
	if b := r.o.Buyer; b != nil && slices.ContainsFunc(r.card.Fingerprints[:], b.cert.Holds) {
		return judge.CardSigner, nil
	}
	fw, err := r.m.Firmware.Info(ctx)
	if err != nil {
		return judge.CardUnknown, err
	}
	keys := fw.Keyring
	if cert, err := r.m.Key(ctx); err == nil {
		all, err := r.m.PGP.Keys(cert)
		if err != nil {
			return judge.CardUnknown, err
		}
		keys = append(slices.Clone(keys), all...)
	}
	// The spare of an owner has the same keys, and was not sent with the laptop.
	if spare, err := wizard.SpareOf(ctx, r.m.Machine); err != nil {
		return judge.CardUnknown, err
	} else if holds(r.card, keys) && (spare == "" || spare != r.card.Serial) {
		return judge.CardSeller, nil
	}
	return judge.CardElsewhere, nil
}

// disposable returns nil if the card may be erased. Its number in the order is as good as typed.
func (r *run) disposable(ctx context.Context) error {
	c, err := r.whose(ctx)
	if err != nil {
		return err
	}
	serial := strings.ToUpper(r.card.Serial)
	tail := serial != "" && (r.o.Order.Card == serial || strings.EqualFold(r.o.CardTail, serial[max(0, len(serial)-4):]))
	switch {
	case c.Disposable(tail):
		return nil
	case c == judge.CardSigner && r.o.Buyer != nil && slices.ContainsFunc(r.card.Fingerprints[:], r.o.Buyer.cert.Holds):
		return fmt.Errorf("%w: the security key %s is the buyer's own", ErrCardElsewhere, r.card.Serial)
	case c == judge.CardSigner:
		return fmt.Errorf("%w: the security key %s, which is to be erased for the laptop, is the shop's own", ErrShop,
			r.card.Serial)
	}
	return fmt.Errorf("%w: its serial number is %s", ErrCardElsewhere, r.card.Serial)
}

// cardHint says that this run may erase the card, before it does.
const cardHint = "kexec_reown.prepare-card"

// permit is the note's content. It is made with a secret of this order, so that nobody who can write
// to /boot can make one for another card.
func (r *run) permit() []byte {
	mac := hmac.New(sha256.New, r.keys.Disk.Bytes())
	fmt.Fprintf(mac, "reown prepare erases the card %s", strings.ToUpper(r.card.Serial))
	return hex.AppendEncode(nil, mac.Sum(nil))
}

// permitted returns nil if the card may be erased, now or since an earlier start.
func (r *run) permitted(ctx context.Context) error {
	if note, err := r.m.Boot.ReadHint(ctx, cardHint); err == nil && r.card.Serial != "" && hmac.Equal(note, r.permit()) {
		return nil
	}
	if err := r.disposable(ctx); err != nil {
		return err
	}
	if r.card.Serial == "" { // in the middle of a reset it does not tell
		return nil
	}
	if err := r.m.Boot.WriteHint(ctx, cardHint, r.permit()); err != nil {
		return fmt.Errorf("noting the security key: %w", err)
	}
	return nil
}

// noted says whether /boot has notes of an interrupted run. Anybody can write them; whether they are
// this run's is found when its secrets are there.
func (r *run) noted(ctx context.Context) bool {
	for _, name := range []string{cardHint, keysHint} {
		if _, err := r.m.Boot.ReadHint(ctx, name); err == nil {
			return true
		}
	}
	return false
}
