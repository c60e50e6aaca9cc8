// Package pcsc is a client of pcscd, the PC/SC daemon, over its unix socket, in
// pure Go. It speaks protocol 4.4 of pcsc-lite (winscard_msg.h), whose structures
// are in the byte order of the machine; it was tried with version 1.9.9. It needs
// no library.
//
// Bus offers its readers to gpgcard. A connection is exclusive and holds a
// transaction; when it ends the card is reset, so that no verified PIN is left for
// the next program.
//
// What it does not do: PC/SC's reader groups, control codes, and waiting for
// events over more than one call.
package pcsc
