package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"reown/wizard/msg"
	"reown/wizard/ui"
)

// The pages before anything is said of the machine.

func drawLanguage(*view) (*ui.Page, error) {
	p := &ui.Page{Title: "Language / Langue / Sprache / Idioma / Lingua / Taal", NoBack: true, Preset: "en"}
	for _, l := range msg.Langs {
		p.Choices = append(p.Choices, ui.Choice{ID: l.Code, Label: l.Name, Letter: l.Letter})
		p.Body = append(p.Body, ui.T(msg.ChooseLanguage.In(l.Lang)))
		p.Wait += msg.WaitMeasure.In(l.Lang) + "\n"
	}
	return p, nil
}

func tookLanguage(f *flow, _ context.Context, p *ui.Page, id string) (event, error) {
	l, ok := msg.Parse(id)
	if !ok {
		return evGone, &ui.BadAnswerError{Key: p.Key, Err: fmt.Errorf("there is no language %q", id)}
	}
	f.speak(l)
	f.a.Language = id
	return evAnswer, nil
}

// lookCard takes the first look at the machine, which needs the card.
func lookCard(f *flow, ctx context.Context) error {
	f.s = measure(ctx, f.m)
	if _, f.cardErr = f.s.Card(); f.cardErr != nil {
		if f.excuse = f.cardErr; errors.Is(f.cardErr, ErrNoCard) {
			f.excuse = ErrNoCard
		}
		return nil
	}
	var err error
	if f.phase, f.why, err = f.s.phase(); err != nil {
		return err
	}
	_, err = f.s.Handover()
	return err
}

func drawCard(v *view) (*ui.Page, error) {
	what := v.t(msg.ProblemDevice, device("card"), msg.Say(msg.Technical, v.cardErr))
	switch {
	case errors.Is(v.cardErr, ErrNoCard):
		what = v.t(msg.PlugIn)
	case errors.Is(v.cardErr, ErrSeveralCards):
		what = v.t(msg.PlugSeveral)
	}
	return &ui.Page{NoBack: true, Body: []ui.Block{ui.S(what), ui.T(v.t(msg.PlugInWhy))},
		Choices: []ui.Choice{{ID: "retry", Label: v.t(msg.ButtonRetry)}}, Preset: ui.Leave, Wait: v.t(msg.WaitMeasure)}, nil
}

func tookCard(*flow, context.Context, *ui.Page, string) (event, error) { return evAgain, nil }

func drawStart(v *view) (*ui.Page, error) {
	h, err := v.s.Handover()
	if err != nil {
		return nil, err
	}
	first := v.t(msg.StartUnknown)
	if h.Seller != "" {
		first = v.t(msg.StartSeller, h.Seller, h.Order)
	}
	return &ui.Page{NoBack: true, Preset: ui.Continue, Body: []ui.Block{
		ui.S(first), ui.T(v.t(msg.StartTime)), ui.G(), ui.T(v.t(msg.StartNeed)),
		ui.T(v.t(msg.StartNeedKey)), ui.T(v.t(msg.StartNeedPhone)), ui.T(v.t(msg.StartNeedPaper)),
		ui.T(v.t(msg.StartNeedPower)),
		ui.G(), ui.T(v.t(msg.StartNothingYet)),
	}, Choices: []ui.Choice{v.button()}, Help: v.t(msg.StartHelp)}, nil
}

func lookKeyboard(f *flow, _ context.Context) error {
	if f.o.Keyboard != nil && f.a.Layout == "" {
		if names := f.o.Keyboard.Layouts(); len(names) > 0 {
			f.a.Layout = names[0]
		}
	}
	return nil
}

func drawKeyboard(v *view) (*ui.Page, error) {
	var layouts []string
	if v.o.Keyboard != nil {
		layouts = v.o.Keyboard.Layouts()
	}
	why := msg.KeyboardWhy
	if len(layouts) < 2 {
		why = msg.KeyboardOnly
	}
	p := &ui.Page{Preset: ui.Continue, NoBack: v.resuming(), Wait: v.t(msg.WaitVerify),
		Body: []ui.Block{ui.S(v.t(msg.KeyboardAsk)), ui.G(), {Kind: ui.Verbatim, Text: "    y z a q m - . 1"}, ui.G(),
			ui.T(v.t(why))},
		Inputs: []*ui.Input{{Key: "keys", Label: v.t(msg.KeyboardEcho), Echo: true, Optional: true, Max: 40}},
		Help:   v.t(msg.KeyboardHelp), Choices: []ui.Choice{v.button()}}
	mine := msg.Langs[v.lang].Keyboard
	for _, n := range layouts {
		switch c := (ui.Choice{ID: n, Label: n}); {
		case n == v.a.Layout || slices.Contains(v.a.foreign, n):
		case n == mine && v.lang != msg.EN: // proposed, and first
			p.Choices = slices.Insert(p.Choices, 1, c)
			p.Body = append(p.Body, ui.S(v.t(msg.KeyboardPropose, n)))
		default:
			p.Choices = append(p.Choices, c)
		}
	}
	return p, nil
}

