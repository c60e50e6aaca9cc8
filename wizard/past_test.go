package wizard_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// TestTheKeyIsLost: the owner's key is gone, and he begins anew with another one. Only his
// own command leads there, however often the run is interrupted before the chip is his
// again; /boot/oem alone is what an evil maid leaves, too.
func TestTheKeyIsLost(t *testing.T) {
	for _, cut := range []string{"", "card.generate.1", "disk.begin", "tpm.seal", "boot.stage.done", "flash.block.1", "boot.oem"} {
		t.Run(cut, func(t *testing.T) {
			w, p := owned(t)
			lost := w.Fprs[0]
			w.Oem = true
			w.CardState = wizardtest.New().CardState
			w.Serial, w.Fprs = "0000BEEF", [3]string{}
			w.HandoverFunc = func() wizard.Handover {
				return wizard.Handover{Tampering: true, Why: "/boot/oem is not covered", Unexplained: true, Keys: []string{lost}, Ring: []string{lost}}
			}
			answers := map[string]string{"verify": "unproven", "unproven-serial": "NL0T"}
			if err := unattended(w, p, answers); !errors.Is(err, wizard.ErrTampering) || len(changed(w)) > 0 {
				t.Fatalf("without the command: %v, %q", err, changed(w))
			}
			run := func() error {
				u := yes(w, p, answers)
				defer u.Close()
				return wizard.Run(context.Background(), w.Machine(), u, wizard.Options{LostKey: func(context.Context) error { w.Oem = true; return nil }})
			}
			// Nor does it leave a trigger where he thinks better of it.
			w.Oem, answers["verify"] = false, "stop"
			if err := run(); !errors.Is(err, wizard.ErrNotVerified) || w.Oem || len(changed(w)) > 0 {
				t.Fatalf("stopped: %v, %v, %q", err, w.Oem, changed(w))
			}
			answers["verify"] = "unproven"
			if cut != "" {
				w.Fault = func(op string) error {
					if op == cut {
						return wizardtest.ErrCut
					}
					return nil
				}
				if err := run(); err == nil {
					t.Fatal("was not interrupted")
				}
				w.Fault = nil
				w.Reboot()
			}
			if err := run(); err != nil {
				t.Fatal(err)
			}
			if err := w.Owned(p.seen); err != nil {
				t.Error(err)
			}
			if w.Fprs[0] == lost || w.Fprs[0] == "" {
				t.Errorf("the key is %q", w.Fprs[0])
			}
		})
	}
}

// TestTouchedByTheSeller: no hand-over file, and /boot/oem was added after signing, as the
// instructions of 2019 say. Who types the fingerprint of the firmware's one key goes on,
// without proof.
func TestTouchedByTheSeller(t *testing.T) {
	seller := wizardtest.New().Fprs[0]
	for _, c := range []struct {
		what, typed string
		ring        []string
		unexplained bool
		want        error
	}{
		{"nothing typed", "", []string{seller}, true, wizard.ErrTampering},
		{"the right one", strings.ToLower(seller[:4]) + " " + seller[4:], []string{seller}, true, nil},
		{"another one", strings.Repeat("E", 40), []string{seller}, true, errors.New("")},
		{"two keys in the firmware", seller, []string{seller, strings.Repeat("E", 40)}, true, wizard.ErrTampering},
		{"no key in the firmware", "", nil, true, wizard.ErrTampering},
		{"something else is wrong", seller, []string{seller}, false, wizard.ErrTampering},
	} {
		t.Run(c.what, func(t *testing.T) {
			w, p := wizardtest.New(), newPaper()
			w.HandoverFunc = func() wizard.Handover {
				return wizard.Handover{Tampering: true, Why: "the seller's fingerprint is not known", Unexplained: c.unexplained, Ring: c.ring, Keys: c.ring}
			}
			answers := map[string]string{"verify": "unproven", "unproven-serial": "NL0T"}
			if c.typed != "" && c.unexplained && len(c.ring) == 1 {
				answers["tampering"], answers["signer"] = "type", c.typed
			}
			err := unattended(w, p, answers)
			switch {
			case c.want == nil && err != nil, c.want != nil && err == nil, errors.Is(c.want, wizard.ErrTampering) && !errors.Is(err, c.want):
				t.Fatalf("%v, want %v", err, c.want)
			case err != nil && len(changed(w)) > 0:
				t.Errorf("written: %q", changed(w))
			case err == nil:
				if err := w.Owned(p.seen); err != nil {
					t.Error(err)
				}
			}
			if c.typed == "" { // the same by a flag
				return
			}
			w = wizardtest.New()
			delete(answers, "tampering")
			w.HandoverFunc = func() wizard.Handover {
				return wizard.Handover{Tampering: true, Why: "x", Unexplained: c.unexplained, Ring: c.ring, Keys: c.ring}
			}
			u := yes(w, p, answers)
			defer u.Close()
			err = wizard.Run(context.Background(), w.Machine(), u, wizard.Options{Signer: c.typed})
			if (err == nil) != (c.want == nil) {
				t.Errorf("by a flag: %v, want %v", err, c.want)
			}
		})
	}
}

// TestATornChipKeepsItsKey: what the chip held before counts only with the key on the card,
// so a new one is not offered until the chip is whole.
func TestATornChipKeepsItsKey(t *testing.T) {
	for cut, anew := range map[string]bool{"tpm.clear": true, "flash.block.1": false} {
		w, p := wizardtest.New(), newPaper()
		w.Fault = func(op string) error {
			if op == cut {
				return wizardtest.ErrCut
			}
			return nil
		}
		if err := unattended(w, p, nil); err == nil {
			t.Fatal("was not interrupted")
		}
		w.Fault = nil
		w.Reboot()
		u := watched{UI: yes(w, p, nil), tasks: func(ui.Tasks) {}, page: func(pg *ui.Page) {
			if pg.Key == "resume" && slices.ContainsFunc(pg.Choices, func(c ui.Choice) bool { return c.ID == "anew" }) != anew {
				t.Errorf("cut at %s: %+v", cut, pg.Choices)
			}
		}}
		if err := wizard.Run(t.Context(), w.Machine(), u, wizard.Options{}); err != nil {
			t.Error(err)
		}
		if err := w.Owned(p.seen); err != nil {
			t.Error(err)
		}
		u.Close()
	}
}

// TestATornChipWithItsNewKey: the write was cut after the keyring. The chip does not trust
// the seller's key any more, so that his hand-over and his /boot do not verify; that is
// this run's doing. While it trusts his key, the same is an alarm.
func TestATornChipWithItsNewKey(t *testing.T) {
	for _, keys := range [][]string{nil, {strings.Repeat("E", 40)}} {
		w, p := wizardtest.New(), newPaper()
		w.Fault = func(op string) error {
			if op == "flash.block.1" {
				return wizardtest.ErrCut
			}
			return nil
		}
		if err := unattended(w, p, nil); err == nil {
			t.Fatal("was not interrupted")
		}
		w.Fault = nil
		w.Reboot()
		w.HandoverFunc = func() wizard.Handover {
			bad := wizard.CheckItem{Verdict: wizard.Fail, Detail: "signed by another key"}
			h := wizard.Handover{Keys: keys}
			for _, id := range []string{"handover", "boot"} {
				bad.ID = id
				h.Items = append(h.Items, bad)
			}
			return h
		}
		err := unattended(w, p, nil)
		if keys != nil {
			if !errors.Is(err, wizard.ErrNotVerified) {
				t.Errorf("the seller's key is in charge, and %v", err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
		}
		if err := w.Owned(p.seen); err != nil {
			t.Error(err)
		}
	}
}
