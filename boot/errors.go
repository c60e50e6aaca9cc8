package boot

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNoEntries: neither a grub.cfg nor BLS files hold an entry that Heads finds.
	ErrNoEntries = errors.New("no boot entry found")
	// ErrEntry: the chosen entry does not exist, names a missing file, or cannot be predicted.
	ErrEntry = errors.New("boot entry cannot be the default")
	// ErrNotRegular: a name that must be a regular file is a link, a directory or a device.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLarge: a file or a tree exceeds this package's limits.
	ErrTooLarge = errors.New("too large")
	// ErrNoSignature: there is no kexec.sig, or nothing that it could sign.
	ErrNoSignature = errors.New("no signature")
	// ErrBadSignature: the signature check given by the caller refused.
	ErrBadSignature = errors.New("bad signature")
	// ErrNotStaged: Commit was called without a complete, verified staged set.
	ErrNotStaged = errors.New("no verified set is staged")
	// ErrSetName: a file of a set has a name that Heads would not read or that is this package's own.
	ErrSetName = errors.New("not a name for a signed set")
	// ErrChanged: /boot changed between Build and Commit.
	ErrChanged = errors.New("files changed while they were being signed")
)

// NameError lists names in /boot that Heads refuses to sign (assert_signable): they
// hold a control character, a backslash or a byte above 0x7e. Names are quoted.
type NameError struct{ Names []string }

func (e *NameError) Error() string {
	n, more := e.Names, ""
	if len(n) > 5 {
		n, more = n[:5], fmt.Sprintf(" and %d more", len(e.Names)-5)
	}
	return "file names that Heads cannot sign: " + strings.Join(n, ", ") + more
}

// MismatchError says that /boot is not what its signed lists say.
type MismatchError struct{ Report *Report }

func (e *MismatchError) Error() string { return e.Report.summary() }
