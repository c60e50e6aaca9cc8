package gpgcard

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// aidPrefix names the OpenPGP application (clause 4.2.1): registered application
// provider and application number, without version and serial number.
var aidPrefix = []byte{0xd2, 0x76, 0x00, 0x01, 0x24, 0x01}

// A Slot is one of the card's three keys.
type Slot int

// The key slots (clause 4.3.3).
const (
	Signature Slot = iota
	Decryption
	Authentication
	slots
)

func (s Slot) String() string {
	switch s {
	case Signature:
		return "signature"
	case Decryption:
		return "decryption"
	case Authentication:
		return "authentication"
	}
	return fmt.Sprintf("slot %d", int(s))
}

// MarshalText names the slot in JSON.
func (s Slot) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ParseSlot reads a slot's name: signature, decryption, authentication.
func ParseSlot(name string) (Slot, error) {
	for s := range slots {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("unknown key slot %q", name)
}

// crt is the control reference template that names the slot in commands.
func (s Slot) crt() []byte { return []byte{[slots]byte{0xb6, 0xb8, 0xa4}[s], 0} }

// Tags of the slot's data objects.
func (s Slot) attributeTag() uint16   { return 0xc1 + uint16(s) }
func (s Slot) fingerprintTag() uint16 { return 0xc7 + uint16(s) }
func (s Slot) createdTag() uint16     { return 0xce + uint16(s) }
func (s Slot) touchTag() uint16       { return 0xd6 + uint16(s) }

// A Serial identifies a card among all: manufacturer and serial number of the AID.
// Its text is "MMMM:SSSSSSSS" in hexadecimal digits.
type Serial struct {
	Manufacturer uint16
	Number       uint32
}

func (s Serial) String() string { return fmt.Sprintf("%04X:%08X", s.Manufacturer, s.Number) }

// MarshalText implements encoding.TextMarshaler.
func (s Serial) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// matches reports that text names the card: the whole serial, its number alone,
// or the 32 digits of the AID as gpg shows them; letters in either case.
func (s Serial) matches(text string) bool {
	text = strings.ToUpper(strings.ReplaceAll(text, " ", ""))
	whole := s.String()
	return text == whole || text == whole[5:] || text == whole[:4]+whole[5:] ||
		len(text) == 32 && strings.HasPrefix(text, "D27600012401") && text[16:28] == whole[:4]+whole[5:]
}

// caps is what the card can do, from its data objects and never from its ATR.
type caps struct {
	version     uint16 // BCD, of the specification
	chaining    bool
	extended    bool
	maxCommand  int // bytes; 0: unknown
	maxResponse int
	lifeCycle   byte // 0: no life cycle management, 3 initialised, 5 operational
	keyImport   bool // extended capabilities, byte 1
	changeC4    bool
	algorithms  bool
	kdf         bool
}

// A Card is an OpenPGP card with its application selected, held exclusively until
// Close. It is used by one goroutine at a time.
type Card struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// AllowLastTry permits a PIN to be sent when only one try is left.
	AllowLastTry bool

	link       Link
	reader     Reader
	shortOnly  bool
	serial     Serial
	aid        []byte
	caps       caps
	terminated bool
	quirks     []Quirk
	verified   bool // a PIN, since the application was selected
	kdf        *kdf // nil: PINs are sent as they are
	wait       func(touch bool)
	finger     atomic.Bool        // the command at work waits for one
	touch      [slots]TouchPolicy // as last read
}

// New selects the OpenPGP application on a link (clause 7.2.1) and reads what the
// card can do. It takes the link over: Close closes it, and so does an error.
func New(ctx context.Context, link Link, r Reader) (*Card, error) {
	c := &Card{link: link, reader: r}
	if l, ok := link.(Limiter); ok {
		c.shortOnly = l.ShortOnly()
	}
	if err := c.sel(ctx); err != nil {
		link.Close()
		return nil, err
	}
	return c, nil
}

// sel selects the application and reads its capabilities.
func (c *Card) sel(ctx context.Context) error {
	c.terminated = false
	_, err := c.do(ctx, command{name: "SELECT", ins: insSelect, p1: 4, data: aidPrefix})
	var refused *StatusError
	switch {
	case errors.Is(err, ErrTerminated):
		c.terminated = true
	case errors.As(err, &refused):
		// Cards without the application have a dozen words for it.
		return fmt.Errorf("%w: %w", ErrNoApplet, err)
	case err != nil:
		return err
	}
	d, err := c.readApplicationData(ctx)
	if err != nil {
		var s *StatusError
		if errors.As(err, &s) && (c.terminated || s.SW == swTerminated || s.SW == swConditions) {
			// A terminated card answers nothing but ACTIVATE FILE; some let
			// themselves be selected without saying so.
			c.terminated = true
			c.quirks = quirksOf(c)
			return nil
		}
		return fmt.Errorf("reading the application's data: %w", err)
	}
	c.aid, c.serial, c.caps = d.aid, d.serial, d.caps
	c.quirks = quirksOf(c)
	return c.readKDF(ctx)
}

