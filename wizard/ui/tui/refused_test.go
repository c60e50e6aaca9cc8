package tui

import (
	"testing"

	"reown/internal/secret"
	"reown/wizard/ui"
)

// TestRefused: the cursor goes to the line that is wrong, else to the first; a secret that nobody sees is
// cleared, one that is shown while it is typed stays to be corrected.
func TestRefused(t *testing.T) {
	buffer := func() *secret.Buffer {
		b := secret.New(32)
		b.SetLen(0)
		return b
	}
	name, hidden, shown := &ui.Input{Key: "name"}, &ui.Input{Key: "pin", Secret: buffer(), Max: 32},
		&ui.Input{Key: "words", Secret: buffer(), Shown: true, Max: 32}
	v := newPage(t.Context(), &UI{}, &ui.Page{Inputs: []*ui.Input{name, hidden, shown}})
	defer v.wipe()
	for _, c := range []struct {
		err   error
		focus int
	}{{ui.At(shown, "word 3"), 2}, {ui.At(hidden, "no"), 1}, {ui.Problem("no"), 0}} {
		for _, f := range v.fields {
			for _, r := range "Zauber" {
				if f.len() < 6 {
					f.add(r)
				}
			}
		}
		v.refused(c.err)
		if v.focus != c.focus || v.message != c.err.Error() {
			t.Errorf("%v: the cursor is in line %d, and the page says %q", c.err, v.focus, v.message)
		}
		if v.fields[0].len() != 6 || v.fields[1].len() != 0 || v.fields[2].len() != 6 {
			t.Errorf("%v: what is left: %d, %d, %d", c.err, v.fields[0].len(), v.fields[1].len(), v.fields[2].len())
		}
	}
}
