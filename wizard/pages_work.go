package wizard

import (
	"context"
	"errors"

	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// The pages in the middle of the work, and after it.

// withoutBackup is the choice to go on without a backup.
const withoutBackup = "without"

func (v *view) buttonWithout() ui.Choice {
	return ui.Choice{ID: withoutBackup, Label: v.t(msg.ButtonWithout), Letter: 'w'}
}

func (f *flow) withoutBackup() {
	f.job.copies.wipe()
	f.job.Choice.Backup = NoBackup
}

// drawPlugMain asks for the first security key.
func drawPlugMain(v *view) (*ui.Page, error) {
	c := &v.job.copies
	in := ui.R(ui.NoMark, v.t(msg.PlugInLabel), v.t(msg.PlugSerial, c.main))
	body := []ui.Block{ui.S(v.t(msg.PlugMain)), ui.R(ui.OK, v.t(msg.PlugOutLabel), v.t(msg.PlugSerial, c.spare)), in,
		ui.G(), ui.T(v.t(msg.PlugMainWhat))}
	if c.spare == "" { // another one was put in since it was shown
		body = []ui.Block{ui.S(v.t(msg.PlugShown)), in, ui.G(), ui.T(v.t(msg.PlugShownWhat))}
	}
	return &ui.Page{NoBack: true, Preset: ui.Continue, Choices: []ui.Choice{v.button()}, Body: body, Check: v.findMain},
		nil
}

func tookPlugMain(f *flow, _ context.Context, _ *ui.Page, _ string) (event, error) {
	if f.job.copies.spare == "" {
		f.job.copies.wipe()
	}
	return evAnswer, nil
}

// drawPlugSpare asks for the second one.
func drawPlugSpare(v *view) (*ui.Page, error) {
	return &ui.Page{NoBack: true, Preset: ui.Continue, Choices: []ui.Choice{v.button(), v.buttonWithout()},
		Check: v.findSpare, Body: []ui.Block{
			ui.S(v.t(msg.PlugSpare)), ui.R(ui.NoMark, v.t(msg.PlugOutLabel), v.t(msg.PlugSerial, v.job.copies.main)), ui.G(),
			ui.T(v.t(msg.PlugSpareWhat))}}, nil
}

func tookPlugSpare(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if id == withoutBackup {
		f.withoutBackup()
		return evAnswer, nil
	}
	return evAside, nil
}

// drawSpare has the person confirm the card that will be erased.
func drawSpare(v *view) (*ui.Page, error) {
	found := v.job.copies.found
	holds := v.t(msg.SpareEmpty)
	if found.Fingerprints[0] != "" {
		holds = v.t(msg.SpareHolds, short(found.Fingerprints[0]))
	}
	return &ui.Page{NoBack: true, Preset: "erase", Default: 1, Body: []ui.Block{
		ui.S(v.t(msg.SpareErase)), ui.G(), ui.R(ui.Note, found.Vendor, found.Serial), ui.R(ui.NoMark, "", holds), ui.G(),
		ui.T(v.t(msg.SpareAfter))},
		Choices: []ui.Choice{{ID: "erase", Label: v.t(msg.ButtonEraseKey), Letter: 'e'},
			{ID: "other", Label: v.t(msg.ButtonOtherKey), Letter: 'o'}}}, nil
}

func tookSpare(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if c := &f.job.copies; id == "erase" {
		c.spare = c.found.Serial
	}
	return evAnswer, nil
}

// findSpare looks for a security key that is not the first one, and can take keys
// of a kind that the first takes as well.
func (v *view) findSpare(ctx context.Context) error {
	j := v.job
	c := &j.copies
	i, err := v.onlyCard(ctx)
	switch {
	case err != nil:
		return err
	case i.Serial == c.main:
		return ui.Problem(v.t(msg.PlugStillMain, c.main))
	case len(common(c.algorithms, i.Algorithms, j.Choice.Algorithm)) == 0:
		return ui.Problem(v.t(msg.PlugOtherKind, i.Vendor, i.Serial))
	case i.NoReset:
		return ui.Problem(v.t(msg.PlugNoReset, i.Vendor, i.Serial))
	}
	// The PINs are on paper already, and this make may want others.
	for n, pin := range []*secret.Buffer{j.Secrets.User, j.Secrets.Admin} {
		if pin.Len() < i.PINMin[n] || pin.Len() > i.PINMax[n] {
			return ui.Problem(v.t(msg.PlugOtherPIN, i.Vendor, i.Serial, i.PINMin[n], i.PINMax[n]))
		}
	}
	found, err := v.m.Card.At(i.Serial).Rehearse(ctx,
		CardPlan{User: j.Secrets.User, Admin: j.Secrets.Admin,
			Algorithm: common(c.algorithms, i.Algorithms, j.Choice.Algorithm)[0], Import: true})
	if err == nil && len(found) > 0 {
		p := newProblem("card", found[0].Kind, found[0].Err, found[0].Args...)
		err = ui.Problem(v.t(p.What, p.Args...))
	}
	c.found = i
	return err
}

// onlyCard is the one security key that is plugged in. A reset of it that was cut is
// finished, or it could not tell its number.
func (v *view) onlyCard(ctx context.Context) (CardInfo, error) {
	i, _, err := KnownCard(ctx, v.m.Card)
	switch {
	case errors.Is(err, ErrNoCard):
		return i, ui.Problem(v.t(msg.PlugNone))
	case errors.Is(err, ErrSeveralCards):
		return i, ui.Problem(v.t(msg.PlugSeveral))
	}
	return i, err
}

// findMain waits for the first security key to be back.
func (v *view) findMain(ctx context.Context) error {
	if i, err := v.onlyCard(ctx); err != nil {
		return err
	} else if i.Serial != v.job.copies.main {
		return ui.Problem(v.t(msg.PlugMainMissing, v.job.copies.main))
	}
	return nil
}

// drawFailed shows what went wrong, and asks whether to try again.
func drawFailed(v *view) (*ui.Page, error) {
	body := []ui.Block{ui.S(v.t(msg.FailedTitle))}
	if v.o.Explain != nil {
		what, data, do := v.o.Explain(v.cause, v.lang)
		body = append(body, ui.R(ui.Bad, v.t(msg.FailedWhat), what), ui.R(ui.NoMark, v.t(msg.FailedData), data),
			ui.R(ui.NoMark, v.t(msg.FailedDo), do))
	}
	body = append(body, v.kindRows(v.stopped())...)
	body = append(body, ui.G(), ui.T(v.t(msg.Technical, v.cause.Error())))
	p := &ui.Page{NoBack: true, Preset: "end", Wait: v.t(msg.WaitMeasure), Body: body, Choices: []ui.Choice{
		{ID: "retry", Label: v.t(msg.ButtonRetry), Letter: 'r'}, {ID: "end", Label: v.t(msg.ButtonEnd), Letter: 'e'}}}
	p.Choices = append(p.Choices, v.remedies(v.stopped())...)
	if step := (*StepError)(nil); errors.As(v.cause, &step) && step.Step == stepBoot().ID {
		p.Choices = append(p.Choices, v.otherEntry()...)
	}
	if bad := (*UnreadError)(nil); errors.As(v.cause, &bad) {
		p.Choices = append(p.Choices, ui.Choice{ID: "lose", Label: v.t(msg.ButtonLose), Letter: 'g'})
	}
	return p, nil
}

func tookFailed(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if bad := (*UnreadError)(nil); id == "lose" && errors.As(f.cause, &bad) {
		f.job.giveUp(bad)
		return evAnswer, nil
	}
	if ok, err := f.follow(f.stopped(), id); ok || err != nil {
		return evAnswer, err
	}
	switch id {
	case "retry":
		return evAnswer, nil
	case "entry":
		return evAside, nil
	}
	return evStop, nil
}

func drawPaused(v *view) (*ui.Page, error) {
	return &ui.Page{Body: []ui.Block{ui.S(v.t(msg.PausedText))}, NoBack: true, NoLeave: true, Preset: ui.Continue,
		Choices: []ui.Choice{
			{ID: ui.Continue, Label: v.t(msg.ButtonOff), Letter: 'o'}, {ID: "on", Label: v.t(msg.ButtonGoOn), Letter: 'g'}}}, nil
}

func tookPaused(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if id == "on" {
		return evAnswer, nil
	}
	f.off = true
	return evStop, nil
}

// lookOver drops the secrets when the work is over.
func lookOver(f *flow, _ context.Context) error {
	f.a.keys.Wipe()
	return nil
}

// drawRestart says why the computer restarts before the run is over.
func drawRestart(v *view) (*ui.Page, error) {
	why := v.t(msg.RestartSeal)
	if step := (*StepError)(nil); errors.As(v.cause, &step) {
		why = v.t(msg.RestartTPM)
	}
	return &ui.Page{NoBack: true, NoLeave: true, Preset: ui.Continue,
		Body:    []ui.Block{ui.S(v.t(msg.RestartTitle)), ui.G(), ui.T(why), ui.T(v.t(msg.RestartThen))},
		Choices: v.just(msg.ButtonRestart)}, nil
}

// drawDone shows the certificate.
func drawDone(v *view) (*ui.Page, error) {
	c := v.job.cert
	body := []ui.Block{ui.S(v.t(msg.DoneTitle)), ui.G(), ui.R(ui.NoMark, v.t(msg.DoneReference), c.Reference),
		ui.R(ui.NoMark, v.t(msg.DoneOwner), short(c.Owner)), ui.G()}
	if n := len(c.Checks); c.Passed() == n {
		body = append(body, ui.T(v.t(msg.DoneChecks, n, n)))
	} else {
		body = append(body, ui.S(v.t(msg.PaperNotAll, c.Passed(), n)))
	}
	for _, k := range c.Checks {
		if mark, text := k.text(v.lang); mark != ui.OK { // the certificate has them all
			body = append(body, ui.R(mark, "", text))
		}
	}
	if c.LeftOut != nil {
		body = append(body, ui.R(ui.Bad, "", v.t(msg.DisksWhy)))
	}
	for _, d := range c.Alone {
		body = append(body, ui.R(ui.Unsure, "", v.t(msg.PaperAlone, d)))
	}
	body = append(append(body, v.leftOut()...), ui.G(), ui.T(v.t(msg.DoneNext)))
	if look, any := v.lookFor(); any {
		body = append(body, ui.T(v.t(look)))
	}
	p := &ui.Page{NoBack: true, NoLeave: true, Preset: ui.Continue, Body: body, Wait: v.t(msg.WaitRestart),
		Choices: v.just(msg.ButtonRestart)}
	if v.m.Sticks != nil {
		p.Choices = append(p.Choices, ui.Choice{ID: "stick", Label: v.t(msg.ButtonCopy), Letter: 'u'})
	}
	return p, nil
}

// lookFor is by what the owner sees at each start that nothing has changed; false: there is nothing.
func (v *view) lookFor() (msg.M, bool) {
	digits, light := v.m.TPM != nil, v.m.HOTP(v.s.ctx) != nil
	switch {
	case digits && light:
		return msg.DoneGreen, true
	case digits:
		return msg.DoneDigits, true
	}
	return msg.DoneLight, light
}

func tookDone(_ *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if id == "stick" {
		return evAside, nil
	}
	return evAnswer, nil
}
