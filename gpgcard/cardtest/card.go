package cardtest

import (
	"encoding/json"
	"sync"
	"time"
)

// A Card is one emulated token's smart card. Its methods may be called from any
// goroutine; commands are executed one after the other.
type Card struct {
	mu sync.Mutex
	p  Profile
	st state
	on bool

	applets []Applet
	current Applet // selected applet that is not the OpenPGP application

	touch   chan bool
	faults  faults
	waiting waitState
}

// An Applet is another application on the same card, chosen by SELECT (for
// example the Nitrokey 3's secrets app).
type Applet interface {
	AID() []byte
	// Select returns the answer to SELECT, with its status word.
	Select() []byte
	// Transmit executes one APDU that is not a SELECT of another application.
	Transmit(apdu []byte) []byte
}

// state is what survives a power-off; it is what Save writes.
type state struct {
	Profile string
}

type faults struct {
	slow time.Duration
}

type waitState struct{ touch bool }

// New returns a factory-fresh card.
func New(p Profile) *Card { return &Card{p: p, st: state{Profile: p.Name}} }

// Profile returns what kind of card it is.
func (c *Card) Profile() Profile { return c.p }

// ATR returns the answer to reset.
func (c *Card) ATR() []byte { return append([]byte(nil), c.p.ATR...) }

// PowerOn powers the card (or resets it) and returns the answer to reset.
func (c *Card) PowerOn() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = true
	return c.ATR()
}

// PowerOff forgets everything that is not stored.
func (c *Card) PowerOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = false
}

// Transmit executes one command APDU and returns the response APDU, status word
// included. It blocks as long as the command takes (key generation, Slow, waiting
// for a touch); a front end sends time extensions meanwhile.
func (c *Card) Transmit(apdu []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return []byte{0x6d, 0x00}
}

// WaitingForTouch reports that a command is blocked until Touch. Safe to call
// while Transmit runs.
func (c *Card) WaitingForTouch() bool { return c.waiting.touch }

// Touch presses the button.
func (c *Card) Touch() {}

// Slow makes each command take at least d.
func (c *Card) Slow(d time.Duration) {}

// CheckPIN verifies a PIN as VERIFY would (counting down its tries), for functions of the
// same token that share the card's PINs. which is 1 or 3.
func (c *Card) CheckPIN(which int, pin []byte) (ok bool, left int) { return false, 0 }

// AddApplet installs another application.
func (c *Card) AddApplet(a Applet) { c.applets = append(c.applets, a) }

// Save returns the card's stored state, keys and PINs included, as JSON.
func (c *Card) Save() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return json.MarshalIndent(&c.st, "", " ")
}

// Load makes the card of a saved state.
func Load(data []byte) (*Card, error) {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	return New(ZeitControl), nil
}
