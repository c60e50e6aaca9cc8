package usb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"reown/internal/escape"
)

// Errors of transfers and claims.
var (
	// ErrGone says that the device was unplugged or has left the bus.
	ErrGone = errors.New("the USB device is gone")
	// ErrStall says that the device refused a request (USB 2.0, 8.4.5).
	ErrStall = errors.New("the USB device refused the request")
	// ErrBusy says that another program or driver holds the interface.
	ErrBusy = errors.New("the USB interface is in use by another program")
	// ErrAccess says that the device node may not be opened.
	ErrAccess = errors.New("no permission to open the USB device")
	// ErrTransfer says that the bus could not carry a transfer: a bad cable, a
	// bad contact, or a device that crashed.
	ErrTransfer = errors.New("a USB transfer failed")
	// ErrDescriptor says that a device describes itself in a way that the USB
	// specification does not allow.
	ErrDescriptor = errors.New("malformed USB descriptor")
)

// Setup is the setup stage of a control transfer (USB 2.0, 9.3). The length is
// that of the data given to Control.
type Setup struct {
	RequestType byte // direction, type, recipient; bit 7 set: device to host
	Request     byte
	Value       uint16
	Index       uint16
}

// In reports whether the data stage goes from the device to the host.
func (s Setup) In() bool { return s.RequestType&0x80 != 0 }

// A Device is one open USB device. Transfers on different endpoints may run at
// the same time. Every transfer ends when its context does; ctx.Err() is then
// returned, unless the transfer finished first or a part of it has come. All methods return an error that
// wraps ErrGone once the device has been unplugged.
type Device interface {
	// Descriptors returns the device's description, read when it was opened.
	Descriptors() *Descriptors
	// Claim takes an interface for this program alone and detaches a kernel driver
	// that is bound to it. It returns ErrBusy when another program has it. Claiming
	// twice is allowed.
	Claim(iface byte) error
	// Release gives an interface back, to its kernel driver if it had one.
	Release(iface byte) error
	// Control performs a control transfer on endpoint zero with at most 4096 bytes
	// of data and returns the number of bytes in the data stage.
	Control(ctx context.Context, s Setup, data []byte) (int, error)
	// BulkOut sends all of p. An empty p sends a zero-length packet.
	BulkOut(ctx context.Context, endpoint byte, p []byte) error
	// BulkIn waits for one transfer: it ends with a packet that is shorter than the
	// endpoint's, or when p is full. len(p) should be a multiple of the packet size.
	BulkIn(ctx context.Context, endpoint byte, p []byte) (int, error)
	// Interrupt waits for one interrupt transfer from the device.
	Interrupt(ctx context.Context, endpoint byte, p []byte) (int, error)
	// Reset resets the port. Claims are kept when the device comes back with the
	// same descriptors.
	Reset() error
	// Close releases all interfaces. It may be called more than once.
	Close() error
}

// A Settler is a Bus that knows of devices which have just come.
type Settler interface{ Settling() bool }

// SettleTime is how long a key takes from its plug to its descriptors.
const SettleTime = 3 * time.Second

// Settle looks until something was found, as long as settling says that it may still come:
// SettleTime at most. At the first look after a start, the kernel may not have seen a key yet.
func Settle(ctx context.Context, settling func() bool, look func() (found bool)) error {
	for end := time.Now().Add(SettleTime); !look() && settling() && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settlePoll):
		}
	}
	return nil
}

const settlePoll = 200 * time.Millisecond

// Settling says whether a Bus is a Settler that has seen something a moment ago.
func Settling(b any) bool {
	s, ok := b.(Settler)
	return ok && s.Settling()
}

// Info tells where a device is and what it is, without opening it.
type Info struct {
	Bus, Address int    // as in /dev/bus/usb/BUS/ADDRESS; Address changes with every plugging
	Serial       string // the device's own serial number string; may be empty
	Product      string // its maker and name, as it says; may be empty
	Descriptors  *Descriptors
}

// String returns BUS-ADDRESS and the ids, and the name if there is one, for messages.
func (i Info) String() string {
	if i.Product != "" {
		return fmt.Sprintf("%d-%d %04x:%04x (%s)", i.Bus, i.Address, i.Descriptors.Vendor, i.Descriptors.Product,
			escape.Text(i.Product))
	}
	return fmt.Sprintf("%d-%d %04x:%04x", i.Bus, i.Address, i.Descriptors.Vendor, i.Descriptors.Product)
}

// A Bus finds and opens devices.
type Bus interface {
	// Devices lists what is plugged in, hubs included, ordered by bus and address. A
	// device whose descriptors are malformed is left out.
	Devices() ([]Info, error)
	// Open opens a device that Devices listed. It returns ErrGone when another
	// device, or none, has that address now.
	Open(Info) (Device, error)
}
