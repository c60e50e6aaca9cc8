package prepare

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"reown/internal/handover"
	"reown/wizard"
)

// Errors of a signature that is made elsewhere.
var (
	// ErrUnsigned says that all is done but the shop's signature.
	ErrUnsigned = errors.New("the shop's signature is missing")
	// ErrNotWaiting says that /boot holds no statement of this order from this shop.
	ErrNotWaiting = errors.New("no statement of this order waits for the shop's signature")
	// ErrShopSignature says that a file holds no good signature by the shop's key over
	// this laptop's statement.
	ErrShopSignature = errors.New("not the shop's signature over this laptop's statement")
)

// Sign ends what a Run has left whose shop signs elsewhere: it verifies that signature,
// measures the machine once more against the statement, as it may have stood about
// since, and only then adds the signature to the file. It may be repeated, takes the
// options of the Run, and needs the secrets that it handed out. signatures is what the
// shop's program made: detached signatures, armoured or not.
func Sign(ctx context.Context, m *Machine, o Options, signatures []byte) (*Result, error) {
	r := newRun(m, &o)
	r.seq.Tasks = []wizard.Task{
		{ID: "secrets", Looks: true, Do: r.takeSecrets},
		{ID: "signature", Looks: true, Do: func(ctx context.Context) error { return r.waiting(ctx, signatures) }},
		{ID: "measure", Looks: true, Do: r.measure},
		{ID: "handover", Do: r.addSignature},
		{ID: "message", Looks: true, Do: r.encrypt},
		{ID: "mail", Looks: true, Do: r.deliver},
	}
	return r.all(ctx)
}

// takeSecrets takes those of the Run.
func (r *run) takeSecrets(ctx context.Context) (err error) {
	if r.card, err = r.m.Card.Info(ctx); err != nil {
		return err
	}
	if err := r.fits(); err != nil {
		return err
	}
	for _, s := range r.sizes() {
		if r.o.Known.Get(s.name) == nil || !r.sameLaptop() {
			return fmt.Errorf("%s: %w", s.name, ErrOtherOrder)
		}
	}
	if r.m.TPM != nil && r.o.Known.Get(nameTOTP) == nil {
		return fmt.Errorf("%s: %w", nameTOTP, ErrOtherOrder)
	}
	return r.collectSecrets()
}

// waiting finds the last statement in /boot, and what is to be written beside it.
func (r *run) waiting(ctx context.Context, signatures []byte) (err error) {
	shop := r.o.Shop
	if shop == nil {
		return fmt.Errorf("%w: there is no certificate of a shop", ErrShop)
	}
	if r.cert, err = r.m.Key(ctx); err != nil {
		return err
	}
	fprs, err := r.m.PGP.Fingerprints(r.cert)
	if err != nil {
		return fmt.Errorf("reading the key in the firmware: %w", err)
	}
	if fprs[0] == "" || fprs != r.card.Fingerprints {
		return fmt.Errorf("%w: the security key does not hold the key in the firmware", ErrNotAsStated)
	}
	var present []byte
	r.res.Seq = -1
	for r.res.Seq+1 < handover.MaxLinks {
		data, sigs, err := r.m.OEM.Published(ctx, r.res.Seq+1)
		if errors.Is(err, wizard.ErrNotFound) {
			break
		} else if err != nil {
			return err
		}
		r.res.Seq, r.res.Statement, present = r.res.Seq+1, data, sigs
	}
	if r.res.Seq < 0 {
		return ErrNotWaiting
	}
	s, err := handover.Parse(r.res.Statement)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWaiting, err)
	}
	if s.Order != r.o.Order.ID || s.From != shop.Fingerprint || s.To != r.o.Order.Buyer {
		return fmt.Errorf("%w: the last one in /boot is of the order %q, from %s to %q", ErrNotWaiting, s.Order, s.From, s.To)
	}
	if err := r.signedBy(shop.Cert, signatures); err != nil {
		return fmt.Errorf("%w: %w", ErrShopSignature, err)
	}
	if err := r.signedBy(r.cert, present); err != nil {
		return fmt.Errorf("%w: the signature of the laptop's key: %w", ErrNotAsStated, err)
	}
	for _, by := range r.signed {
		r.res.Signature = append(r.res.Signature, by.sig...)
	}
	if r.plan, err = r.m.Firmware.Plan(ctx, r.cert); err != nil {
		return err
	}
	if r.plan.ChangedBlocks != 0 {
		return fmt.Errorf("%w: the flash chip does not hold the image that was written", ErrNotAsStated)
	}
	r.res.Certificate, r.res.Fingerprint, r.res.CardSerial, r.res.Seller = r.cert, fprs[0], r.card.Serial, s.From
	r.res.ROM = hex.EncodeToString(r.plan.Image[:])
	for _, v := range s.Reference.LUKS {
		r.res.Volumes = append(r.res.Volumes, v.UUID)
	}
	return nil
}

// signedBy keeps the one of a file's signatures that is good and by a certificate.
func (r *run) signedBy(cert, signatures []byte) error {
	all, err := handover.Signatures(signatures)
	if err != nil {
		return err
	}
	for _, sig := range all {
		if err = r.m.PGP.Verify(cert, r.res.Statement, sig); err == nil {
			r.signed = append(r.signed, signature{cert, sig})
			return nil
		}
	}
	return err
}

func (r *run) addSignature(ctx context.Context) error {
	if err := r.m.OEM.Sign(ctx, r.res.Seq, r.res.Signature); err != nil {
		return err
	}
	return r.readBack(ctx)
}
