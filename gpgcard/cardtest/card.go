package cardtest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Factory PINs (clause 4.2).
const (
	FactoryPW1 = "123456"
	FactoryPW3 = "12345678"
)

// Status words.
const (
	swOK             = 0x9000
	swTerminated     = 0x6285
	swTouch          = 0x6600
	swMemory         = 0x6581
	swLength         = 0x6700
	swSecurity       = 0x6982
	swBlocked        = 0x6983
	swConditions     = 0x6985
	swWrongData      = 0x6a80
	swNotFound       = 0x6a82
	swWrongP1P2      = 0x6a86
	swRefNotFound    = 0x6a88
	swWrongParams    = 0x6b00
	swINSNotFound    = 0x6d00
	swCLANotFound    = 0x6e00
	swFailed         = 0x6f00
	swChainingWanted = 0x6883
)

// A Card is one emulated token's smart card. Its methods may be called from any
// goroutine; commands are executed one after the other.
type Card struct {
	mu      sync.Mutex
	p       Profile
	st      state
	on      bool
	v       volatileState
	applets []Applet
	keys    func(alg string) ([]byte, error) // PKCS #8 of a new key

	touch   chan struct{}
	waiting atomic.Bool
	autoTap atomic.Bool

	slow  time.Duration
	count int // commands since the last Cut*
	keeps bool
	cut   int // the command at which the power fails; 0: never
	after bool

	log    func(cmd, resp []byte)
	onSave func([]byte)
}

// volatileState is what a power-off clears.
type volatileState struct {
	selected bool   // OpenPGP application
	other    Applet // another application
	sign     bool   // PW1 verified for PSO:CDS
	user     bool   // PW1 verified for everything else
	admin    bool   // PW3 verified
	chain    []byte
	chainHdr [4]byte
	pending  []byte // rest of an answer, for GET RESPONSE
}

// state is what survives a power-off; it is what Save writes.
type state struct {
	Profile    string
	Serial     uint32
	Terminated bool
	PW1        []byte
	RC         []byte
	PW3        []byte
	PW3Set     bool // PW3 was changed or used while Gnuk was not admin-less
	AdminLess  bool
	Tries      [3]int // PW1, RC, PW3
	MaxTries   [3]int
	PWStatus   byte
	DO         map[uint16][]byte
	Keys       [3]*key
	Counter    uint32
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

// New returns a factory-fresh card.
func New(p Profile) *Card {
	c := &Card{p: p, touch: make(chan struct{}), keys: generatePKCS8}
	c.st.Serial = p.Serial
	c.factory()
	return c
}

// factory sets everything as it left the maker.
func (c *Card) factory() {
	c.st = state{
		Profile: c.p.Name, Serial: c.st.Serial,
		PW1: []byte(FactoryPW1), PW3: []byte(FactoryPW3),
		MaxTries: [3]int{c.p.Tries, 0, c.p.Tries},
		DO:       map[uint16][]byte{},
	}
	c.st.Tries = c.st.MaxTries
	for i, d := range c.p.Algorithms {
		c.st.DO[0xc1+uint16(i)] = c.attribute(i, d[0])
		if c.p.UIF {
			c.st.DO[0xd6+uint16(i)] = []byte{0, 0x20}
		}
	}
}

// SetSerial changes the serial number, for two tokens of one make.
func (c *Card) SetSerial(n uint32) { c.mu.Lock(); c.st.Serial = n; c.mu.Unlock() }

// Profile returns what kind of card it is.
func (c *Card) Profile() Profile { return c.p }

// ATR returns the answer to reset.
func (c *Card) ATR() []byte { return bytes.Clone(c.p.ATR) }

// PowerOn powers the card, or resets it, and returns the answer to reset.
func (c *Card) PowerOn() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = true
	if !c.keeps {
		c.v = volatileState{}
	}
	return c.ATR()
}

// PowerOff forgets everything that is not stored.
func (c *Card) PowerOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = false
	if !c.keeps {
		c.v = volatileState{}
	}
}

// KeepsPIN makes the card ignore that it is switched off, as a Nitrokey 3 does: what
// was verified stays verified until it is pulled out.
func (c *Card) KeepsPIN(on bool) { c.mu.Lock(); c.keeps = on; c.mu.Unlock() }

