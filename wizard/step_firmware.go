package wizard

import (
	"context"
	"errors"
	"fmt"

	"reown/internal/judge"
	"reown/wizard/msg"
)

func stepFirmware() Step {
	return Step{
		ID: "firmware", Title: msg.StepFirmware, Does: msg.DoesFirmware, Loses: msg.LosesFirmware,
		Needs: NeedUser, Unsafe: true, Shows: ShowChip,
		Probe: probeFirmware, Rehearse: rehearseFirmware, Apply: applyFirmware,
	}
}

func probeFirmware(s *Snapshot) (State, error) {
	ok, err := s.Holds()
	if err != nil {
		return State{}, err
	}
	if ok {
		return completed(msg.FirmwareDone), nil
	}
	if _, err := s.Firmware(); err != nil {
		return State{}, err
	}
	return notStarted(msg.FirmwareNotYours), nil
}

// certSpace is the room that a new certificate may need in the ROM, in bytes: the
// largest that the card makes (RSA 4096, three keys), with half as much again.
const certSpace = 8 << 10

func rehearseFirmware(r *Rehearsal) {
	holds := false
	_, err := r.Firmware()
	if err == nil && !r.anew {
		holds, err = r.Holds()
	}
	if err == nil && !holds {
		_, err = r.m.Firmware.CheckSpace(r.ctx, certSpace)
	}
	if err != nil {
		r.fail("firmware", err)
	}
}

func applyFirmware(ctx context.Context, j *Job) error {
	s := j.look(ctx)
	cert, r, err := s.ownership()
	if err != nil {
		return err
	}
	plan, err := s.Plan()
	if err != nil {
		return err
	}
	if _, err := s.putOff(); err != nil {
		return err
	}
	if err := j.may(s, judge.WriteChip); err != nil {
		return err
	}
	if err := j.renew(ctx, cert, r); err != nil {
		return err
	}
	return j.WriteChip(ctx, plan, cert)
}

// WriteChip puts the planned image into the chip, and has the chip read again. After
// this the machine starts only what cert's key has signed: it looks once more that
// there is something (ErrNotPrepared), and that there is power (ErrPowerUnreliable).
func (j *Job) WriteChip(ctx context.Context, plan *FirmwarePlan, cert []byte) error {
	if ok, err := j.M.Boot.Staged(ctx, cert); err != nil {
		return err
	} else if live, err := j.M.Boot.Live(ctx, cert); err != nil {
		return err
	} else if !ok && !live {
		return ErrNotPrepared
	}
	if err := PowerForFlash(ctx, j.M.Platform); err != nil {
		return err
	}
	if err := j.M.Firmware.Write(ctx, plan, cert, j.sign(ctx, cert), j.Progress); err != nil {
		return fmt.Errorf("writing the firmware chip: %w", err)
	}
	if ok, err := j.M.Firmware.Holds(ctx, cert); err != nil {
		return fmt.Errorf("checking the firmware chip: %w", err)
	} else if !ok {
		return errors.New("the firmware chip does not hold the new key after writing")
	}
	return nil
}
