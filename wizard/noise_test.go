package wizard_test

import (
	"errors"
	"slices"
	"testing"

	"reown/wizard"
	"reown/wizard/wizardtest"
)

// TestHeaderPutBackWithoutReceipt: somebody puts the seller's header back in the middle of the
// re-encryption, and takes away all that says that it was begun. The next start looks like the first one;
// what the disk decrypts to does not, and nothing is encrypted twice. Who has a disk of noise can say so.
func TestHeaderPutBackWithoutReceipt(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	chunks := 0
	w.Fault = func(op string) error {
		if op == "disk.chunk" {
			if chunks++; chunks == 4 {
				return wizardtest.ErrCut
			}
		}
		return nil
	}
	if err := unattended(w, p, nil); err == nil || w.Disks[0].Done != 3 {
		t.Fatalf("not cut in the middle: %v", err)
	}
	w.Reboot()
	v := w.Disks[0]
	v.NewKey, v.Done, v.Slots = "", 0, []string{wizardtest.SellerPassphrase}
	clear(w.Hints)
	before := slices.Clone(v.Chunks)
	err := unattended(w, newPaper(), nil)
	var stopped *wizard.PreflightError
	if !errors.As(err, &stopped) || stopped.Problems[0].Kind != wizard.DiskNoise || !errors.Is(err, wizard.ErrNoise) ||
		stopped.Problems[0].Volume != v.UUID {
		t.Fatalf("%v", err)
	}
	if !slices.Equal(before, v.Chunks) || v.Garbage ||
		slices.ContainsFunc(w.Ops, func(op string) bool { return op == "disk.begin" || op == "card.reset" }) {
		t.Errorf("something was written: %v", w.Ops)
	}
	for what, blank := range map[string]bool{"a disk with files": false, "a disk of noise": true} {
		w := wizardtest.New()
		w.Disks[0].Blank = blank
		r := newReader(w)
		r.Say = map[string]string{"problems": "no-files", "failed": "no-files"}
		if err := wizardtest.Run(w, r, "en"); err != nil || w.Disks[0].Key == "key-0" {
			t.Errorf("%s: %v", what, err)
		}
		if asked := slices.Contains(r.Pages, "problems") || slices.Contains(r.Pages, "failed"); asked != blank {
			t.Errorf("%s: asked %v: %v", what, asked, r.Pages)
		}
	}
}

// TestUnreadableBeginning: a disk whose beginning cannot be read stops the run before the first write. Who says
// that it holds no files goes on.
func TestUnreadableBeginning(t *testing.T) {
	w := wizardtest.New()
	w.Disks[0].Unseen = true
	err := unattended(w, newPaper(), nil)
	var stopped *wizard.PreflightError
	if !errors.As(err, &stopped) || len(stopped.Problems) != 1 || stopped.Problems[0].Kind != wizard.DiskUnseen ||
		stopped.Problems[0].Volume != w.Disks[0].UUID {
		t.Fatalf("%v", err)
	}
	if c := changed(w); len(c) > 0 {
		t.Errorf("something was written: %v", c)
	}
	r := newReader(w)
	r.Say = map[string]string{"problems": "no-files", "failed": "no-files"}
	if err := wizardtest.Run(w, r, "en"); err != nil || w.Disks[0].Key == "key-0" {
		t.Error(err)
	}
}

// TestLookFails: a disk whose beginning cannot be looked at stops the run before the first write, as one
// of noise does.
func TestLookFails(t *testing.T) {
	w := wizardtest.New()
	w.Refuses = map[string]*wizard.Finding{"look": {Kind: wizard.Unreadable, Args: []any{"disk", "broken"}}}
	err := unattended(w, newPaper(), nil)
	var stopped *wizard.PreflightError
	if !errors.As(err, &stopped) || stopped.Problems[0].ID != "disk" || len(stopped.Problems) != 1 {
		t.Fatalf("%v", err)
	}
	if slices.ContainsFunc(w.Ops, func(op string) bool { return op == "disk.begin" || op == "card.reset" }) {
		t.Errorf("something was written: %v", w.Ops)
	}
}
