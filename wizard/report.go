package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	Unread      Phase = "unknown"     // a device that tells does not answer
	Tampered    Phase = "tampering"   // /boot/oem, or what it leads to, is not what a seller or an interrupted run leaves
)

// Report is the machine as measured. Its JSON form is a contract: fields are added,
// never changed (docs/wizard.md).
type Report struct {
	Schema   string          `json:"schema"` // statusSchema
	Board    string          `json:"board"`
	Phase    Phase           `json:"phase"`
	Why      string          `json:"why,omitempty"` // for tampering: what was seen; for unknown: what does not answer
	Steps    []StepReport    `json:"steps"`
	Next     string          `json:"next,omitempty"` // ID of the first step that is not done
	Problems []ProblemReport `json:"problems"`
	Handover Handover        `json:"handover"`
	Anchors  AnchorReport    `json:"anchors"`
	// Certificate is that of a finished run, as it holds today; nil: none by the firmware's one key.
	Certificate *Recheck `json:"certificate,omitempty"`
	// Cause is the error behind Unread.
	Cause error `json:"-"`
}

// AnchorReport is what tells whether a run is open, from where /boot cannot reach.
type AnchorReport struct {
	TPM        string `json:"tpm"`                  // the owner's area: see areaWords
	Card       string `json:"card"`                 // the security key's count against the receipt: see countWords
	Signatures uint32 `json:"signatures,omitempty"` // that the key in the reader has made, as it counts
	Receipt    uint32 `json:"receipt,omitempty"`    // the number of the receipt's own signature
}

// areaWords and countWords are an anchor for programs, and for people.
var areaWords = [...][2]string{
	judge.AnchorUnknown: {"unknown", "the owner's area in the TPM cannot be read"},
	judge.AnchorNoTPM:   {"none", "no TPM that can keep an area of the owner's"},
	judge.AnchorAbsent:  {"absent", "no run has made the owner's area in the TPM"},
	judge.AnchorOpen:    {"open", "the TPM says that a run is open"},
	judge.AnchorClosing: {"closing", "the TPM says that a run is over but for its last second"},
	judge.AnchorClosed:  {"closed", "the TPM says that a run is over"},
	judge.AnchorGone:    {"gone", "the TPM was reset after the run had made the owner's area in it"},
	judge.AnchorForeign: {"foreign", "the TPM tells of another run than the receipt in /boot"},
}

var countWords = [...][2]string{
	judge.CountUnknown:  {"unknown", "the security key cannot be read"},
	judge.CountNoCard:   {"no card", "no security key is plugged in"},
	judge.CountOtherKey: {"other key", "the security key has not signed the receipt in /boot"},
	judge.CountNone:     {"does not count", "the security key does not count its signatures, or not this receipt's"},
	judge.CountWithin:   {"within", "the receipt in /boot is the security key's newest"},
	judge.CountBeyond:   {"beyond", "the security key has signed more since the receipt in /boot: it is an old one"},
}

const noReceipt = "no receipt"

// Words are the two anchors for people.
func (a AnchorReport) Words() (tpm, card string) {
	text := func(all [][2]string, word string) string {
		if i := slices.IndexFunc(all, func(w [2]string) bool { return w[0] == word }); i >= 0 {
			return all[i][1]
		}
		return word
	}
	if card = "no receipt of a run is in /boot"; a.Card != noReceipt {
		card = text(countWords[:], a.Card)
	}
	switch {
	case a.Receipt > 0 && a.Signatures > 0:
		card += fmt.Sprintf(" (signature %d; it has made %d)", a.Receipt, a.Signatures)
	case a.Signatures > 0:
		card += fmt.Sprintf("; the security key has made %d signatures", a.Signatures)
	}
	return text(areaWords[:], a.TPM), card
}

