package gpgcard

import (
	"errors"
	"fmt"
	"time"
)

// What can go wrong with a card, as far as the caller decides differently.
var (
	// ErrNoReader says that no reader was found at all.
	ErrNoReader = errors.New("no smart card reader or token found")
	// ErrNoCard says that no reader holds an OpenPGP card that matches the selection.
	ErrNoCard = errors.New("no matching OpenPGP card found")
	// ErrSeveralCards says that more than one card matches and none was chosen.
	ErrSeveralCards = errors.New("more than one OpenPGP card found")
	// ErrNoApplet says that the card has no OpenPGP application.
	ErrNoApplet = errors.New("the card has no OpenPGP application")
	// ErrBusy says that another program holds the reader.
	ErrBusy = errors.New("the reader is in use by another program")
	// ErrRemoved says that the card or its reader went away.
	ErrRemoved = errors.New("the card was removed")
	// ErrUnanswered says that a card has not come to the end of a command in half an hour.
	// Whether it has carried it out is not known.
	ErrUnanswered = errors.New("the card has not answered for half an hour")
	// ErrTerminated says that a factory reset was begun on the card and not ended;
	// Reset finishes it.
	ErrTerminated = errors.New("the card is in the middle of a factory reset")
	// ErrNoReset says that the card has no factory reset.
	ErrNoReset = errors.New("the card cannot be reset")
	// ErrResetFailed says that a reset ended, and the card is not as new.
	ErrResetFailed = errors.New("the card was not reset")
	// ErrBlocked says that a PIN was entered wrongly too often.
	ErrBlocked = errors.New("the PIN is blocked")
	// ErrLastTry says that one more wrong PIN would block it, and the caller did
	// not allow that (Card.AllowLastTry).
	ErrLastTry = errors.New("only one try is left for the PIN")
	// ErrPINNeeded says that the card wants a PIN first.
	ErrPINNeeded = errors.New("the card wants a PIN first")
	// ErrTouch says that the button was not touched in time.
	ErrTouch = errors.New("the token was not touched in time")
	// ErrNoKey says that a key slot is empty.
	ErrNoKey = errors.New("there is no key on the card")
	// ErrFalseKey says that what the card has signed just now is not by the key that it says it holds: it
	// was exchanged, or it is broken.
	ErrFalseKey = errors.New("what the card signed is not by the key that it says it holds")
	// ErrKeyMismatch says that the fingerprint or time stored beside a key is not
	// that key's: its generation or import was interrupted.
	ErrKeyMismatch = errors.New("the key on the card does not match the fingerprint stored beside it")
	// ErrWrongCard says that the card does not hold the secret key that is asked for.
	ErrWrongCard = errors.New("this card does not hold that key")
	// ErrTooLarge says that a command does not fit through the card or the reader.
	ErrTooLarge = errors.New("too large for the card or its reader")
	// ErrMalformed says that the card answered something that is not an answer.
	ErrMalformed = errors.New("the card sent a malformed answer")
	// ErrBadSignature says that a signature does not verify.
	ErrBadSignature = errors.New("bad signature")
	// ErrBadCert says that a certificate cannot be used.
	ErrBadCert = errors.New("unusable OpenPGP certificate")
)

// A PINError says that the card refused a PIN.
type PINError struct {
	Which PIN
	Left  int // tries left; -1 when the card does not tell
}

func (e *PINError) Error() string {
	switch {
	case e.Left < 0:
		return fmt.Sprintf("wrong %v", e.Which)
	case e.Left == 0:
		return fmt.Sprintf("wrong %v, which is blocked now", e.Which)
	case e.Left == 1:
		return fmt.Sprintf("wrong %v, one try left", e.Which)
	}
	return fmt.Sprintf("wrong %v, %d tries left", e.Which, e.Left)
}

// Unwrap makes a PINError without tries left an ErrBlocked.
func (e *PINError) Unwrap() error {
	if e.Left == 0 {
		return ErrBlocked
	}
	return nil
}

// A PINLengthError says that a new PIN is too short or too long for this card.
type PINLengthError struct {
	Which    PIN
	Len      int // bytes
	Min, Max int // bytes
	Reason   string
	// Refused: the card itself said no, whatever Min and Max are.
	Refused bool
}

