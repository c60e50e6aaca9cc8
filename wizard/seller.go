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

// sellerRows are who sold the computer and to whom, for the page that verifies.
func (v *view) sellerRows(h *Handover) (rows []ui.Block) {
	if len(h.Chain) == 0 {
		if v.o.Signer == "" {
			return nil
		}
		return []ui.Block{ui.R(ui.Bad, v.t(msg.ItemSeller), v.t(msg.ItemNone))}
	}
	switch {
	case v.o.Signer == "" && h.Claimed(): // asked for on a page that does not show it
	case v.o.Signer == "":
		rows = append(rows, ui.R(ui.Unsure, v.t(msg.ItemSeller), groups(h.SellerKey())))
	case h.SoldBy(Fingerprint(v.o.Signer)):
		rows = append(rows, ui.R(ui.OK, v.t(msg.ItemSeller), v.t(msg.SellerSame, short(Fingerprint(v.o.Signer)))))
	default:
		rows = append(rows, ui.R(ui.Bad, v.t(msg.ItemSeller), v.t(msg.SellerOther, short(h.SellerKey()))))
	}
	switch {
	case h.To == "":
	case v.o.Me == "":
		rows = append(rows, ui.R(ui.Unsure, v.t(msg.ItemTo), groups(h.To)))
	case h.To == Fingerprint(v.o.Me):
		rows = append(rows, ui.R(ui.OK, v.t(msg.ItemTo), v.t(msg.SellerSame, short(h.To))))
	default:
		rows = append(rows, ui.R(ui.Bad, v.t(msg.ItemTo), v.t(msg.HandedOther, short(h.To))))
	}
	return rows
}

// drawSeller asks for the fingerprint of one who sold the computer: when the person wants
// to type it, and always when a seller's key is not in the firmware or not all that he promised is
// proven. It does not show any: what is copied from the screen proves nothing. The four words are
// no answer: they are 40 bits of something that a stranger may choose.
func drawSeller(v *view) (*ui.Page, error) {
	h := v.handover()
	body := []ui.Block{ui.S(v.t(msg.SellerAsk)), ui.G()}
	for i, t := range h.Chain {
		name := escape.Text(t.Name)
		if t.Date != "" {
			name = v.t(msg.SellerRow, name, t.Date)
		}
		body = append(body, ui.R(ui.NoMark, fmt.Sprint(i+1), name))
	}
	in := &ui.Input{Key: "signer", Label: v.t(msg.SellerLabel), Max: 80}
	wrong := msg.SellerWrong
	if body = append(body, ui.G()); len(h.Chain) > 0 {
		body = append(body, ui.T(v.t(msg.SellerCame)))
	} else {
		wrong = msg.SellerNotIt
		body = append(body, ui.T(v.t(msg.SellerElsewhere)))
	}
	return &ui.Page{Trust: true, Preset: ui.Continue, Help: v.t(msg.SellerHelp), Inputs: []*ui.Input{in}, Body: body,
		Choices: []ui.Choice{v.button(), {ID: "stop", Label: v.t(msg.ButtonNotSure), Letter: 'n'}},
		Check: func(context.Context) error {
			if n := len(Fingerprint(in.Value)); n != 40 {
				return ui.Problem(v.t(msg.SellerShort, n))
			}
			if !v.knows(in.Value) {
				return ui.Problem(v.t(wrong))
			}
			return nil
		}}, nil
}

func tookSeller(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	f.a.sold = f.a.sold || id != "stop"
	return doubt(id), nil
}
