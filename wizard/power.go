package wizard

import (
	"context"
	"errors"
)

// ErrPowerUnreliable says that a run, or the writing of the chip, could end with the
// battery.
var ErrPowerUnreliable = errors.New("the computer runs on its battery")

// minBattery is the charge below which a run on the battery is refused, in percent.
const minBattery = 40

// PowerProblem is what is wrong with the power for a run; battery: to run on it is
// accepted. A battery that does not tell its charge is as good as an empty one.
func PowerProblem(ctx context.Context, p Platform, battery bool) []Problem {
	now, err := p.Power(ctx)
	switch {
	case err != nil:
		return []Problem{DeviceProblem("power", err)}
	case !now.Known || now.Mains || battery && now.Percent >= minBattery:
		return nil
	}
	x := newProblem("power", OnBattery, ErrPowerUnreliable, max(now.Percent, 0))
	if now.Percent < minBattery {
		x.Remedies = x.Remedies[:1] // not on the battery
	}
	return []Problem{x}
}

// minFlash is the charge below which the chip is not written on the battery, in percent.
const minFlash = 30

// PowerForFlash looks once more before the seconds in which a cut is unsafe: hours may
// have passed. It returns ErrPowerUnreliable.
func PowerForFlash(ctx context.Context, p Platform) error {
	if now, err := p.Power(ctx); err != nil {
		return err
	} else if now.Known && !now.Mains && now.Percent < minFlash {
		return ErrPowerUnreliable
	}
	return nil
}
