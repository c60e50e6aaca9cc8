package ccid

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"reown/internal/usb"
)

// A Descriptor is the reader's description of itself (CCID 1.1, 5.1).
type Descriptor struct {
	Interface  byte
	MaxSlot    byte   // number of the last slot
	Voltages   byte   // bit 0: 5 V, bit 1: 3 V, bit 2: 1.8 V
	Protocols  uint32 // bit 0: T=0, bit 1: T=1
	Features   uint32 // dwFeatures
	Clock      uint32 // kHz
	MaxRate    uint32 // bit/s
	Rates      byte   // how many speeds it has a table of; 0: not told
	MaxIFSD    uint32 // bytes
	MaxMessage int    // dwMaxCCIDMessageLength, bytes
	In, Out    usb.Endpoint
}

// Bits of dwFeatures (CCID 1.1, table 5.1-1).
const (
	featAutoVoltage = 0x00000008
	featAutoIFSD    = 0x00000400
	// featNegotiates: the reader finds the best parameters itself, in its own way.
	featNegotiates = 0x00000040
	// featPPS: it makes the PPS for the parameters that it is told.
	featPPS = 0x00000080

	// defaultSpeed is Fi 372 and Di 1, in the form of TA1.
	defaultSpeed = 0x11
)

// A Level is what a reader wants to be given (dwFeatures, bits 16 to 18).
type Level uint32

// Exchange levels.
const (
	Character    Level = 0
	TPDU         Level = 0x10000
	ShortAPDU    Level = 0x20000
	ExtendedAPDU Level = 0x40000
)

// Level returns the exchange level.
func (d Descriptor) Level() Level { return Level(d.Features & 0x70000) }

// Usable is nil, or why no card can be reached by this package: ErrCharacters or ErrT0. A
// reader that takes whole APDUs speaks to the card itself.
func (d Descriptor) Usable() error {
	switch {
	case d.Level() == Character:
		return ErrCharacters
	case d.Level() == TPDU && d.Protocols&2 == 0:
		return ErrT0
	}
	return nil
}

const (
	classVendor = 0xff
	// maxSlots bounds the slots of one interface that are looked at.
	maxSlots = 8
)

// classDescriptor finds an interface's CCID descriptor: of the class, or of a maker's own
// class with the class's descriptor. It is nil where there is none.
func classDescriptor(i usb.Interface) (desc []byte, is bool) {
	if i.Alternate != 0 || i.Class != usb.ClassCCID && i.Class != classVendor {
		return nil, false
	}
	for _, x := range i.Extra {
		// 0xff is what readers use that are older than the class's number.
		if len(x) >= 54 && (x[1] == 0x21 || x[1] == 0xff && i.Class == usb.ClassCCID) {
			return x, true
		}
	}
	return nil, i.Class == usb.ClassCCID
}

// interfaces are a device's CCID interfaces.
func interfaces(d *usb.Descriptors) (all []usb.Interface) {
	for _, i := range d.Interfaces {
		if _, is := classDescriptor(i); is {
			all = append(all, i)
		}
	}
	return all
}

// Describe reads the description of a device's first CCID interface. It returns
// ErrNoReader when there is none, and ErrUnsupported when its description makes
// no sense.
func Describe(d *usb.Descriptors) (Descriptor, error) {
	all := interfaces(d)
	if len(all) == 0 {
		return Descriptor{}, ErrNoReader
	}
	return describe(all[0])
}

func describe(i usb.Interface) (Descriptor, error) {
	r := Descriptor{Interface: i.Number}
	desc, _ := classDescriptor(i)
	if desc == nil {
		return r, fmt.Errorf("%w: no class descriptor", ErrUnsupported)
	}
	le := binary.LittleEndian
	r.MaxSlot, r.Voltages = desc[4], desc[5]
	r.Protocols, r.MaxIFSD, r.Features = le.Uint32(desc[6:]), le.Uint32(desc[28:]), le.Uint32(desc[40:])
	r.Clock, r.MaxRate, r.Rates = le.Uint32(desc[10:]), le.Uint32(desc[23:]), desc[27]
	n := le.Uint32(desc[44:])
	if n < minMessage {
		return r, fmt.Errorf("%w: messages of %d bytes", ErrUnsupported, n)
	}
	r.MaxMessage = int(min(n, maxMessage))
	if r.Level() == ShortAPDU && n >= maxShort {
		r.MaxMessage = max(r.MaxMessage, headerLen+maxShort)
	}
	var in, out bool
	r.In, in = i.Endpoint(usb.TypeBulk, true)
	r.Out, out = i.Endpoint(usb.TypeBulk, false)
	if !in || !out {
		return r, fmt.Errorf("%w: no bulk endpoints", ErrUnsupported)
	}
	return r, nil
}

