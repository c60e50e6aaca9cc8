package wizard

import (
	"context"
	"errors"
	"fmt"

	"reown/internal/judge"
	"reown/wizard/msg"
)

func stepCommit() Step {
	return Step{
		ID: "commit", Title: msg.StepCommit, Does: msg.DoesCommit, Loses: msg.LosesCommit,
		Needs: NeedUser | NeedOwner,
		Probe: probeCommit, Rehearse: rehearseCommit, Apply: applyCommit,
	}
}

func probeCommit(s *Snapshot) (State, error) {
	trigger, err := s.m.Boot.Triggered(s.ctx)
	if err != nil {
		return State{}, err
	}
	if p, _ := phaseOf(s.Past().History); p.Running() {
		return notStarted(msg.CommitNot), nil
	}
	if _, err := s.HintCert(); err != nil || trigger {
		return notStarted(msg.CommitNot), nil
	}
	if ok, err := s.Live(); err != nil {
		return State{}, err
	} else if !ok {
		return notStarted(msg.CommitNot), nil
	}
	return completed(msg.CommitDone), nil
}

// rehearseCommit tries to replace what is replaced and removed in /boot, if that may be.
func rehearseCommit(r *Rehearsal) {
	i := r.starts()
	if !r.tries || i < 0 || r.done(probeCommit) {
		return
	}
	found, err := r.m.Boot.Trial(r.ctx, i)
	r.device("boot", found, err)
}

func applyCommit(ctx context.Context, j *Job) error {
	s := j.look(ctx)
	if p, _ := phaseOf(s.Past().History); p == judge.Closing {
		return j.lastSecond(ctx, s.Past())
	}
	cert, err := s.Owner()
	if err != nil {
		return err
	}
	if ok, err := s.Holds(); err != nil {
		return err
	} else if !ok {
		return ErrNotPrepared
	}
	later, err := s.putOff()
	if err != nil {
		return err
	}
	live, err := s.Live()
	if err != nil {
		return err
	}
	// One that is staged is newer than the one in place, even if that is good.
	staged, err := s.Staged()
	if err != nil {
		return err
	}
	if staged || !live {
		if err := j.may(s, judge.Install); err != nil {
			return err
		}
		r, err := s.Receipt()
		if err != nil {
			return err
		}
		if err := j.InstallBoot(ctx, cert, func(ctx context.Context) error {
			return j.M.Boot.Install(ctx,
				j.agreed(r))
		}); err != nil {
			return err
		}
	}
	if later {
		return ErrSealImpossible
	}
	s = j.look(ctx)
	if err := j.may(s, judge.Certify, judge.RemoveTrigger, judge.EndRun); err != nil {
		return err
	}
	if r, err := s.Receipt(); err != nil {
		return err
	} else if err := j.renew(ctx, cert, r); err != nil {
		return err
	}
	c, err := certify(ctx, j, s, cert)
	if err != nil {
		return err
	}
	j.cert = c
	return j.endRun(ctx, cert, c.Run)
}

// endRun closes a run. Up to the last receipt it is open, and afterwards nothing is signed any
// more; a cut in between leaves nothing to do but to take the trigger away.
func (j *Job) endRun(ctx context.Context, cert []byte, r *Receipt) error {
	last := *r
	last.Closing = true
	if err := j.note(ctx, cert, &last); err != nil {
		return err
	}
	if err := j.outrun(ctx, cert, r); err != nil {
		return err
	}
	owner, err := j.owner(cert)
	if err != nil {
		return err
	}
	return j.lastSecond(ctx, &past{receipt: &last, owner: owner})
}

// runIsOver is what outrun has signed: nothing follows from it.
const runIsOver = "reown: this run is over\n"

// outrun moves the card's counter so far that no open receipt of the run counts as the newest any more,
// where no area in the TPM can say that the run is over. The last receipt still does.
func (j *Job) outrun(ctx context.Context, cert []byte, open *Receipt) error {
	if open.Number == 0 {
		return nil
	}
	if j.M.TPM != nil {
		root, _, err := j.look(ctx).pinned(&Handover{}, open)
		if err != nil {
			return fmt.Errorf("reading the TPM: %w", err)
		}
		if a, err := j.M.TPM.Anchor(ctx, root); err != nil {
			return fmt.Errorf("reading the area in the TPM: %w", err)
		} else if a.State != AnchorNever {
			return nil
		}
	}
	for range judge.Slack {
		c, err := j.M.Card.Info(ctx)
		if err != nil || judge.Counted(open.Number, c.Signatures) == judge.CountBeyond {
			return err
		}
		if _, err := j.sign(ctx, cert)([]byte(runIsOver)); err != nil {
			return fmt.Errorf("moving the security key's counter: %w", err)
		}
	}
	return nil
}

// lastSecond takes the trigger away and closes for good. It signs nothing, and may be repeated. The
// area is locked where the owner's passphrase is known.
func (j *Job) lastSecond(ctx context.Context, p *past) error {
	if j.M.TPM != nil && j.Secrets.Owner != nil && p.receipt != nil {
		if err := j.M.TPM.CloseAnchor(ctx, j.Secrets.Owner, p.receipt.anchor(p.owner)); err != nil {
			return fmt.Errorf("marking the run as closing in the TPM: %w", err)
		}
	}
	if err := j.M.Boot.RemoveTrigger(ctx); err != nil {
		return fmt.Errorf("removing /boot/oem: %w", err)
	}
	if j.M.TPM != nil && j.Secrets.Owner != nil {
		if err := j.M.TPM.LockAnchor(ctx, j.Secrets.Owner); err != nil {
			return fmt.Errorf("closing the run in the TPM: %w", err)
		}
	}
	// A receipt that stays would look like a run that was cut.
	if err := j.M.Boot.RemoveHint(ctx, hintReceipt); err != nil {
		return fmt.Errorf("removing the receipt: %w", err)
	}
	return nil
}

// InstallBoot puts the staged set in place, and has the firmware's rules judge it there.
func (j *Job) InstallBoot(ctx context.Context, cert []byte, install func(context.Context) error) error {
	if err := install(ctx); err != nil {
		return fmt.Errorf("putting the new /boot in place: %w", err)
	}
	if ok, err := j.M.Boot.Live(ctx, cert); err != nil {
		return fmt.Errorf("checking the new /boot: %w", err)
	} else if !ok {
		return errors.New("the new /boot does not verify with the new key")
	}
	return nil
}
