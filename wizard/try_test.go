package wizard_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// The key that came with the laptop signs a challenge where its PIN is typed, and the certificate has a
// row for it, after a cut, too. Nobody has to.
func TestSellersCardSigns(t *testing.T) {
	for _, c := range []struct {
		say, cut string
		held     bool
	}{{"try", "", true}, {"try", "disk.end", true}, {"", "", false}} {
		w := wizardtest.New()
		p := wizardtest.NewPerson(w)
		p.Say["current"], p.Say["try"] = c.say, ui.Continue
		if c.cut != "" {
			w.Fault = func(op string) error {
				if op == c.cut {
					return wizardtest.ErrCut
				}
				return nil
			}
			_ = wizardtest.Run(w, wizardtest.Bare(p), "en")
			w.Fault = nil
			w.Reboot()
		}
		if err := wizardtest.Run(w, wizardtest.Bare(p), "en"); err != nil {
			t.Fatal(err)
		}
		var got wizard.Certificate
		if err := json.Unmarshal(w.Hints["kexec_reown.certificate.json"], &got); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(got.Checks, func(k wizard.Check) bool { return k.ID == "sellers-card" })
		if i < 0 || got.Checks[i].OK != c.held {
			t.Errorf("%+v: %+v", c, got.Checks)
		}
	}
}

// One that was exchanged cannot sign, whatever it says of itself, and the run does not go on by it.
func TestExchangedSellersCard(t *testing.T) {
	w := wizardtest.New()
	p := wizardtest.NewPerson(w)
	p.Say["current"], p.Say["try"] = "try", ui.Continue
	w.Evil, w.Claims = true, true
	err := wizardtest.Run(w, wizardtest.Bare(p), "en")
	if err == nil || !strings.Contains(err.Error(), "exchanged") ||
		slices.ContainsFunc(changed(w), func(op string) bool { return !strings.HasPrefix(op, "card.sign") }) {
		t.Errorf("ended with %v, changed %v", err, changed(w))
	}
}

// A key that has signed /boot and counted nothing does not count: that is said before the start.
func TestCardThatDoesNotCount(t *testing.T) {
	for _, counts := range []bool{false, true} {
		w := wizardtest.New()
		if w.NoCount = !counts; w.NoCount {
			w.Signatures = 0
		}
		said := false
		p := wizardtest.NewPerson(w)
		u := &onPage{UI: wizardtest.Bare(p), key: "check", look: func(pg *ui.Page) {
			for _, b := range pg.Body {
				said = said || strings.Contains(b.Text, "does not count")
			}
		}}
		if err := wizardtest.Run(w, u, "en"); err != nil {
			t.Fatal(err)
		}
		if said == counts {
			t.Errorf("counts: %v, said: %v", counts, said)
		}
	}
}

// Files that no firmware writes are shown before they go.
func TestUnknownFilesAreShown(t *testing.T) {
	w := wizardtest.New()
	w.Unknown = []string{"kexec_x.txt", "kexec\n[OK] all is well"}
	p, seen := wizardtest.NewPerson(w), ""
	u := &onPage{UI: wizardtest.Bare(p), key: "check", look: func(pg *ui.Page) {
		for _, b := range pg.Body {
			seen += b.Text + "\n"
		}
	}}
	if err := wizardtest.Run(w, u, "en"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(seen, `kexec_x.txt, kexec\n[OK] all`) {
		t.Errorf("the page says\n%s", seen)
	}
}

// TestUnknownFilesThatAppear: what was shown goes, also after a cut and in a single step; a name that
// appears afterwards is stopped at, until a page has shown it.
func TestUnknownFilesThatAppear(t *testing.T) {
	for _, cut := range []string{"tpm.clear", "boot.stage", "flash.block.1", "boot.install"} {
		w, p := wizardtest.New(), newPaper()
		w.Unknown = []string{"kexec_shown.txt"}
		w.FailOnce(cut, wizardtest.ErrCut)
		if err := unattended(w, p, nil); !errors.Is(err, wizardtest.ErrCut) {
			t.Fatal(err)
		}
		w.Reboot()
		w.Unknown = append(w.Unknown, "kexec_new.txt")
		if cut == "boot.install" { // no page shows anything
			step := func() error {
				keys := &wizard.Keys{User: secret.From([]byte(w.UserPIN)), Owner: secret.From([]byte(w.Owner)),
					Disk: secret.From([]byte(w.Disks[0].Slots[0]))}
				defer keys.Wipe()
				return wizard.RunStep(t.Context(), w.Machine(), "commit", wizard.Choices{}, keys, nil)
			}
			if err := step(); !errors.Is(err, wizardtest.ErrAppeared) || len(w.Unknown) != 2 {
				t.Fatalf("%v, %q", err, w.Unknown)
			}
			w.Unknown = w.Unknown[:1]
			if err := step(); err != nil || len(w.Unknown) != 0 {
				t.Fatalf("%v, %q", err, w.Unknown)
			}
			continue
		}
		if err := unattended(w, p, nil); err != nil || len(w.Unknown) != 0 {
			t.Fatalf("%s: %v, %q", cut, err, w.Unknown)
		}
	}
}

// A name that a key cannot bear is refused where it is asked for.
func TestWritable(t *testing.T) {
	for name, ok := range map[string]bool{"": true, "Ada Lovelace": true, "Zoë Müller-Łuk": true, "a\nb": false,
		"a\x1b[2J": false, "a\u202eb": false, "a\x00": false,
		"-----BEGIN PGP SIGNATURE-----": false, "a<b>": false, "a@b": false, "a\xff": false, "a\u2028b": false,
		"a\u200bb": false} {
		if got := (wizard.Identity{Name: name}).Writable(); got != ok {
			t.Errorf("%q: %v", name, got)
		}
	}
	for mail, ok := range map[string]bool{"a@b": true, "a": false, "a@b\n": false, "a b@c": false, "@b": false} {
		if got := (wizard.Identity{Email: mail}).Writable(); got != ok {
			t.Errorf("%q: %v", mail, got)
		}
	}
}
