// Package gpgcard speaks to OpenPGP cards: the USB tokens (Nitrokey, Librem Key,
// YubiKey, Gnuk...) and smart cards that sign the /boot of a Heads laptop.
//
// It follows "Functional Specification of the OpenPGP application on ISO Smart
// Card Operating Systems", version 3.4 ("the specification" in comments, with
// its clause), and takes cards of version 2.0 and later. On top of the commands
// it makes OpenPGP certificates (RFC 4880, version 4 keys) whose signatures are
// all made by the card, and checks signatures without any outside program.
//
// The card is reached through a Link, which a Bus opens: internal/pcsc (a running
// pcscd) and internal/ccid (USB, without any daemon).
//
// PINs and keys are *secret.Buffer, a type of this module's own, on purpose: memory that is locked
// and wiped. Bytes or strings in these signatures would leave copies that nobody wipes.
//
// What it does not do: secure messaging, the card holder's certificates (7F21),
// AES keys on the card, version 5 or 6 OpenPGP keys. It never guesses a PIN: a
// PIN that the caller did not give is only ever sent by Reset, which says so.
package gpgcard
