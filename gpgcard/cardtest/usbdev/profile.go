package usbdev

import (
	"encoding/binary"
	"time"
	"unicode/utf16"
)

// A Profile is a make of token as USB sees it, as data.
type Profile struct {
	Name                string
	Vendor, Product     uint16
	Release             uint16 // bcdDevice
	Manufacturer, Model string
	Serial              string
	CCIDInterface       byte
	HIDInterface        int // -1: none
	Features, Protocols uint32
	MaxMessage          int      // dwMaxCCIDMessageLength, bytes
	Clock, MaxRate      uint32   // kHz, bit/s; 0: those of a Nitrokey Pro
	Rates               []uint32 // the table of speeds; nil: the reader has none
	EpOut, EpIn, EpInt  byte
	Extension           time.Duration // how often the reader or card asks for time while it thinks
	ExtensionFirst      bool          // asks for time before every answer (Gnuk)
	// power-on and power-off do not reach the card, and need not be sent (Nitrokey 3: usbd-ccid)
	AlwaysOn    bool
	EmptyPacket bool // ends messages of whole packets with an empty one
	Aborts      bool // understands ABORT (CCID 1.1, 5.3.1)
	// a HID command while the card is powered hangs the token (nitrokey-pro-firmware#54)
	HangsWhenInterleaved bool
}

// The tokens that Heads users have. The intervals of time extensions are much
// shorter than the real ones, so that tests see some.
var (
	Pro = Profile{
		Name: "pro", Vendor: 0x20a0, Product: 0x4108, Release: 0x0101, Manufacturer: "Nitrokey", Model: "Nitrokey Pro",
		Serial:        "00000000000000000000A1B2",
		CCIDInterface: 1, HIDInterface: 0, Features: 0x000104ba, Protocols: 2, MaxMessage: 271, EpOut: 0x02, EpIn: 0x82,
		EpInt:     0x81,
		Extension: 20 * time.Millisecond, HangsWhenInterleaved: true,
	}
	Librem  = variant(Pro, "librem", 0x316d, 0x4c4b, "Purism, SPC", "Librem Key")
	Storage = variant(Pro, "storage", 0x20a0, 0x4109, "Nitrokey", "Nitrokey Storage")
	NK3     = Profile{
		Name: "nk3", Vendor: 0x20a0, Product: 0x42b2, Release: 0x0107, Manufacturer: "Nitrokey", Model: "Nitrokey 3",
		Serial:        "4E4B3301",
		CCIDInterface: 0, HIDInterface: -1, Features: 0x00040840, Protocols: 2, MaxMessage: 3072, EpOut: 0x01, EpIn: 0x81,
		EpInt:     0x82,
		Extension: 20 * time.Millisecond, AlwaysOn: true, Aborts: true,
	}
	Gnuk = Profile{
		Name: "gnuk", Vendor: 0x234b, Product: 0x0000, Release: 0x0200, Manufacturer: "Free Software Initiative of Japan",
		Model: "Gnuk", Serial: "FSIJ-1.2.19-F1420A7A",
		CCIDInterface: 0, HIDInterface: -1, Features: 0x0002047a, Protocols: 2, MaxMessage: 271, EpOut: 0x01, EpIn: 0x81,
		EpInt:     0x82,
		Extension: 20 * time.Millisecond, ExtensionFirst: true, EmptyPacket: true,
	}
	NitrokeyStart = variant(Gnuk, "start", 0x20a0, 0x4211, "Nitrokey", "Nitrokey Start")
	YubiKey       = Profile{
		Name: "yubikey", Vendor: 0x1050, Product: 0x0404, Release: 0x0543, Manufacturer: "Yubico", Model: "YubiKey CCID",
		CCIDInterface: 0, HIDInterface: -1, Features: 0x000400fe, Protocols: 3, MaxMessage: 3072, EpOut: 0x02, EpIn: 0x82,
		EpInt:     0x83,
		Extension: 20 * time.Millisecond,
	}
	CanoKey = variant(YubiKey, "canokey", 0x20a0, 0x42d4, "canokeys.org", "OpenPGP PIV OATH")
)

func variant(p Profile, name string, vendor, product uint16, manufacturer, model string) Profile {
	p.Name, p.Vendor, p.Product, p.Manufacturer, p.Model = name, vendor, product, manufacturer, model
	return p
}

// hidReport describes 64-byte reports in, out and feature (HID 1.11, 6.2.2), vendor
// defined as on the Nitrokey Pro.
var hidReport = []byte{
	0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01,
	0x09, 0x01, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x40, 0x81, 0x02,
	0x09, 0x02, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x40, 0x91, 0x02,
	0x09, 0x02, 0x75, 0x08, 0x95, 0x40, 0xb1, 0x02, 0xc0,
}

// packet is the packet size of every bulk endpoint: the tokens are full speed.
const packet = 64

func (p Profile) deviceDescriptor() []byte {
	b := []byte{18, 1, 0x10, 0x01, 0, 0, 0, packet}
	le := binary.LittleEndian
	b = le.AppendUint16(b, p.Vendor)
	b = le.AppendUint16(b, p.Product)
	b = le.AppendUint16(b, p.Release)
	serial := byte(3)
	if p.Serial == "" {
		serial = 0
	}
	return append(b, 1, 2, serial, 1)
}

func (p Profile) configDescriptor() []byte {
	le := binary.LittleEndian
	ccid := []byte{9, 4, p.CCIDInterface, 0, 3, 0x0b, 0, 0, 0, 54, 0x21, 0x10, 0x01, 0, 2}
	clock, rate := uint32(3600), uint32(116129)
	if p.Clock != 0 {
		clock, rate = p.Clock, p.MaxRate
	}
	for _, v := range []uint32{p.Protocols, clock, clock} {
		ccid = le.AppendUint32(ccid, v)
	}
	ccid = append(ccid, 0)
	ccid = le.AppendUint32(ccid, 9677)
	ccid = le.AppendUint32(ccid, rate)
	ccid = append(ccid, byte(len(p.Rates)))
	for _, v := range []uint32{254, 0, 0, p.Features, uint32(p.MaxMessage)} {
		ccid = le.AppendUint32(ccid, v)
	}
	ccid = append(ccid, 0, 0, 0, 0, 0, 1)
	ccid = append(ccid, 7, 5, p.EpInt, 3, packet, 0, 0x18, 7, 5, p.EpOut, 2, packet, 0, 0, 7, 5, p.EpIn, 2, packet, 0, 0)
	body, n := ccid, byte(1)
	if p.HIDInterface >= 0 {
		hid := []byte{9, 4, byte(p.HIDInterface), 0, 1, 3, 0, 0, 0, 9, 0x21, 0x10, 0x01, 0, 1, 0x22, byte(len(hidReport)), 0,
			7, 5, hidEndpoint, 3, 8, 0, 10}
		n = 2
		if p.HIDInterface < int(p.CCIDInterface) {
			body = append(hid, ccid...)
		} else {
			body = append(ccid, hid...)
		}
	}
	b := le.AppendUint16([]byte{9, 2}, uint16(9+len(body)))
	return append(append(b, n, 1, 0, 0x80, 50), body...)
}

// hidEndpoint is the interrupt endpoint of the HID interface; nothing is ever sent
// there.
const hidEndpoint = 0x84

// stringDescriptor encodes a string (USB 2.0, 9.6.7).
func stringDescriptor(s string) []byte {
	b := []byte{0, 3}
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	b[0] = byte(len(b))
	return b
}
