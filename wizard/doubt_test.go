package wizard_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// A device that can be read in more ways than one stops the run until the person leaves it as it is, by
// name. The certificate names it, and counts the row as not held.
func TestDoubtfulDevice(t *testing.T) {
	why := errors.New("a partition table stands beside it")
	for _, cut := range []string{"", "disk.end"} {
		w := wizardtest.New()
		w.Doubtful = []wizard.Doubt{{Path: "/dev/sd\nb", Err: why}}
		r, err := wizard.Status(t.Context(), w.Machine())
		if err != nil || !slices.ContainsFunc(r.Problems, func(p wizard.ProblemReport) bool {
			return p.Kind == wizard.DiskAmbiguous && p.Remedies[0] == wizard.LeaveOut
		}) {
			t.Errorf("status: %+v, %v", r.Problems, err)
		}
		if err := wizard.RunStep(t.Context(), w.Machine(), "card", wizard.Choices{}, &wizard.Keys{}, nil); err == nil ||
			len(changed(w)) > 0 {
			t.Errorf("a step: %v, %v", err, changed(w))
		}
		p := wizardtest.NewPerson(w)
		p.Say["problems"] = ui.Leave
		if err := wizardtest.Run(w, wizardtest.Bare(p), "en"); !errors.Is(err, ui.ErrLeft) || len(changed(w)) > 0 {
			t.Fatalf("left: %v, %v", err, changed(w))
		}
		p.Say["problems"] = "leave-out"
		seen := ""
		u := &onPage{UI: wizardtest.Bare(p), key: "problems", look: func(pg *ui.Page) {
			for _, b := range pg.Body {
				seen += b.Text + "\n"
			}
		}}
		if cut != "" {
			w.Fault = func(op string) error {
				if op == cut {
					return wizardtest.ErrCut
				}
				return nil
			}
			if err := wizardtest.Run(w, u, "en"); err == nil {
				t.Fatal("was not cut")
			}
			w.Fault = nil
			w.Reboot()
		}
		if err := wizardtest.Run(w, u, "en"); err != nil { // the receipt remembers
			t.Fatalf("cut at %q: %v, %v", cut, err, p.Pages)
		}
		if !strings.Contains(seen, `/dev/sd\nb looks`) || !strings.Contains(seen, why.Error()) {
			t.Errorf("the page says\n%s", seen)
		}
		var c wizard.Certificate
		if err := json.Unmarshal(w.Hints["kexec_reown.certificate.json"], &c); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.Alone, []string{"/dev/sd\nb"}) ||
			!slices.ContainsFunc(c.Checks, func(k wizard.Check) bool { return k.ID == "all-encrypted" && !k.OK }) {
			t.Errorf("the certificate: %q, %+v", c.Alone, c.Checks)
		}
		if text := string(w.Hints["kexec_reown.certificate"]); !strings.Contains(strings.Join(strings.Fields(text), " "),
			`/dev/sd\nb: nobody can tell`) {
			t.Errorf("its text:\n%s", text)
		}
	}
}
