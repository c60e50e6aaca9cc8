package wizard

import (
	"context"
	"errors"
	"strings"
	"time"

	"reown/internal/escape"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// The last page before the work: what was chosen, what cannot be undone, and one thing to
// type; and the pages for a change of mind.

// lookCheck measures what takes time: how fast the disks are, what else changes in the chip.
func lookCheck(f *flow, ctx context.Context) error {
	f.rates, f.touches, f.chip = nil, 0, FirmwareChange{}
	f.surveys.wait(ctx)
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
	p := &ui.Page{Preset: "start", Wait: v.t(msg.WaitMeasure), Body: v.checkBody(), Inputs: []*ui.Input{in},
		Choices: []ui.Choice{{ID: "start", Label: v.t(msg.ButtonErase), Checks: true},
			{ID: "change", Label: v.t(msg.ButtonChange), Key: 3, Letter: 'c'}},
		Default: 1, Check: v.typed(in, want), Help: v.t(msg.CheckHelp), Details: v.chipDetails() + unknownDetails(v)}
	if v.surveys.running() {
		p.Live = v.checkBody
	}
	v.eachRekeyed(func(i int, _ DiskInfo) {
		if len(p.Choices) == 2 {
			p.Choices = append(p.Choices, v.fillChoice())
		}
		if len(v.surveys.unreadable(i)) > 0 {
			p.Preset = "" // that they are lost is nothing to take for granted
		}
	})
	return p, nil
}

// checkBody is the text of the last page.
func (v *view) checkBody() []ui.Block {
	body := []ui.Block{ui.S(v.t(msg.CheckIntro)), ui.G()}
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
			rows = v.chipRows()
		}
		body = append(append(body, ui.R(ui.NoMark, v.t(st.Title), text)), rows...)
	}
	body = append(body, ui.G(), ui.T(v.t(msg.CheckRecorded)), ui.T(v.t(msg.CheckPower)))
	if v.sealsLater() {
		body = append(body, ui.T(v.t(msg.CheckRestart)))
	}
	if v.countsNot() {
		body = append(body, ui.T(v.t(msg.CheckCount)))
	}
	return append(append(body, v.unknown()...), v.starts()...)
}

// fillChoice is to overwrite what was never written, or not to. Each has its name, so that an answers
// file that says "fill" does not take it back when the page is shown again.
func (v *view) fillChoice() ui.Choice {
	if v.a.Fill {
		return ui.Choice{ID: "skip", Label: v.t(msg.ButtonUnused), Letter: 'o'}
	}
	return ui.Choice{ID: "fill", Label: v.t(msg.ButtonFill), Letter: 'o'}
}

