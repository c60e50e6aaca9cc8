package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// ---------------------------------------------------------------- questions

// backup asks where else the keys are to be kept.
func (f *flow) backup(ctx context.Context) (move, error) {
	if st := probe(stepCard(), f.s); finished(st) || st.Detail == msg.CardNoReceipt {
		return skipped, nil
	}
	p := &ui.Page{Key: "backup", Step: 3, Preset: "none", Help: f.t(msg.BackupHelp), Body: []ui.Block{
		ui.S(f.t(msg.BackupAsk)), ui.G(), ui.R(ui.NoMark, f.t(msg.BackupNoneLabel), f.t(msg.BackupNone)),
		ui.R(ui.NoMark, f.t(msg.BackupStickLabel), f.t(msg.BackupStick)), ui.R(ui.NoMark, f.t(msg.BackupCardLabel), f.t(msg.BackupCard)),
		ui.G(), ui.T(f.t(msg.BackupHow)),
	}, Choices: []ui.Choice{{ID: "none", Label: f.t(msg.ButtonNoBackup), Letter: 'n'}}}
	if f.m.Sticks != nil {
		p.Choices = append(p.Choices, ui.Choice{ID: string(StickBackup), Label: f.t(msg.ButtonToStick), Letter: 'u'})
	}
	p.Choices = append(p.Choices, ui.Choice{ID: string(SpareBackup), Label: f.t(msg.ButtonToCard), Letter: 's'})
	for i, c := range p.Choices {
		if c.ID == string(f.choice.Backup) {
			p.Default = i
		}
	}
	id, mv, err := f.ask(ctx, p)
	if err != nil || mv != forward {
		return mv, err
	}
	if f.choice.Backup = Backup(id); id == "none" {
		f.choice.Backup = NoBackup
	}
	delete(f.done, "stick")
	return forward, nil
}

// stick asks for the stick that the backup goes to.
func (f *flow) stick(ctx context.Context) (move, error) {
	if f.choice.Backup != StickBackup {
		return skipped, nil
	}
	id, mv, err := f.chooseStick(ctx, "stick", f.t(msg.StickAsk), nil, nil)
	if err == nil && mv == forward {
		f.choice.Stick = id
	}
	return mv, err
}

// chooseStick shows the sticks that are plugged in until one is chosen to which files
// could be written (none: which can be written at all), and returns its ID, or that of
// one of the other choices.
func (f *flow) chooseStick(ctx context.Context, key, ask string, files []File, others []ui.Choice) (string, move, error) {
	var bad error // why the stick that was chosen last cannot be used
	for {
		sticks, err := f.m.Sticks.List(ctx)
		if err != nil {
			return "", again, err
		}
		p := &ui.Page{Key: key, Step: 3, Preset: ui.Leave, Body: []ui.Block{ui.S(ask), ui.G()}, Help: f.t(msg.StickHelp)}
		if f.running {
			p.Step, p.NoBack = 0, true
		}
		for i, s := range sticks {
			if i == 9 {
				break
			}
			p.Body = append(p.Body, ui.R(ui.NoMark, f.t(msg.StickLabel, i+1), describeStick(s)))
			p.Choices = append(p.Choices, ui.Choice{ID: s.ID, Label: f.t(msg.ButtonStick, i+1), Letter: rune('1' + i)})
		}
		if bad != nil {
			what, do := bad.Error(), ""
			if f.o.Explain != nil {
				what, _, do = f.o.Explain(bad)
			}
			p.Body = append(p.Body, ui.G(), ui.R(ui.Bad, f.t(msg.FailedWhat), what), ui.R(ui.NoMark, f.t(msg.FailedDo), do))
		}
		if len(sticks) == 1 && bad == nil {
			p.Preset = sticks[0].ID
		}
		if len(sticks) == 0 {
			p.Body = append(p.Body, ui.T(f.t(msg.StickNone)))
		} else if files == nil {
			p.Body = append(p.Body, ui.G(), ui.T(f.t(msg.StickKeeps)))
		}
		p.Choices = append(append(p.Choices, ui.Choice{ID: "retry", Label: f.t(msg.ButtonRetry), Letter: 'r'}), others...)
		id, mv, err := f.ask(ctx, p)
		if err != nil || mv != forward || slices.ContainsFunc(others, func(c ui.Choice) bool { return c.ID == id }) {
			return id, mv, err
		}
		if id == "retry" {
			bad = nil
		} else if bad = f.m.Sticks.Write(ctx, id, files); bad == nil {
			return id, mv, nil
		}
	}
}

