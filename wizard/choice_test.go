package wizard_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/wizardtest"
)

// gone makes the files of an entry disappear: neither a rehearsal nor a step takes it.
func gone(w *wizardtest.World, entry int) {
	w.Refuses = map[string]*wizard.Finding{fmt.Sprint("boot.", entry): {Kind: wizard.EntryRefuses,
		Args: []any{w.Entries[entry], "vmlinuz is not there"},
		Err:  errors.New("vmlinuz is not there")}}
}

// TestChooseAnotherEntry: an entry that cannot start is changed before the run, when the
// step finds it, and at the next start; the owner's set then starts the other one.
func TestChooseAnotherEntry(t *testing.T) {
	t.Run("before the run", func(t *testing.T) {
		w := wizardtest.New()
		fedora(w)
		gone(w, 2)
		r := newReader(w)
		r.Say = map[string]string{"problems": "entry", "entry": "1"}
		if err := wizardtest.Run(w, r, "en"); err != nil || w.Set.Entry != "Fedora (6.9)" {
			t.Errorf("%v, %q starts", err, w.Set.Entry)
		}
		if !strings.Contains(r.text["problems"], "vmlinuz is not there") {
			t.Errorf("the page says\n%s", r.text["problems"])
		}
	})
	t.Run("in the run", func(t *testing.T) {
		w := wizardtest.New()
		fedora(w)
		w.Fault = func(op string) error {
			if op == "tpm.clear" {
				gone(w, 2)
			}
			return nil
		}
		r := newReader(w)
		r.Say = map[string]string{"failed": "entry", "reentry": "0"}
		if err := wizardtest.Run(w, r, "en"); err != nil || w.Set.Entry != "Fedora (0-rescue)" {
			t.Errorf("%v, %q starts", err, w.Set.Entry)
		}
	})
	t.Run("at the next start", func(t *testing.T) {
		w := wizardtest.New()
		fedora(w)
		r := newReader(w)
		cutRun(t, w, r, "tpm.clear")
		r.Say = map[string]string{"resume": "entry", "entry": "0"}
		if err := wizardtest.Run(w, r, "en"); err != nil || w.Set.Entry != "Fedora (0-rescue)" {
			t.Errorf("%v, %q starts", err, w.Set.Entry)
		}
	})
	t.Run("not any more", func(t *testing.T) {
		w := wizardtest.New()
		fedora(w)
		r := newReader(w)
		cutRun(t, w, r, "flash.block.0")
		r.Say = nil
		if err := wizardtest.Run(w, r, "en"); err != nil || w.Set.Entry != "Fedora (6.10)" {
			t.Errorf("%v, %q starts", err, w.Set.Entry)
		}
		if slices.Contains(r.Pages, "entry") {
			t.Error("asked when /boot was signed")
		}
	})
}

// TestManyEntries: a menu of more than nine is shown in parts.
func TestManyEntries(t *testing.T) {
	w := wizardtest.New()
	w.Entries, w.SignedEntry = nil, -1
	for i := range 21 {
		w.Entries = append(w.Entries, fmt.Sprint("entry ", i))
	}
	r := newReader(w)
	r.Say = map[string]string{"check": "change", "change": "entry", "entry": "more more 19"}
	if err := wizardtest.Run(w, r, "en"); err != nil || w.Set.Entry != "entry 19" {
		t.Errorf("%v, %q starts", err, w.Set.Entry)
	}
	if !strings.Contains(r.text["entry"], "entry 20") || strings.Contains(r.text["entry"], "entry 17") {
		t.Errorf("the last part:\n%s", r.text["entry"])
	}
}

// TestLeaveOutABadDisk: the disk that cannot be re-encrypted stays as it is, the other
// becomes the owner's.
func TestLeaveOutABadDisk(t *testing.T) {
	w := wizardtest.New()
	w.AddDisk("22222222-bbbb", "S64DNL0U")
	w.Refuses = map[string]*wizard.Finding{"disk.1": {Kind: wizard.DiskRefuses, Args: []any{"/dev/nvme1n1p3", "sectors"},
		Err: errors.New("sectors")}}
	r := newReader(w)
	r.Say = map[string]string{"problems": "leave-out"}
	if err := wizardtest.Run(w, r, "en"); err != nil {
		t.Fatal(err)
	}
	if v := w.Disks[1]; v.Key != "key-1" || v.NewKey != "" || !slices.Contains(v.Slots, wizardtest.SellerPassphrase) {
		t.Errorf("the disk that was left out has changed: %+v", v)
	}
	if w.Disks[0].Key == "key-0" {
		t.Error("the other disk is not the owner's")
	}
}

// TestChooseChip: where the flash program knows several chips that this one may be, somebody says which before
// the first write, and in each start in which that still matters.
func TestChooseChip(t *testing.T) {
	kinds := []string{"MX25L6405", "MX25L6405D", "MX25L6406E/MX25L6408E"}
	for _, cut := range []string{"", "tpm.clear", "boot.install"} {
		w := wizardtest.New()
		w.ChipMay = kinds
		r := newReader(w)
		r.Say = map[string]string{"problems": "chip-3"}
		if cut != "" {
			cutRun(t, w, r, cut)
			if w.ChipIs != "" {
				t.Fatal("it is remembered")
			}
			r.text, r.Say = map[string]string{}, map[string]string{"problems": "chip-3"}
		}
		if err := wizardtest.Run(w, r, "en"); err != nil {
			t.Fatalf("%s: %v: %v", cut, err, r.Pages)
		}
		if err := w.Owned(r.Known()); err != nil {
			t.Errorf("%s: %v", cut, err)
		}
		text := r.text["problems"] + r.text["failed"]
		if asked := cut != "boot.install"; (w.ChipIs != "") != asked || asked &&
			(!strings.Contains(text, kinds[1]) || !strings.Contains(text, kinds[2])) {
			t.Errorf("%s: chosen %q, the page says\n%s", cut, w.ChipIs, text)
		}
	}
}
