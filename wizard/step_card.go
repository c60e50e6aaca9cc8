package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"reown/internal/judge"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

func stepCard() Step {
	return Step{
		ID: "card", Title: msg.StepCard, Does: msg.DoesCard, Loses: msg.LosesCard,
		Needs: NeedUser | NeedAdmin | NeedBackup, Shows: ShowCard, Waits: true,
		Probe: probeCard, Rehearse: rehearseCard, Apply: applyCard,
	}
}

func probeCard(s *Snapshot) (State, error) {
	card, err := s.Card()
	if errors.Is(err, ErrNoCard) {
		return State{Status: ui.CannotStart, Detail: msg.CardMissing}, nil
	} else if err != nil {
		return State{}, err
	}
	if card.Terminated {
		return State{Status: ui.InProgress, Detail: msg.CardHalfReset}, nil
	}
	if _, err := s.Owner(); err == nil {
		if s.Past().receipt == nil && s.made != nil {
			return State{Status: ui.InProgress, Detail: msg.CardNoReceipt}, nil
		}
		return completed(msg.CardDone, short(card.Fingerprints[0])), nil
	} else if !errors.Is(err, errNoOwner) {
		return State{}, err
	}
	return notStarted(msg.CardNotYours, card.Vendor, card.Serial), nil
}

func rehearseCard(r *Rehearsal) {
	c, err := r.Card()
	switch {
	case errors.Is(err, ErrNoCard):
		r.add("card", CardMissing, err)
	case err != nil:
		r.fail("card", err)
	case c.Terminated: // it tells nothing
	case len(c.Algorithms) == 0:
		r.add("card", CardOld, nil, c.Vendor)
	case r.erases():
		found, err := r.m.Card.Rehearse(r.ctx,
			CardPlan{User: r.pins[0], Admin: r.pins[1], Algorithm: r.choice.Algorithm, Import: r.choice.Backup != NoBackup,
				Identity: r.choice.Identity})
		r.device("card", found, err)
	}
}

// erases says whether the card in the reader will be erased.
func (r *Rehearsal) erases() bool {
	if r.anew {
		return true
	}
	_, err := r.Owner()
	return errors.Is(err, errNoOwner)
}

func applyCard(ctx context.Context, j *Job) error {
	s := j.look(ctx)
	cert, err := s.Owner()
	switch {
	case err == nil:
		// The keys are there; what is missing is the receipt.
		if err := j.M.Card.VerifyPINs(ctx, j.Secrets.User, nil); err != nil {
			return err
		}
	case !errors.Is(err, errNoOwner):
		return err
	default:
		if j.resumed { // it held the keys of this run when the work began
			j.copies.main = j.Choice.Card
			return &waitError{WaitMain}
		}
		if err := j.shownCard(ctx); err != nil {
			return err
		}
		if c := &j.copies; c.main == "" { // otherwise the second one may be in the reader now
			// Another one may be in the reader since the work began: whose all this is, is asked again.
			if err := j.may(j.look(ctx), judge.ResetCard); err != nil {
				return err
			}
		}
		if j.Choice.Backup == NoBackup {
			cert, err = newKeys(ctx, j)
		} else {
			cert, err = newKeysWithBackup(ctx, j)
		}
		if err != nil {
			return err
		}
	}
	j.made = cert
	r, err := j.newReceipt(ctx, j.measure(ctx))
	if err != nil {
		return err
	}
	return j.note(ctx, cert, r)
}

// shownCard makes sure that the card in the reader, which will be erased, is the one
// that the person was shown. One in the middle of a reset does not tell its number.
func (j *Job) shownCard(ctx context.Context) error {
	c := &j.copies
	if j.Choice.Card == "" || c.main != "" {
		return nil
	}
	info, err := j.M.Card.Info(ctx)
	if err != nil || info.Terminated || info.Serial == j.Choice.Card {
		return err
	}
	c.main = j.Choice.Card
	return &waitError{WaitMain}
}

