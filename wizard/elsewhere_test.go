package wizard_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"reown/internal/judge"
	"reown/wizard"
	"reown/wizard/wizardtest"
)

// unstated is a laptop whose seller has signed nothing but /boot.
func unstated() *wizardtest.World {
	w := wizardtest.New()
	w.Seller = wizard.Handover{Keys: w.Seller.Keys}
	return w
}

// TestStartFilesOfAnotherLaptop: the whole signed /boot of another laptop by the same seller, or an older
// one of this, verifies by the chip's key. What it says of the TPM is not so here, and nothing is signed
// before somebody was shown that and named the seller.
func TestStartFilesOfAnotherLaptop(t *testing.T) {
	for name, put := range map[string]func(*wizardtest.World){
		"another laptop's":               func(w *wizardtest.World) { w.Set.Primary = "root of another" },
		"an older set of this one":       func(w *wizardtest.World) { w.Set.Rollback = "counter 3" },
		"one of a laptop with a TPM 1.2": func(w *wizardtest.World) { w.Set.Primary, w.Set.Rollback = "", "counter 3" },
		"the TPM was cleared": func(w *wizardtest.World) {
			w.Primary, w.Counter, w.Sealed = "srk-shell", 0,
				nil
		},
		"the counter was taken away":          func(w *wizardtest.World) { w.Counter = 0 },
		"the counter was moved by the system": func(w *wizardtest.World) { w.Counter++ },
		"somebody is on the TPM's bus":        func(w *wizardtest.World) { w.OnTheBus = true },
	} {
		for what, w := range map[string]*wizardtest.World{"with a statement": wizardtest.New(), "without": unstated()} {
			t.Run(name+", "+what, func(t *testing.T) {
				put(w)
				p := newPaper()
				h, err := wizard.ReadHandover(t.Context(), w.Machine())
				if err != nil {
					t.Fatal(err)
				}
				boot := h.Items[slices.IndexFunc(h.Items, func(i wizard.CheckItem) bool { return i.ID == "boot" })]
				verdict, says := wizard.Fail, "another TPM"
				if w.OnTheBus {
					verdict, says = wizard.NotProvided, "cannot be read: TPM"
				}
				if boot.Verdict != verdict || !strings.Contains(boot.Detail, says) || h.Tree != judge.TreeElsewhere {
					t.Errorf("%+v, tree %d", boot, h.Tree)
				}
				if err := h.Check("", ""); !errors.Is(err, wizard.ErrNotVerified) {
					t.Errorf("verify: %v", err)
				}
				answers := map[string]string{"verify": "match"}
				if err := unattended(w, p, answers); err == nil || len(changed(w)) > 0 {
					t.Fatalf("nobody was asked: %v, %q", err, changed(w))
				}
				if w.OnTheBus || what == "without" {
					return
				}
				if err := unattended(w, p, unproven(w)); err != nil { // who knows the seller may go on
					t.Fatal(err)
				}
				if err := w.Owned(p.seen); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestFitsWhatIsThere: where nothing is said of a TPM, or the TPM is as it was signed, nobody cries wolf,
// also in a run that a cut has left after its own reset of the TPM.
func TestFitsWhatIsThere(t *testing.T) {
	for name, put := range map[string]func(*wizardtest.World){
		"as signed": func(*wizardtest.World) {},
		"the seller's list names no storage root": func(w *wizardtest.World) { w.Set.Primary = "" },
		"nothing of a TPM":                        func(w *wizardtest.World) { w.Set.Primary, w.Set.Rollback = "", "" },
		"no TPM, and none was ever there":         func(w *wizardtest.World) { w.HasTPM, w.Seller.SRKName = false, "" },
		"the seller has reset it in Heads' menus": func(w *wizardtest.World) {
			sealed := *w.Sealed
			headsSigns(w, "files-1", "srk-heads")
			w.Sealed, w.Seller.SRKName = &sealed, "srk-heads"
			w.Counter, w.Set.Rollback = 7, "counter 7"
		},
	} {
		for _, cut := range []string{"", "tpm.clear", "tpm.anchor.open", "boot.stage", "flash.block.1", "boot.install"} {
			t.Run(name+", "+cut, func(t *testing.T) {
				w, p := wizardtest.New(), newPaper()
				put(w)
				if !w.HasTPM && strings.HasPrefix(cut, "tpm") {
					t.Skip("nothing to cut")
				}
				run := func() error { return unattended(w, p, nil) }
				if cut != "" {
					w.FailOnce(cut, wizardtest.ErrCut)
					if err := run(); !errors.Is(err, wizardtest.ErrCut) {
						t.Fatal(err)
					}
					w.Reboot()
				}
				v := wizard.Judge(t.Context(), w.Machine())
				if v.Says(judge.TreeIsElsewhere) || cut == "" && v.Level == judge.Red {
					t.Errorf("%+v", v)
				}
				if err := run(); err != nil {
					t.Fatal(err)
				}
				if err := w.Owned(p.seen); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestSetOfTheReceipt: once the run has cleared the TPM, only its receipt says what was signed before.
func TestSetOfTheReceipt(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.FailOnce("boot.stage", wizardtest.ErrCut)
	if err := unattended(w, p, nil); !errors.Is(err, wizardtest.ErrCut) {
		t.Fatal(err)
	}
	w.Reboot()
	own := w.Set
	w.Files, w.Set.Files, w.Set.Primary = "files-of-another", "files-of-another", "root of another"
	signed := len(w.SignedSets)
	if v := wizard.Judge(t.Context(), w.Machine()); !v.Says(judge.TreeIsElsewhere) || v.Level != judge.Red ||
		v.Phase != judge.Begun {
		t.Errorf("%+v", v)
	}
	if err := unattended(w, p, nil); err == nil || len(w.SignedSets) > signed {
		t.Fatalf("went on: %v, %+v", err, w.SignedSets[signed:])
	}
	w.Set, w.Files = own, own.Files
	if err := unattended(w, p, nil); err != nil {
		t.Error(err)
	}
}

// TestAreaOfAnotherTPM: on a finished laptop whose TPM was cleared an area says "open" for a run that is
// over, beside its receipt from before the run made a storage root. Nobody whom /boot names wrote it.
func TestAreaOfAnotherTPM(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	var early map[string][]byte
	var area wizardtest.Area
	for _, c := range []struct {
		cut  string
		keep func()
	}{{"tpm.clear", func() { early = maps.Clone(w.Hints) }}, {"boot.stage", func() { area = w.Area }}} {
		w.FailOnce(c.cut, wizardtest.ErrCut)
		if err := unattended(w, p, nil); !errors.Is(err, wizardtest.ErrCut) {
			t.Fatal(err)
		}
		c.keep()
		w.Reboot()
	}
	if err := unattended(w, p, nil); err != nil {
		t.Fatal(err)
	}
	w.Reboot()
	maps.Copy(w.Hints, early)
	w.Oem, w.CardIn = true, false
	w.Primary, w.Area, w.Sealed = "srk-of-the-shell", area, nil
	if v := wizard.Judge(t.Context(), w.Machine()); v.Phase != judge.Tampered {
		t.Errorf("%v: %+v", v.Phase, v)
	}
}
