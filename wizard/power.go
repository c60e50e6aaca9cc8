package wizard

import (
	"context"
	"errors"

	"reown/internal/power"
)

// ErrPowerUnreliable says that a run, or the writing of the chip, could end with the
// battery.
var ErrPowerUnreliable = errors.New("the computer runs on its battery")

// PowerProblem is what is wrong with the power for a run; battery: to run on it is
// accepted. A battery that does not tell its charge is as good as an empty one.
func PowerProblem(ctx context.Context, p Platform, battery bool) []Problem {
	now, err := p.Power(ctx)
	switch {
	case err != nil:
		return []Problem{DeviceProblem("power", err)}
	case !now.Known || now.Mains || battery && power.ForRun.Enough(now.state()):
		return nil
	}
	x := newProblem("power", OnBattery, ErrPowerUnreliable, max(now.Percent, 0))
	if !power.ForRun.Enough(now.state()) {
		x.Remedies = x.Remedies[:1] // not on the battery
	}
	return []Problem{x}
}

// state is the same in the terms of what the kernel tells.
func (p Power) state() power.State {
	s := power.State{Mains: p.Mains, Battery: p.Percent}
	if p.Known {
		s.Supplies = 1
	}
	return s
}

// PowerForFlash looks once more before the seconds in which a cut is unsafe: hours may
// have passed. It returns ErrPowerUnreliable.
func PowerForFlash(ctx context.Context, p Platform) error {
	if now, err := p.Power(ctx); err != nil {
		return err
	} else if !power.ForFlash.Enough(now.state()) {
		return ErrPowerUnreliable
	}
	return nil
}
