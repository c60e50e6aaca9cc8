package wizard_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// What must be so after each start, asked of the laptop itself and never of the judge.

// lost says what the maid has won in a start that ended with err, if anything.
func (g *game) lost(err error) error {
	for _, ask := range []func(error) error{g.signed, g.data, g.trusted, g.asked, g.over, g.leaked, g.erased, g.certified,
		g.ended, g.verified} {
		if lost := ask(err); lost != nil {
			return lost
		}
	}
	return nil
}

// signed: an owner's key signs the seller's verified tree and nothing else, and the chip's key has
// signed nothing else that is there.
func (g *game) signed(error) error {
	for _, s := range g.w.SignedSets {
		if !theirs(s.Files) || !slices.Contains(g.w.Entries, s.Entry) {
			return fmt.Errorf("%q was signed, to start %q", s.Files, s.Entry)
		}
	}
	return nil
}

// data: nothing is encrypted twice, and the owner's passphrase opens what is there.
func (g *game) data(error) error {
	for _, v := range append(slices.Clone(g.w.Disks), g.hidden...) {
		if v.Garbage && !g.rewound {
			return errors.New("sectors were encrypted twice")
		}
		known := append([]string{wizardtest.SellerPassphrase, "seller-second"}, g.owner.paper...)
		if !slices.ContainsFunc(v.Slots, func(s string) bool { return slices.Contains(known, s) }) {
			return fmt.Errorf("nobody knows a passphrase of %s", v.UUID)
		}
		for i, k := range v.Chunks {
			want := v.Key
			if v.NewKey != "" && i < v.Done {
				want = v.NewKey
			}
			if k != want && !g.header {
				return fmt.Errorf("chunk %d of %s is under %s, the header says %s", i, v.UUID, k, want)
			}
		}
	}
	return nil
}

// trusted: nobody but the owner, or the seller before, knows the private key that the chip trusts.
func (g *game) trusted(error) error {
	switch who := g.w.Known(); {
	case who == "evil":
		return errors.New("the chip trusts a key that somebody else knows")
	case who == "maker" && !g.maker:
		return errors.New("the chip trusts a key whose maker knows it")
	}
	return nil
}

// asked: nothing is changed before somebody was asked whose the laptop is, or after an alarm that a
// careful owner was shown.
func (g *game) asked(error) error {
	o := g.owner
	shown := func(keys ...string) bool {
		return slices.ContainsFunc(o.pages, func(k string) bool { return slices.Contains(keys, k) })
	}
	for _, op := range g.w.Ops {
		family, _, _ := strings.Cut(op, ".")
		if slices.Contains([]string{"disk", "tpm", "flash", "card"}, family) &&
			!shown("verify", "paper.disk", "paper.owner", "closing") {
			return fmt.Errorf("%s, and nobody was asked whose it is: %v", op, o.pages)
		}
		if len(o.alarm) > 0 && o.careful() && (strings.HasPrefix(op, "flash.") || strings.HasPrefix(op, "disk.") ||
			strings.HasPrefix(op, "card.t") || op == "tpm.clear") {
			return fmt.Errorf("%s, after the alarm %v: %v", op, o.alarm, o.pages)
		}
	}
	return nil
}

// over: a run that is over does not go on, whatever is put back. Who wants another one begins anew,
// with new keys.
func (g *game) over(err error) error {
	anew := slices.Contains(g.w.Ops, "card.generate.0") || slices.Contains(g.w.Ops, "card.import.0")
	for _, op := range g.w.Ops {
		if g.closed && !anew && (op == "hint."+receiptFile || op == "boot.stage" || op == "boot.install" ||
			strings.HasPrefix(op, "flash.")) {
			return fmt.Errorf("%s, in a run that is over: %v", op, g.owner.pages)
		}
	}
	if g.closed = g.closed && !anew; err == nil && slices.Contains(g.w.Ops, "remove."+receiptFile+".done") &&
		!slices.Contains(g.owner.pages, "tampering") && g.outrun() {
		g.closed = true
	}
	return nil
}

// outrun says whether something out of reach tells that the run is over. Where the power went in the last
// second the card has not been asked for its last signatures, and the area is closed only by who types the
// TPM's passphrase on that page.
func (g *game) outrun() bool {
	return g.w.HasTPM && !g.w.OldTPM && g.w.Area.State != wizard.AnchorOpen || !slices.Contains(g.owner.pages, "closing")
}

// leaked: no secret of the owner's stands in /boot or in the chip.
func (g *game) leaked(error) error {
	for _, s := range g.owner.paper {
		for name, b := range g.w.Hints {
			if bytes.Contains(b, []byte(s)) && !bytes.Contains(g.text, []byte(s)) {
				return fmt.Errorf("%s has the secret %q", name, s)
			}
		}
		if bytes.Contains(g.w.ROM[0], []byte(s)) {
			return errors.New("the chip has a secret")
		}
	}
	return nil
}

// erased: a security key that works for another machine stays as it is, unless its number was typed.
func (g *game) erased(error) error {
	if slices.Contains(g.owner.pages, "tail") || slices.Contains(g.owner.pages, "spare") {
		return nil
	}
	for _, c := range []wizardtest.CardState{g.w.CardState, g.w.Spare} {
		if c.Serial == g.alien.Serial && c.Fprs != g.alien.Fprs {
			return errors.New("another machine's security key was erased")
		}
	}
	return nil
}