func tookCheck(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	switch id {
	case "start":
		f.a.Lost = map[string][]Stretch{}
		f.a.gone = f.strangers()
		f.eachRekeyed(func(i int, d DiskInfo) { f.a.Lost[d.UUID] = f.surveys.unreadable(i) })
		return evAnswer, nil
	case "fill", "skip":
		f.a.Fill = id == "fill"
		return evAgain, nil
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

// eachRekeyed calls f for the disks that will be re-encrypted.
func (v *view) eachRekeyed(f func(i int, d DiskInfo)) {
	disks, err := v.s.Disks()
	if err != nil {
		return // preflight says so
	}
	for i, d := range disks {
		if !v.skip(d.UUID) && !v.s.rekeyed(d) {
			f(i, d)
		}
	}
}

// diskRows says of each disk how long it will take, and what was found by reading it.
func (v *view) diskRows() (rows []ui.Block) {
	v.eachRekeyed(func(i int, d DiskInfo) {
		s := v.surveys.of(i)
		known := s
		if s.Total == 0 {
			known = DiskSurvey{Total: d.Size}
		}
		left := float64(d.Size-d.Done) / float64(max(1, d.Size))
		span := func(fill bool) string { return v.span(time.Duration(left * float64(known.time(v.rates[i], fill)))) }
		text := strings.TrimSpace(d.Model+" "+d.Serial) + ", " + msg.Bytes(d.Size).In(v.lang)
		if v.rates[i] > 0 {
			text = v.t(msg.CheckTime, text, span(v.a.Fill))
		}
		rows = append(rows, ui.R(ui.NoMark, " ", text))
		switch empty := s.Read - s.Written; {
		case !s.Complete():
			rows = append(rows, ui.R(ui.NoMark, " ", v.t(msg.CheckLooked, percent(s.Read, s.Total))))
		case empty < s.Total/20 || v.rates[i] == 0:
		case v.a.Fill:
			rows = append(rows, ui.R(ui.NoMark, " ", v.t(msg.CheckFilled, msg.Bytes(empty).In(v.lang), span(false))))
		default:
			rows = append(rows, ui.R(ui.NoMark, " ", v.t(msg.CheckSkipped, msg.Bytes(empty).In(v.lang), span(true))))
		}
		if len(s.Bad) > 0 {
			rows = append(rows, ui.R(ui.Bad, " ", v.t(msg.CheckBad, size(s.Bad), where(s.Bad, 4))))
		}
		if d.Format == "LUKS1" {
			rows = append(rows, ui.R(ui.NoMark, " ", v.t(msg.CheckConverts)))
		}
	})
	return rows
}

// span is a time in words. It is at best as long as the disk reads now; some write half as fast.
func (v *view) span(low time.Duration) string {
	if high := 3 * low / 2; high > 2*time.Minute {
		return v.t(msg.CheckSpan, minutes(low, v.lang), minutes(high, v.lang))
	}
	return v.t(msg.CheckSoon)
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
var changes = map[string]place{"who": pageSecrets, "name": pageIdentity, "keyboard": pageKeyboard, "backup": pageBackup,
	"disks": pageDisks,
	"duk":   pageDUK, "phone": pageTOTP, "language": pageLanguage}

// drawChange asks which answer to change.
func drawChange(v *view) (*ui.Page, error) {
	p := &ui.Page{Preset: ui.Back, Body: []ui.Block{ui.S(v.t(msg.ChangeAsk))}, Choices: []ui.Choice{
		{ID: "who", Label: v.t(msg.ChangeSecrets), Letter: 's'}, {ID: "name", Label: v.t(msg.ChangeName), Letter: 'n'},
		{ID: "keyboard", Label: v.t(msg.ChangeKeyboard), Letter: 'k'},
		{ID: "backup", Label: v.t(msg.ChangeBackup), Letter: 'u'}}}
	if len(v.m.Disks) > 1 {
		p.Choices = append(p.Choices, ui.Choice{ID: "disks", Label: v.t(msg.ChangeDisks), Letter: 'd'})
	}
	if v.canAskDUK() && !errors.Is(v.dukErr, ErrLeftToFirmware) {
		p.Choices = append(p.Choices, ui.Choice{ID: "duk", Label: v.t(msg.ChangeDUK), Letter: 't'})
	}
	if v.asksTOTP() {
		p.Choices = append(p.Choices, ui.Choice{ID: "phone", Label: v.t(msg.ChangePhone), Letter: 'p'})
	}
	if v.o.Language == "" {
		p.Choices = append(p.Choices, ui.Choice{ID: "language", Label: v.t(msg.ChangeLanguage), Letter: 'l'})
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
	return &ui.Page{Trust: true, Preset: ui.Continue,
		Body: []ui.Block{ui.S(v.t(msg.TailWhat)), ui.G(), ui.R(ui.Note, escape.Text(c.Vendor), escape.Text(c.Serial)),
			ui.R(ui.NoMark, "", v.t(msg.SpareHolds, short(c.Fingerprints[0]))), ui.G(), ui.T(v.t(msg.TailType))},
		Inputs: []*ui.Input{in}, Choices: []ui.Choice{v.button()}, Check: v.typed(in, want)}, nil
}

func tookTail(f *flow, _ context.Context, _ *ui.Page, _ string) (event, error) {
	f.a.tail = true
	return evAnswer, nil
}
