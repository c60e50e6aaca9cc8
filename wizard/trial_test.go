package wizard_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/wizardtest"
)

// otherSlots says that the keyslots are others.
type otherSlots struct{ wizard.Disk }

func (otherSlots) SlotsDigest(context.Context) (string, error) { return "others", nil }

// TestTriedBefore: a run that goes on after a restart does not know the passphrases of before any more.
// That they open nothing is said with the day when it was tried, while the keyslots are the same, and
// not otherwise.
func TestTriedBefore(t *testing.T) {
	for name, c := range map[string]struct {
		cut    string
		others bool
		ok     bool
		since  bool
	}{
		"in one start":                     {"", false, true, false},
		"continued":                        {"tpm.clear", false, true, true},
		"continued, with other keyslots":   {"tpm.clear", true, false, false},
		"continued before it was tried":    {"disk.chunk", false, false, false},
		"tried in this start, other slots": {"", true, true, false},
	} {
		w, p := wizardtest.New(), newPaper()
		if c.cut != "" {
			w.Fault = func(op string) error {
				if op == c.cut {
					return wizardtest.ErrCut
				}
				return nil
			}
			if err := unattended(w, p, nil); err == nil {
				t.Fatalf("%s: not cut", name)
			}
			w.Reboot()
		}
		m := w.Machine()
		if c.others {
			m.Disks[0] = otherSlots{m.Disks[0]}
		}
		u := yes(w, p, nil)
		err := wizard.Run(t.Context(), m, u, wizard.Options{})
		u.Close()
		var cert wizard.Certificate
		if err != nil || json.Unmarshal(w.Hints["kexec_reown.certificate.json"], &cert) != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		row := cert.Checks[0]
		if row.ID != "passphrase" || row.OK != c.ok || (row.Since != "") != c.since || row.Tried != c.ok {
			t.Errorf("%s: %+v", name, row)
		}
		slots, err := w.Machine().Disks[0].SlotsDigest(t.Context())
		if err != nil || (len(cert.Trials) == 1) != c.ok || c.ok &&
			(cert.Trials[0].Slots != slots || cert.Trials[0].UUID != w.Disks[0].UUID || cert.Trials[0].Tried == "") {
			t.Errorf("%s: %+v, %v", name, cert.Trials, err)
		}
		if text := cert.Text(msg.EN); strings.Contains(text, "tried on 2026-11-22") != c.since ||
			strings.Contains(text, slots) != c.ok {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}
