package wizard

import (
	"context"
	"slices"

	"reown/internal/judge"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// drawTampering explains, and offers nothing that signs: nothing in /boot leads past it, because
// anybody can write there. Where all but the file itself is as the firmware's key has signed it, the
// file can be taken away.
func drawTampering(v *view) (*ui.Page, error) {
	verdict := v.judged()
	p := &ui.Page{Title: v.t(msg.TamperingTitle), Alarm: verdict.Level == judge.Red, Trust: true, NoBack: true,
		Preset: ui.Leave, Body: []ui.Block{
			ui.S(v.t(msg.TamperingWhat)), ui.T(v.t(msg.TamperingWhy, v.why)), ui.G(), ui.T(v.t(msg.TamperingData)),
		}, Choices: []ui.Choice{{ID: ui.Leave, Label: v.t(msg.ButtonEnd)}}}
	if !p.Alarm {
		p.Title = ""
	}
	if verdict.May(judge.RemoveTrigger) {
		p.Body = append(p.Body, ui.T(v.t(msg.TamperingRemove)))
		p.Choices = slices.Insert(p.Choices, 0, ui.Choice{ID: "remove", Label: v.t(msg.ButtonRemove), Letter: 'r'})
	} else {
		var rows []ui.Block
		rows, p.Details = v.names(v.handover().Names)
		p.Body = append(append(p.Body, rows...), ui.T(v.t(msg.TamperingDo)))
	}
	return p, nil
}

// tookTampering takes the file away, and signs nothing.
func tookTampering(f *flow, ctx context.Context, _ *ui.Page, _ string) (event, error) {
	j := &Job{M: f.m, Secrets: &f.a.keys, said: f.said()}
	if err := j.may(measure(ctx, f.m), judge.RemoveTrigger); err != nil {
		return evGone, err
	}
	return evAnswer, f.m.Boot.RemoveTrigger(ctx)
}
