package wizard

import (
	"context"
	"slices"

	"reown/internal/judge"
	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// The pages for one who comes back to an interrupted run.

// lookResume measures how far the run is, and takes what was chosen from the receipt.
func lookResume(f *flow, ctx context.Context) error {
	if !f.resuming() {
		return nil
	}
	f.s = measure(ctx, f.m)
	r, err := f.s.Receipt()
	if !f.a.picked {
		f.a.Entry = f.s.entry(r) + 1
	}
	if err == nil {
		f.a.Volumes = []string{}
		for _, x := range r.Volumes {
			f.a.Volumes = append(f.a.Volumes, x.UUID)
		}
		f.a.DUK = r.DUK
		// A restart has brought back the firmware's layout.
		if f.a.Layout == "" && r.Layout != "" && f.o.Keyboard != nil && f.o.Keyboard.Load(r.Layout) == nil {
			f.a.Layout = r.Layout
		}
	}
	f.a.need = 0
	for _, st := range Steps() {
		if state := probe(st, f.s); !st.Looks && !finished(state) && !state.Later {
			f.a.need |= st.Needs
		}
	}
	// Whose run it is, the paper says: of whatever it has set so far.
	if len(f.owned()) > 0 {
		f.a.need |= NeedDisk
	}
	if r, err := f.s.Receipt(); err == nil && (r.SRK != "" || r.Clearing) {
		return nil // the seller's digits are gone by our own step
	}
	return f.lookCode(ctx)
}

// drawResume is the task list as measured.
func drawResume(v *view) (*ui.Page, error) {
	body := []ui.Block{ui.S(v.t(msg.ResumeTitle)), ui.G()}
	var current string
	for _, st := range Steps() {
		state := probe(st, v.s)
		if st.Looks || st.Optional && state.Status == ui.NotNeeded {
			continue
		}
		mark := ui.NoMark
		switch {
		case finished(state):
			mark = ui.OK
		case state.Status == ui.Trouble || state.Status == ui.CannotStart:
			mark = ui.Bad
		}
		if !finished(state) && !state.Later && current == "" {
			current = v.t(st.Title)
		}
		text := statusWords(state.Status, v.lang)
		if d := v.t(state.Detail, state.Args...); d != "" {
			text += ": " + d
		}
		body = append(body, ui.R(mark, v.t(st.Title), text))
	}
	body = append(append(body, ui.G(), ui.T(v.t(msg.ResumeWhere, current))), v.unknown()...)
	if v.a.need&NeedUser != 0 {
		body = append(body, v.starts()...)
	}
	p := &ui.Page{NoBack: true, Trust: true, Preset: ui.Continue, Body: body, Help: v.t(msg.ResumeHelp),
		Details: unknownDetails(v), Choices: v.just(msg.ButtonContinue)}
	if v.code != nil {
		p.Live = func() []ui.Block {
			return append(slices.Clone(body), v.digits(v.code, msg.ResumeCodeLabel, msg.ResumeCode))
		}
	}
	switch v.s.Past().Ring {
	case judge.RingHalf, judge.RingOwner: // while the chip is half written, it keeps its key
	default:
		p.Choices = append(p.Choices, ui.Choice{ID: "anew", Label: v.t(msg.ButtonAnew), Letter: 'a'})
	}
	p.Choices = append(p.Choices, v.otherEntry()...)
	return p, nil
}

func tookResume(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	switch id {
	case "anew":
		return evAside, nil
	case "entry":
		return evJump, nil
	}
	f.a.gone = f.strangers()
	f.a.looked = f.code != nil // the six digits, while there are any
	return evAnswer, nil
}

func drawAnew(v *view) (*ui.Page, error) {
	want := v.serial()
	in := &ui.Input{Key: "anew-serial", Label: v.typeLabel(want), Max: 16}
	return &ui.Page{Alarm: true, Trust: true, Preset: ui.Back, Wait: v.t(msg.WaitMeasure),
		Body:   []ui.Block{ui.S(v.t(msg.AnewTitle)), ui.T(v.t(msg.AnewWhat))},
		Inputs: []*ui.Input{in}, Choices: []ui.Choice{v.button()}, Check: v.typed(in, want)}, nil
}

// tookAnew forgets a run that this owner did not begin: its certificate and receipt
// count no more, so that every step measures as not done.
func tookAnew(f *flow, ctx context.Context, _ *ui.Page, _ string) (event, error) {
	for _, h := range []string{hintReceipt, hintCert} {
		if err := f.m.Boot.WriteHint(ctx, h, []byte("\n")); err != nil {
			return evGone, err
		}
	}
	f.a.Volumes, f.a.looked, f.a.need = nil, false, ^Secrets(0)
	f.forget()
	f.s = measure(ctx, f.m)
	var err error
	if f.phase, f.why, err = f.s.phase(); err != nil {
		return evGone, err
	}
	clear(f.a.given) // what was not asked because it was done is asked now
	return evReturn, nil
}

// drawBlocked says what helps against a blocked PIN.
func drawBlocked(v *view) (*ui.Page, error) {
	return &ui.Page{Body: []ui.Block{ui.S(v.t(v.unblock()))}, NoBack: true, Preset: ui.Continue,
		Choices: append(v.just(msg.ButtonContinue), ui.Choice{ID: ui.Leave, Label: v.t(msg.ButtonEnd), Letter: 'e'})}, nil
}

func tookBlocked(f *flow, _ context.Context, _ *ui.Page, _ string) (event, error) {
	f.a.from = pageResume
	return evJump, nil
}

// drawClosing says that a run is over but for its last second, or that somebody has put a file there.
// Nothing is signed any more; the area in the TPM can be closed for good.
func drawClosing(v *view) (*ui.Page, error) {
	p := &ui.Page{NoBack: true, Trust: true, Preset: ui.Continue, Wait: v.t(msg.WaitMeasure),
		Body: []ui.Block{ui.S(v.t(msg.ClosingWhat)), ui.T(v.t(msg.ClosingSigned))}, Choices: []ui.Choice{v.button()}}
	if v.m.TPM == nil {
		return p, nil
	}
	in := &ui.Input{Key: "secret." + kindOwner, Label: v.t(msg.PaperLabel), Secret: v.newInput(), Optional: true,
		Max: v.kind(kindOwner).max}
	p.Inputs, p.Body = []*ui.Input{in}, append(p.Body, ui.T(v.t(msg.ClosingLock)))
	p.Check = func(ctx context.Context) error {
		if in.Secret.Len() == 0 {
			return nil
		}
		return v.wrong(v.m.TPM.CheckOwner(ctx, in.Secret), msg.PaperWrong)
	}
	return p, nil
}

func tookClosing(f *flow, ctx context.Context, p *ui.Page, _ string) (event, error) {
	j := &Job{M: f.m, Secrets: &f.a.keys}
	var owner *secret.Buffer
	if len(p.Inputs) > 0 && p.Inputs[0].Secret.Len() > 0 {
		owner = p.Inputs[0].Secret.Copy()
	}
	f.a.keys.Owner = owner
	s := measure(ctx, f.m)
	if err := j.may(s, judge.EndRun); err != nil {
		return evGone, err
	}
	if err := j.lastSecond(ctx, s.Past()); err != nil {
		return evGone, err
	}
	return evAnswer, nil
}
