package wizard

import (
	"context"
	"errors"
	"fmt"

	"reown/internal/judge"
	"reown/wizard/msg"
)

func stepBoot() Step {
	return Step{
		ID: "boot", Title: msg.StepBoot, Does: msg.DoesBoot,
		Needs: NeedUser | NeedOwner, Follows: true,
		Probe: probeBoot, Rehearse: rehearseBoot, Apply: applyBoot,
	}
}

// bootKey names what a staged /boot belongs to: the TPM's state, and the disk unlock
// key with the headers that it is sealed to.
func (s *Snapshot) bootKey(r *Receipt) (string, error) {
	key := r.SRK
	if key == "" {
		key = "no tpm"
	}
	files, err := s.dukFiles(r)
	if err == nil && len(files) > 0 {
		key += " duk " + digestOfFiles(files)
	}
	return key, err
}

func probeBoot(s *Snapshot) (State, error) {
	r, err := s.Receipt()
	if err != nil {
		return notStarted(msg.BootNotYours), nil
	}
	if key, err := s.bootKey(r); err != nil {
		return State{}, err
	} else if r.BootFor != key {
		return notStarted(msg.BootNotYours), nil
	}
	if ok, err := s.Staged(); err != nil {
		return State{}, err
	} else if ok {
		return completed(msg.BootStaged), nil
	}
	if ok, err := s.Live(); err != nil {
		return State{}, err
	} else if ok {
		return completed(msg.BootInstalled), nil
	}
	return notStarted(msg.BootNotYours), nil
}

func rehearseBoot(r *Rehearsal) {
	if _, err := r.Boot(); err != nil {
		r.fail("boot", err)
		return
	}
	if r.done(probeBoot) {
		return
	}
	i := r.starts()
	if i < 0 {
		r.add("entries", NoEntry, nil)
		return
	}
	found, err := r.m.Boot.Rehearse(r.ctx, i)
	r.device("boot", found, err)
}

func applyBoot(ctx context.Context, j *Job) error {
	s := j.look(ctx)
	cert, r, err := s.ownership()
	if err != nil {
		return err
	}
	act := judge.SignTree
	if s.Past().Ring == judge.RingOwner {
		act = judge.SignSame
	}
	if err := j.may(s, act); err != nil {
		return err
	}
	if err := j.renew(ctx, cert, r); err != nil {
		return err
	}
	key, err := s.bootKey(r)
	if err != nil {
		return err
	}
	if r.BootFor != "" && r.BootFor != key {
		// Cut between the new set and the receipt, the old key must not vouch for it.
		r.BootFor = ""
		if err := j.note(ctx, cert, r); err != nil {
			return err
		}
	}
	if err := j.reentry(ctx, s, cert, r); err != nil {
		return err
	}
	spec := BootSpec{Cert: cert, Entry: s.entry(r), Same: act == judge.SignSame, Gone: j.agreed(r)}
	if spec.Entry < 0 {
		return &PreflightError{[]Problem{newProblem("entries", NoEntry, nil)}}
	}
	if spec.DUK, err = s.dukFiles(r); err != nil {
		return fmt.Errorf("reading the disks' headers: %w", err)
	}
	if err := j.StageBoot(ctx, spec, j.M.Boot.Stage); err != nil {
		return err
	}
	r.BootFor = key
	j.tryAgain(ctx, r) // a disk unlock key has a keyslot of its own
	return j.note(ctx, cert, r)
}

// reentry notes the boot entry that was chosen since the receipt was written. Once the
// firmware trusts the owner's key, what starts is what that key has signed.
func (j *Job) reentry(ctx context.Context, s *Snapshot, cert []byte, r *Receipt) error {
	b, err := s.Boot()
	if err != nil {
		return err
	}
	i := j.Choice.Entry - 1
	if i < 0 || i >= len(b.Entries) || i == s.entry(r) {
		return nil
	}
	if holds, err := s.Holds(); err != nil || holds {
		return err
	}
	r.Entry, r.EntryName = i+1, b.Entries[i]
	return j.note(ctx, cert, r)
}

// Stage computes a signed set and writes it beside the old one: Boot.Stage, or the
// seller's, whose set covers the trigger.
type Stage func(ctx context.Context, spec BootSpec, sign func([]byte) ([]byte, error), progress Progress) error

// StageBoot adds to a signed set what TPM and token say, has it staged, and has the
// firmware's rules judge it.
func (j *Job) StageBoot(ctx context.Context, spec BootSpec, stage Stage) (err error) {
	if t := j.M.TPM; t != nil {
		if spec.Rollback, err = t.Counter(ctx, j.Secrets.Owner); err != nil {
			return fmt.Errorf("making the rollback counter: %w", err)
		}
		if spec.PrimaryHash, err = t.PrimaryHash(ctx); err != nil {
			return fmt.Errorf("reading the TPM's storage root: %w", err)
		}
	}
	if token := j.M.HOTP(ctx); token != nil {
		spec.HOTPCounter = token.CounterFile()
	}
	if err := stage(ctx, spec, j.sign(ctx, spec.Cert), j.Progress); err != nil {
		return fmt.Errorf("preparing /boot: %w", err)
	}
	if ok, err := j.M.Boot.Staged(ctx, spec.Cert); err != nil {
		return fmt.Errorf("checking the prepared /boot: %w", err)
	} else if !ok {
		return errors.New("the prepared /boot does not verify with the new key")
	}
	return nil
}
