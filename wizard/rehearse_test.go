package wizard_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"reown/wizard"
	"reown/wizard/wizardtest"
)

// problems are machines on which a run could not end: what is found, and what a
// program knows it by.
var problems = map[string]struct {
	kind  wizard.Kind
	err   error
	spoil func(*wizardtest.World)
}{
	"battery":          {wizard.OnBattery, wizard.ErrPowerUnreliable, func(w *wizardtest.World) { w.PowerState = wizard.Power{Known: true, Percent: 90} }},
	"untold charge":    {wizard.OnBattery, wizard.ErrPowerUnreliable, func(w *wizardtest.World) { w.PowerState = wizard.Power{Known: true, Percent: -1} }},
	"clock":            {wizard.WrongClock, wizard.ErrClock, func(w *wizardtest.World) { w.Clock = time.Unix(0, 0) }},
	"no card":          {wizard.CardMissing, wizard.ErrNoCard, func(w *wizardtest.World) { w.CardIn = false }},
	"two cards":        {wizard.Unreadable, wizard.ErrSeveralCards, func(w *wizardtest.World) { w.Spare.CardIn = true }},
	"card of no reset": {wizard.CardNoReset, nil, func(w *wizardtest.World) { w.NoReset = true }},
	"token":            {wizard.TokenNoLight, wizard.ErrNoHOTP, func(w *wizardtest.World) { w.NoHOTP = true }},
	"no keyslot":       {wizard.DiskNoKeyslot, nil, func(w *wizardtest.World) { w.Disks[0].Slots = nil }},
	"memory":           {wizard.LittleMemory, nil, func(w *wizardtest.World) { w.Free = 1 << 20 }},
	"full chip":        {wizard.Unreadable, nil, func(w *wizardtest.World) { w.Full = true }},
	"no entry":         {wizard.NoEntry, nil, func(w *wizardtest.World) { w.Suggested, w.SignedEntry = -1, -1 }},
}

// TestRehearsal: whoever asks, status and plan, the wizard's run or the seller's, finds
// the same, names what can be done, and has written nothing.
func TestRehearsal(t *testing.T) {
	for name, c := range problems {
		w := wizardtest.New()
		c.spoil(w)
		m := w.Machine()
		found := wizard.Rehearse(t.Context(), m, false)
		status, err := wizard.Status(t.Context(), m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var kinds []wizard.Kind
		for _, p := range found {
			kinds = append(kinds, p.Kind)
			if len(p.Remedies) == 0 {
				t.Errorf("%s: %v has no remedy", name, p)
			}
		}
		for _, p := range status.Problems {
			if !slices.Contains(kinds, p.Kind) || p.Remedy == "" || len(p.Remedies) == 0 {
				t.Errorf("%s: the status has %+v, a seller finds %v", name, p, kinds)
			}
		}
		if !slices.Contains(kinds, c.kind) || len(status.Problems) != len(found) {
			t.Errorf("%s: %v, and in the status %+v", name, found, status.Problems)
		}
		if err := error(&wizard.PreflightError{Problems: found}); c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: %v is not %v", name, err, c.err)
		}
		keys := &wizard.Keys{}
		var refused *wizard.PreflightError
		if err := wizard.RunStep(t.Context(), m, "preflight", wizard.Choices{}, keys, nil); !errors.As(err, &refused) {
			t.Errorf("%s: the run says %v", name, err)
		}
		if len(w.Ops) > 0 {
			t.Errorf("%s: written %q", name, w.Ops)
		}
	}
	w := wizardtest.New()
	if found := wizard.Rehearse(t.Context(), w.Machine(), false); len(found) > 0 || len(w.Ops) > 0 {
		t.Errorf("on a good machine: %v, written %q", found, w.Ops)
	}
}

// TestUseBattery: it is offered where the battery would do, and carried out it is enough.
func TestUseBattery(t *testing.T) {
	for percent, offered := range map[int]bool{-1: false, 0: false, 39: false, 40: true, 100: true} {
		w := wizardtest.New()
		w.PowerState = wizard.Power{Known: true, Percent: percent}
		p := wizard.PowerProblem(context.Background(), w.Machine().Platform, false)
		if len(p) != 1 || p[0].Offers(wizard.UseBattery) != offered || p[0].Remedies[0].Action != wizard.PlugInPower {
			t.Errorf("%d %%: %v", percent, p)
		}
		if p := wizard.PowerProblem(context.Background(), w.Machine().Platform, true); (len(p) == 0) != offered {
			t.Errorf("%d %%, accepted: %v", percent, p)
		}
	}
}
