package wizard_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"reown/wizard"
	"reown/wizard/wizardtest"
)

// TestSignedAgain: the one place where a run signs /boot once more after the chip trusts the owner's key,
// for a disk unlock key behind a restart, signs what that key has signed before; wizardtest's /boot refuses anything
// else. A
// menu that has changed meanwhile leads to no other entry, and other files to no signature.
func TestSignedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*wizardtest.World)
		signs  bool
	}{
		"as it was": {func(*wizardtest.World) {}, true},
		"the menu changed": {func(w *wizardtest.World) { w.Entries = []string{"Evil", "Debian GNU/Linux", "Memory test"} },
			true},
		"the entry is gone": {func(w *wizardtest.World) { w.Entries = []string{"Evil"} }, false},
		"other files":       {func(w *wizardtest.World) { w.Files = "evil" }, false},
	} {
		w, p := wizardtest.New(), newPaper()
		w.Recovery = true
		answers := unproven(w)
		maps.Copy(answers, wantDUK)
		if err := unattended(w, p, answers); !errors.Is(err, wizard.ErrRestart) {
			t.Fatalf("%s: %v", name, err)
		}
		first := slices.Clone(w.SignedSets)
		if len(first) != 1 || string(w.ROM[0]) != string(w.Hints["kexec_reown.asc"]) {
			t.Fatalf("%s: %d sets", name, len(first))
		}
		w.Reboot()
		w.Recovery = false
		c.change(w)
		err := unattended(w, p, nil)
		if (err == nil) != c.signs || c.signs != (len(w.SignedSets) == 2) {
			t.Errorf("%s: %v, %d sets", name, err, len(w.SignedSets))
		}
		for _, s := range w.SignedSets {
			if s.Files != first[0].Files || s.Entry != first[0].Entry {
				t.Errorf("%s: signed %+v after %+v", name, s, first[0])
			}
		}
	}
}