func (s *Snapshot) anchors() AnchorReport {
	p := s.Past()
	r := AnchorReport{TPM: areaWords[p.Anchor][0], Card: countWords[p.Count][0], Receipt: p.number}
	if p.Receipt == judge.ReceiptNone {
		r.Card = noReceipt
	}
	if c, err := s.Card(); err == nil {
		r.Signatures = c.Signatures
	}
	return r
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
	if r.Phase, r.Why = phase, why.In(msg.EN); err != nil {
		r.Phase, r.Why, r.Cause = Unread, strings.Join(slices.Compact(strings.Split(err.Error(), "\n")), "; "), err
	}
	r.Handover, _ = s.Handover()
	s.tampering(&r.Handover)
	r.Anchors = s.anchors()
	if phase == Idle {
		r.Certificate, _ = Certified(ctx, m, "")
	}
	for _, st := range Steps() {
		state := probe(st, s)
		row := StepReport{ID: st.ID, Title: st.Title.In(msg.EN), Status: statusNames[state.Status],
			Detail: state.Detail.In(msg.EN, state.Args...),
			Done:   state.Done, Total: state.Total, Does: st.Does.In(msg.EN), Loses: st.Loses.In(msg.EN)}
		if r.Next == "" && !finished(state) && phase != Idle && r.Cause == nil {
			r.Next = st.ID
		}
		if r.Certificate != nil {
			row.since(r.Certificate)
		}
		r.Steps = append(r.Steps, row)
	}
	if r.Certificate != nil { // nothing is to be done
		return r, nil
	}
	for _, p := range preflight(s, Choices{}, false) {
		row := ProblemReport{ID: p.ID, Kind: p.Kind, What: p.What.In(msg.EN, p.Args...),
			Remedy: p.Remedies[0].Text.In(msg.EN)}
		for _, x := range p.Remedies {
			row.Remedies = append(row.Remedies, x.Action)
		}
		r.Problems = append(r.Problems, row)
	}
	return r, nil
}

// OpenRun is a *RunOpenError where the owner's own run has changed what the seller has signed, or
// may have; nil: none that the devices confirm.
func OpenRun(ctx context.Context, m *Machine) error {
	s := measure(ctx, m)
	if phase, _, err := s.phase(); err != nil || phase != Interrupted {
		return nil
	}
	cert, _, err := s.ownership()
	if err != nil {
		return nil
	}
	fprs, err := m.PGP.Fingerprints(cert)
	if err != nil {
		return nil
	}
	return &RunOpenError{fprs[0]}
}

// since is what became of a step since its run has ended: what of it can be measured without the
// owner's secrets, as in the certificate, the rest as the certificate says.
func (row *StepReport) since(c *Recheck) {
	row.Done, row.Total = 0, 0
	found := false
	for _, i := range c.Items {
		if i.ID != row.ID {
			continue
		}
		status, detail := statusNames[ui.Completed], i.Detail
		switch i.Verdict {
		case Fail:
			status = statusNames[ui.Trouble]
		case Changed:
			detail += ": changed since " + c.Date + " by somebody who holds a key that the firmware trusts"
		}
		if found && row.Status == statusNames[ui.Trouble] && i.Verdict != Fail {
			continue
		}
		row.Status, row.Detail, found = status, detail, true
	}
	if !found && row.Status != statusNames[ui.NotNeeded] {
		row.Status, row.Detail = statusNames[ui.Completed], "as the certificate says"
	}
}

// phase is what the machine is in, from what is measured alone, and why where that is no run.
func (s *Snapshot) phase() (Phase, msg.Said, error) {
	v := decide(s.Facts(judge.Said{}, judge.PaperUnknown))
	switch v.Phase {
	case judge.Idle, judge.Finished:
		return Idle, msg.Said{}, nil
	case judge.Delivered:
		return HandedOver, msg.Said{}, nil
	case judge.Begun, judge.Flashing, judge.Owned, judge.Closing:
		return Interrupted, msg.Said{}, nil
	case judge.Unexplained:
		if v.Reasons[0] == judge.TouchedTrigger { // whose the chip's key is, a person can say
			return HandedOver, msg.Said{}, nil
		}
	case judge.Unknown:
		if v.Reasons[0] == judge.CardIsNeeded {
			return Interrupted, msg.Said{}, nil
		}
		if v.Silent {
			return Idle, msg.Said{}, nil
		}
		if err := s.unread(); err != nil {
			return "", msg.Said{}, err
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
func why(r judge.Reason) msg.Said {
	if m, ok := whys[r]; ok {
		return msg.Say(m)
	}
	return msg.Say(msg.Technical, r.String())
}

var whys = map[judge.Reason]msg.M{
	judge.TouchedTrigger:     msg.WhyTouchedTrigger,
	judge.TriggerIsOdd:       msg.WhyTriggerIsOdd,
	judge.SignedTrigger:      msg.WhySignedTrigger,
	judge.AreaIsClosed:       msg.WhyAreaIsClosed,
	judge.ReceiptIsOld:       msg.WhyReceiptIsOld,
	judge.CardHasOtherKey:    msg.WhyCardHasOtherKey,
	judge.CardDoesNotCount:   msg.WhyCardDoesNotCount,
	judge.ChipTrustsNobody:   msg.WhyChipTrustsNobody,
	judge.ChipTrustsSeveral:  msg.WhyChipTrustsSeveral,
	judge.ChipIsHalfAndNoRun: msg.WhyChipIsHalfAndNoRun,
	judge.ReleaseBegun:       msg.WhyReleaseBegun,
	judge.UnreadAnchor:       msg.WhyUnreadAnchor,
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
