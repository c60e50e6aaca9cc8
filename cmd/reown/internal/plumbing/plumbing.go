// Package plumbing is the commands that work on one device, file or directory each, as the
// packages luks, gpgcard, tpm, boot, internal/rom, internal/otp and internal/hotpkey see it:
// for technicians and scripts. Package cli says what all commands keep to.
//
// None of them knows of a run or of the steps of one; those commands are in package main.
package plumbing

import (
	"reown/cmd/reown/internal/cli"
	"reown/internal/usb"
)

// Commands are all of them, in the order in which help shows them.
func Commands() []*cli.Command {
	return []*cli.Command{luksCommand(), cardCommand(), tpmCommand(), romCommand(), bootCommand(), totpCommand(),
		HOTP(usb.System())}
}
