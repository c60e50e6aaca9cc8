package wizard

import (
	"context"
	"errors"

	"reown/wizard/msg"
	"reown/wizard/ui"
)

// ---------------------------------------------------------------- the question

// duk asks whether the TPM shall open the disk. The answer goes into the receipt.
func (f *flow) duk(ctx context.Context) (move, error) {
	if f.m.DUK == nil || f.m.TPM == nil || len(f.m.Disks) == 0 {
		return skipped, nil
	}
	if r, err := f.s.Receipt(); err == nil {
		f.choice.DUK = r.DUK
		return skipped, nil
	}
	err := f.m.DUK.Possible(ctx)
	if errors.Is(err, ErrLeftToFirmware) {
		f.choice.DUK = false
		why := msg.DUKNotNowWhy
		if errors.Is(err, ErrOwnName) {
			why = msg.DUKNotNowName
		}
		_, mv, err := f.ask(ctx, &ui.Page{Key: "duk-left", Step: 3, Preset: ui.Continue, Help: f.t(msg.DUKHelp),
			Body:    []ui.Block{ui.S(f.t(msg.DUKNotNow)), ui.T(f.t(why)), ui.G(), ui.T(f.t(msg.DUKNotNowHow))},
			Choices: []ui.Choice{f.button()}})
		return mv, err
	}
	// Any other reason is the TPM's, and the steps that need it tell it.
	body := []ui.Block{ui.S(f.t(msg.DUKAsk)), ui.G(), ui.T(f.t(msg.DUKWhat)), ui.G(), ui.T(f.t(msg.DUKAdvice))}
	if t, err := f.s.TPM(); err != nil {
		return again, err
	} else if t.Family == "1.2" {
		body = append(body, ui.G(), ui.S(f.t(msg.DUKOldTPM)))
	}
	id, mv, err := f.ask(ctx, &ui.Page{Key: "duk", Step: 3, Preset: "no", Body: body, Help: f.t(msg.DUKHelp), Choices: []ui.Choice{
		{ID: "no", Label: f.t(msg.ButtonDUKNo), Letter: 'n'}, {ID: "yes", Label: f.t(msg.ButtonDUKYes), Letter: 'y'}}})
	if err == nil && mv == forward {
		if f.choice.DUK = id == "yes"; f.choice.DUK {
			f.need |= NeedDisk | NeedOwner | NeedDUK
		}
	}
	return mv, err
}
