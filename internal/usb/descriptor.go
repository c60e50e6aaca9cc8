package usb

import (
	"encoding/binary"
	"fmt"
)

// Descriptor types (USB 2.0, table 9-5).
const (
	descDevice    = 1
	descConfig    = 2
	descInterface = 4
	descEndpoint  = 5
)

// Interface classes (USB-IF class codes).
const (
	ClassHID  = 0x03
	ClassCCID = 0x0b
)

// maxDescriptors bounds the descriptors of a device, in bytes: wTotalLength has 16 bits.
const maxDescriptors = 1<<16 + 18

// Transfer types of an endpoint (USB 2.0, table 9-13).
const (
	TypeControl   = 0
	TypeIso       = 1
	TypeBulk      = 2
	TypeInterrupt = 3
)

// Descriptors describes a device: its device descriptor and its first
// configuration.
type Descriptors struct {
	Vendor, Product uint16
	Release         uint16 // bcdDevice
	Class           byte
	Configuration   byte // bConfigurationValue
	Interfaces      []Interface
}

// An Interface is one alternate setting of an interface.
type Interface struct {
	Number, Alternate         byte
	Class, SubClass, Protocol byte
	Extra                     [][]byte // class-specific descriptors, whole
	Endpoints                 []Endpoint
}

// An Endpoint is one pipe of an interface.
type Endpoint struct {
	Address   byte // bit 7 set: to the host
	Type      byte // TypeBulk, TypeInterrupt...
	MaxPacket int  // bytes
	Interval  byte // polling interval of an interrupt endpoint
}

// In reports whether the endpoint sends to the host.
func (e Endpoint) In() bool { return e.Address&0x80 != 0 }

// Endpoint finds an interface's first endpoint of a type and direction.
func (i Interface) Endpoint(typ byte, in bool) (Endpoint, bool) {
	for _, e := range i.Endpoints {
		if e.Type == typ && e.In() == in {
			return e, true
		}
	}
	return Endpoint{}, false
}

// Find returns the first interface of a class in its default setting.
func (d *Descriptors) Find(class byte) (Interface, bool) {
	for _, i := range d.Interfaces {
		if i.Class == class && i.Alternate == 0 {
			return i, true
		}
	}
	return Interface{}, false
}

// ParseDescriptors parses a device descriptor followed by its configurations, as
// usbfs and sysfs give them; everything after the first configuration is ignored.
// It returns an error that wraps ErrDescriptor for anything malformed.
func ParseDescriptors(b []byte) (*Descriptors, error) {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrDescriptor, fmt.Sprintf(format, a...))
	}
	if len(b) > maxDescriptors {
		return nil, bad("%d bytes", len(b))
	}
	if len(b) < 18 || b[0] != 18 || b[1] != descDevice {
		return nil, bad("no device descriptor")
	}
	le := binary.LittleEndian
	d := &Descriptors{Class: b[4], Vendor: le.Uint16(b[8:]), Product: le.Uint16(b[10:]), Release: le.Uint16(b[12:])}
	b = b[18:]
	if len(b) < 9 || b[0] != 9 || b[1] != descConfig {
		return nil, bad("no configuration descriptor")
	}
	total := int(le.Uint16(b[2:]))
	if total < 9 || total > len(b) {
		return nil, bad("configuration of %d bytes in %d", total, len(b))
	}
	d.Configuration = b[5]
	var cur *Interface
	for b = b[9:total]; len(b) > 0; {
		n := int(b[0])
		if n < 2 || n > len(b) {
			return nil, bad("descriptor of %d bytes, %d left", n, len(b))
		}
		desc := b[:n:n]
		b = b[n:]
		switch typ := desc[1]; {
		case typ == descInterface:
			if n < 9 {
				return nil, bad("interface descriptor of %d bytes", n)
			}
			d.Interfaces = append(d.Interfaces, Interface{Number: desc[2], Alternate: desc[3], Class: desc[5], SubClass: desc[6],
				Protocol: desc[7]})
			cur = &d.Interfaces[len(d.Interfaces)-1]
		case typ == descEndpoint && cur != nil:
			if n < 7 {
				return nil, bad("endpoint descriptor of %d bytes", n)
			}
			size := int(le.Uint16(desc[4:]) & 0x7ff)
			if size == 0 || desc[2]&0x0f == 0 {
				return nil, bad("endpoint %02x with packets of %d bytes", desc[2], size)
			}
			cur.Endpoints = append(cur.Endpoints,
				Endpoint{Address: desc[2], Type: desc[3] & 3, MaxPacket: size, Interval: desc[6]})
		case cur != nil && typ != descDevice && typ != descConfig:
			cur.Extra = append(cur.Extra, desc)
		}
	}
	return d, nil
}
