package wizard

import (
	"context"
	"strings"
	"time"

	"reown/wizard/msg"
	"reown/wizard/ui"
)

// The last page before the work: what was chosen, what cannot be undone, and one thing to
// type; and the pages for a change of mind.

// lookCheck measures what takes time: how fast the disks are, what else changes in the chip.
func lookCheck(f *flow, ctx context.Context) error {
	f.rates, f.touches, f.chip = nil, 0, FirmwareChange{}
	for _, d := range f.m.Disks {
		rate, err := d.ReadRate(ctx)
		if err != nil {
			rate = 0
		}
		f.rates = append(f.rates, rate)
	}
	if token := f.m.HOTP(ctx); token != nil {
		if i, err := token.Info(ctx); err == nil { // else preflight says what is the matter with it
			f.touches = i.Touches
		}
	}
	if c, err := f.m.Firmware.CheckSpace(ctx, certSpace); err == nil { // else preflight says so
		f.chip = c
	}
	return nil
}

func drawCheck(v *view) (*ui.Page, error) {
	want := v.serial()
	in := &ui.Input{Key: "confirm", Label: v.typeLabel(want), Max: 16}
	body, details := []ui.Block{ui.S(v.t(msg.CheckIntro)), ui.G()}, ""
	if out := v.leftOut(); out != nil {
		body = append(append([]ui.Block{ui.S(v.t(msg.DisksWhy))}, out...), ui.G())
	}
	for _, st := range Steps() {
		chosen := st.Chosen != nil && st.Chosen(v.a.Choices)
		if finished(probe(st, v.s)) && !chosen || st.Looks || st.Follows {
			continue
		}
		text := v.t(st.Does)
		if l := v.t(st.Loses); l != "" {
			text = l
		}
		var rows []ui.Block
		switch st.Shows {
		case ShowCard:
			if c, err := v.s.Card(); err == nil && c.Serial != "" {
				text = c.Serial + ": " + text
			}
			rows = v.backupRows()
		case ShowDisks:
			rows = v.diskRows()
		case ShowTouches:
			if v.touches > 0 {
				text = v.t(msg.CheckTouch, v.touches)
			}
		case ShowChip:
			rows, details = v.chipRows(), v.chipDetails()
		}
		body = append(append(body, ui.R(ui.NoMark, v.t(st.Title), text)), rows...)
	}
	body = append(body, ui.G(), ui.T(v.t(msg.CheckRecorded)), ui.T(v.t(msg.CheckPower)))
	if v.sealsLater() {
		body = append(body, ui.T(v.t(msg.CheckRestart)))
	}
	body = append(body, v.starts()...)
	return &ui.Page{Preset: "start", Wait: v.t(msg.WaitMeasure), Body: body, Inputs: []*ui.Input{in},
		Choices: []ui.Choice{{ID: "start", Label: v.t(msg.ButtonErase), Checks: true}, {ID: "change", Label: v.t(msg.ButtonChange), Key: 3, Letter: 'c'}},
		Default: 1, Check: v.typed(in, want), Help: v.t(msg.CheckHelp), Details: details}, nil
}

func tookCheck(_ *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if id == "start" {
		return evAnswer, nil
	}
	return evAside, nil
}

// backupRows is the backup's line.
func (v *view) backupRows() []ui.Block {
	switch v.a.Backup {
	case StickBackup:
		return []ui.Block{ui.R(ui.NoMark, v.t(msg.BackupStickLabel), v.t(msg.CheckStick))}
	case SpareBackup:
		return []ui.Block{ui.R(ui.NoMark, v.t(msg.BackupCardLabel), v.t(msg.CheckSpare))}
	}
	return nil
}

// diskRows says of each disk how long it will take: everything is read and written
// once, at best as fast as the disk reads now. Some write half as fast.
func (v *view) diskRows() (rows []ui.Block) {
	disks, err := v.s.Disks()
	if err != nil {
		return nil // preflight says so
	}
	for i, d := range disks {
		if v.skip(d.UUID) || v.s.rekeyed(d) {
			continue
		}
		text := strings.TrimSpace(d.Model+" "+d.Serial) + ", " + msg.Bytes(d.Size).In(v.lang)
		if rate := v.rates[i]; rate > 0 {
			low := time.Duration(2 * float64(d.Size-d.Done) / float64(rate) * float64(time.Second))
			if high := 3 * low / 2; high > 2*time.Minute {
				text = v.t(msg.CheckTime, text, minutes(low, v.lang), minutes(high, v.lang))
			} else {
				text = v.t(msg.CheckSoon, text)
			}
		}
		rows = append(rows, ui.R(ui.NoMark, " ", text))
	}
	return rows
}

// starts says which system starts by default.
func (v *view) starts() []ui.Block {
	if b, err := v.s.Boot(); err == nil && v.a.Entry > 0 && v.a.Entry <= len(b.Entries) {
		return []ui.Block{ui.T(v.t(msg.CheckEntry, b.Entries[v.a.Entry-1]))}
	}
	return nil
}

func lookBoot(f *flow, _ context.Context) (err error) {
	f.boot, err = f.s.Boot()
	return err
}

// changes are the answers that can be changed on the last page, by the names of the choices.
var changes = map[string]place{"who": pageSecrets, "name": pageIdentity, "keyboard": pageKeyboard, "backup": pageBackup, "disks": pageDisks}

// drawChange asks which answer to change.
func drawChange(v *view) (*ui.Page, error) {
	p := &ui.Page{Preset: ui.Back, Body: []ui.Block{ui.S(v.t(msg.ChangeAsk))}, Choices: []ui.Choice{
		{ID: "who", Label: v.t(msg.ChangeSecrets), Letter: 's'}, {ID: "name", Label: v.t(msg.ChangeName), Letter: 'n'},
		{ID: "keyboard", Label: v.t(msg.ChangeKeyboard), Letter: 'k'}, {ID: "backup", Label: v.t(msg.ChangeBackup), Letter: 'u'}}}
	if len(v.m.Disks) > 1 {
		p.Choices = append(p.Choices, ui.Choice{ID: "disks", Label: v.t(msg.ChangeDisks), Letter: 'd'})
	}
	if len(v.boot.Entries) > 1 {
		p.Choices = append(p.Choices, ui.Choice{ID: "entry", Label: v.t(msg.ChangeEntry), Letter: 'b'})
	}
	return p, nil
}

func tookChange(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	to, ok := changes[id]
	if !ok {
		return evAside, nil
	}
	if f.a.from = to; to == pageSecrets {
		f.forget()
	}
	return evJump, nil
}

// drawTail asks for the number of a security key that holds keys which this computer does not know:
// it may work for another one, and will be erased.
func drawTail(v *view) (*ui.Page, error) {
	c, err := v.s.Card()
	if err != nil {
		return nil, err
	}
	want := strings.ToUpper(tail(c.Serial, 4))
	in := &ui.Input{Key: "card-serial", Label: v.t(msg.SerialLabel, want), Max: 16}
	return &ui.Page{Trust: true, Preset: ui.Continue, Body: []ui.Block{ui.S(v.t(msg.TailWhat)), ui.G(), ui.R(ui.Note, c.Vendor, c.Serial),
		ui.R(ui.NoMark, "", v.t(msg.SpareHolds, short(c.Fingerprints[0]))), ui.G(), ui.T(v.t(msg.TailType))},
		Inputs: []*ui.Input{in}, Choices: []ui.Choice{v.button()}, Check: v.typed(in, want)}, nil
}

func tookTail(f *flow, _ context.Context, _ *ui.Page, _ string) (event, error) {
	f.a.tail = true
	return evAnswer, nil
}
