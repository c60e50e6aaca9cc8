// Package pcsc is a client of pcscd, the PC/SC daemon, over its unix socket, in
// pure Go. It speaks protocol 4.4 and 4.5 of pcsc-lite 1.8.24 and later
// (winscard_msg.h), whose structures are in the byte order of the machine, and
// needs no library.
//
// Bus offers its readers to gpgcard. A connection is exclusive and holds a
// transaction; when it ends the card is reset, so that no verified PIN is left for
// the next program.
//
// What it does not do: PC/SC's reader groups, control codes, and waiting for
// events over more than one call.
package pcsc
