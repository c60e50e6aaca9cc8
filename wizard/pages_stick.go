package wizard

import (
	"context"
	"fmt"
	"strings"

	"reown/wizard/msg"
	"reown/wizard/ui"
)

// The pages that ask for a USB stick.

func lookSticks(f *flow, ctx context.Context) (err error) {
	if f.at == pageStick && f.a.Backup != StickBackup {
		return nil
	}
	if f.came != evAgain {
		f.badStick = nil
	}
	f.sticks, err = f.m.Sticks.List(ctx)
	return err
}

func drawStick(v *view) (*ui.Page, error) {
	p := v.stickPage(msg.StickAsk, true)
	return p, nil
}

func tookStick(f *flow, ctx context.Context, _ *ui.Page, id string) (event, error) {
	on := f.tookFor(ctx, id, nil)
	if on == evAnswer {
		f.a.Stick = id
	}
	return on, nil
}

func drawPlugStick(v *view) (*ui.Page, error) {
	p := v.stickPage(msg.StickMissing, true)
	p.Choices, p.NoBack = append(p.Choices, v.buttonWithout()), true
	return p, nil
}

func tookPlugStick(f *flow, ctx context.Context, _ *ui.Page, id string) (event, error) {
	if id == withoutBackup {
		f.withoutBackup()
		f.job.Choice.Stick = ""
		return evAnswer, nil
	}
	on := f.tookFor(ctx, id, nil)
	if on == evAnswer {
		f.job.Choice.Stick = id
	}
	return on, nil
}

func drawCopy(v *view) (*ui.Page, error) {
	p := v.stickPage(msg.CopyAsk, false)
	p.Choices, p.NoBack = append(p.Choices, ui.Choice{ID: "skip", Label: v.t(msg.ButtonSkip), Letter: 's'}), true
	return p, nil
}

func tookCopy(f *flow, ctx context.Context, _ *ui.Page, id string) (event, error) {
	if id == "skip" {
		return evReturn, nil
	}
	return f.tookFor(ctx, id, f.job.cert.Files()), nil
}

func drawCopied(v *view) (*ui.Page, error) {
	p := &ui.Page{NoBack: true, NoLeave: true, Preset: ui.Continue, Wait: v.t(msg.WaitRestart),
		Body:    []ui.Block{ui.S(v.t(msg.CopyDone)), ui.G()},
		Choices: v.just(msg.ButtonRestart)}
	for _, x := range v.job.cert.Files() {
		p.Body = append(p.Body, ui.R(ui.OK, "", x.Name))
	}
	p.Body = append(p.Body, ui.G(), ui.T(v.t(msg.CopyNext)))
	return p, nil
}

// stickPage shows the sticks that are plugged in. keeps tells that what is on them stays.
func (v *view) stickPage(ask msg.M, keeps bool) *ui.Page {
	p := &ui.Page{Preset: ui.Leave, Body: []ui.Block{ui.S(v.t(ask)), ui.G()}, Help: v.t(msg.StickHelp)}
	for i, s := range v.sticks {
		if i == 9 {
			break
		}
		p.Body = append(p.Body, ui.R(ui.NoMark, v.t(msg.StickLabel, i+1), describeStick(s, v.lang)))
		p.Choices = append(p.Choices, ui.Choice{ID: s.ID, Label: v.t(msg.ButtonStick, i+1), Letter: rune('1' + i)})
	}
	if v.badStick != nil {
		what, do := v.badStick.Error(), ""
		if v.o.Explain != nil {
			what, _, do = v.o.Explain(v.badStick, v.lang)
		}
		p.Body = append(p.Body, ui.G(), ui.R(ui.Bad, v.t(msg.FailedWhat), what), ui.R(ui.NoMark, v.t(msg.FailedDo), do))
	}
	if len(v.sticks) == 1 && v.badStick == nil {
		p.Preset = v.sticks[0].ID
	}
	if len(v.sticks) == 0 {
		p.Body = append(p.Body, ui.T(v.t(msg.StickNone)))
	} else if keeps {
		p.Body = append(p.Body, ui.G(), ui.T(v.t(msg.StickKeeps)))
	}
	p.Choices = append(p.Choices, ui.Choice{ID: "retry", Label: v.t(msg.ButtonRetry), Letter: 'r'})
	return p
}

// tookFor writes files to the stick that was chosen (none: tries whether that could be
// done). Where it cannot, the page is shown again, and says so.
func (f *flow) tookFor(ctx context.Context, id string, files []File) event {
	if f.badStick = nil; id != "retry" {
		if f.badStick = f.m.Sticks.Write(ctx, id, files); f.badStick == nil {
			return evAnswer
		}
	}
	return evAgain
}

func describeStick(s Stick, l msg.Lang) string {
	return strings.TrimSpace(fmt.Sprintf("%s, %s, %s", s.Model, msg.Bytes(s.Size).In(l), s.FS))
}
