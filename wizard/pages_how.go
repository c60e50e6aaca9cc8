package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/wizard/msg"
	"reown/wizard/ui"
)

// The pages about how the machine is to be: disks, disk unlock key, backup, secrets, name.

func lookCurrent(f *flow, ctx context.Context) error {
	if f.came != evAgain {
		f.s = measure(ctx, f.m)
	}
	_, err := f.s.Disks()
	return err
}

// drawCurrent asks for the passphrase that opens the next of the disks now. One that opens
// several is asked for once.
func drawCurrent(v *view) (*ui.Page, error) {
	disks, err := v.s.Disks()
	if err != nil {
		return nil, err
	}
	i, _ := v.locked()
	in := &ui.Input{Key: "secret.current", Label: v.t(msg.CurrentLabel), Secret: v.newInput(), Max: maxPassphrase}
	body := []ui.Block{ui.S(v.t(msg.CurrentAsk)), ui.R(ui.NoMark, v.t(msg.ItemDisk), v.describe(disks[i])), ui.G(),
		ui.T(v.t(msg.CurrentWhy))}
	if v.resuming() {
		body = append(body, ui.T(v.t(msg.CurrentResume)))
	}
	p := &ui.Page{Preset: ui.Continue, Body: body, Inputs: []*ui.Input{in}, Choices: []ui.Choice{v.button()},
		Help: v.t(msg.CurrentHelp)}
	p.Check = func(ctx context.Context) error {
		return v.wrong(v.m.Disks[i].CheckPassphrase(ctx, in.Secret), msg.CurrentWrong)
	}
	switch {
	case v.a.signs:
		p.Body = append(p.Body, ui.R(ui.OK, v.t(msg.ItemCard), v.t(msg.TryDone)))
	case v.sellersCert() != nil:
		p.Choices = append(p.Choices, ui.Choice{ID: "try", Label: v.t(msg.ButtonTry), Letter: 't'})
	}
	if _, err := v.s.Receipt(); len(disks) > 1 && err != nil { // the steps go by the receipt
		p.Choices = append(p.Choices, ui.Choice{ID: "leave-out", Label: v.t(msg.ButtonLeaveOut), Letter: 'l'})
	}
	return p, nil
}

func tookCurrent(f *flow, ctx context.Context, p *ui.Page, id string) (event, error) {
	disks, err := f.s.Disks()
	if err != nil {
		return evGone, err
	}
	if id == "try" {
		return evAside, nil
	}
	i, _ := f.locked()
	if id == "leave-out" {
		f.leave(disks, disks[i].UUID)
	} else {
		pass := p.Inputs[0].Secret
		f.a.keys.Current[disks[i].UUID] = pass.Copy()
		for k, o := range disks[i+1:] {
			if f.a.keys.Current[o.UUID] == nil && f.m.Disks[i+1+k].CheckPassphrase(ctx, pass) == nil {
				f.a.keys.Current[o.UUID] = pass.Copy()
			}
		}
	}
	if _, more := f.locked(); more {
		return evAgain, nil
	}
	return evAnswer, nil
}

// skip says that a disk was left out.
func (v *view) skip(uuid string) bool {
	return v.a.Volumes != nil && !slices.Contains(v.a.Volumes, uuid)
}

// leave leaves a disk out.
func (f *flow) leave(disks []DiskInfo, uuid string) {
	if f.a.Volumes == nil {
		f.a.Volumes = []string{}
		for _, d := range disks {
			f.a.Volumes = append(f.a.Volumes, d.UUID)
		}
	}
	f.a.Volumes = slices.DeleteFunc(f.a.Volumes, func(u string) bool { return u == uuid })
}

// leftOut names the disks that stay as they are.
func (v *view) leftOut() (rows []ui.Block) {
	disks, _ := v.s.Disks()
	for _, d := range disks {
		if v.skip(d.UUID) {
			rows = append(rows, ui.R(ui.Bad, v.t(msg.DiskOut), v.describe(d)))
		}
	}
	return rows
}