// newKeys makes the card the owner's from scratch.
func newKeys(ctx context.Context, j *Job) ([]byte, error) {
	info, err := j.sellersCard(ctx)
	if err != nil {
		return nil, err
	}
	cert, _, err := j.MakeCard(ctx, info.Serial, nil)
	if err != nil {
		return nil, err
	}
	if err := j.M.Boot.WriteHint(ctx, hintCert, cert); err != nil {
		return nil, fmt.Errorf("storing the certificate: %w", err)
	}
	return cert, nil
}

// sellersCard is the card in the reader, which will be erased. One in the middle of a
// reset did not tell its number, so that nobody could compare it before: ErrOtherCard.
func (j *Job) sellersCard(ctx context.Context) (CardInfo, error) {
	info, ended, err := KnownCard(ctx, j.M.Card)
	if err == nil && ended {
		if h, herr := j.measure(ctx).Handover(); herr == nil && h.CardSerial != "" && h.CardSerial != info.Serial {
			err = ErrOtherCard
		}
	}
	return info, err
}

// KnownCard reads a card that tells its number: a reset that was begun is ended, and
// there is nothing on it any more that this could erase.
func KnownCard(ctx context.Context, c Card) (info CardInfo, ended bool, err error) {
	if info, err = c.Info(ctx); err != nil || !info.Terminated {
		return info, false, err
	}
	if err := c.Reset(ctx); err != nil {
		return info, false, fmt.Errorf("ending the security key's reset: %w", err)
	}
	info, err = c.Info(ctx)
	return info, true, err
}

// MakeCard erases the card with this serial number, and no other that is plugged in
// meanwhile, gives it keys and the PINs, and makes sure that it has them and can use
// them. The keys are those of a set, or made inside the card for the chosen identity.
// It returns their certificate. ErrOtherKeys: the card does not show them.
func (j *Job) MakeCard(ctx context.Context, serial string, set KeySet) (cert []byte, info CardInfo, err error) {
	card := j.M.Card.At(serial)
	if err := j.RehearseCard(ctx, card, set != nil); err != nil {
		return nil, info, err
	}
	if err := card.Reset(ctx); err != nil {
		return nil, info, fmt.Errorf("resetting the security key: %w", err)
	}
	if info, err = card.Info(ctx); err != nil {
		return nil, info, err
	}
	if err := j.giveKeys(ctx, card, info, set); err != nil {
		return nil, info, err
	}
	if id := j.Choice.Identity; id != (Identity{}) {
		if err := card.SetHolder(ctx, id); err != nil {
			return nil, info, fmt.Errorf("writing the holder's name: %w", err)
		}
	}
	if err := card.SetPINs(ctx, j.Secrets.User, j.Secrets.Admin); err != nil {
		return nil, info, fmt.Errorf("setting the PINs: %w", err)
	}
	// What the reset broke in the token that the card is a part of.
	if token := j.M.HOTP(ctx); token != nil {
		if err := token.AfterReset(ctx, j.Secrets.Admin); err != nil {
			return nil, info, fmt.Errorf("after the security key's reset: %w", err)
		}
	}
	if set != nil {
		cert = set.Certificate()
	} else if cert, err = card.Certify(ctx, j.Choice.Identity, j.Secrets.User); err != nil {
		return nil, info, fmt.Errorf("making the certificate: %w", err)
	}
	fprs, err := j.M.PGP.Fingerprints(cert)
	if err != nil {
		return nil, info, fmt.Errorf("checking the new certificate: %w", err)
	}
	if info, err = card.Info(ctx); err != nil {
		return nil, info, err
	}
	if info.Fingerprints != fprs || fprs[0] == "" || info.Serial != serial {
		return nil, info, ErrOtherKeys
	}
	if set != nil { // one that made its keys has signed their certificate
		err = j.tryKeys(ctx, card, cert, serial)
	}
	return cert, info, err
}

