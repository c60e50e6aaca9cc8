package prepare

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"reown/internal/handover"
	"reown/wizard"
)

// handover states what was measured, after checking that it is what was planned.
func (r *run) handover(ctx context.Context) error {
	got, err := r.m.Measure(ctx)
	if err != nil {
		return err
	}
	rom := hex.EncodeToString(r.plan.Image[:])
	switch {
	case got.Subjects[handover.SubjectROM] != rom:
		return fmt.Errorf("%w: the flash chip does not hold the image that was written", ErrNotAsStated)
	case !slices.Equal(got.Reference.ROMKeys, []string{r.res.Fingerprint}):
		return fmt.Errorf("%w: the firmware trusts the keys %q", ErrNotAsStated, got.Reference.ROMKeys)
	case r.m.TPM != nil && !r.plans(got.Reference.PCRs[7]):
		return fmt.Errorf("%w: PCR 7 will not be what was sealed to", ErrNotAsStated)
	case len(got.Reference.LUKS) != len(r.m.Disks):
		return fmt.Errorf("%w: %d encrypted disks", ErrNotAsStated, len(got.Reference.LUKS))
	}
	s, err := r.statement(ctx)
	if err != nil {
		return err
	}
	s.Subjects, s.Reference, s.Changed = got.Subjects, got.Reference, []string{"rom", "boot", "disk", "card"}
	if r.m.TPM != nil {
		s.Changed = append(s.Changed, "tpm")
	}
	if r.last != nil {
		if err := s.Follows(r.last, r.lastFile); err != nil {
			return fmt.Errorf("the statement that would follow the one in /boot: %w", err)
		}
	}
	if r.res.Statement, err = s.Marshal(); err != nil {
		return err
	}
	r.signed, r.res.Signature, r.res.Unsigned = nil, nil, r.o.Shop.later()
	var certs []byte
	if r.o.Shop.later() {
		certs = r.o.Shop.Cert
	} else if r.o.Shop != nil {
		sig, err := r.o.Shop.Sign(ctx, r.res.Statement)
		if err != nil {
			return fmt.Errorf("signing the hand-over file with the shop's key: %w", err)
		}
		r.signed = append(r.signed, signature{r.o.Shop.Cert, sig})
	}
	// The firmware's key signs in any case: that is what ties the chain to this laptop.
	sig, err := r.sign(ctx)(r.res.Statement)
	if err != nil {
		return fmt.Errorf("signing the hand-over file: %w", err)
	}
	r.signed = append(r.signed, signature{r.cert, sig})
	for _, by := range r.signed {
		r.res.Signature, certs = append(r.res.Signature, by.sig...), append(certs, by.cert...)
	}
	r.res.ROM, r.res.Seq = rom, s.Seq
	return r.m.OEM.Publish(ctx, s.Seq, r.res.Statement, r.res.Signature, certs)
}

// statement begins the statement: the next one of the chain in /boot, if that was
// handed to this shop, or the first of a new one. Whose that chain is must have been
// said: its keys came with the laptop, and the shop's signature would vouch for them.
func (r *run) statement(ctx context.Context) (*handover.Statement, error) {
	s := &handover.Statement{From: r.res.Fingerprint}
	r.last, r.lastFile = nil, nil
	if shop := r.o.Shop; shop != nil {
		s.From = shop.Fingerprint
		chain, files, err := r.m.Handed(ctx, shop.Fingerprint)
		if err != nil {
			return nil, fmt.Errorf("reading the hand-over files of who sold the laptop to you: %w", err)
		}
		if at := shop.received(chain, r.o.Order.ID); at >= 0 {
			r.last, r.lastFile = chain.Links[at], files[at]
			switch from := r.last.From; {
			case r.o.Signer == "":
				return nil, fmt.Errorf("%w: /boot holds a hand-over file that hands this laptop to you; name its seller's fingerprint, or remove the file to begin anew", wizard.ErrSellerUnknown)
			case r.o.Signer != from:
				return nil, fmt.Errorf("%w %s: the laptop was handed to you by %s", handover.ErrSigner, r.o.Signer, from)
			}
			s = r.last.Next(r.lastFile, "")
		}
	}
	r.res.Seller = s.From
	s.Order, s.To, s.Created = r.o.Order.ID, r.o.Order.Buyer, r.m.Platform.Now().UTC().Truncate(time.Second)
	return s, nil
}

// plans says whether a value of PCR 7 is the one that the secret was sealed to.
func (r *run) plans(pcr7 string) bool {
	for _, v := range r.plan.PCR7 {
		if hex.EncodeToString(v) == pcr7 {
			return true
		}
	}
	return false
}

// readBack checks what /boot holds of the statement: the bytes, each signature, and the
// whole chain as the buyer's reader will.
func (r *run) readBack(ctx context.Context) error {
	data, sig, err := r.m.OEM.Published(ctx, r.res.Seq)
	if err != nil {
		return err
	}
	if !bytes.Equal(data, r.res.Statement) || !bytes.Equal(sig, r.res.Signature) {
		return fmt.Errorf("%w: /boot does not hold the statement that was signed", ErrNotAsStated)
	}
	for _, by := range r.signed {
		if err := r.m.PGP.Verify(by.cert, data, by.sig); err != nil {
			return fmt.Errorf("verifying the hand-over file: %w", err)
		}
	}
	chain, err := r.m.Reads(ctx)
	switch {
	case r.res.Unsigned && errors.Is(err, handover.ErrSigner):
		return nil
	case r.res.Unsigned && err == nil:
		return fmt.Errorf("%w: it verifies without the shop's signature", ErrNotAsStated)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotAsStated, err)
	case chain.Digest != handover.Digest(data):
		return fmt.Errorf("%w: it is not the last one of the chain", ErrNotAsStated)
	}
	return nil
}

// measure trusts no step: it reads the machine afresh and compares it with the
// statement, and tries every secret.
func (r *run) measure(ctx context.Context) error {
	s, err := handover.Parse(r.res.Statement)
	if err != nil {
		return err
	}
	now, err := r.m.Measure(ctx)
	if err != nil {
		return err
	}
	if err := s.Compare(now).Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotAsStated, err)
	}
	if err := r.m.OEM.Offers(ctx, r.cert); err != nil {
		return err
	}
	return r.secretsWork(ctx)
}

// secretsWork tries every secret that was handed out on its device.
func (r *run) secretsWork(ctx context.Context) error {
	for _, d := range r.m.Disks {
		info, err := d.Info(ctx)
		if err != nil {
			return err
		}
		if info.Keyslots != 1 || info.Reencrypting {
			return fmt.Errorf("%w: %s has %d keyslots", ErrNotAsStated, info.Path, info.Keyslots)
		}
		if err := d.CheckPassphrase(ctx, r.keys.Disk); err != nil {
			return fmt.Errorf("trying the passphrase of %s: %w", info.Path, err)
		}
	}
	if err := r.m.Card.VerifyPINs(ctx, r.keys.User, r.keys.Admin); err != nil {
		return fmt.Errorf("trying the PINs: %w", err)
	}
	if r.m.TPM == nil {
		return nil
	}
	if err := r.m.TPM.CheckOwner(ctx, r.keys.Owner); err != nil {
		return fmt.Errorf("trying the TPM's passphrase: %w", err)
	}
	if ok, err := r.m.TPM.OTPSealed(ctx, r.plan.PCR7); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("%w: the TOTP secret is not sealed to the next start", ErrNotAsStated)
	}
	return nil
}