// readApplicationData reads DO 6E, and by themselves the members that some cards
// keep outside it.
func (c *Card) readApplicationData(ctx context.Context) (*applicationData, error) {
	b, err := c.getData(ctx, 0x6e)
	if err != nil {
		return nil, err
	}
	for _, tag := range []uint16{0x4f, 0x5f52, 0xc0, 0xc4} {
		if v, err := findTLV(b, tag); v != nil || err != nil {
			continue
		}
		v, err := c.getOptional(ctx, tag)
		if err != nil {
			return nil, err
		}
		if v != nil {
			b = appendTLV(b, tag, v)
		}
	}
	d, err := parseApplicationData(b)
	if err != nil {
		return nil, err
	}
	for s, t := range d.touch {
		c.touch[s] = TouchOff
		if len(t) > 0 {
			c.touch[s] = TouchPolicy(t[0])
		}
	}
	return d, nil
}

// Close ends every PIN verification and gives the reader back. An error says that the
// card may still take commands that need a PIN.
func (c *Card) Close() error {
	var err error
	if c.verified && c.quirk(func(q Quirk) bool { return q.KeepsPIN }) {
		err = c.forgetPINs()
	}
	return errors.Join(err, c.link.Close())
}

// forgetPINs ends the verification of each PIN (VERIFY with P1 FF, clause 7.2.2), or
// of all by selecting another application. A card that is gone has forgotten them.
func (c *Card) forgetPINs() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var err error
	for _, ref := range []byte{refSign, refOther, refAdmin} {
		if _, err = c.do(ctx, command{name: "ending a verification", ins: insVerify, p1: 0xff, p2: ref}); err != nil {
			break
		}
	}
	if err == nil {
		return nil
	}
	// An exchange that was given up has ended the connection.
	if err = c.link.PowerCycle(ctx); err == nil {
		// The Nitrokey's admin application, which is on every Nitrokey 3.
		_, err = c.do(ctx, command{name: "SELECT", ins: insSelect, p1: 4, data: []byte{0xa0, 0, 0, 8, 0x47, 0, 0, 0, 1}})
	}
	if err == nil || errors.Is(err, ErrRemoved) {
		return nil
	}
	return fmt.Errorf("unplug the security key, it may still be unlocked: %w", err)
}

// Reader is where the card is.
func (c *Card) Reader() Reader { return c.reader }

// Serial identifies the card; it is zero while the card is terminated.
func (c *Card) Serial() Serial { return c.serial }

// Terminated reports that a factory reset was begun and not ended; only Reset works.
func (c *Card) Terminated() bool { return c.terminated }

// OnWait calls f while the card works on a command: whenever the reader says that it asks
// for more time, and every five seconds on any reader, so that silence is seen. touch: it
// waits for its button, as the reader or the slot's policy says; where the policy wants a
// touch, f(true) comes before the command, too. f may be called from another goroutine,
// never twice at once, and not after the command. A nil f removes it.
func (c *Card) OnWait(f func(touch bool)) {
	c.wait = nil
	if f != nil {
		var mu sync.Mutex
		c.wait = func(touch bool) {
			mu.Lock()
			defer mu.Unlock()
			if touch {
				c.finger.Store(true)
			}
			f(c.finger.Load())
		}
	}
	if w, ok := c.link.(Waiter); ok {
		w.SetWait(c.wait)
	}
}

// waitEvery is how often a person is reminded.
const waitEvery = 5 * time.Second

// withKey sends a command that uses the slot's key, and announces the touch that it needs.
func (c *Card) withKey(ctx context.Context, s Slot, cmd command) ([]byte, error) {
	cmd.finger = c.touch[s] != TouchOff
	if c.wait != nil && cmd.finger {
		c.wait(true)
	}
	return c.do(ctx, cmd)
}

// remind calls c.wait now and then until stop is called.
func (c *Card) remind(finger bool) (stop func()) {
	c.finger.Store(finger)
	if c.wait == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func(wait func(bool)) {
		defer close(ended)
		t := time.NewTicker(waitEvery)
		defer t.Stop()
		for {
			select {
			case <-end:
				return
			case <-t.C:
				wait(false)
			}
		}
	}(c.wait)
	return func() { close(end); <-ended }
}

// reset selects the application again after a power cycle.
func (c *Card) powerCycle(ctx context.Context) error {
	if err := c.link.PowerCycle(ctx); err != nil {
		return err
	}
	return c.sel(ctx)
}

