// Package ttyinput makes the kernel forget what was typed at a terminal.
//
// Linux keeps the last 4,096 characters that a program has read from a terminal in
// raw mode (n_tty.c, read_buf): it overwrites what it has handed over only in
// canonical mode without echo. Somebody who reads the memory of the machine afterwards,
// the system that is started next for one, finds every passphrase there.
package ttyinput

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	bufSize = 4096 // N_TTY_BUF_SIZE
	nNull   = 27   // N_NULL of tty.h: the line discipline that keeps nothing
)

// Forget overwrites the kernel's copy of what was typed at a terminal, and drops what
// has not been read yet. It needs TIOCSTI, and so root; where the kernel does not have
// that (since 6.2 it can be left out) it gives the terminal a new buffer and leaves
// clearing the old one to init_on_free=1. The terminal's settings are as before.
func Forget(fd int) error {
	if err := overwrite(fd); err == nil {
		return nil
	}
	was, err := unix.IoctlGetInt(fd, unix.TIOCGETD)
	if err != nil {
		return fmt.Errorf("wiping what was typed: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSETD, nNull); err != nil {
		return fmt.Errorf("wiping what was typed: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSETD, was); err != nil {
		return fmt.Errorf("wiping what was typed: %w", err)
	}
	return nil
}

// overwrite types as much as the buffer holds and throws it away.
func overwrite(fd int) error {
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	raw := *old
	raw.Iflag, raw.Lflag = 0, 0
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 0, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return err
	}
	defer func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, old) }()
	flush := func() error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) }
	// Flushing starts the ring anew; it takes one character less than it has.
	if err := flush(); err != nil {
		return err
	}
	if err := typed(fd, bufSize-1); err != nil {
		return err
	}
	var buf [bufSize / 2]byte
	if _, err := unix.Read(fd, buf[:]); err != nil {
		return err
	}
	if err := typed(fd, len(buf)); err != nil {
		return err
	}
	return flush()
}

// typed lets n zero bytes arrive as if they had been typed.
func typed(fd, n int) error {
	var zero byte
	for range n {
		if err := ioctlByte(fd, unix.TIOCSTI, &zero); err != nil {
			return err
		}
	}
	return nil
}
