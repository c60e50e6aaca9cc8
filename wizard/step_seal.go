package wizard

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"reown/internal/judge"
	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

func stepSeal() Step {
	return Step{
		ID: "seal", Title: msg.StepSeal, Does: msg.DoesSeal, Loses: msg.LosesSeal,
		Needs: NeedOwner | NeedOTP | NeedAdmin, Shows: ShowTouches, Late: true,
		Probe: probeSeal, Rehearse: rehearseSeal, Apply: applySeal,
	}
}

func probeSeal(s *Snapshot) (State, error) {
	if s.m.TPM == nil && s.m.HOTP(s.ctx) == nil {
		return State{Status: ui.NotNeeded, Detail: msg.SealNone}, nil
	}
	r, err := s.Receipt()
	if err != nil {
		return notStarted(msg.SealLater), nil
	}
	if s.m.TPM == nil {
		p, err := s.Plan()
		if err != nil {
			return State{}, err
		}
		if r.HOTPFor == hex.EncodeToString(p.Image[:]) {
			return completed(msg.SealDone), nil
		}
		return notStarted(msg.SealNotYours), nil
	}
	t, err := s.TPM()
	if err != nil {
		return State{}, err
	}
	if t.root() != r.SRK || !t.Owned || !t.SetUp {
		return notStarted(msg.SealLater), nil
	}
	ok, err := s.Sealed()
	if errors.Is(err, ErrSealImpossible) {
		return afterRestart(), nil
	} else if err != nil {
		return State{}, err
	}
	if ok {
		return completed(msg.SealDone), nil
	}
	return notStarted(msg.SealNotYours), nil
}

// rehearseSeal finds what would only be found out when the seller's secret is gone.
// Whatever else is the matter with the token, the step says.
func rehearseSeal(r *Rehearsal) {
	token := r.m.HOTP(r.ctx)
	if token == nil {
		return
	}
	if _, err := token.Info(r.ctx); errors.Is(err, ErrNoHOTP) {
		r.add("token", TokenNoLight, err)
	}
}

func applySeal(ctx context.Context, j *Job) error {
	s := j.look(ctx)
	plan, err := s.Plan()
	if err != nil {
		return err
	}
	if err := j.may(s, judge.Seal); err != nil {
		return err
	}
	if j.M.TPM != nil {
		return j.Seal(ctx, plan)
	}
	cert, r, err := s.ownership()
	if err != nil {
		return err
	}
	if j.M.HOTP(ctx) == nil {
		return ErrNoCard
	}
	if err := j.Seal(ctx, plan); err != nil {
		return err
	}
	r.HOTPFor = hex.EncodeToString(plan.Image[:])
	return j.note(ctx, cert, r)
}

// Seal gives the TOTP secret to the token, and to the TPM for the start after the chip
// was written. Without a TPM the token's secret is the digest of the firmware, as Heads
// has it. ErrSealImpossible: not in this start, and nothing was done.
func (j *Job) Seal(ctx context.Context, plan *FirmwarePlan) error {
	otp := j.Secrets.OTP
	if j.M.TPM == nil {
		otp = secret.From(bytes.Clone(plan.Image[:20]))
		defer otp.Wipe()
	} else if _, err := j.M.TPM.OTPSealed(ctx, plan.PCR7); err != nil {
		return err
	}
	// The token first: once the TPM's object is there, this step counts as done.
	if token := j.M.HOTP(ctx); token != nil {
		if err := token.Set(ctx, otp, j.Secrets.Admin, j.Touch); err != nil {
			return fmt.Errorf("giving the secret to the security key: %w", err)
		}
	}
	if j.M.TPM == nil {
		return nil
	}
	if err := j.M.TPM.SealOTP(ctx, j.Secrets.Owner, otp, plan.PCR7); err != nil {
		return fmt.Errorf("sealing the secret in the TPM: %w", err)
	}
	return nil
}