func (v *view) describe(d DiskInfo) string {
	return fmt.Sprintf("%s %s, %s, %s", d.Model, d.Serial, msg.Bytes(d.Size).In(v.lang), d.Path)
}

// lookDUK finds out whether the machine can have a disk unlock key. What was chosen
// before stands in the receipt.
func lookDUK(f *flow, ctx context.Context) error {
	if !f.canAskDUK() {
		if r, err := f.s.Receipt(); err == nil {
			f.a.DUK = r.DUK
		}
		return nil
	}
	if f.dukOf != f.s {
		f.dukErr, f.dukOf = f.m.DUK.Possible(ctx), f.s
	}
	if errors.Is(f.dukErr, ErrLeftToFirmware) {
		f.a.DUK = false
	}
	return nil
}

func drawDUKLeft(v *view) (*ui.Page, error) {
	why := msg.DUKNotNowWhy
	if errors.Is(v.dukErr, ErrOwnName) {
		why = msg.DUKNotNowName
	}
	return &ui.Page{Preset: ui.Continue, Help: v.t(msg.DUKHelp),
		Body:    []ui.Block{ui.S(v.t(msg.DUKNotNow)), ui.T(v.t(why)), ui.G(), ui.T(v.t(msg.DUKNotNowHow))},
		Choices: []ui.Choice{v.button()}}, nil
}

// drawDUK asks whether the TPM shall open the disk. Any reason why it cannot is the TPM's,
// and the steps that need it tell it.
func drawDUK(v *view) (*ui.Page, error) {
	body := []ui.Block{ui.S(v.t(msg.DUKAsk)), ui.G(), ui.T(v.t(msg.DUKWhat)), ui.G(), ui.T(v.t(msg.DUKAdvice))}
	if t, err := v.s.TPM(); err != nil {
		return nil, err
	} else if t.Family == "1.2" {
		body = append(body, ui.G(), ui.S(v.t(msg.DUKOldTPM)))
	}
	return &ui.Page{Preset: "no", Body: body, Help: v.t(msg.DUKHelp), Choices: []ui.Choice{
		{ID: "no", Label: v.t(msg.ButtonDUKNo), Letter: 'n'},
		{ID: "yes", Label: v.t(msg.ButtonDUKYes), Letter: v.initial(msg.ButtonDUKYes)}}}, nil
}

// initial is the letter of a button that says yes: the first of that word, which people press.
func (v *view) initial(m msg.M) rune { return rune(v.t(m)[0] | 0x20) }

func tookDUK(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if f.a.DUK = id == "yes"; f.a.DUK {
		f.a.need |= NeedDisk | NeedOwner | NeedDUK
	}
	return evAnswer, nil
}

// drawBackup asks where else the keys are to be kept.
func drawBackup(v *view) (*ui.Page, error) {
	p := &ui.Page{Preset: "none", Help: v.t(msg.BackupHelp), Body: []ui.Block{
		ui.S(v.t(msg.BackupAsk)), ui.G(), ui.R(ui.NoMark, v.t(msg.BackupNoneLabel), v.t(msg.BackupNone)),
		ui.R(ui.NoMark, v.t(msg.BackupStickLabel), v.t(msg.BackupStick)),
		ui.R(ui.NoMark, v.t(msg.BackupCardLabel), v.t(msg.BackupCard)),
		ui.G(), ui.T(v.t(msg.BackupHow)),
	}, Choices: []ui.Choice{{ID: "none", Label: v.t(msg.ButtonNoBackup), Letter: 'n'}}}
	if v.m.Sticks != nil {
		p.Choices = append(p.Choices, ui.Choice{ID: string(StickBackup), Label: v.t(msg.ButtonToStick), Letter: 'u'})
	}
	p.Choices = append(p.Choices, ui.Choice{ID: string(SpareBackup), Label: v.t(msg.ButtonToCard), Letter: 's'})
	for i, c := range p.Choices {
		if c.ID == string(v.a.Backup) {
			p.Default = i
		}
	}
	return p, nil
}

func tookBackup(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if f.a.Backup = Backup(id); id == "none" {
		f.a.Backup = NoBackup
	}
	delete(f.a.given, pageStick)
	return evAnswer, nil
}

