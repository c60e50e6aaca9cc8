package wizard

import (
	"context"
	"slices"

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
	f.a.Entry = f.s.entry(r) + 1
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
	if f.bad, err = f.s.unexpected(); err != nil {
		return err
	}
	f.a.need = 0
	for _, st := range Steps() {
		if state := probe(st, f.s); !st.Looks && !finished(state) && !state.Later {
			f.a.need |= st.Needs
		}
	}
	if holds, _ := f.s.Holds(); !holds && len(f.bad) == 0 {
		return f.lookCode(ctx)
	}
	return nil
}

// unexpected is what an interrupted run does not leave: while the seller's key is in
// charge, what it can vouch for must hold.
func (s *Snapshot) unexpected() (bad []CheckItem, err error) {
	h, err := s.Handover()
	if err != nil {
		return nil, err
	}
	holds, err := s.Holds()
	if err != nil {
		return nil, err
	}
	fw, _ := s.Firmware()
	if holds || fw.Torn && len(h.Keys) == 0 {
		return nil, nil
	}
	for _, i := range h.Items {
		if i.Verdict == Fail && (i.ID == itemBoot || i.ID == itemHandover || i.ID == itemFirmware && !s.flashing()) {
			bad = append(bad, i)
		}
	}
	return bad, nil
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
	body = append(body, ui.G(), ui.T(v.t(msg.ResumeWhere, current)))
	if v.a.need&NeedUser != 0 {
		body = append(body, v.starts()...)
	}
	p := &ui.Page{NoBack: true, Preset: ui.Continue, Body: body, Help: v.t(msg.ResumeHelp), Choices: v.just(msg.ButtonContinue)}
	if len(v.bad) > 0 {
		p.Alarm, p.Preset = true, "stop"
		p.Choices = []ui.Choice{{ID: "stop", Label: v.t(msg.ButtonEnd), Letter: 'n'}, v.buttonUnproven()}
		p.Body = append(append([]ui.Block{ui.S(v.t(msg.ResumeChanged))}, v.items(v.bad)...), body[2:]...)
	} else if holds, _ := v.s.Holds(); !holds {
		if v.code != nil {
			p.Live = func() []ui.Block { return append(slices.Clone(body), v.digits(v.code)) }
		}
		if fw, _ := v.s.Firmware(); !fw.Torn {
			p.Choices = append(p.Choices, ui.Choice{ID: "anew", Label: v.t(msg.ButtonAnew), Letter: 'a'})
		}
	}
	return p, nil
}

func tookResume(_ *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if id == "anew" {
		return evAside, nil
	}
	return doubt(id), nil
}

func drawAnew(v *view) (*ui.Page, error) {
	want := v.serial()
	in := &ui.Input{Key: "anew-serial", Label: v.typeLabel(want), Max: 16}
	return &ui.Page{Alarm: true, Preset: ui.Back, Wait: v.t(msg.WaitMeasure), Body: []ui.Block{ui.S(v.t(msg.AnewTitle)), ui.T(v.t(msg.AnewWhat))},
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
	f.a.Volumes = nil
	f.forget()
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
