package gpgcard

import "errors"

// What can go wrong with a card, as far as the caller decides differently.
var (
	// ErrNoReader says that no reader was found at all.
	ErrNoReader = errors.New("no smart card reader or token found")
	// ErrNoCard says that no reader holds an OpenPGP card that matches the selection.
	ErrNoCard = errors.New("no matching OpenPGP card found")
	// ErrSeveralCards says that more than one card matches and none was chosen.
	ErrSeveralCards = errors.New("more than one OpenPGP card found")
	// ErrBusy says that another program holds the reader.
	ErrBusy = errors.New("the reader is in use by another program")
	// ErrRemoved says that the card or its reader went away.
	ErrRemoved = errors.New("the card was removed")
)