// Find lists the devices on a bus that have a CCID interface.
func Find(bus usb.Bus) ([]usb.Info, error) {
	all, err := bus.Devices()
	if err != nil {
		return nil, fmt.Errorf("listing USB devices: %w", err)
	}
	var found []usb.Info
	for _, i := range all {
		if len(interfaces(i.Descriptors)) > 0 {
			found = append(found, i)
		}
	}
	return found, nil
}

// A Place is a slot of a reader. The first one of a device has the device's name alone.
type Place struct {
	usb.Info
	Interface, Slot byte
	First           bool
}

// String is BUS-ADDRESS, and INTERFACE.SLOT after it where the device has more than one.
func (p Place) String() string {
	s := fmt.Sprintf("%d-%d", p.Bus, p.Address)
	if !p.First {
		s += fmt.Sprintf(".%d.%d", p.Interface, p.Slot)
	}
	return s
}

// Places lists every slot of every CCID interface on a bus.
func Places(bus usb.Bus) ([]Place, error) {
	found, err := Find(bus)
	if err != nil {
		return nil, err
	}
	var all []Place
	for _, i := range found {
		first := true
		for _, f := range interfaces(i.Descriptors) {
			d, _ := describe(f) // who connects is told
			for slot := range byte(min(int(d.MaxSlot)+1, maxSlots)) {
				all = append(all, Place{i, f.Number, slot, first})
				first = false
			}
		}
	}
	return all, nil
}

// A Host opens the readers of a bus. The slots of one interface share its Reader, so that
// one of them does not keep the others away.
type Host struct {
	Bus usb.Bus

	mu   sync.Mutex
	open map[[3]int]*Reader
}

// Connect opens the first reader at i and powers its card on. Close undoes both.
func Connect(ctx context.Context, bus usb.Bus, i usb.Info) (*Conn, error) {
	all := interfaces(i.Descriptors)
	if len(all) == 0 {
		return nil, fmt.Errorf("opening the card reader %s: %w", i, ErrNoReader)
	}
	return (&Host{Bus: bus}).Connect(ctx, Place{i, all[0].Number, 0, true})
}

// Connect opens the reader at a place, if it is not open, and powers the card on. Close
// undoes both.
func (h *Host) Connect(ctx context.Context, p Place) (*Conn, error) {
	r, err := h.reader(p)
	if err != nil {
		return nil, fmt.Errorf("opening the card reader %s: %w", p.Info, err)
	}
	c, err := r.ConnectSlot(ctx, p.Slot)
	if err != nil {
		h.drop(r)
		return nil, fmt.Errorf("connecting to the card in %s: %w", p.Info, err)
	}
	c.host = h
	return c, nil
}

// reader opens an interface, or counts one more user of it.
func (h *Host) reader(p Place) (*Reader, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := [3]int{p.Bus, p.Address, int(p.Interface)}
	if r := h.open[key]; r != nil {
		r.users++
		return r, nil
	}
	dev, err := h.Bus.Open(p.Info)
	if err != nil {
		return nil, err
	}
	r, err := open(dev, p.Interface)
	if err != nil {
		return nil, err
	}
	if h.open == nil {
		h.open = map[[3]int]*Reader{}
	}
	r.users, h.open[key] = 1, r
	return r, nil
}

// release ends a connection.
func (h *Host) release(c *Conn) error {
	err := c.off()
	c.host = nil
	if last := h.drop(c.r); last != nil {
		err = last
	}
	return err
}

// drop counts one user of a reader less, and closes it after the last one.
func (h *Host) drop(r *Reader) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.users--; r.users > 0 {
		return nil
	}
	for key, o := range h.open {
		if o == r {
			delete(h.open, key)
		}
	}
	return r.Close()
}
