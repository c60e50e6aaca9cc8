package wizard

import (
	"context"
	"fmt"
	"strings"

	"reown/internal/escape"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// chip adds to the check page what of the firmware chip's other content will change,
// where anything will; the names of all that goes are the page's details.
func (f *flow) chip(ctx context.Context, body []ui.Block) ([]ui.Block, string) {
	c, err := f.m.Firmware.CheckSpace(ctx, certSpace)
	if err != nil {
		return body, "" // preflight says so
	}
	if c.Shared > 0 {
		body = append(body, ui.R(ui.Note, "", f.t(msg.ChipShared, c.Shared)))
	}
	if len(c.Removed)+len(c.Dropped)+len(c.Taken) > 0 || c.LostConfig {
		body = append(body, ui.R(ui.Note, "", f.t(msg.ChipGoes, len(c.Removed), len(c.Dropped), len(c.Taken))))
	}
	var d strings.Builder
	if c.LostConfig {
		fmt.Fprintf(&d, "%s\n", f.t(msg.ChipLost))
	}
	for _, name := range c.Removed {
		fmt.Fprintf(&d, "- %s\n", escape.Text(name))
	}
	for _, s := range c.Dropped {
		fmt.Fprintf(&d, "- %s  (%s)\n", escape.Text(s.Line), f.t(whyDropped(s.Why)))
	}
	for _, s := range c.Taken {
		fmt.Fprintf(&d, "= %s  (%s)\n", escape.Text(s), f.t(msg.ChipTaken))
	}
	return body, d.String()
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
