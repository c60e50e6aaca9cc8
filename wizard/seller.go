package wizard

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"reown/internal/escape"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// ErrSellerUnknown says that the seller's key came with the computer, and that nobody
// has said yet that it is the one he knows.
var ErrSellerUnknown = errors.New("the seller's key came with the computer and was not compared")

// Fingerprint puts what a person typed or pasted into the form that a Handover has.
func Fingerprint(s string) string {
	return strings.ToUpper(strings.NewReplacer(" ", "", "\t", "", ":", "", "-", "").Replace(strings.TrimSpace(s)))
}

// sellerRows are who sold the computer and to whom, for the page that verifies; good
// is false when that is not what the person said beforehand.
func (f *flow) sellerRows(h *Handover) (rows []ui.Block, good bool) {
	good = true
	if len(h.Chain) == 0 {
		if f.o.Signer == "" {
			return nil, true
		}
		return []ui.Block{ui.R(ui.Bad, f.t(msg.ItemSeller), f.t(msg.ItemNone))}, false
	}
	switch {
	case f.o.Signer == "" && h.Claimed(): // asked for on a page that does not show it
	case f.o.Signer == "":
		rows = append(rows, ui.R(ui.Unsure, f.t(msg.ItemSeller), groups(h.SellerKey())))
	case h.SoldBy(Fingerprint(f.o.Signer)):
		rows = append(rows, ui.R(ui.OK, f.t(msg.ItemSeller), f.t(msg.SellerSame, short(Fingerprint(f.o.Signer)))))
		f.sold = true
	default:
		good = false
		rows = append(rows, ui.R(ui.Bad, f.t(msg.ItemSeller), f.t(msg.SellerOther, short(h.SellerKey()))))
	}
	switch {
	case h.To == "":
	case f.o.Me == "":
		rows = append(rows, ui.R(ui.Unsure, f.t(msg.ItemTo), groups(h.To)))
	case h.To == Fingerprint(f.o.Me):
		rows = append(rows, ui.R(ui.OK, f.t(msg.ItemTo), f.t(msg.SellerSame, short(h.To))))
	default:
		good = false
		rows = append(rows, ui.R(ui.Bad, f.t(msg.ItemTo), f.t(msg.HandedOther, short(h.To))))
	}
	return rows, good
}

// seller asks for the fingerprint of one who sold the computer: when the person wants
// to type it, and always when a seller's key is not in the firmware. It does
// not show any: what is copied from the screen proves nothing.
func (f *flow) seller(ctx context.Context) (move, error) {
	h, err := f.s.Handover()
	if err != nil {
		return again, err
	}
	if f.sold || f.doubts || !h.Claimed() && !f.typing {
		return skipped, nil
	}
	body := []ui.Block{ui.S(f.t(msg.SellerAsk)), ui.G()}
	for i, t := range h.Chain {
		name := escape.Text(t.Name)
		if t.Date != "" {
			name = f.t(msg.SellerRow, name, t.Date)
		}
		body = append(body, ui.R(ui.NoMark, fmt.Sprint(i+1), name))
	}
	in := &ui.Input{Key: "signer", Label: f.t(msg.SellerLabel), Max: 80}
	p := &ui.Page{Key: "seller", Step: 2, Preset: ui.Continue, Help: f.t(msg.SellerHelp), Inputs: []*ui.Input{in},
		Body:    append(body, ui.G(), ui.T(f.t(msg.SellerCame)), ui.T(f.t(msg.SellerWords, h.Words))),
		Choices: []ui.Choice{f.button(), {ID: "words", Label: f.t(msg.ButtonWords), Letter: 'w'}, {ID: "stop", Label: f.t(msg.ButtonNotSure), Letter: 'n'}},
		Check: func(context.Context) error {
			if !h.SoldBy(Fingerprint(in.Value)) {
				return ui.Problem(f.t(msg.SellerWrong))
			}
			return nil
		}}
	id, mv, err := f.ask(ctx, p)
	if err != nil || mv != forward {
		return mv, err
	}
	if id == "stop" {
		return f.stop(ctx)
	}
	f.sold = true
	return forward, nil
}
