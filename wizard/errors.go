package wizard

import (
	"errors"
	"fmt"
	"strings"

	"reown/wizard/msg"
)

// Errors of a run.
var (
	ErrNothingToDo = errors.New("there is nothing to do: /boot/oem is not there")
	ErrTampering   = errors.New("/boot/oem lies on a machine that already has an owner")
	ErrNotVerified = errors.New("it could not be shown that the computer is the one that was sent")
	ErrPaused      = errors.New("paused; continue at the next start")
	ErrNotPrepared = errors.New("the steps before this one are not done")
	ErrOtherCard   = errors.New("the security key is another one than the seller lists")
	ErrLocked      = errors.New("the program already runs on another console")
)

// PreflightError lists everything that must be put right before a run.
type PreflightError struct{ Problems []Problem }

func (e *PreflightError) Error() string {
	var t []string
	for _, p := range e.Problems {
		t = append(t, p.What.In(msg.EN, p.Args...))
	}
	return "not ready: " + strings.Join(t, "; ")
}

// Unwrap returns what of the problems programs know.
func (e *PreflightError) Unwrap() (all []error) {
	for _, p := range e.Problems {
		if p.Err != nil {
			all = append(all, p.Err)
		}
	}
	return all
}

// RunOpenError says that a run is open, and whose: the seller's list cannot hold any more.
type RunOpenError struct{ Owner string }

func (e *RunOpenError) Error() string {
	return "not compared with what was shipped: a run is open here, begun with the key " + e.Owner
}

// StepError says which step failed.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return fmt.Sprintf("step %s: %v", e.Step, e.Err) }
func (e *StepError) Unwrap() error { return e.Err }

// NotDoneError says that a step reported success, but the machine does not show it.
type NotDoneError struct{ Step string }

func (e *NotDoneError) Error() string {
	return fmt.Sprintf("step %s ended without an error, but measuring the machine does not show it as done", e.Step)
}

// UnknownStepError names a step that there is not.
type UnknownStepError struct{ Name string }

func (e *UnknownStepError) Error() string { return fmt.Sprintf("there is no step %q", e.Name) }
