// Package usbid is the USB ids of the security keys that the program tells apart: the one
// place where they stand. What a make does differently is in the tables of its users
// (gpgcard/quirks.go, internal/hotpkey). The emulators have ids of their own, so that a wrong
// one here fails a test.
package usbid

// An ID is a vendor and a product as in a device descriptor (USB 2.0, table 9-8).
type ID struct{ Vendor, Product uint16 }

// The keys, by the names that their makers print on them.
var (
	NitrokeyPro     = ID{0x20a0, 0x4108}
	NitrokeyStorage = ID{0x20a0, 0x4109}
	NitrokeyStart   = ID{0x20a0, 0x4211}
	Nitrokey3       = ID{0x20a0, 0x42b2}
	LibremKey       = ID{0x316d, 0x4c4b}
	Gnuk            = ID{0x234b, 0x0000}
)
