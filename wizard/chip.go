package wizard

import (
	"fmt"
	"strings"

	"reown/internal/escape"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// chipRows says what of the firmware chip's other content will change, where anything will.
func (v *view) chipRows() (rows []ui.Block) {
	c := v.chip
	if c.Shared > 0 {
		rows = append(rows, ui.R(ui.Note, "", v.t(msg.ChipShared, c.Shared)))
	}
	var what msg.List
	for _, x := range []struct {
		m msg.M
		n int
	}{{msg.ChipFiles, len(c.Removed)}, {msg.ChipSettings, len(c.Dropped)}, {msg.ChipKeeps, len(c.Taken)}} {
		if x.n > 0 {
			what = append(what, msg.Say(x.m, x.n))
		}
	}
	if what != nil {
		rows = append(rows, ui.R(ui.Note, "", v.t(msg.ChipGoes, what)))
	} else if c.LostConfig {
		rows = append(rows, ui.R(ui.Note, "", v.t(msg.ChipLost)))
	}
	return rows
}

// chipDetails are the names of all that goes, and of the settings that stay.
func (v *view) chipDetails() string {
	var d strings.Builder
	if v.chip.LostConfig {
		fmt.Fprintf(&d, "%s\n", v.t(msg.ChipLost))
	}
	for _, name := range v.chip.Removed {
		fmt.Fprintf(&d, "- %s\n", escape.Text(name))
	}
	for _, s := range v.chip.Dropped {
		fmt.Fprintf(&d, "- %s  (%s)\n", escape.Text(s.Line), v.t(whyDropped(s.Why)))
	}
	for _, s := range v.chip.Taken {
		fmt.Fprintf(&d, "= %s  (%s)\n", escape.Text(s), v.t(msg.ChipTaken))
	}
	return d.String()
}

// whyDropped says why a setting of the firmware does not stay.
func whyDropped(why string) msg.M {
	switch why {
	case "command":
		return msg.ChipWhyCommand
	case "value":
		return msg.ChipWhyValue
	}
	return msg.ChipWhySetting
}
