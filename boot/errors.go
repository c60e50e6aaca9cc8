package boot

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var (
	// ErrNoEntries: neither a grub.cfg nor BLS files hold an entry that Heads finds.
	ErrNoEntries = errors.New("no boot entry found")
	// ErrEntry: the chosen entry does not exist, names a missing file, or cannot be predicted.
	ErrEntry = errors.New("boot entry cannot be the default")
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

// GoneError lists what a boot entry loads and what is not in /boot, or is no plain file
// there that the signature covers.
type GoneError struct{ Files []string }

func (e *GoneError) Error() string { return "not in /boot: " + quoted(e.Files) }

// quoted lists names, escaped, and not too many of them.
func quoted(names []string) string {
	var q []string
	for i, n := range names {
		if i == 5 {
			q = append(q, fmt.Sprintf("and %d more", len(names)-i))
			break
		}
		q = append(q, strconv.QuoteToASCII(n))
	}
	return strings.Join(q, ", ")
}

// MismatchError says that /boot is not what its signed lists say.
type MismatchError struct{ Report *Report }

func (e *MismatchError) Error() string { return e.Report.summary() }
