package wizard_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/wizardtest"
)

// owners lists what an owner does in Heads' menus, and the installed system by itself.
var owners = []act{
	{"", "has an update of the system signed", func(g *game) {
		headsSigns(g.w, g.w.Files+"+", "")
		g.w.Signatures++
	}},
	{"", "signs /boot again", func(g *game) { g.w.Signatures++ }},
	{"tpm", "has TOTP and HOTP made anew", func(g *game) {
		g.w.Sealed = &wizardtest.Sealed{OTP: "another", PCR7: wizardtest.PCR7(g.w), Primary: g.w.Primary}
		g.w.TokenOTP = "another"
	}},
	{"tpm", "resets the TPM", func(g *game) {
		pass := fmt.Sprint("tpm-passphrase-", len(g.owner.paper))
		g.owner.paper = append(g.owner.paper, pass)
		headsSigns(g.w, g.w.Files, fmt.Sprint("srk-heads-", len(g.owner.paper)))
		g.w.Owner, g.w.DUKObject, g.w.Signatures = pass, nil, g.w.Signatures+1
	}},
	{"", "replaces the key", func(g *game) {
		n := len(g.owner.paper)
		fprs := [3]string{fmt.Sprintf("%040X", n), fmt.Sprintf("%040X", n+1000), fmt.Sprintf("%040X", n+2000)}
		cert, _ := g.w.Adopt(fprs, wizard.Identity{Name: "Ada"})
		for i := range g.w.ROM {
			g.w.ROM[i] = slices.Clone(cert)
		}
		g.owner.paper = append(g.owner.paper, fmt.Sprint("pin-", n), fmt.Sprint("admin-", n))
		g.w.Fprs, g.w.Set.Signer, g.w.Signatures = fprs, fprs[0], 2
		g.w.UserPIN, g.w.AdminPIN = fmt.Sprint("pin-", n), fmt.Sprint("admin-", n)
		if g.w.Sealed != nil {
			g.w.Sealed.PCR7 = wizardtest.PCR7(g.w)
		}
	}},
	{"", "changes the passphrase of the disk", func(g *game) {
		pass := fmt.Sprint("disk-passphrase-", len(g.owner.paper))
		g.owner.paper = append(g.owner.paper, pass)
		g.owner.disk = pass
		for _, v := range g.w.Disks {
			v.Slots = []string{pass}
		}
	}},
	{"", "lets the system add a slot", func(g *game) {
		for _, v := range g.w.Disks {
			v.Slots = append(v.Slots, "the system's")
		}
	}},
	{"tpm", "sets a disk unlock key", func(g *game) {
		g.w.Disks[0].DUK, g.w.Set.DUK = "duk-heads", "by Heads"
		g.w.DUKObject = &wizardtest.DUKObject{Key: "duk-heads", PCR7: wizardtest.PCR7(g.w), Primary: g.w.Primary}
		g.w.Signatures++
	}},
	{"", "takes the other key", func(g *game) {
		if g.w.Spare.Fprs == g.w.Fprs {
			g.w.CardState, g.w.Spare = g.w.Spare, g.w.CardState
			g.w.CardIn, g.w.Spare.CardIn = true, false
		}
	}},
	{"", "takes the key out", func(g *game) { g.w.CardIn = false }},
	{"", "has the clock set", func(g *game) { g.w.Clock = g.w.Clock.Add(1000 * 3600e9) }},
}

// theirs says whether a file set is the seller's, or an update of the owner's system.
func theirs(files string) bool { return strings.TrimRight(files, "+") == "files-1" }

// mine says whether the laptop is its owner's, and nobody has touched it.
func (g *game) mine() bool {
	ring := g.fprs(g.w.ROM[0])
	return ring[0] != "" && ring[0] != g.first.Fprs[0] && ring == g.w.Fprs && !g.w.Oem && !g.w.Terminated &&
		g.hidden == nil && !g.swapped && len(g.w.Disks) > 0 &&
		g.w.Set.Signer == ring[0] && g.w.Set.Files == g.w.Files && !g.w.Set.Mixed && theirs(g.w.Files) &&
		(!g.w.HasTPM || g.w.Sealed != nil && slices.Contains(g.owner.paper, g.w.Owner))
}

// live has the owner do something, if the laptop is theirs.
func (g *game) live() {
	for range g.rand.IntN(3) {
		if a := owners[g.rand.IntN(len(owners))]; g.mine() && (a.power != "tpm" || g.w.HasTPM) {
			g.did = append(g.did, "(the owner "+a.name+")")
			a.do(g)
		}
	}
}

// TestTheHonest plays the same games without her: the power fails, people leave, use Heads' menus and
// their spare key. Nobody sees a red page, the laptop becomes the owner's, and what is done to it
// afterwards is no alarm of verify either.
func TestTheHonest(t *testing.T) {
	n := 400
	if os.Getenv("REOWN_SOAK") == "1" {
		n = 20_000
	}
	gs := newGames(t)
	lived := map[string]int{}
	for seed := range n {
		g := gs.begin(t.Context(), uint64(seed))
		if err := g.playHonestly(); err != nil {
			t.Errorf("game %d: %v\n%s", seed, err, strings.Join(g.did, ", "))
		}
		for _, d := range g.did {
			lived[d]++
		}
	}
	for _, a := range owners {
		if lived["(the owner "+a.name+")"] == 0 {
			t.Errorf("nobody %s", a.name)
		}
	}
	if lived["(cut)"] == 0 {
		t.Error("the power never failed")
	}
}

func (g *game) playHonestly() error {
	o := g.owner
	g.honest = true
	if o.manner = reads; g.rand.IntN(3) == 0 {
		o.manner = leaves
	}
	for i := range 6 {
		g.w.Reboot()
		if i > 2 { // and in the end they want it done
			o.manner = reads
		}
		if g.w.NoCount {
			// They were told that a run that is interrupted begins anew with such a key, with all pages.
			o.manner = insists
		}
		g.live()
		if !g.mine() && !g.w.CardIn { // who goes on with a run has the key at hand, and one at a time
			g.w.CardIn, g.w.Spare.CardIn = true, false
		}
		g.last = i > 2
		err := g.start(wizard.Options{Language: "en"})
		g.did = append(g.did, "|")
		// "anew" is what they have asked for.
		alarm := slices.DeleteFunc(slices.Clone(o.alarm), func(k string) bool { return k == "anew" })
		switch {
		case err != nil:
			return err
		case g.w.NoCount:
		case len(alarm) > 0 || slices.Contains(o.pages, "tampering"):
			return fmt.Errorf("alarm on the pages %v: %v", alarm, o.pages)
		}
		if g.w.Oem {
			continue
		}
		g.w.Reboot()
		r, err := wizard.Certified(g.ctx, g.w.Machine(), "")
		if err != nil && !errors.Is(err, wizard.ErrOwnerUnknown) || r != nil && !r.Holds() {
			return fmt.Errorf("verify is red: %v, %+v", err, r)
		}
	}
	// Interrupted again after the chip was written, a run with a key that does not count needs --lost-key.
	if g.w.Oem && !(g.w.NoCount && slices.Contains(o.pages, "tampering")) {
		return fmt.Errorf("it is not done: %v", o.pages)
	}
	return nil
}
