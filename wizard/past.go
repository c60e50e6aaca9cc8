package wizard

import (
	"context"

	"reown/wizard/msg"
	"reown/wizard/ui"
)

// pastTampering is for a machine that looks as if it had an owner already. Nothing in
// /boot leads past that, because anybody can write there. Two things that people say do:
// its owner, by a command, that he has lost his key; and a buyer whose seller made no
// hand-over file and added /boot/oem after signing, whose key it is that the firmware
// trusts. What follows is proven by nothing, and the next page says so.
func (f *flow) pastTampering(ctx context.Context, why string) (Phase, error) {
	h, err := f.s.Handover()
	if err != nil {
		return "", err
	}
	ask := h.SoldTouched() && why == h.Why
	if f.o.LostKey == nil && !(ask && h.trusts(f.o.Signer)) {
		if err := f.tampering(ctx, why, ask); err != nil {
			return "", err
		}
		if err := f.whose(ctx, &h); err != nil {
			return "", err
		}
	}
	if _, err := f.s.Owner(); err == nil {
		return Interrupted, nil
	}
	return HandedOver, nil
}

// SoldTouched says that the one thing that is wrong is that nobody knows whose the one key
// in the firmware is.
func (h *Handover) SoldTouched() bool { return h.Unexplained && len(h.Ring) == 1 }

// trusts says whether the firmware trusts the key with this fingerprint, which somebody
// typed, and no other.
func (h *Handover) trusts(fingerprint string) bool {
	return len(h.Ring) == 1 && h.Ring[0] == Fingerprint(fingerprint)
}

// tampering explains, and ends the run, but where seller is true and a person wants to say
// whose the firmware's key is.
func (f *flow) tampering(ctx context.Context, why string, seller bool) error {
	p := &ui.Page{Key: "tampering", Lang: f.lang, Title: f.t(msg.TamperingTitle), Status: f.status(), Alarm: true, NoBack: true, Preset: ui.Leave, Body: []ui.Block{
		ui.S(f.t(msg.TamperingWhat)), ui.T(f.t(msg.TamperingWhy, why)), ui.G(), ui.T(f.t(msg.TamperingData)), ui.T(f.t(msg.TamperingDo)),
	}, Choices: []ui.Choice{{ID: ui.Leave, Label: f.t(msg.ButtonEnd)}}}
	if seller {
		p.Body = append(p.Body, ui.T(f.t(msg.TamperingBought)))
		p.Choices = append(p.Choices, ui.Choice{ID: "type", Label: f.t(msg.ButtonFingerprint), Letter: 't'})
	}
	id, err := f.u.Ask(ctx, p)
	if err != nil {
		return err
	}
	if id != "type" {
		return ErrTampering
	}
	return nil
}

// whose asks for the fingerprint of the seller's key. It shows none: what is copied from
// the screen proves nothing.
func (f *flow) whose(ctx context.Context, h *Handover) error {
	in := &ui.Input{Key: "signer", Label: f.t(msg.SellerLabel), Max: 80}
	id, err := f.u.Ask(ctx, &ui.Page{Key: "whose", Lang: f.lang, Title: msg.Title.In(f.lang), Status: f.status(), NoBack: true, Alarm: true, Preset: ui.Continue,
		Body: []ui.Block{ui.S(f.t(msg.SellerAsk)), ui.G(), ui.T(f.t(msg.SellerElsewhere))}, Inputs: []*ui.Input{in},
		Choices: []ui.Choice{f.button(), {ID: ui.Leave, Label: f.t(msg.ButtonEnd)}},
		Check: func(context.Context) error {
			if !h.trusts(in.Value) {
				return ui.Problem(f.t(msg.SellerNotIt))
			}
			return nil
		}})
	if err == nil && id == ui.Leave {
		err = ErrTampering
	}
	return err
}