func describeStick(s Stick) string {
	return strings.TrimSpace(fmt.Sprintf("%s, %s, %s", s.Model, gigabytes(s.Size), s.FS))
}

// backupRow is the backup's line on the last page before the run.
func (f *flow) backupRow() []ui.Block {
	switch f.choice.Backup {
	case StickBackup:
		return []ui.Block{ui.R(ui.NoMark, f.t(msg.BackupStickLabel), f.t(msg.CheckStick))}
	case SpareBackup:
		return []ui.Block{ui.R(ui.NoMark, f.t(msg.BackupCardLabel), f.t(msg.CheckSpare))}
	}
	return nil
}

// touches is how often the security key will wait for a finger in the middle of the run.
func (f *flow) touches(ctx context.Context) int {
	token := f.m.HOTP(ctx)
	if token == nil {
		return 0
	}
	i, err := token.Info(ctx)
	if err != nil {
		return 0 // preflight says what is the matter with it
	}
	return i.Touches
}

// ---------------------------------------------------------------- during the run

// plug asks for what a step waits for.
func (f *flow) plug(ctx context.Context, j *Job, page Wait) error {
	without := ui.Choice{ID: "without", Label: f.t(msg.ButtonWithout), Letter: 'w'}
	if page == WaitStick {
		id, _, err := f.chooseStick(ctx, page.String(), f.t(msg.StickMissing), nil, []ui.Choice{without})
		if err != nil {
			return err
		}
		if j.Choice.Stick = id; id == without.ID {
			j.copies.wipe()
			j.Choice.Backup, j.Choice.Stick = NoBackup, ""
		}
		return nil
	}
	c := &j.copies
	if page == WaitMain {
		in := ui.R(ui.NoMark, f.t(msg.PlugInLabel), f.t(msg.PlugSerial, c.main))
		p := &ui.Page{Key: "plug.main", NoBack: true, Preset: ui.Continue, Choices: []ui.Choice{f.button()}, Body: []ui.Block{
			ui.S(f.t(msg.PlugMain)), ui.R(ui.OK, f.t(msg.PlugOutLabel), f.t(msg.PlugSerial, c.spare)), in, ui.G(), ui.T(f.t(msg.PlugMainWhat))}}
		if c.spare == "" { // another one was put in since it was shown
			p.Body = []ui.Block{ui.S(f.t(msg.PlugShown)), in, ui.G(), ui.T(f.t(msg.PlugShownWhat))}
		}
		p.Check = func(ctx context.Context) error { return f.findMain(ctx, j) }
		_, _, err := f.ask(ctx, p)
		if err == nil && c.spare == "" {
			c.wipe()
		}
		return err
	}
	p := &ui.Page{Key: "plug.spare", NoBack: true, Preset: ui.Continue, Choices: []ui.Choice{f.button(), without}, Body: []ui.Block{
		ui.S(f.t(msg.PlugSpare)), ui.R(ui.NoMark, f.t(msg.PlugOutLabel), f.t(msg.PlugSerial, c.main)), ui.G(), ui.T(f.t(msg.PlugSpareWhat))}}
	p.Check = func(ctx context.Context) error { return f.findSpare(ctx, j) }
	id, _, err := f.ask(ctx, p)
	if err != nil {
		return err
	}
	if id == without.ID {
		c.wipe()
		j.Choice.Backup = NoBackup
		return nil
	}
	return f.eraseSpare(ctx, j)
}

