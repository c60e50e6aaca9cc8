package gpgcard

import "context"

// A Transport carries application protocol data units (ISO 7816-4) to one card.
type Transport interface {
	// Transmit sends one command APDU, short or extended, and returns the
	// response APDU including its two status bytes. It waits as long as the
	// card asks for more time: key generation can last ten minutes.
	//
	// An error means that the exchange itself failed (card or reader gone,
	// context done); it is never a status word.
	Transmit(ctx context.Context, apdu []byte) ([]byte, error)
}

// A Link is an exclusive connection to the card in one reader.
type Link interface {
	Transport
	// PowerCycle switches the card off and on again. It ends every PIN
	// verification; the applet has to be selected again.
	PowerCycle(ctx context.Context) error
	// Close switches the card off, so that no verified PIN is left behind, and
	// releases the reader. It may be called more than once.
	Close() error
}

// A Waiter is a Link that can tell when the card asks for more time.
type Waiter interface {
	// SetWait installs f, called from inside Transmit at every time extension
	// (touch is true when the reader says that the card waits for its button).
	// A nil f removes it.
	SetWait(f func(touch bool))
}

// A Limiter is a Link that cannot carry every APDU.
type Limiter interface {
	// ShortOnly reports that extended APDUs cannot be carried.
	ShortOnly() bool
}

// A Bus may also have a method Settling() bool: whether a card may be about to come, since
// something was plugged in a moment ago.

// A Reader is a slot that may hold a card, as a Bus lists it.
type Reader struct {
	Bus string // "pcsc", "usb"
	// unique on its Bus: the PC/SC reader's name, or BUS-DEV, with .INTERFACE.SLOT after it where there are more
	Name    string
	Product string // for people: what the device calls itself; may be empty
	Present bool   // a card is in the slot
	ATR     []byte // answer to reset, when the Bus knows it without powering the card
	VID     uint16 // USB vendor and product, 0 when unknown
	PID     uint16
}

// String is the reader as the --reader flag takes it: "pcsc:NAME", "usb:1-4".
func (r Reader) String() string { return r.Bus + ":" + r.Name }

// A Bus finds readers and connects to them.
type Bus interface {
	// Readers lists every slot, empty ones too. No reader is no error.
	Readers(ctx context.Context) ([]Reader, error)
	// Connect powers the card and takes the reader for this process alone. It
	// returns an error that wraps ErrBusy when somebody else has it, and
	// ErrRemoved when the slot is empty.
	Connect(ctx context.Context, r Reader) (Link, error)
}