// certified: every sentence of a certificate that was made in this start is true.
func (g *game) certified(error) error {
	if !slices.Contains(g.w.Ops, "hint.kexec_reown.certificate.json.done") {
		return nil
	}
	var c wizard.Certificate
	if err := json.Unmarshal(g.w.Hints["kexec_reown.certificate.json"], &c); err != nil {
		return fmt.Errorf("the certificate cannot be read: %w", err)
	}
	volumes := append(slices.Clone(g.w.Disks), g.hidden...)
	certified := func(uuid string) bool {
		return slices.ContainsFunc(c.Volumes, func(v wizard.Volume) bool { return v.UUID == uuid })
	}
	for _, v := range volumes {
		if !certified(v.UUID) && !slices.Contains(c.LeftOut, v.UUID) {
			return fmt.Errorf("the certificate does not mention the disk %s", v.UUID)
		}
	}
	every := func(holds func(*wizardtest.Volume) bool) bool {
		return !slices.ContainsFunc(volumes, func(v *wizardtest.Volume) bool { return certified(v.UUID) && !holds(v) })
	}
	whose := g.w.Known()
	ring := g.fprs(g.w.ROM[0])
	truth := map[string]bool{
		"passphrase": every(func(v *wizardtest.Volume) bool {
			return !slices.Contains(v.Slots, wizardtest.SellerPassphrase) && !slices.Contains(v.Slots, "seller-second")
		}),
		"volume-key": every(func(v *wizardtest.Volume) bool {
			return v.NewKey == "" && v.Key != "key-0" && v.Key != "key-1" && v.Key != "key-evil" &&
				!slices.ContainsFunc(v.Chunks, func(k string) bool { return k != v.Key })
		}),
		"second-reader": every(func(v *wizardtest.Volume) bool {
			return v.Digest == "" && slices.ContainsFunc(v.Slots,
				func(s string) bool { return slices.Contains(g.owner.paper, s) })
		}),
		"firmware-key":   whose != "evil" && whose != "seller" && ring[0] != "" && ring[0] == c.Owner && g.w.ROM[1] != nil,
		"boot-signature": g.w.Set.Signer == ring[0] && g.w.Set.Files == g.w.Files && !g.w.Set.Mixed && theirs(g.w.Files),
		"tpm": slices.Contains(g.owner.paper, g.w.Owner) && g.w.Primary != g.w.SellerSRK &&
			g.w.Primary != "srk-evil",
		"sealed":        g.w.Sealed != nil && g.w.Sealed.Primary == g.w.Primary,
		"seller":        g.proven(c.Run.Run),
		"sellers-card":  false, // nobody asks it
		"all-encrypted": false, // nobody looks
	}
	for _, k := range c.Checks {
		if k.OK && !truth[k.ID] {
			return fmt.Errorf("the certificate says %q, and that is not so", k.ID)
		}
	}
	return nil
}

// ended: each start ends as it says, and one that says that it is done has made the laptop its owner's.
func (g *game) ended(err error) error {
	o := g.owner
	var step *wizard.StepError
	switch {
	case err == nil && !g.w.Oem && !slices.ContainsFunc(o.pages,
		func(k string) bool { return k == "tampering" || k == "closing" }):
		err := g.w.Owned(o.paper)
		if card, token := g.w.CardState, g.w.TokenOTP; err != nil && g.swapped { // after the last use, perhaps
			g.w.CardState, g.w.TokenOTP = g.card, g.token
			err = g.w.Owned(o.paper)
			g.w.CardState, g.w.TokenOTP = card, token
		}
		if err != nil && !g.maker {
			return fmt.Errorf("done, and %w", err)
		}
	case err == nil, errors.Is(err, wizard.ErrNothingToDo), errors.Is(err, wizard.ErrTampering),
		errors.Is(err, wizard.ErrNotVerified),
		errors.Is(err, wizard.ErrPaused), errors.Is(err, wizard.ErrRestart), errors.Is(err, ui.ErrLeft),
		errors.Is(err, wizardtest.ErrCut), errors.As(err, &step):
	case errors.Is(err, errTired) && !o.careful(), errors.Is(err, wizard.ErrNoCard):
	default:
		return fmt.Errorf("the start ends with %w: %v", err, o.pages)
	}
	return nil
}

// verified: a finished laptop that is compared with its certificate passes only if it is as the owner,
// or who has their key, has left it.
func (g *game) verified(error) error {
	if g.w.Oem || g.w.Hints["kexec_reown.certificate.json"] == nil || g.rand.IntN(4) > 0 {
		return nil
	}
	r, err := wizard.Certified(g.ctx, g.w.Machine(), "")
	if err != nil || r == nil || !r.Holds() {
		return nil
	}
	for _, v := range append(slices.Clone(g.w.Disks), g.hidden...) {
		if v.Key == "key-0" || v.NewKey != "" {
			return fmt.Errorf("verify passes, and %s has the key %s, and %q", v.UUID, v.Key, v.NewKey)
		}
	}
	switch {
	case g.hidden != nil:
		return errors.New("verify passes, and the disks cannot be found")
	case !theirs(g.w.Files) || g.w.Set.Mixed:
		return errors.New("verify passes, and another kernel starts")
	case g.w.HasTPM && g.w.Primary == g.w.SellerSRK:
		return errors.New("verify passes, and the TPM is the seller's")
	}
	return nil
}
