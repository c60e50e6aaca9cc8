package tpm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Decisions a caller may take. Each has its text for people in cmd/reown.
var (
	ErrNoTPM           = errors.New("no TPM found")
	ErrBusy            = errors.New("the TPM is in use by another program")
	ErrNotStarted      = errors.New("the firmware has not started the TPM")
	ErrBroken          = errors.New("the TPM reports a hardware failure")
	ErrProtocol        = errors.New("malformed TPM reply")
	ErrTampered        = errors.New("the TPM's reply does not verify")
	ErrNotSetUp        = errors.New("the TPM has no storage root key")
	ErrPlatformLocked  = errors.New("the TPM can only be cleared by the firmware, right after a restart")
	ErrSwitchedOff     = errors.New("the TPM is switched off")
	ErrRestartNeeded   = errors.New("the TPM needs a restart of the computer")
	ErrWrongOwner      = errors.New("wrong TPM owner passphrase")
	ErrWrongPassphrase = errors.New("wrong passphrase for the sealed key")
	ErrBadPassphrase   = errors.New("passphrase has a form that the TPM cannot take")
	ErrPCRMismatch     = errors.New("the measurements differ from those the secret was sealed to")
	ErrNotSealed       = errors.New("no secret is sealed here")
	ErrNoCounter       = errors.New("no such rollback counter")
	ErrCounterBusy     = errors.New("another counter was already used since the last restart")
	ErrNVFull          = errors.New("no room left in the TPM")
	ErrNoBank          = errors.New("the TPM keeps no measurements in the needed hash")
	ErrTooLarge        = errors.New("the secret is too large to seal")
	ErrWait            = errors.New("the TPM asks to wait")
	ErrPresence        = errors.New("the TPM is cleared only with somebody's hand at the machine")
	ErrNoKeyType       = errors.New("the TPM makes no storage key of the needed kind")
	ErrFewSlots        = errors.New("the TPM keeps too few keys at a time")
	// ErrNoEndorsementKey and ErrGuessingRule may also be what a finished Reset could
	// not make: Info.Missing.
	ErrNoEndorsementKey = errors.New("the TPM has no endorsement key")
	ErrGuessingRule     = errors.New("the TPM keeps its maker's rule against guessing")
)

// LockoutError says that the TPM refuses passphrases for a while because too
// many wrong ones were tried.
type LockoutError struct {
	Tries, Max uint32        // wrong tries counted, and how many are allowed; 0: not known (TPM 1.2)
	Wait       time.Duration // until one more try is allowed; 0: not known
}

func (e *LockoutError) Error() string {
	if e.Wait == 0 {
		return "the TPM is locked against guessing"
	}
	return fmt.Sprintf("the TPM is locked against guessing: %d of %d tries used, one more in at most %v", e.Tries, e.Max,
		e.Wait)
}

// CommandError is a command that the TPM refused.
type CommandError struct {
	Command string // the specification's name, e.g. "TPM2_Clear"
	Code    uint32 // response code
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("%s: the TPM answered 0x%x", e.Command, e.Code)
}

// refusals are the codes that mean the same for every command, by sentinel.
var refusals = []struct {
	err    error
	v1, v2 func(code uint32) bool
}{
	{ErrNotStarted, codes(v1InvalidPostInit), codes(v2Initialize)},
	{ErrBroken, codes(v1FailedSelfTest), codes(v2Failure)},
	{ErrWait, v1Waits, v2Waits},
	{ErrSwitchedOff, codes(v1Deactivated, v1Disabled), codes()}, // with all that is in it
	{ErrPresence, codes(), codes(v2Presence)},
	{ErrNVFull, codes(v1NoSpace, v1Resources), codes(v2NVSpace)},
}

func codes(of ...uint32) func(uint32) bool {
	return func(code uint32) bool { return slices.Contains(of, code) }
}

// Is makes the codes that mean the same for every command match their sentinel.
func (e *CommandError) Is(target error) bool {
	for _, k := range refusals {
		if k.err != target {
			continue
		}
		if strings.HasPrefix(e.Command, "TPM2_") {
			return k.v2(e.Code)
		}
		return k.v1(e.Code)
	}
	return false
}

// Response codes that this package acts on (part 2, 6.6.3 and TPM 1.2 part 2, 16).
const (
	v2Initialize    = 0x100
	v2Failure       = 0x101
	v2NVSpace       = 0x14b
	v2CommandCode   = 0x143
	v2Presence      = 0x090
	v2NVUninit      = 0x14a
	v2AuthFail      = 0x08e // format one, stripped of its position
	v2BadAuth       = 0x0a2
	v2PolicyFail    = 0x09d
	v2Handle        = 0x08b
	v2Lockout       = 0x921
	v2Yielded       = 0x908
	v2NVRate        = 0x920
	v2Testing       = 0x90a
	v2Retry         = 0x922
	v2AuthUnavail   = 0x12f
	v2HierarchyDown = 0x085

	v1AuthFail        = 0x01
	v1BadIndex        = 0x02
	v1Deactivated     = 0x06
	v1Disabled        = 0x07
	v1NoSpace         = 0x11
	v1NoSRK           = 0x12
	v1Resources       = 0x15
	v1NotSealedBlob   = 0x13
	v1WrongPCR        = 0x18
	v1DecryptError    = 0x21
	v1FailedSelfTest  = 0x1c
	v1Auth2Fail       = 0x1d
	v1InvalidPostInit = 0x26
	v1NoEndorsement   = 0x23
	v1BadPresence     = 0x2d
	v1AuthConflict    = 0x3b
	v1AreaLocked      = 0x3c
	v1BadLocality     = 0x3d
	v1BadCounter      = 0x45
	v1MaxNVWrites     = 0x48
	v1Retry           = 0x800
	v1NeedsSelfTest   = 0x801
	v1DoingSelfTest   = 0x802
	v1DefendLock      = 0x803
)