func (e *PINLengthError) Error() string {
	if e.Refused && e.Len >= e.Min && e.Len <= e.Max {
		return fmt.Sprintf("the card refuses a %v of %d bytes, or any change in its present state; it says that it takes %d to %d", e.Which, e.Len, e.Min, e.Max)
	}
	s := fmt.Sprintf("the %v has %d bytes; this card takes %d to %d", e.Which, e.Len, e.Min, e.Max)
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	return s
}

// A HalfSetError says that the new admin PIN is in force and the new user PIN is not.
type HalfSetError struct {
	Err  error // why the user PIN could not be set
	Back error // why the admin PIN could not be put back
}

func (e *HalfSetError) Error() string {
	return fmt.Sprintf("the new admin PIN is in force, the user PIN is as before: %v (putting the admin PIN back: %v)",
		e.Err, e.Back)
}

// Unwrap returns the user PIN's error.
func (e *HalfSetError) Unwrap() error { return e.Err }

// An AlgorithmError says that a slot does not take an algorithm.
type AlgorithmError struct {
	Slot      Slot
	Algorithm Algorithm
	Detail    string
	Err       error // what the card answered; may be nil
}

func (e *AlgorithmError) Error() string {
	s := fmt.Sprintf("the card does not offer %v for its %v key", e.Algorithm, e.Slot)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *AlgorithmError) Unwrap() error { return e.Err }

// A ClockError says that the computer's clock is wrong for certain.
type ClockError struct {
	Now      time.Time
	Earliest time.Time // a moment that has certainly passed
	Why      string
}

func (e *ClockError) Error() string {
	return fmt.Sprintf("the clock says %s, which is before %s (%s)", e.Now.UTC().Format("2006-01-02 15:04"),
		e.Earliest.UTC().Format("2006-01-02 15:04"), e.Why)
}

// A StatusError is a status word that the package has no better name for.
type StatusError struct {
	Command string
	SW      uint16
}

func (e *StatusError) Error() string {
	if s := swNames[e.SW]; s != "" {
		return fmt.Sprintf("%s: the card answered %04X (%s)", e.Command, e.SW, s)
	}
	return fmt.Sprintf("%s: the card answered %04X", e.Command, e.SW)
}

// Unwrap names the status words on which callers decide.
func (e *StatusError) Unwrap() error {
	switch e.SW {
	case swTerminated:
		return ErrTerminated
	case swSecurity:
		return ErrPINNeeded
	case swBlocked:
		return ErrBlocked
	case swTouch:
		return ErrTouch
	}
	return nil
}

// Status words (ISO 7816-4; clause 7.1).
const (
	swOK          = 0x9000
	swTerminated  = 0x6285
	swWrongPIN    = 0x6300 // a Nitrokey 3's word when it is told to change a PIN
	swTouch       = 0x6600
	swMemory      = 0x6581
	swWrongLength = 0x6700
	swSecurity    = 0x6982
	swBlocked     = 0x6983
	swConditions  = 0x6985
	swWrongData   = 0x6a80
	swNotFound    = 0x6a82
	swNoRecord    = 0x6a83
	swMemoryFull  = 0x6a84
	swWrongP1P2   = 0x6a86
	swRefNotFound = 0x6a88
	swWrongParams = 0x6b00
	swNoINS       = 0x6d00
	swNoCLA       = 0x6e00
	swFailed      = 0x6f00
)

var swNames = map[uint16]string{
	swTerminated: "terminated", swTouch: "not touched, or a security function failed", swMemory: "memory failure",
	swWrongLength: "wrong length", swSecurity: "a PIN is needed or wrong", swBlocked: "blocked",
	swConditions: "conditions of use not satisfied", swWrongData: "wrong data", swNotFound: "not found",
	swMemoryFull: "not enough memory", swWrongP1P2: "wrong parameters", swRefNotFound: "no such object or key",
	swWrongParams: "wrong parameters", swNoINS: "unknown command", swNoCLA: "unknown class", swFailed: "failed",
}

// isStatus reports that err is a given status word.
func isStatus(err error, sw uint16) bool {
	var s *StatusError
	return errors.As(err, &s) && s.SW == sw
}

// absent reports that a card does not have an object. Makers answer differently.
func absent(err error) bool {
	for _, sw := range []uint16{swRefNotFound, swWrongParams, swNotFound, swNoRecord, swWrongP1P2, swNoINS} {
		if isStatus(err, sw) {
			return true
		}
	}
	return false
}
