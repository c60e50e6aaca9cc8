package wizard

import (
	"context"
	"fmt"

	"reown/internal/judge"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

func stepTPM() Step {
	return Step{
		ID: "tpm", Title: msg.StepTPM, Does: msg.DoesTPM, Loses: msg.LosesTPM,
		Needs: NeedOwner | NeedUser,
		Probe: probeTPM, Rehearse: rehearseTPM, Apply: applyTPM,
	}
}

func probeTPM(s *Snapshot) (State, error) {
	if s.m.TPM == nil {
		return State{Status: ui.NotNeeded, Detail: msg.TPMNone}, nil
	}
	t, err := s.TPM()
	if err != nil {
		return State{}, err
	}
	if r, err := s.Receipt(); err == nil && r.SRK != "" && r.SRK == t.root() && t.Owned && t.SetUp {
		return completed(msg.TPMDone, t.Family), nil
	}
	return notStarted(msg.TPMNotYours, t.Family), nil
}

func rehearseTPM(r *Rehearsal) {
	if r.m.TPM == nil {
		return
	}
	if _, err := r.TPM(); err != nil {
		r.fail("tpm", err)
		return
	}
	if r.done(probeTPM) {
		return
	}
	found, err := r.m.TPM.Rehearse(r.ctx, r.duk())
	r.device("tpm", found, err)
	_, err = r.Receipt()
	for i := range r.found {
		if !r.duk() || err == nil { // not wanted, or wanted by the receipt that the steps go by
			r.found[i].without(WithoutDUK)
		}
	}
}

func applyTPM(ctx context.Context, j *Job) error {
	s := j.look(ctx)
	cert, r, err := s.ownership()
	if err != nil {
		return err
	}
	if err := j.may(s, judge.ClearTPM, judge.SignReceipt); err != nil {
		return err
	}
	if !r.Clearing { // so that a cut tells our own reset from anybody else's
		r.Clearing = true
		if err := j.note(ctx, cert, r); err != nil {
			return err
		}
	}
	if err := j.OwnTPM(ctx); err != nil {
		return err
	}
	owner, err := j.owner(cert)
	if err != nil {
		return err
	}
	// Before the receipt that names the new root: an area that is not there then says that
	// somebody else has cleared the TPM.
	if err := j.M.TPM.OpenAnchor(ctx, j.Secrets.Owner, r.anchor(owner)); err != nil {
		return fmt.Errorf("marking the run as open in the TPM: %w", err)
	}
	t, err := j.M.TPM.Info(ctx)
	if err != nil {
		return err
	}
	r.SRK = t.root()
	return j.note(ctx, cert, r)
}

// owner is the fingerprint of a certificate.
func (j *Job) owner(cert []byte) (string, error) {
	fprs, err := j.M.PGP.Fingerprints(cert)
	return fprs[0], err
}

// OwnTPM clears the TPM, takes ownership and tries the passphrase.
func (j *Job) OwnTPM(ctx context.Context) error {
	if err := j.M.TPM.Reset(ctx, j.Secrets.Owner); err != nil {
		return fmt.Errorf("resetting the TPM: %w", err)
	}
	if err := j.M.TPM.CheckOwner(ctx, j.Secrets.Owner); err != nil {
		return fmt.Errorf("checking the TPM's new passphrase: %w", err)
	}
	return nil
}
