package laptop

import (
	"testing"

	"reown/internal/handover"
	"reown/wizard"
)

// A line that was promised and could not be measured weighs as one that differs, and does
// not hide behind one of the same device that matched. What a TPM says that protects
// nothing counts neither way.
func TestFold(t *testing.T) {
	line := func(name string, s handover.Status) handover.Item {
		return handover.Item{Name: name, Label: name, Status: s}
	}
	for _, c := range []struct {
		lines handover.Comparison
		want  wizard.Verdict
	}{
		{handover.Comparison{line("rom", handover.Pass), line("pcr 2", handover.Pass)}, wizard.Pass},
		{handover.Comparison{line("rom", handover.Pass), line("pcr 2", handover.NotMeasured)}, wizard.Fail},
		{handover.Comparison{line("rom", handover.NotMeasured)}, wizard.Fail},
		{handover.Comparison{line("rom", handover.Pass), line("pcr 2", handover.Unprotected)}, wizard.Pass},
		{handover.Comparison{line("rom", handover.NotProvided), line("pcr 2", handover.Unprotected)}, wizard.NotProvided},
		{handover.Comparison{line("rom", handover.Fail), line("pcr 2", handover.NotMeasured)}, wizard.Fail},
		{handover.Comparison{line("rom", handover.NotProvided)}, wizard.NotProvided},
	} {
		for _, i := range fold(c.lines, nil) {
			if i.ID == "firmware" && i.Verdict != c.want {
				t.Errorf("%v: %s, want %s", c.lines, i.Verdict, c.want)
			}
		}
	}
}
