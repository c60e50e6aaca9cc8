package wizard

import (
	"context"
	"errors"
	"slices"

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

// phase decides what the machine is in, from what is measured alone.
//
// The firmware is rewritten only after every other step but the last is done. So
// when it trusts the owner's key already, all that may be left is the commit; if
// anything else is missing, somebody changed a finished machine.
func (s *Snapshot) phase() (Phase, string, error) {
	trigger, err := s.m.Boot.Triggered(s.ctx)
	if err != nil {
		return "", "", err
	}
	if !trigger {
		return Idle, "", nil
	}
	holds, err := s.Holds()
	if err != nil {
		return "", "", err
	}
	if holds {
		return s.phaseOwned()
	}
	if cert, err := s.HintCert(); err == nil && s.finishedBefore(cert) {
		return Tampered, whyFinished, nil
	}
	if s.flashing() {
		return Interrupted, "", nil
	}
	h, err := s.Handover()
	if err != nil {
		return "", "", err
	}
	if h.Tampering {
		return Tampered, h.Why, nil
	}
	if _, err := s.Owner(); err == nil {
		return Interrupted, "", nil
	}
	disks, err := s.Disks()
	if err != nil {
		return "", "", err
	}
	if slices.ContainsFunc(disks, func(d DiskInfo) bool { return d.Reencrypting }) {
		return Interrupted, "", nil
	}
	return HandedOver, "", nil
}

const whyFinished = "the run that made this machine yours had finished, and /boot/oem has appeared again"

// flashing says whether all is ready for the firmware chip to be written. The chip
// may then be cut half way, with a keyring that is neither the seller's nor the
// owner's, or none; that is no tampering.
func (s *Snapshot) flashing() bool {
	if _, err := s.Owner(); err != nil {
		return false
	}
	st, err := probeBoot(s)
	return err == nil && st.Status == ui.Completed
}

// phaseOwned is phase for a machine whose firmware trusts exactly the certificate
// that a run stored in /boot.
func (s *Snapshot) phaseOwned() (Phase, string, error) {
	cert, err := s.HintCert()
	if err != nil {
		return "", "", err
	}
	if s.finishedBefore(cert) {
		return Tampered, whyFinished, nil
	}
	live, err := s.Live()
	if err != nil {
		return "", "", err
	}
	staged, err := s.Staged()
	if err != nil {
		return "", "", err
	}
	if !live && !staged {
		return Tampered, "the firmware trusts your key, but the files in /boot are not as you signed them", nil
	}
	if _, err := s.Owner(); err != nil {
		if _, cardErr := s.Card(); errors.Is(cardErr, ErrNoCard) {
			return Interrupted, "", nil // asks for the key first
		}
		return Tampered, "the firmware trusts a key that the security key in the reader does not hold", nil
	}
	r, err := readReceipt(s.ctx, s.m, cert)
	if err != nil {
		return Tampered, "the firmware trusts your key, and no run of this program is under way", nil
	}
	if s.m.TPM != nil {
		t, err := s.TPM()
		if err != nil {
			return "", "", err
		}
		if t.root() != r.SRK {
			return Tampered, "the TPM was cleared after it had been made yours", nil
		}
	}
	return Interrupted, "", nil
}

// finishedBefore says whether a certificate of a finished run, signed by cert, is
// stored in /boot.
func (s *Snapshot) finishedBefore(cert []byte) bool {
	_, err := readCertificate(s.ctx, s.m, cert)
	return err == nil
}
