package wizard_test

import (
	"errors"
	"strings"
	"testing"

	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// certText is the text of the certificate.
func certText(w *wizardtest.World) string { return string(w.Hints["kexec_reown.certificate"]) }

// TestNeverWritten: the check page tells both times and lets choose, and the certificate says which
// was done.
func TestNeverWritten(t *testing.T) {
	for choice, c := range map[string]struct {
		fill        bool
		page, paper string
	}{
		"":           {false, "6.0 GB were never written and are left alone", "what was never written is as it was"},
		"fill":       {true, "6.0 GB were never written and are overwritten", "with what was never written"},
		"fill skip ": {false, "are left alone", "is as it was"},
	} {
		w := wizardtest.New()
		w.Disks[0].Empty = 6
		r := newReader(w)
		r.Say = map[string]string{"check": choice}
		if err := wizardtest.Run(w, r, "en"); err != nil {
			t.Fatal(err)
		}
		short, long := strings.Index(r.text["check"], "9 min"), strings.Index(r.text["check"], "14 min")
		if short < 0 || long < 0 || (short > long) != c.fill || !strings.Contains(r.text["check"], c.page) {
			t.Errorf("%q: the page says\n%s", choice, r.text["check"])
		}
		if w.Disks[0].Filled != c.fill || !strings.Contains(certText(w), c.paper) {
			t.Errorf("%q: filled %v, the certificate says\n%s", choice, w.Disks[0].Filled, certText(w))
		}
	}
}

// TestFillWithoutAPerson: an answers file chooses it once.
func TestFillWithoutAPerson(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.Disks[0].Empty = 6
	if err := unattended(w, p, map[string]string{"check": "fill"}); err != nil || !w.Disks[0].Filled {
		t.Errorf("filled %v: %v", w.Disks[0].Filled, err)
	}
}

// TestBadSectorsBefore: what cannot be read is named before anything is erased, and giving it up is
// nothing that goes without saying.
func TestBadSectorsBefore(t *testing.T) {
	w := wizardtest.New()
	w.Disks[0].Bad = 3
	r := newReader(w)
	r.see = func(pg *ui.Page) {
		if pg.Key == "check" && pg.Preset != "" {
			t.Errorf("without a person the answer is %q", pg.Preset)
		}
		if pg.Key == "failed" {
			t.Error("asked again for what was shown before")
		}
	}
	if err := wizardtest.Run(w, r, "en"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{r.text["check"], certText(w)} {
		if !strings.Contains(text, "512 bytes") ||
			!strings.Contains(strings.Join(strings.Fields(text), " "), "2000004096+512") {
			t.Errorf("not named:\n%s", text)
		}
	}
}

// TestBadSectorsInTheRun: the survey was not through; the run stops before them, goes on when they
// are given up, and does not ask once more at the next start.
func TestBadSectorsInTheRun(t *testing.T) {
	w := wizardtest.New()
	w.Disks[0].Bad, w.Disks[0].Seen = 3, 1
	r := newReader(w)
	stops := 0
	r.see = func(pg *ui.Page) {
		if pg.Key == "check" && (pg.Live == nil || !strings.Contains(r.text["check"], "12% of it looked at")) {
			t.Errorf("the page is still, and says\n%s", r.text["check"])
		}
		if pg.Key == "failed" {
			stops++
		}
	}
	// It is found by the run alone: the survey has not come to it.
	w.Disks[0].Hidden = true
	r.Say = map[string]string{"failed": "end"}
	if err := wizardtest.Run(w, r, "en"); err == nil || stops != 1 || w.Disks[0].Done != 2 {
		t.Fatalf("%v after %d stops at chunk %d", err, stops, w.Disks[0].Done)
	}
	w.Reboot()
	r.Pages, r.Say = nil, map[string]string{"failed": "lose"}
	chunks := 0
	w.Fault = func(op string) error {
		if op == "disk.chunk" {
			if chunks++; chunks == 3 {
				return wizardtest.ErrCut
			}
		}
		return nil
	}
	if err := wizardtest.Run(w, r, "en"); !errors.Is(err, wizardtest.ErrCut) {
		t.Fatal(err)
	}
	w.Reboot()
	r.Pages, r.Say, stops = nil, nil, 0
	if err := wizardtest.Run(w, r, "en"); err != nil || stops != 0 {
		t.Fatalf("%v after %d stops", err, stops)
	}
	if !strings.Contains(strings.Join(strings.Fields(certText(w)), " "), "2000004096+512") {
		t.Errorf("the certificate says\n%s", certText(w))
	}
}

// TestOldHeader: a LUKS1 disk becomes LUKS2, and that is said.
func TestOldHeader(t *testing.T) {
	w := wizardtest.New()
	w.Disks[0].Old = true
	r := newReader(w)
	if err := wizardtest.Run(w, r, "en"); err != nil || w.Disks[0].Old {
		t.Fatal(err)
	}
	if !strings.Contains(r.text["check"], "LUKS1") {
		t.Errorf("the page says\n%s", r.text["check"])
	}
}