// findSpare looks for a security key that is not the first one, and can take keys
// of a kind that the first takes as well.
func (f *flow) findSpare(ctx context.Context, j *Job) error {
	c := &j.copies
	i, err := f.onlyCard(ctx, j)
	switch {
	case err != nil:
		return err
	case i.Serial == c.main:
		return ui.Problem(f.t(msg.PlugStillMain, c.main))
	case len(common(c.algorithms, i.Algorithms, j.Choice.Algorithm)) == 0:
		return ui.Problem(f.t(msg.PlugOtherKind, i.Vendor, i.Serial))
	case i.NoReset:
		return ui.Problem(f.t(msg.PlugNoReset, i.Vendor, i.Serial))
	}
	// The PINs are on paper already, and this make may want others.
	for n, pin := range []*secret.Buffer{j.Secrets.User, j.Secrets.Admin} {
		if pin.Len() < i.PINMin[n] || pin.Len() > i.PINMax[n] {
			return ui.Problem(f.t(msg.PlugOtherPIN, i.Vendor, i.Serial, i.PINMin[n], i.PINMax[n]))
		}
	}
	c.found = i
	return nil
}

// onlyCard is the one security key that is plugged in. A reset of it that was cut is
// finished, or it could not tell its number.
func (f *flow) onlyCard(ctx context.Context, j *Job) (CardInfo, error) {
	i, _, err := KnownCard(ctx, j.M.Card)
	switch {
	case errors.Is(err, ErrNoCard):
		return i, ui.Problem(f.t(msg.PlugNone))
	case errors.Is(err, ErrSeveralCards):
		return i, ui.Problem(f.t(msg.PlugSeveral))
	}
	return i, err
}

// eraseSpare has the person confirm the card that will be erased.
func (f *flow) eraseSpare(ctx context.Context, j *Job) error {
	c := &j.copies
	holds := f.t(msg.SpareEmpty)
	if c.found.Fingerprints[0] != "" {
		holds = f.t(msg.SpareHolds, short(c.found.Fingerprints[0]))
	}
	id, _, err := f.ask(ctx, &ui.Page{Key: "spare", NoBack: true, Preset: "erase", Default: 1, Body: []ui.Block{
		ui.S(f.t(msg.SpareErase)), ui.G(), ui.R(ui.Note, c.found.Vendor, c.found.Serial), ui.R(ui.NoMark, "", holds), ui.G(), ui.T(f.t(msg.SpareAfter))},
		Choices: []ui.Choice{{ID: "erase", Label: f.t(msg.ButtonEraseKey), Letter: 'e'}, {ID: "other", Label: f.t(msg.ButtonOtherKey), Letter: 'o'}}})
	if err != nil {
		return err
	}
	if id == "erase" {
		c.spare = c.found.Serial
	}
	return nil
}

// findMain waits for the first security key to be back.
func (f *flow) findMain(ctx context.Context, j *Job) error {
	if i, err := f.onlyCard(ctx, j); err != nil {
		return err
	} else if i.Serial != j.copies.main {
		return ui.Problem(f.t(msg.PlugMainMissing, j.copies.main))
	}
	return nil
}

// copyCertificate puts the certificate of a finished run on a stick, if one is chosen.
func (f *flow) copyCertificate(ctx context.Context, c *Certificate) error {
	files := c.Files()
	id, _, err := f.chooseStick(ctx, "copy", f.t(msg.CopyAsk), files, []ui.Choice{{ID: "skip", Label: f.t(msg.ButtonSkip), Letter: 's'}})
	if err != nil || id == "skip" {
		return err
	}
	p := &ui.Page{Key: "copied", NoBack: true, NoLeave: true, Preset: ui.Continue, Wait: f.t(msg.WaitRestart), Body: []ui.Block{ui.S(f.t(msg.CopyDone)), ui.G()},
		Choices: []ui.Choice{{ID: ui.Continue, Label: f.t(msg.ButtonRestart)}}}
	for _, x := range files {
		p.Body = append(p.Body, ui.R(ui.OK, "", x.Name))
	}
	p.Body = append(p.Body, ui.G(), ui.T(f.t(msg.CopyNext)))
	_, _, err = f.ask(ctx, p)
	return err
}
