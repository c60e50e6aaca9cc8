package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"reown/wizard/msg"
	"reown/wizard/ui"
)

// The page that asks which system starts by default, and what else of a run can still be
// chosen anew where it would not end.

// onePage is how many entries are shown at a time: each has a digit.
const onePage = 9

// startable are the indices of the entries that can start by default.
func startable(b *BootInfo) (all []int) {
	for i := range b.Entries {
		if b.Uncertain == nil || !b.Uncertain[i] {
			all = append(all, i)
		}
	}
	return all
}

func lookEntry(f *flow, ctx context.Context) error {
	if err := lookBoot(f, ctx); err != nil {
		return err
	}
	if f.came != evAgain {
		f.entries = max(slices.Index(startable(&f.boot), f.a.Entry-1), 0) / onePage * onePage
	}
	return nil
}

// drawEntry asks which system starts by default.
func drawEntry(v *view) (*ui.Page, error) {
	p := &ui.Page{Preset: ui.Back, Body: []ui.Block{ui.S(v.t(msg.EntryAsk)), ui.G()}}
	all := startable(&v.boot)
	from := min(v.entries, len(all))
	for n, i := range all[from:min(from+onePage, len(all))] {
		if i == v.a.Entry-1 {
			p.Default = len(p.Choices)
		}
		label := strconv.Itoa(n + 1)
		p.Body = append(p.Body, ui.R(ui.NoMark, label, v.boot.Entries[i]))
		p.Choices = append(p.Choices, ui.Choice{ID: strconv.Itoa(i), Label: label, Letter: rune('1' + n)})
	}
	if len(all) > onePage {
		p.Choices = append(p.Choices, ui.Choice{ID: "more", Label: v.t(msg.ButtonMore), Letter: 'm'})
	}
	return p, nil
}

func tookEntry(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if id == "more" {
		if f.entries += onePage; f.entries >= len(startable(&f.boot)) {
			f.entries = 0
		}
		return evAgain, nil
	}
	i, err := strconv.Atoi(id)
	if err != nil {
		return evGone, fmt.Errorf("which system starts: %w", err)
	}
	f.a.Entry, f.a.picked = i+1, true
	if f.job != nil {
		f.job.Choice.Entry = i + 1
		return evAnswer, nil // the work begins again
	}
	return evReturn, nil
}

// otherEntry is the way to the entries, until /boot is signed for one of them.
func (v *view) otherEntry() []ui.Choice {
	b, err := v.s.Boot()
	if err != nil || len(startable(&b)) < 2 {
		return nil
	}
	if holds, err := v.s.Holds(); err != nil || holds {
		return nil
	}
	if st, err := probeBoot(v.s); err != nil || finished(st) {
		return nil
	}
	return []ui.Choice{{ID: "entry", Label: v.t(msg.ButtonEntry), Letter: 'o'}}
}

// remedies are the buttons for what the program itself can do about problems.
func (v *view) remedies(problems []Problem) (all []ui.Choice) {
	offered := func(a Action) bool {
		return slices.ContainsFunc(problems, func(p Problem) bool { return p.Offers(a) })
	}
	if offered(OtherEntry) {
		all = append(all, v.otherEntry()...)
	}
	if offered(LeaveOut) {
		all = append(all, ui.Choice{ID: "leave-out", Label: v.t(msg.ButtonLeaveOut), Letter: 'l'})
	}
	if offered(UseDisk) {
		all = append(all, ui.Choice{ID: "no-files", Label: v.t(msg.ButtonNoise), Letter: 'f'})
	}
	for n := range v.chips(problems) {
		label := strconv.Itoa(n + 1)
		all = append(all, ui.Choice{ID: "chip-" + label, Label: label, Letter: rune('1' + n)})
	}
	if offered(WithoutDUK) {
		all = append(all, ui.Choice{ID: "no-duk", Label: v.t(msg.ButtonDUKNo), Letter: 'n'})
	}
	return all
}

// chips are what the flash chip may be, where somebody has to say that.
func (v *view) chips(problems []Problem) []string {
	if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Offers(ChooseChip) }) {
		return nil
	}
	all := v.m.Firmware.Chips()
	return all[:min(len(all), onePage)]
}

// kindRows are they, each with the key that chooses it.
func (v *view) kindRows(problems []Problem) (rows []ui.Block) {
	for n, name := range v.chips(problems) {
		rows = append(rows, ui.R(ui.NoMark, strconv.Itoa(n+1), name))
	}
	return rows
}

// follow carries out what one of these buttons says; false: it is none of those that
// change a choice.
func (f *flow) follow(problems []Problem, id string) (bool, error) {
	switch id {
	case "leave-out":
		disks, err := f.s.Disks()
		if err != nil {
			return false, err
		}
		for _, p := range problems {
			switch {
			case p.Kind == DiskAmbiguous:
				for i := range f.m.Doubtful { // all of them are shown
					f.m.Doubtful[i].Alone = true
				}
			case p.Offers(LeaveOut):
				f.leave(disks, p.Volume)
			}
		}
	case "no-files":
		for _, p := range problems {
			if p.Offers(UseDisk) {
				f.a.Noise = append(f.a.Noise, p.Volume)
			}
		}
	case "no-duk":
		f.a.DUK = false
	default:
		n, ok := strings.CutPrefix(id, "chip-")
		all := f.chips(problems)
		i, err := strconv.Atoi(n)
		if !ok || err != nil || i < 1 || i > len(all) {
			return false, nil
		}
		if err := f.m.Firmware.Choose(all[i-1]); err != nil {
			return false, err
		}
	}
	if f.job != nil {
		f.job.Choice.Volumes, f.job.Choice.DUK, f.job.Choice.Noise = f.a.Volumes, f.a.DUK, f.a.Noise
	}
	return true, nil
}

// lookFailed measures anew: what can still be chosen goes by what is there now.
func lookFailed(f *flow, ctx context.Context) error {
	f.s = measure(ctx, f.m)
	return nil
}

// stopped are the problems for which the work has not begun.
func (v *view) stopped() []Problem {
	if p := (*PreflightError)(nil); errors.As(v.cause, &p) {
		return p.Problems
	}
	return nil
}
