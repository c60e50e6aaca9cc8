package usbdev

import (
	"context"
	"fmt"
	"sort"
	"sync"

	"reown/internal/usb"
)

// A Bus is an emulated USB host with devices plugged into it. It implements usb.Bus,
// with the kernel's rules: an interface has one owner at a time.
type Bus struct {
	mu      sync.Mutex
	devices []*Device
}

// NewBus returns a bus with devices.
func NewBus(devices ...*Device) *Bus {
	b := &Bus{}
	for _, d := range devices {
		b.Add(d)
	}
	return b
}

// Add gives a device a port.
func (b *Bus) Add(d *Device) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.devices = append(b.devices, d)
	d.mu.Lock()
	d.address = len(b.devices) + 1
	d.mu.Unlock()
}

// Devices implements usb.Bus.
func (b *Bus) Devices() ([]usb.Info, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []usb.Info
	for _, d := range b.devices {
		d.mu.Lock()
		if d.plugged {
			all = append(all, usb.Info{Bus: 1, Address: d.address, Serial: d.p.Serial, Descriptors: d.descriptors()})
		}
		d.mu.Unlock()
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Address < all[j].Address })
	return all, nil
}

// descriptors parses what the device says of itself, as the kernel would hand it on.
func (d *Device) descriptors() *usb.Descriptors {
	p, err := usb.ParseDescriptors(append(d.p.deviceDescriptor(), d.p.configDescriptor()...))
	if err != nil {
		panic(fmt.Sprintf("usbdev: profile %s: %v", d.p.Name, err))
	}
	return p
}

// Open implements usb.Bus.
func (b *Bus) Open(i usb.Info) (usb.Device, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.devices {
		d.mu.Lock()
		match := d.plugged && d.address == i.Address
		epoch := d.address
		d.mu.Unlock()
		if match {
			return &handle{d: d, desc: d.descriptors(), address: epoch}, nil
		}
	}
	return nil, fmt.Errorf("opening %s: %w", i, usb.ErrGone)
}

// Open opens the device directly, without a bus.
func (d *Device) Open() usb.Device {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &handle{d: d, desc: d.descriptors(), address: d.address}
}

// A handle is one opening of a device.
type handle struct {
	d       *Device
	desc    *usb.Descriptors
	address int
	closed  bool // d.mu
}

func (h *handle) Descriptors() *usb.Descriptors { return h.desc }

// check says whether the handle still leads to its device. d.mu is held.
func (h *handle) check() error {
	if h.closed || !h.d.plugged || h.d.address != h.address {
		return usb.ErrGone
	}
	return nil
}

func (h *handle) Claim(iface byte) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.check(); err != nil {
		return err
	}
	if o := h.d.claims[iface]; o != nil && o != h {
		return fmt.Errorf("claiming interface %d: %w", iface, usb.ErrBusy)
	}
	h.d.claims[iface] = h
	return nil
}

func (h *handle) Release(iface byte) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.claims[iface] == h {
		delete(h.d.claims, iface)
	}
	return nil
}

// allowed checks a transfer against the claims. d.mu is not held.
func (h *handle) allowed(endpoint byte) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.check(); err != nil {
		return err
	}
	for _, i := range h.desc.Interfaces {
		for _, e := range i.Endpoints {
			if e.Address == endpoint && h.d.claims[i.Number] == h {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: endpoint %02x of an interface that is not claimed", usb.ErrTransfer, endpoint)
}

func (h *handle) Control(ctx context.Context, s usb.Setup, data []byte) (int, error) {
	h.d.mu.Lock()
	err := h.check()
	if err == nil && s.RequestType&0x1f == 1 && h.d.claims[byte(s.Index)] != h {
		err = fmt.Errorf("%w: interface %d is not claimed", usb.ErrTransfer, byte(s.Index))
	}
	h.d.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return h.d.control(ctx, s, data)
}

func (h *handle) BulkOut(ctx context.Context, endpoint byte, p []byte) error {
	if err := h.allowed(endpoint &^ 0x80); err != nil {
		return err
	}
	return h.d.out(ctx, endpoint&^0x80, p)
}

func (h *handle) BulkIn(ctx context.Context, endpoint byte, p []byte) (int, error) {
	if err := h.allowed(endpoint | 0x80); err != nil {
		return 0, err
	}
	return h.d.in(ctx, endpoint|0x80, p)
}

func (h *handle) Interrupt(ctx context.Context, endpoint byte, p []byte) (int, error) {
	return h.BulkIn(ctx, endpoint, p)
}

func (h *handle) Reset() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.check(); err != nil {
		return err
	}
	h.d.reset()
	return nil
}

func (h *handle) Close() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	h.closed = true
	for i, o := range h.d.claims {
		if o == h {
			delete(h.d.claims, i)
		}
	}
	return nil
}