func tookKeyboard(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if id == ui.Continue {
		return evAnswer, nil
	}
	if err := f.o.Keyboard.Load(id); err != nil {
		f.a.foreign = append(f.a.foreign, id)
		return evAside, nil
	}
	f.a.Layout = id
	return evAgain, nil
}

// drawLayout says that the last layout that was asked for cannot be loaded.
func drawLayout(v *view) (*ui.Page, error) {
	return v.tell(v.t(msg.KeyboardCannot, v.a.foreign[len(v.a.foreign)-1])), nil
}

func tookLayout(*flow, context.Context, *ui.Page, string) (event, error) { return evReturn, nil }

// tell is a page of one sentence.
func (v *view) tell(text string) *ui.Page {
	return &ui.Page{Body: []ui.Block{ui.S(text)}, NoBack: true, NoLeave: true, Preset: ui.Continue,
		Choices: []ui.Choice{v.button()}}
}

func lookProblems(f *flow, ctx context.Context) error {
	f.s = measure(ctx, f.m)
	if f.problems = rehearsal(f.s, f.a.Choices, f.a.battery, &f.a.keys); len(f.problems) > 0 {
		f.excuse = &PreflightError{f.problems}
	}
	return nil
}

func drawProblems(v *view) (*ui.Page, error) {
	p := &ui.Page{Preset: ui.Leave, Wait: v.t(msg.WaitVerify), Body: []ui.Block{ui.S(v.t(msg.ProblemsIntro)), ui.G()},
		Choices: []ui.Choice{{ID: "retry", Label: v.t(msg.ButtonRetry), Letter: 'r'}}}
	battery := true
	for _, x := range v.problems {
		p.Body = append(p.Body, ui.R(ui.Bad, "", v.t(x.What, x.Args...)), ui.R(ui.NoMark, "", v.t(x.Remedies[0].Text)))
		battery = battery && x.Offers(UseBattery)
	}
	if battery {
		p.Choices = append(p.Choices, ui.Choice{ID: "battery", Label: v.t(msg.ButtonBattery), Letter: 'b'})
	}
	if slices.ContainsFunc(v.problems, func(x Problem) bool { return x.Offers(SetClock) }) {
		p.Choices = append(p.Choices, ui.Choice{ID: "clock", Label: v.t(msg.ButtonClock), Letter: 'c'})
	}
	p.Body = append(p.Body, v.kindRows(v.problems)...)
	p.Choices = append(p.Choices, v.remedies(v.problems)...)
	return p, nil
}

func tookProblems(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if _, err := f.follow(f.problems, id); err != nil {
		return evGone, err
	}
	switch id {
	case "entry":
		return evAside, nil
	case "battery":
		f.a.battery = true
	case "clock":
		return evClock, nil
	}
	return evAgain, nil
}

// drawClock asks for the time, in UTC.
func drawClock(v *view) (*ui.Page, error) {
	in := &ui.Input{Key: "clock", Label: v.t(msg.ClockLabel), Value: v.m.Platform.Now().UTC().Format("2006-01-02 15:04"),
		Max: 20}
	return &ui.Page{Preset: ui.Back, Body: []ui.Block{ui.S(v.t(msg.ClockAsk)), ui.T(v.t(msg.ClockWhy))},
		Inputs: []*ui.Input{in}, Choices: []ui.Choice{v.button()}, Check: func(context.Context) error {
			t, err := parseClock(in.Value)
			if err != nil || t.Before(v.m.Platform.Built()) {
				return ui.Problem(v.t(msg.ClockBad))
			}
			return v.m.Platform.SetClock(t)
		}}, nil
}

func tookClock(*flow, context.Context, *ui.Page, string) (event, error) { return evReturn, nil }

func parseClock(s string) (time.Time, error) {
	t, err := time.Parse("2006-01-02 15:04", strings.TrimSpace(s))
	if err != nil {
		return t, fmt.Errorf("reading a time: %w", err)
	}
	return t, nil
}