func (c *Card) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// applicationData is DO 6E, decoded.
type applicationData struct {
	aid      []byte
	serial   Serial
	caps     caps
	hist     []byte
	extCap   []byte
	attr     [slots][]byte
	pw       pwStatus
	fpr      [slots][20]byte
	created  [slots]uint32
	origin   [slots]byte // DO DE: 0 none, 1 generated, 2 imported
	hasInfo  bool
	touch    [slots][]byte
	hasTouch bool
}

// pwStatus is DO C4.
type pwStatus struct {
	validOften bool    // PW1 stays valid for several signatures
	maxLen     [3]byte // PW1, resetting code, PW3; bytes
	left       [3]byte // tries
}

func parsePWStatus(b []byte) (p pwStatus, err error) {
	if len(b) < 7 {
		return p, fmt.Errorf("%w: PW status of %d bytes", ErrMalformed, len(b))
	}
	p.validOften = b[0] != 0
	copy(p.maxLen[:], b[1:4])
	copy(p.left[:], b[4:7])
	for i := range p.maxLen {
		p.maxLen[i] &= 0x7f // the top bit chooses PIN block format 2
	}
	return p, nil
}

// parseApplicationData decodes DO 6E (clause 4.4.1).
func parseApplicationData(b []byte) (*applicationData, error) {
	var d applicationData
	get := func(tag uint16) []byte {
		v, err := findTLV(b, tag)
		if err != nil {
			return nil
		}
		return v
	}
	if _, err := findTLV(b, 0xffff); err != nil {
		return nil, fmt.Errorf("%w: application related data: %w", ErrMalformed, err)
	}
	d.aid = bytes.Clone(get(0x4f))
	if len(d.aid) != 16 || !bytes.HasPrefix(d.aid, aidPrefix) {
		return nil, fmt.Errorf("%w: application identifier %X", ErrMalformed, d.aid)
	}
	d.caps.version = binary.BigEndian.Uint16(d.aid[6:])
	d.serial = Serial{binary.BigEndian.Uint16(d.aid[8:]), binary.BigEndian.Uint32(d.aid[10:])}
	d.hist = bytes.Clone(get(0x5f52))
	d.extCap = bytes.Clone(get(0xc0))
	if len(d.extCap) < 1 {
		return nil, fmt.Errorf("%w: no extended capabilities", ErrMalformed)
	}
	e := d.extCap[0]
	d.caps.keyImport, d.caps.changeC4, d.caps.algorithms, d.caps.kdf = e&0x20 != 0, e&0x10 != 0, e&0x04 != 0, e&0x01 != 0
	parseHistorical(d.hist, &d.caps)
	if d.caps.version < 0x0300 && len(d.extCap) >= 10 {
		// Version 2 has the lengths here (version 2.1, clause 4.1.3.1).
		d.caps.maxCommand, d.caps.maxResponse = int(binary.BigEndian.Uint16(d.extCap[6:])),
			int(binary.BigEndian.Uint16(d.extCap[8:]))
	}
	if v := get(0x7f66); len(v) >= 8 && v[0] == 2 && v[1] == 2 && v[4] == 2 && v[5] == 2 {
		d.caps.maxCommand, d.caps.maxResponse = int(binary.BigEndian.Uint16(v[2:])), int(binary.BigEndian.Uint16(v[6:]))
	}
	pw, err := parsePWStatus(get(0xc4))
	if err != nil {
		return nil, err
	}
	d.pw = pw
	if v := get(0xc5); len(v) >= 60 {
		for i := range d.fpr {
			copy(d.fpr[i][:], v[20*i:])
		}
	}
	if v := get(0xcd); len(v) >= 12 {
		for i := range d.created {
			d.created[i] = binary.BigEndian.Uint32(v[4*i:])
		}
	}
	if v := get(0xde); len(v) >= 2 {
		d.hasInfo = true
		for ; len(v) >= 2; v = v[2:] {
			if n := int(v[0]) - 1; n >= 0 && n < int(slots) {
				d.origin[n] = v[1]
			}
		}
	}
	for s := Signature; s < slots; s++ {
		d.attr[s] = bytes.Clone(get(s.attributeTag()))
		d.touch[s] = bytes.Clone(get(s.touchTag()))
		d.hasTouch = d.hasTouch || len(d.touch[s]) > 0
	}
	return &d, nil
}

// parseHistorical reads DO 5F52 (clause 6): compact TLV objects, then three status
// bytes of which the first is the life cycle.
func parseHistorical(h []byte, c *caps) {
	if len(h) < 4 || h[0] != 0 {
		return
	}
	c.lifeCycle = h[len(h)-3]
	for b := h[1 : len(h)-3]; len(b) > 0; {
		n := int(b[0] & 15)
		if 1+n > len(b) {
			return
		}
		if b[0]>>4 == 7 && n >= 3 {
			c.chaining, c.extended = b[3]&0x80 != 0, b[3]&0x40 != 0
		}
		b = b[1+n:]
	}
}