// Transmit executes one command APDU and returns the response APDU, status word
// included. It blocks as long as the command takes (key generation, Slow, waiting
// for a touch); a front end sends time extensions meanwhile. A nil answer means
// that the power failed (CutBefore, CutAfter): the front end must act as if the
// token had been pulled out.
func (c *Card) Transmit(apdu []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return nil
	}
	c.count++
	if c.cut != 0 && c.count >= c.cut && !c.after {
		c.on, c.v = false, volatileState{}
		return nil
	}
	if c.slow > 0 {
		time.Sleep(c.slow)
	}
	r := c.command(apdu)
	if c.onSave != nil {
		if b, err := c.marshal(); err == nil {
			c.onSave(b)
		}
	}
	if c.cut != 0 && c.count >= c.cut {
		c.on, c.v = false, volatileState{}
		return nil
	}
	if c.log != nil {
		c.log(apdu, r)
	}
	return r
}

// CutBefore makes the power fail at the n-th command from now, before it is
// executed; CutAfter after it was executed and before it is answered. n = 0
// switches both off. Commands returns how many were executed since.
func (c *Card) CutBefore(n int) { c.setCut(n, false) }

// CutAfter: see CutBefore.
func (c *Card) CutAfter(n int) { c.setCut(n, true) }

func (c *Card) setCut(n int, after bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count, c.cut, c.after = 0, n, after
}

// Commands returns the number of commands since the last CutBefore or CutAfter.
func (c *Card) Commands() int { c.mu.Lock(); defer c.mu.Unlock(); return c.count }

// Slow makes each command take at least d.
func (c *Card) Slow(d time.Duration) { c.mu.Lock(); c.slow = d; c.mu.Unlock() }

// WaitingForTouch reports that a command is blocked until Touch. Safe to call
// while Transmit runs.
func (c *Card) WaitingForTouch() bool { return c.waiting.Load() }

// Touch presses the button: the command that waits for it goes on. Without one it
// does nothing.
func (c *Card) Touch() {
	select {
	case c.touch <- struct{}{}:
	default:
	}
}

// AutoTouch makes somebody touch the button whenever the card asks.
func (c *Card) AutoTouch(on bool) { c.autoTap.Store(on) }

// SetTouchTimeout changes how long the card waits for its button.
func (c *Card) SetTouchTimeout(d time.Duration) { c.mu.Lock(); c.p.TouchTimeout = d; c.mu.Unlock() }

// awaitTouch blocks until the button is touched or the time is over.
func (c *Card) awaitTouch() bool {
	if c.autoTap.Load() {
		return true
	}
	c.waiting.Store(true)
	defer c.waiting.Store(false)
	select {
	case <-c.touch:
		return true
	case <-time.After(c.p.TouchTimeout):
		return false
	}
}

// Terminate puts the card into the terminated state, as a reset that was cut
// between TERMINATE DF and ACTIVATE FILE leaves it.
func (c *Card) Terminate() { c.mu.Lock(); c.st.Terminated = true; c.mu.Unlock() }

// SetTries sets the tries left of PW1 and PW3; 0 blocks the PIN.
func (c *Card) SetTries(pw1, pw3 int) {
	c.mu.Lock()
	c.st.Tries[0], c.st.Tries[2] = pw1, pw3
	c.mu.Unlock()
}

// SetMaxTries sets how many wrong tries each PIN allows, as YubiKey's own tool can.
func (c *Card) SetMaxTries(pw1, pw3 int) {
	c.mu.Lock()
	c.st.MaxTries = [3]int{pw1, c.st.MaxTries[1], pw3}
	c.st.Tries = c.st.MaxTries
	c.mu.Unlock()
}

// Tries returns the tries left of PW1 and PW3.
func (c *Card) Tries() (pw1, pw3 int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st.Tries[0], c.st.Tries[2]
}

// NoReset makes it a card that cannot be reset: life cycle byte 00, and neither
// TERMINATE DF nor ACTIVATE FILE.
func (c *Card) NoReset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.Reset = false
	c.p.Historical = bytes.Clone(c.p.Historical)
	c.p.Historical[len(c.p.Historical)-3] = 0
}

// CheckPIN verifies a PIN as VERIFY would (counting down its tries), for functions
// of the same token that share the card's PINs. which is 1 or 3.
func (c *Card) CheckPIN(which int, pin []byte) (ok bool, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := which - 1
	if i != 0 && i != 2 {
		return false, 0
	}
	sw := c.compare(i, pin)
	return sw == swOK, c.st.Tries[i]
}

// AddApplet installs another application.
func (c *Card) AddApplet(a Applet) { c.mu.Lock(); c.applets = append(c.applets, a); c.mu.Unlock() }

// Log calls f with every exchange.
func (c *Card) Log(f func(cmd, resp []byte)) { c.mu.Lock(); c.log = f; c.mu.Unlock() }

