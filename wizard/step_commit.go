package wizard

import (
	"context"
	"errors"
	"fmt"

	"reown/wizard/msg"
)

func stepCommit() Step {
	return Step{
		ID: "commit", Title: msg.StepCommit, Does: msg.DoesCommit, Loses: msg.LosesCommit,
		Needs: NeedUser,
		Probe: probeCommit, Rehearse: rehearseCommit, Apply: applyCommit,
	}
}

func probeCommit(s *Snapshot) (State, error) {
	trigger, err := s.m.Boot.Triggered(s.ctx)
	if err != nil {
		return State{}, err
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
	s := j.measure(ctx)
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
		if err := j.InstallBoot(ctx, cert, j.M.Boot.Install); err != nil {
			return err
		}
	}
	if later {
		return ErrSealImpossible
	}
	c, err := certify(ctx, j, j.measure(ctx), cert)
	if err != nil {
		return err
	}
	j.cert = c
	if err := j.M.Boot.RemoveTrigger(ctx); err != nil {
		return fmt.Errorf("removing /boot/oem: %w", err)
	}
	// From here on a new /boot/oem is somebody else's doing; see phase.
	if err := j.M.Boot.WriteHint(ctx, hintCertificate, c.json); err != nil {
		return fmt.Errorf("storing the certificate: %w", err)
	}
	// A receipt that stays would always look like a run that was cut.
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
