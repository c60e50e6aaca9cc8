package flash

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"reown/internal/escape"
)

// What a flash program says no to, as far as a person does something else about it.
var (
	// ErrNoChip says that the program finds no flash chip.
	ErrNoChip = errors.New("the flash program finds no flash chip")
	// ErrOption says that the program does not know one of the board's options.
	ErrOption = errors.New("the flash program does not know one of its options")
	// ErrRoom says that there is no room for an image where files of the moment go.
	ErrRoom = errors.New("no room for a firmware image among the temporary files")
	// ErrKilled says that a signal has ended the program.
	ErrKilled = errors.New("the flash program was ended from outside")
	// ErrNotInstalled says that the program that the board names is not there.
	ErrNotInstalled = errors.New("the flash program is not installed")
)

// A SeveralChipsError says that the program cannot tell which of some kinds of chips it
// has found.
type SeveralChipsError struct {
	Names []string
	alike bool // all are of one size, so that any of them reads it
}

func (e *SeveralChipsError) Error() string {
	return "the flash program knows several chips that this one may be: " + strings.Join(e.Names, ", ")
}

// severalChips are those in lines such as
//
//	Found Macronix flash chip "MX25L6405D" (8192 kB, SPI) on dummy.
func severalChips(said []byte) *SeveralChipsError {
	e := &SeveralChipsError{alike: true}
	size := ""
	for line := range strings.Lines(string(said)) {
		_, rest, ok := strings.Cut(line, ` flash chip "`)
		name, rest, closed := strings.Cut(rest, `"`)
		if !ok || !closed || !strings.HasPrefix(line, "Found ") || len(e.Names) == maxNames {
			continue
		}
		of, _, _ := strings.Cut(rest, ",")
		e.alike = e.alike && escape.Text(name) == name && !strings.HasPrefix(name, "-") && (size == "" || of == size)
		e.Names, size = append(e.Names, escape.Text(name)), of
	}
	return e
}

// maxNames bounds the chips that are named.
const maxNames = 32

// failure names why a program has failed, by how it ended and what it said.
func failure(program string, said []byte, err error) error {
	cause := err
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s", ErrNotInstalled, program)
	case errors.As(err, &exit):
		if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
			cause = fmt.Errorf("%w: %w", ErrKilled, err)
		}
	}
	has := func(words ...string) bool {
		for _, w := range words {
			if bytes.Contains(bytes.ToLower(said), []byte(w)) {
				return true
			}
		}
		return false
	}
	switch {
	case has("multiple flash chip definitions match"):
		cause = fmt.Errorf("%w: %w", severalChips(said), err)
	case has("no eeprom/flash device found"):
		cause = fmt.Errorf("%w: %w", ErrNoChip, err)
	case has("unrecognized option", "invalid option", "ambiguous option", "unrecognised option"):
		cause = fmt.Errorf("%w: %w", ErrOption, err)
	case has("could not be written completely", "no space left on device"):
		cause = fmt.Errorf("%w: %w", ErrRoom, err)
	case has("write-protect", "write protect", "read-only"):
		cause = fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return fmt.Errorf("%s: %w: %s", filepath.Base(program), cause, lastLines(said))
}

// room gives a full file system its name.
func room(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrRoom, err)
	}
	return err
}