// drawSecrets asks who makes the secrets.
func drawSecrets(v *view) (*ui.Page, error) {
	body := []ui.Block{ui.S(v.t(msg.WhoAsk)), ui.G()}
	for _, k := range v.newSecrets() {
		body = append(body, ui.R(ui.NoMark, v.t(k.name), v.t(k.when)))
	}
	body = append(body, ui.G(), ui.T(v.t(msg.WhoAdvice)))
	return &ui.Page{Preset: "make", Body: body, Help: v.t(msg.WhoHelp), Choices: []ui.Choice{
		{ID: "make", Label: v.t(msg.ButtonMake), Letter: 'm'}, {ID: "own", Label: v.t(msg.ButtonOwn), Letter: 'o'}}}, nil
}

// tookSecrets drops what was made where the owner now wants to think it up, and the other
// way round.
func tookSecrets(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if own := id == "own"; own != f.a.own {
		f.a.own = own
		for _, k := range f.newSecrets() {
			f.drop(k)
		}
	}
	return evAnswer, nil
}

func drawIdentity(v *view) (*ui.Page, error) {
	name := &ui.Input{Key: "name", Label: v.t(msg.NameLabel), Value: v.a.Identity.Name, Optional: true, Max: 60}
	mail := &ui.Input{Key: "email", Label: v.t(msg.EmailLabel), Value: v.a.Identity.Email, Optional: true, Max: 60}
	return &ui.Page{Preset: ui.Continue, Inputs: []*ui.Input{name, mail},
		Body:    []ui.Block{ui.S(v.t(msg.NameAsk)), ui.T(v.t(msg.NameWhy)), ui.T(v.t(msg.NameEmpty))},
		Choices: []ui.Choice{v.button()}, Check: func(context.Context) error {
			i := identity(name, mail)
			if !(Identity{Name: i.Name}).Writable() {
				return ui.At(name, v.t(msg.NameBad))
			}
			if !i.Writable() {
				return ui.At(mail, v.t(msg.EmailBad))
			}
			return nil
		}}, nil
}

func identity(name, mail *ui.Input) Identity {
	return Identity{strings.TrimSpace(name.Value), strings.TrimSpace(mail.Value)}
}

func tookIdentity(f *flow, _ context.Context, p *ui.Page, _ string) (event, error) {
	f.a.Identity = identity(p.Inputs[0], p.Inputs[1])
	return evAnswer, nil
}

func lookDisks(f *flow, _ context.Context) error {
	_, err := f.s.Disks()
	return err
}

func drawDisks(v *view) (*ui.Page, error) {
	disks, err := v.s.Disks()
	if err != nil {
		return nil, err
	}
	p := &ui.Page{Preset: ui.Continue, Body: []ui.Block{ui.S(v.t(msg.DisksAsk)), ui.G()}, Choices: []ui.Choice{v.button()}}
	for i, d := range disks {
		mark, text := ui.OK, v.t(msg.DiskIn)
		if v.skip(d.UUID) {
			mark, text = ui.NoMark, v.t(msg.DiskOut)
		}
		p.Body = append(p.Body, ui.R(mark, fmt.Sprintf("%d %s", i+1, text), v.describe(d)))
		p.Choices = append(p.Choices, ui.Choice{ID: "disk-" + d.UUID, Label: v.t(msg.ButtonDisk, i+1), Letter: rune('1' + i)})
	}
	p.Body = append(p.Body, ui.G(), ui.T(v.t(msg.DisksWhy)))
	return p, nil
}

func tookDisks(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	uuid, ok := strings.CutPrefix(id, "disk-")
	if !ok {
		return evAnswer, nil
	}
	disks, err := f.s.Disks()
	if err != nil {
		return evGone, err
	}
	if !f.skip(uuid) {
		f.leave(disks, uuid)
		return evAgain, nil
	}
	if f.a.Volumes = append(f.a.Volumes, uuid); f.a.keys.Current[uuid] != nil {
		return evAgain, nil
	}
	f.a.from = pageCurrent
	return evJump, nil
}
