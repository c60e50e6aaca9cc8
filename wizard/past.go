package wizard

import (
	"context"

	"reown/wizard/msg"
	"reown/wizard/ui"
)

// A machine that looks as if it had an owner already: nothing in /boot leads past that,
// because anybody can write there. Two things that people say do (see explained): its
// owner, by a command, that he has lost his key; and a buyer whose seller made no hand-over
// file and added /boot/oem after signing, whose key it is that the firmware trusts. What
// follows is proven by nothing, and the next page says so.

// SoldTouched says that the one thing that is wrong is that nobody knows whose the one key
// in the firmware is.
func (h *Handover) SoldTouched() bool { return h.Unexplained && len(h.Ring) == 1 }

// trusts says whether the firmware trusts the key with this fingerprint, which somebody
// typed, and no other.
func (h *Handover) trusts(fingerprint string) bool {
	return len(h.Ring) == 1 && h.Ring[0] == Fingerprint(fingerprint)
}

// drawTampering explains, and ends the run, but where a person can say whose the
// firmware's key is.
func drawTampering(v *view) (*ui.Page, error) {
	p := &ui.Page{Title: v.t(msg.TamperingTitle), Alarm: true, NoBack: true, Preset: ui.Leave, Body: []ui.Block{
		ui.S(v.t(msg.TamperingWhat)), ui.T(v.t(msg.TamperingWhy, v.why)), ui.G(), ui.T(v.t(msg.TamperingData)), ui.T(v.t(msg.TamperingDo)),
	}, Choices: []ui.Choice{{ID: ui.Leave, Label: v.t(msg.ButtonEnd)}}}
	if v.soldTouched() {
		p.Body = append(p.Body, ui.T(v.t(msg.TamperingBought)))
		p.Choices = append(p.Choices, ui.Choice{ID: "type", Label: v.t(msg.ButtonFingerprint), Letter: 't'})
	}
	return p, nil
}

func tookTampering(*flow, context.Context, *ui.Page, string) (event, error) { return evAside, nil }

// drawWhose asks for the fingerprint of the seller's key. It shows none: what is copied
// from the screen proves nothing.
func drawWhose(v *view) (*ui.Page, error) {
	h := v.handover()
	in := &ui.Input{Key: "signer", Label: v.t(msg.SellerLabel), Max: 80}
	return &ui.Page{NoBack: true, Alarm: true, Preset: ui.Continue,
		Body: []ui.Block{ui.S(v.t(msg.SellerAsk)), ui.G(), ui.T(v.t(msg.SellerElsewhere))}, Inputs: []*ui.Input{in},
		Choices: []ui.Choice{v.button(), {ID: ui.Leave, Label: v.t(msg.ButtonEnd)}},
		Check: func(context.Context) error {
			if !h.trusts(in.Value) {
				return ui.Problem(v.t(msg.SellerNotIt))
			}
			return nil
		}}, nil
}
