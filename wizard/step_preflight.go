package wizard

import (
	"context"
	"fmt"

	"reown/wizard/msg"
	"reown/wizard/ui"
)

func stepPreflight() Step {
	return Step{
		ID: "preflight", Title: msg.StepPreflight, Does: msg.DoesPreflight,
		Looks: true,
		Probe: probePreflight, Rehearse: rehearsePreflight, Apply: applyPreflight,
	}
}

func probePreflight(s *Snapshot) (State, error) {
	p := preflight(s, Choices{}, false)
	if len(p) == 0 {
		return completed(msg.None), nil
	}
	return State{Status: ui.Trouble, Detail: p[0].What, Args: p[0].Args}, nil
}

// rehearsePreflight looks at what every step needs.
func rehearsePreflight(r *Rehearsal) {
	r.found = append(r.found, PowerProblem(r.ctx, r.m.Platform, r.battery)...)
	if now := r.m.Platform.Now(); now.Before(r.m.Platform.Built()) {
		shows := now.UTC().Format("2006-01-02 15:04")
		r.add("clock", WrongClock, fmt.Errorf("%w: it shows %s", ErrClock, shows), shows)
	}
}

func applyPreflight(ctx context.Context, j *Job) error {
	if j.copies.main != "" {
		return nil // found no problem in this run; another security key may be in the reader now
	}
	if p := rehearsal(j.measure(ctx), j.Choice, j.battery, j.Secrets); len(p) > 0 {
		return &PreflightError{Problems: p}
	}
	return nil
}