// OnChange calls f with the saved state after each command, so that a lab can keep
// the card in a file.
func (c *Card) OnChange(f func(saved []byte)) { c.mu.Lock(); c.onSave = f; c.mu.Unlock() }

// UseKeys replaces the card's key generation; f returns a PKCS #8 private key for
// an algorithm such as "rsa3072" or "p256".
func (c *Card) UseKeys(f func(alg string) ([]byte, error)) { c.mu.Lock(); c.keys = f; c.mu.Unlock() }

// Save returns the card's stored state, keys and PINs included, as JSON.
func (c *Card) Save() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.marshal()
}

func (c *Card) marshal() ([]byte, error) { return json.MarshalIndent(&c.st, "", " ") }

// Load makes the card of a saved state.
func Load(data []byte) (*Card, error) {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("saved card: %w", err)
	}
	p, ok := ProfileByName(s.Profile)
	if !ok {
		return nil, fmt.Errorf("saved card: no profile %q", s.Profile)
	}
	c := New(p)
	if s.DO != nil {
		c.st = s
	}
	return c, nil
}

var openPGP = []byte{0xd2, 0x76, 0x00, 0x01, 0x24, 0x01}

// selectApp is SELECT by name (clause 7.2.1); it ends every PIN verification.
func (c *Card) selectApp(a apdu) []byte {
	if len(a.data) >= len(openPGP) && bytes.HasPrefix(c.aid(), a.data) {
		c.v = volatileState{selected: true}
		if c.st.Terminated {
			return status(int(c.p.Terminate.SelectTerminated))
		}
		if c.p.Odd.SelectFCI {
			return append(tlv(0x6f, tlv(0x84, c.aid())), status(swOK)...)
		}
		return status(swOK)
	}
	for _, x := range c.applets {
		if len(a.data) >= 5 && bytes.HasPrefix(x.AID(), a.data) {
			c.v = volatileState{other: x}
			return x.Select()
		}
	}
	return status(swNotFound)
}

// aid is DO 4F (clause 4.2.1).
func (c *Card) aid() []byte {
	b := bytes.Clone(openPGP)
	b = binary.BigEndian.AppendUint16(b, c.p.Version)
	b = binary.BigEndian.AppendUint16(b, c.p.Manufacturer)
	b = binary.BigEndian.AppendUint32(b, c.st.Serial)
	return append(b, 0, 0)
}

// execute runs one command of the OpenPGP application.
func (c *Card) execute(a apdu) ([]byte, int) {
	if a.ins == 0x44 {
		return nil, c.activate()
	}
	if c.st.Terminated {
		return nil, int(c.p.Terminate.InTerminated)
	}
	switch a.ins {
	case 0xca:
		return c.getData(uint16(a.p1)<<8 | uint16(a.p2))
	case 0xda:
		return nil, c.putData(uint16(a.p1)<<8|uint16(a.p2), a.data)
	case 0xdb:
		return nil, c.importKey(a)
	case 0x20:
		return nil, c.verify(a)
	case 0x24:
		return nil, c.change(a)
	case 0x2c:
		return nil, c.unblock(a)
	case 0x2a:
		switch {
		case a.p1 == 0x9e && a.p2 == 0x9a:
			return c.sign(a.data)
		case a.p1 == 0x80 && a.p2 == 0x86:
			return c.decipher(a.data)
		}
		return nil, swWrongP1P2
	case 0x88:
		return c.authenticate(a.data)
	case 0x47:
		return c.generate(a)
	case 0x84:
		return random(a.le), swOK
	case 0x22:
		return nil, swOK
	case 0xe6:
		return nil, c.terminate()
	}
	return nil, swINSNotFound
}

// terminate is TERMINATE DF (clause 7.2.16): allowed after PW3, or when both PINs
// are blocked.
func (c *Card) terminate() int {
	if !c.p.Reset {
		return swINSNotFound
	}
	if !c.v.admin && (c.st.Tries[0] > 0 || c.st.Tries[2] > 0) {
		return int(c.p.Terminate.Refused)
	}
	c.st.Terminated = true
	c.v = volatileState{selected: true}
	return swOK
}

// activate is ACTIVATE FILE (clause 7.2.17): it turns a terminated card into a
// factory-fresh one.
func (c *Card) activate() int {
	if !c.p.Reset {
		return swINSNotFound
	}
	if !c.st.Terminated {
		return int(c.p.Terminate.ActivateFresh)
	}
	c.factory()
	c.v = volatileState{selected: true}
	return swOK
}
