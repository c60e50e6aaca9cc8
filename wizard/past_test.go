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
	for _, cut := range []string{"", "card.generate.1", "disk.begin", "tpm.seal", "boot.stage.done", "flash.block.1",
		"boot.oem"} {
		t.Run(cut, func(t *testing.T) {
			w, p := owned(t)
			lost := w.Fprs[0]
			w.Oem = true
			w.CardState = wizardtest.New().CardState
			w.Serial, w.Fprs = "0000BEEF", [3]string{}
			w.HandoverFunc = func() wizard.Handover {
				return wizard.Handover{Keys: []string{lost}}
			}
			answers := map[string]string{"verify": "unproven", "unproven-serial": "NL0T", "card-serial": "BEEF"}
			if err := unattended(w, p, answers); !errors.Is(err, wizard.ErrTampering) || len(changed(w)) > 0 {
				t.Fatalf("without the command: %v, %q", err, changed(w))
			}
			run := func() error {
				u := yes(w, p, answers)
				defer u.Close()
				return wizard.Run(context.Background(), w.Machine(), u,
					wizard.Options{LostKey: func(context.Context) error { w.Oem = true; return nil }})
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
// without proof and without a red page.
func TestTouchedByTheSeller(t *testing.T) {
	seller := wizardtest.New().Fprs[0]
	for _, c := range []struct {
		what, typed, flag string
		does              func(*wizardtest.World)
		ok                bool
	}{
		{"nothing typed", "", "", nil, false},
		{"the right one", strings.ToLower(seller[:4]) + " " + seller[4:], "", nil, true},
		{"the right one, by a flag", "", seller, nil, true},
		{"another one", strings.Repeat("E", 40), "", nil, false},
		{"another one, by a flag", "", strings.Repeat("E", 40), nil, false},
		{"something else is wrong", seller, seller, func(w *wizardtest.World) { w.Files = "others" }, false},
		{"no key in the firmware", seller, seller, func(w *wizardtest.World) { w.ROM = [4][]byte{} }, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			w, p := wizardtest.New(), newPaper()
			w.Set.Oem = false
			w.HandoverFunc = func() wizard.Handover { return wizard.Handover{Keys: []string{seller}} }
			if c.does != nil {
				c.does(w)
			}
			answers := map[string]string{"verify": "unproven", "unproven-serial": "NL0T", "signer": c.typed}
			u := yes(w, p, answers)
			defer u.Close()
			err := wizard.Run(context.Background(), w.Machine(), u, wizard.Options{Signer: c.flag})
			switch {
			case c.ok != (err == nil):
				t.Fatal(err)
			case err != nil && len(changed(w)) > 0:
				t.Errorf("written: %q", changed(w))
			case err == nil:
				if err := w.Owned(p.seen); err != nil {
					t.Error(err)
				}
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
		if err != nil {
			t.Error(err)
		}
		if err := w.Owned(p.seen); err != nil {
			t.Error(err)
		}
	}
}

// TestAnewAsksForAll: who begins anew late in a run is asked for every secret, and not only for
// those that the steps that were left then would have used.
func TestAnewAsksForAll(t *testing.T) {
	for _, cut := range []string{"disk.end", "tpm.seal", "boot.stage", "flash.block.0"} {
		w, p := wizardtest.New(), newPaper()
		w.FailOnce(cut, wizardtest.ErrCut)
		if err := unattended(w, p, nil); err == nil {
			t.Fatal("was not interrupted")
		}
		w.Reboot()
		a := map[string]string{"resume": "anew", "anew": "continue", "anew-serial": "NL0T", "verify": "unproven",
			"unproven-serial": "NL0T", "signer": w.Seller.Signer,
			"backup": "stick"}
		fresh := newPaper()
		for k, v := range p.last {
			fresh.last[k] = v
		}
		fresh.seen = p.seen
		if err := unattended(w, fresh, a); err != nil {
			t.Errorf("cut at %s: %v", cut, err)
			continue
		}
		if err := w.Owned(fresh.seen); err != nil {
			t.Errorf("cut at %s: %v", cut, err)
		}
		if err := w.BackedUp(wizard.StickBackup, fresh.seen); err != nil {
			t.Errorf("cut at %s: %v", cut, err)
		}
	}
}

// TestAKeyExchangedInAContinuedRun: the security key is exchanged for an empty one that claims its
// number, when the work of a continued run begins, and the header of before is put back. What is in
// the reader is not made new: the disk would be encrypted twice.
func TestAKeyExchangedInAContinuedRun(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.FailOnce("tpm.clear", wizardtest.ErrCut)
	if err := unattended(w, p, nil); err == nil {
		t.Fatal("was not interrupted")
	}
	w.Reboot()
	v := w.Disks[0]
	v.Key, v.Slots = "key-0", []string{wizardtest.SellerPassphrase}
	mine := w.CardState
	w.Fault = func(string) error {
		if w.CardState == mine {
			w.CardState = wizardtest.CardState{CardIn: true, Serial: mine.Serial, UserPIN: "123456", AdminPIN: "12345678",
				Tries: [3]int{3, 0, 3}}
		}
		return nil
	}
	if err := unattended(w, p, map[string]string{"verify": "unproven", "unproven-serial": "NL0T",
		"signer": w.Seller.Signer}); err == nil {
		t.Error("it went on")
	}
	// The data read as noise is found before there is anything to exchange the key at.
	if v.Garbage || w.CardState != mine && w.Fprs[0] != "" {
		t.Errorf("twice: %v, keys %q", v.Garbage, w.Fprs)
	}
}

// TestNothingTypedNothingProven: the digest of the disk is salted anew while the run is cut between the
// TPM's area and the receipt that names the new root. No digits are there to be looked at, and no
// passphrase was typed that the run has set: the page that shows whose the laptop is comes, as an alarm.
func TestNothingTypedNothingProven(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	cut := false
	w.Fault = func(op string) error {
		if cut = cut || op == "tpm.anchor.open.done"; cut {
			return wizardtest.ErrCut
		}
		return nil
	}
	if err := unattended(w, p, nil); err == nil {
		t.Fatal("was not interrupted")
	}
	w.Reboot()
	w.Disks[0].Salt = "-salted"
	alarm := false
	u := watched{UI: yes(w, p, map[string]string{"verify": "stop"}), tasks: func(ui.Tasks) {}, page: func(pg *ui.Page) {
		alarm = alarm || pg.Key == "verify" && pg.Alarm
	}}
	defer u.Close()
	if err := wizard.Run(t.Context(), w.Machine(), u, wizard.Options{}); !errors.Is(err, wizard.ErrNotVerified) ||
		!alarm || len(changed(w)) > 0 {
		t.Errorf("%v, alarm %v, written %q", err, alarm, changed(w))
	}
}

// TestTheChipThatDoesNotNameItself: only our own clearing explains a TPM that has lost its name.
func TestTheChipThatDoesNotNameItself(t *testing.T) {
	disks := []wizard.DiskInfo{{UUID: "u"}}
	for _, c := range []struct {
		clearing bool
		tpm      *wizard.TPMInfo
		want     bool
	}{
		{false, &wizard.TPMInfo{EK: "e"}, true}, {false, &wizard.TPMInfo{EK: "other"}, false},
		{false, &wizard.TPMInfo{}, false}, {false, nil, false},
		{true, &wizard.TPMInfo{}, true}, {true, &wizard.TPMInfo{EK: "other"}, false}, {true, nil, false},
	} {
		r := wizard.Receipt{EK: "e", Disks: []string{"u"}, Clearing: c.clearing}
		if got := wizard.Here(&r, c.tpm, disks); got != c.want {
			t.Errorf("clearing %v, %+v: %v", c.clearing, c.tpm, got)
		}
	}
}