// RehearseCard finds what a card would refuse of what MakeCard gives it, before its reset:
// a *PreflightError.
func (j *Job) RehearseCard(ctx context.Context, card Card, imports bool) error {
	found, err := card.Rehearse(ctx, CardPlan{User: j.Secrets.User, Admin: j.Secrets.Admin, Algorithm: j.Choice.Algorithm,
		Import: imports, Identity: j.Choice.Identity})
	if err != nil || len(found) == 0 {
		return err
	}
	refused := &PreflightError{}
	for _, f := range found {
		refused.Problems = append(refused.Problems, newProblem("card", f.Kind, f.Err, f.Args...))
	}
	return refused
}

// giveKeys gives the card the keys of a set, or has it make its own.
func (j *Job) giveKeys(ctx context.Context, card Card, info CardInfo, set KeySet) error {
	if set != nil {
		if err := card.Import(ctx, set, j.Progress); err != nil {
			return fmt.Errorf("giving the keys to the security key: %w", err)
		}
		return nil
	}
	if err := card.Generate(ctx, j.keySpec(info.Algorithms), j.Progress); err != nil {
		return fmt.Errorf("making keys in the security key: %w", err)
	}
	return nil
}

// tryKeys has the card prove that it can use the keys that it was given.
func (j *Job) tryKeys(ctx context.Context, card Card, cert []byte, serial string) error {
	proof := []byte("reown: " + serial + "\n")
	sig, err := card.Sign(ctx, cert, j.Secrets.User, proof)
	if err != nil {
		return fmt.Errorf("trying the new keys: %w", err)
	}
	if err := j.M.PGP.Verify(cert, proof, sig); err != nil {
		return fmt.Errorf("%w: %w", ErrOtherKeys, err)
	}
	return nil
}

// keySpec says which keys to make: the chosen kind, else the first of these.
func (j *Job) keySpec(kinds []string) KeySpec {
	spec := KeySpec{Algorithm: j.Choice.Algorithm, Created: j.M.Platform.Now().UTC().Truncate(time.Second)}
	if spec.Algorithm == "" && len(kinds) > 0 {
		spec.Algorithm = kinds[0]
	}
	return spec
}

// newReceipt notes how the machine is before the run.
func (j *Job) newReceipt(ctx context.Context, s *Snapshot) (*Receipt, error) {
	r := &Receipt{
		Run: newRun(), Started: j.M.Platform.Now().UTC().Format(time.RFC3339), Language: j.Choice.Language,
		Layout: j.Choice.Layout,
		DUK:    j.Choice.DUK, Backup: j.Choice.Backup, Spare: j.spare,
	}
	disks, err := s.Disks()
	if err != nil {
		return nil, err
	}
	h, err := s.Handover()
	if err != nil {
		return nil, err
	}
	r.Set, r.Gone = h.Set, j.gone
	s.elsewhere(&h, nil)
	i := j.Choice.Entry - 1
	if i < 0 {
		i = s.entry(nil)
	}
	if b, err := s.Boot(); err == nil && i >= 0 && i < len(b.Entries) {
		r.Entry, r.EntryName = i+1, b.Entries[i]
	}
	for _, d := range disks {
		r.Disks = append(r.Disks, d.UUID)
		if j.Choice.Volumes != nil && !slices.Contains(j.Choice.Volumes, d.UUID) {
			continue
		}
		r.Volumes = append(r.Volumes, Rekey{Volume: Volume{UUID: d.UUID, KeyDigest: d.KeyDigest}})
	}
	if h.Signer != "" {
		r.Seller, r.SellerKey, r.Order, r.Statement = h.Seller, h.Signer, h.Order, h.Statement
		if len(h.Chain) > 0 {
			r.SellerKey = h.SellerKey()
		}
	}
	proven, _ := h.handed(j.said)
	r.Alone = s.alone(nil)
	r.Proven, r.Signs = proven == judge.Proven, j.signs
	if j.M.TPM != nil {
		t, err := s.TPM()
		if err != nil {
			return nil, err
		}
		r.OldSRK, r.EK = t.root(), t.EK
	}
	return r, nil
}
