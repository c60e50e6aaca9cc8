package wizard

import (
	"errors"

	"reown/wizard/msg"
	"reown/wizard/ui"
)

// ErrRestart says that a run goes on after a restart of the computer: the TPM asks for
// one, or what is sealed in it can only be sealed in another start than this one.
var ErrRestart = errors.New("the run goes on after a restart of the computer")

// afterRestart is the state of a step that this start cannot do. The steps that do not
// need it are done without it; the hand-over stays open until a later start has done
// it.
func afterRestart() State {
	return State{Status: ui.CannotStart, Detail: msg.AfterRestart, Later: true}
}

// putOff says whether something that belongs into the TPM before the hand-over is
// closed can only be sealed in a later start.
func (s *Snapshot) putOff() (bool, error) {
	if s.m.TPM == nil {
		return false, nil
	}
	ok, err := s.Sealed()
	switch {
	case errors.Is(err, ErrSealImpossible):
		return true, nil
	case err != nil:
		return false, err
	case !ok:
		return false, ErrNotPrepared
	}
	st, err := probeDUK(s)
	if err == nil && !st.Later && !finished(st) {
		err = ErrNotPrepared
	}
	return st.Later, err
}
