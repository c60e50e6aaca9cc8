package handover

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Status of one compared value.
type Status string

const (
	Pass        Status = "pass"
	Fail        Status = "fail"
	NotProvided Status = "not provided" // the statement does not say
	NotMeasured Status = "not measured" // the statement says, the machine could not: as bad as Fail
	Unprotected Status = "unprotected"  // equal, by a TPM whose answers anybody on its bus can change
)

// An Item is one line of a comparison.
type Item struct {
	Name   string `json:"name"`  // "rom", "pcr 7", "luks 1f0c…"
	Label  string `json:"label"` // for people
	Want   string `json:"want,omitempty"`
	Got    string `json:"got,omitempty"`
	Status Status `json:"status"`
	Binds  bool   `json:"-"` // identifies this machine and no other
}

// A Comparison is every line, in the order of a screen.
type Comparison []Item

// Measured is what this machine is. Empty values were not measured, or are not there.
type Measured struct {
	Subjects  map[string]string
	Reference Reference
	Bare      bool // nothing protects what the TPM answers: it proves nothing where it is equal
}

// Compare sets what was measured against the statement, line by line.
func (s *Statement) Compare(m Measured) Comparison {
	var c Comparison
	add := func(name, label, want, got string, binds bool) {
		st := NotProvided
		switch {
		case want != "" && got == "":
			st = NotMeasured
		case want != "" && want == got && m.Bare && byTPM(name):
			st, binds = Unprotected, false
		case want != "" && want == got:
			st = Pass
		case want != "":
			st = Fail
		}
		c = append(c, Item{name, label, want, got, st, binds})
	}
	subject := func(n, label string, binds bool) { add(n, label, s.Subjects[n], m.Subjects[n], binds) }
	subject(SubjectEK, "the TPM is the one that was shipped", true)
	subject(SubjectROM, "the firmware in flash", false)
	subject(SubjectBoot, "the files in /boot", false)
	subject(SubjectCard, "the security key is the one that was shipped", true)
	ref := s.Reference
	add("card serial", "serial number of the security key", ref.CardSerial, m.Reference.CardSerial, true)
	pcrs := ref.PCRs
	if len(pcrs) == 0 {
		add("pcrs", "what the firmware measured at start", "", "", false)
	}
	for _, i := range slices.Sorted(maps.Keys(pcrs)) {
		add("pcr "+strconv.Itoa(i), "measurement register "+strconv.Itoa(i), pcrs[i], m.Reference.PCRs[i], false)
	}
	add("srk", "the TPM's storage key", ref.SRKName, m.Reference.SRKName, true)
	add("totp", "the secret for the six digits", ref.TOTP, m.Reference.TOTP, false)
	c = append(c, compareLUKS(ref.LUKS, m.Reference.LUKS)...)
	add("rom keys", "keys that the firmware trusts", keyList(ref.ROMKeys), keyList(m.Reference.ROMKeys), false)
	return c
}

// byTPM says whether a line is about what the TPM answers.
func byTPM(name string) bool {
	return name == "srk" || name == "totp" || name == SubjectEK || strings.HasPrefix(name, "pcr ")
}

func keyList(k []string) string {
	k = slices.Clone(k)
	slices.Sort(k)
	return strings.Join(k, " ")
}

// compareLUKS compares volumes by UUID. A volume that the statement does not know
// is a failure once it lists any: somebody added a disk, perhaps under the UUID of
// another. None of them ties the statement to a machine: a header can be copied.
func compareLUKS(want, got []LUKS) Comparison {
	if len(want) == 0 {
		return Comparison{{Name: "luks", Label: "the encrypted disks", Status: NotProvided}}
	}
	var c Comparison
	left := slices.Clone(got)
	for _, w := range want {
		it := Item{Name: "luks " + w.UUID, Label: "the encrypted disk " + w.UUID, Want: w.KeyDigest}
		i := slices.IndexFunc(left, func(l LUKS) bool { return l.UUID == w.UUID })
		if i >= 0 {
			it.Got = left[i].KeyDigest
			left = slices.Delete(left, i, i+1)
		}
		switch {
		case len(got) == 0 || i >= 0 && w.KeyDigest != "" && it.Got == "":
			it.Status = NotMeasured
		case i < 0 || w.KeyDigest != "" && it.Got != w.KeyDigest:
			it.Status = Fail
		default:
			it.Status = Pass
		}
		c = append(c, it)
	}
	for _, g := range left {
		c = append(c, Item{Name: "luks " + g.UUID, Label: "an encrypted disk that the seller does not mention", Got: g.UUID,
			Status: Fail})
	}
	return c
}

// A MismatchError lists the lines that failed, and those that could not be measured: what
// is not there, or does not answer, is not what was promised.
type MismatchError struct{ Failed Comparison }

func (e *MismatchError) Error() string {
	var names []string
	for _, i := range e.Failed {
		name := i.Name
		if i.Status == NotMeasured {
			name += " (could not be read)"
		}
		names = append(names, name)
	}
	return "this machine is not what the hand-over file says: " + strings.Join(names, ", ")
}

// Count returns how many lines have a status.
func (c Comparison) Count(s Status) (n int) {
	for _, i := range c {
		if i.Status == s {
			n++
		}
	}
	return n
}

// Err is the policy: a *MismatchError if any line failed or could not be measured, also
// ErrOtherMachine if one that identifies the machine failed; ErrNothingCompared if
// nothing that is promised is missing, and no line that identifies the machine passed.
func (c Comparison) Err() error {
	var failed Comparison
	other, bound := false, false
	for _, i := range c {
		if i.Status == Fail || i.Status == NotMeasured {
			failed = append(failed, i)
			other = other || i.Status == Fail && i.Binds &&
				(i.Name == SubjectEK || i.Name == SubjectCard || i.Name == "card serial")
		}
		bound = bound || i.Binds && i.Status == Pass
	}
	switch {
	case other:
		return fmt.Errorf("%w: %w", ErrOtherMachine, &MismatchError{failed})
	case failed != nil:
		return &MismatchError{failed}
	case !bound:
		return ErrNothingCompared
	}
	return nil
}
