package wizard

import (
	"context"
	"errors"

	"reown/internal/judge"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// Phase is what the machine as a whole is in.
type Phase string

// The phases.
const (
	Idle        Phase = "idle"        // no /boot/oem: nothing to do
	HandedOver  Phase = "handed over" // waiting for its owner; nothing was begun
	Interrupted Phase = "interrupted" // a run was begun and not finished
	Tampered    Phase = "tampering"   // /boot/oem, or what it leads to, is not what a seller or an interrupted run leaves
)

// Report is the machine as measured. Its JSON form is a contract: fields are added,
// never changed (docs/wizard.md).
type Report struct {
	Schema   string          `json:"schema"` // statusSchema
	Board    string          `json:"board"`
	Phase    Phase           `json:"phase"`
	Why      string          `json:"why,omitempty"` // for tampering
	Steps    []StepReport    `json:"steps"`
	Next     string          `json:"next,omitempty"` // ID of the first step that is not done
	Problems []ProblemReport `json:"problems"`
	Handover Handover        `json:"handover"`
}

const statusSchema = "reown/status/v1"

// StepReport is one row of a Report.
type StepReport struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Status string `json:"status"` // completed, in progress, not started, cannot start, problem, not needed
	Detail string `json:"detail,omitempty"`
	Done   int64  `json:"done,omitempty"` // bytes, of the disk step
	Total  int64  `json:"total,omitempty"`
	Does   string `json:"does"`
	Loses  string `json:"loses,omitempty"`
}

// ProblemReport is something that must be put right before a run.
type ProblemReport struct {
	ID     string `json:"id"`   // which device
	Kind   Kind   `json:"kind"` // a word that stays the same
	What   string `json:"what"`
	Remedy string `json:"remedy"` // the first of the remedies, in words
	// Remedies are what can be done, in the order in which to try it.
	Remedies []Action `json:"remedies"`
}

var statusNames = map[ui.TaskState]string{
	ui.NotStarted: "not started", ui.InProgress: "in progress", ui.Completed: "completed",
	ui.CannotStart: "cannot start", ui.Trouble: "problem", ui.NotNeeded: "not needed",
}

// Status measures the machine and reports in English; it writes nothing. A device
// that cannot be read makes its steps a "problem" and is no error.
func Status(ctx context.Context, m *Machine) (Report, error) {
	s := measure(ctx, m)
	r := Report{Schema: statusSchema, Board: m.Platform.Board(), Problems: []ProblemReport{}}
	phase, why, err := s.phase()
	if err != nil {
		return r, err
	}
	r.Phase, r.Why = phase, why
	r.Handover, _ = s.Handover()
	s.tampering(&r.Handover)
	for _, st := range Steps() {
		state := probe(st, s)
		row := StepReport{ID: st.ID, Title: st.Title.In(msg.EN), Status: statusNames[state.Status], Detail: state.Detail.In(msg.EN, state.Args...),
			Done: state.Done, Total: state.Total, Does: st.Does.In(msg.EN), Loses: st.Loses.In(msg.EN)}
		if r.Next == "" && !finished(state) && phase != Idle {
			r.Next = st.ID
		}
		r.Steps = append(r.Steps, row)
	}
	for _, p := range preflight(s, Choices{}, false) {
		row := ProblemReport{ID: p.ID, Kind: p.Kind, What: p.What.In(msg.EN, p.Args...), Remedy: p.Remedies[0].Text.In(msg.EN)}
		for _, x := range p.Remedies {
			row.Remedies = append(row.Remedies, x.Action)
		}
		r.Problems = append(r.Problems, row)
	}
	return r, nil
}

// phase is what the machine is in, from what is measured alone, and why where that is no run.
func (s *Snapshot) phase() (Phase, string, error) {
	v := decide(s.Facts(judge.Said{}, judge.PaperUnknown))
	switch v.Phase {
	case judge.Idle, judge.Finished:
		return Idle, "", nil
	case judge.Delivered:
		return HandedOver, "", nil
	case judge.Begun, judge.Flashing, judge.Owned, judge.Closing:
		return Interrupted, "", nil
	case judge.Unexplained:
		if v.Reasons[0] == judge.TouchedTrigger { // whose the chip's key is, a person can say
			return HandedOver, "", nil
		}
	case judge.Unknown:
		if v.Reasons[0] == judge.CardIsNeeded {
			return Interrupted, "", nil
		}
		if v.Silent {
			return Idle, "", nil
		}
		if err := s.unread(); err != nil {
			return "", "", err
		}
	}
	return Tampered, why(v.Reasons[0]), nil
}

// unread is why something could not be measured; nil: no device says so.
func (s *Snapshot) unread() error {
	_, card := s.Card()
	if errors.Is(card, ErrNoCard) {
		card = nil
	}
	_, hand := s.Handover()
	_, disks := s.Disks()
	_, tpm := s.tpmIfAny()
	_, fw := s.Firmware()
	return errors.Join(card, hand, disks, tpm, fw)
}

// why says a reason in a few words.
func why(r judge.Reason) string {
	if text, ok := whys[r]; ok {
		return text
	}
	return r.String()
}

var whys = map[judge.Reason]string{
	judge.TouchedTrigger:     "/boot/oem was put there after signing, and no run of this program is open",
	judge.TriggerIsOdd:       "/boot/oem, or what it lies among, is not what was signed",
	judge.SignedTrigger:      "the firmware trusts the key of this computer's owner, who has signed /boot/oem",
	judge.AreaIsClosed:       "the run that made this machine yours is over, as the TPM says, and /boot/oem has appeared again",
	judge.ReceiptIsOld:       "the run that made this machine yours is over, as the security key says, and /boot/oem has appeared again",
	judge.CardHasOtherKey:    "the firmware trusts a key that the security key in the reader does not hold",
	judge.CardDoesNotCount:   "the security key does not count its signatures, so that nobody can tell whether a run is open",
	judge.ChipTrustsNobody:   "the firmware trusts no key at all",
	judge.ChipTrustsSeveral:  "the firmware trusts more than one key, and nothing says whose they are",
	judge.ChipIsHalfAndNoRun: "the firmware chip is half written, and no run of this program is open",
	judge.ReleaseBegun:       "this computer is being given up",
	judge.UnreadAnchor:       "the TPM does not say whether a run is open",
}

// flashing says whether the firmware chip may be half written, by an open run: it then has a keyring
// that is neither the seller's nor the owner's, or none, and that is no tampering.
func (s *Snapshot) flashing() bool {
	p, _ := phaseOf(s.Past().History)
	return p == judge.Flashing || p == judge.Begun && s.Past().Stage == judge.StageOurs
}

// Detect says whether there is something to do: /boot/oem asks for a run, or one is open without it.
// Without either it is fast, and reads nothing but two names in /boot.
func Detect(ctx context.Context, m *Machine) (bool, error) {
	if trigger, err := m.Boot.Triggered(ctx); err != nil || trigger {
		return trigger, err
	}
	if _, err := m.Boot.ReadHint(ctx, hintReceipt); errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	v := Judge(ctx, m)
	return v.Phase.Running() || v.Says(judge.CardIsNeeded), nil
}
