package laptop

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"reown/gpgcard"
	"reown/internal/ccid"
	"reown/internal/pcsc"
	"reown/internal/usb"
)

// CardBuses are the ways to a card that spec names, one of "usb", "pcsc", "pcsc:SOCKET" and
// "auto": a running pcscd first, which then owns the USB readers, and USB itself. Any other
// spec is an error, the only one that there can be.
func CardBuses(spec string) ([]gpgcard.Bus, error) {
	kind, socket, _ := strings.Cut(spec, ":")
	switch kind {
	case "auto":
		return []gpgcard.Bus{pcsc.Bus{}, onUSB(usb.System())}, nil
	case "usb":
		return []gpgcard.Bus{onUSB(usb.System())}, nil
	case "pcsc":
		return []gpgcard.Bus{pcsc.Bus{Socket: socket}}, nil
	}
	return nil, fmt.Errorf("a card is reached by auto, usb, pcsc or pcsc:SOCKET, not %q", spec)
}

// usbCards offers the slots of the CCID readers on a USB bus to gpgcard.
type usbCards struct{ *ccid.Host }

func onUSB(bus usb.Bus) usbCards { return usbCards{&ccid.Host{Bus: bus}} }

// Settling says that the kernel may be about to see a key.
func (u usbCards) Settling() bool { return usb.Settling(u.Bus) }

func (u usbCards) Readers(context.Context) ([]gpgcard.Reader, error) {
	found, err := ccid.Places(u.Bus)
	if err != nil {
		return nil, err
	}
	var list []gpgcard.Reader
	for _, p := range found {
		list = append(list, gpgcard.Reader{Bus: "usb", Name: p.String(), Product: p.Product, Present: true,
			VID: p.Descriptors.Vendor, PID: p.Descriptors.Product})
	}
	return list, nil
}

func (u usbCards) Connect(ctx context.Context, r gpgcard.Reader) (gpgcard.Link, error) {
	found, err := ccid.Places(u.Bus)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		if p.String() != r.Name {
			continue
		}
		conn, err := u.Host.Connect(ctx, p)
		if err != nil {
			return nil, removed(err)
		}
		return usbLink{conn}, nil
	}
	return nil, gpgcard.ErrRemoved
}

// usbLink gives an unplugged token, and an empty reader, the name that gpgcard knows.
type usbLink struct{ *ccid.Conn }

func (l usbLink) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	reply, err := l.Conn.Transmit(ctx, apdu)
	return reply, removed(err)
}

func (l usbLink) PowerCycle(ctx context.Context) error { return removed(l.Conn.PowerCycle(ctx)) }

func removed(err error) error {
	switch {
	case errors.Is(err, usb.ErrGone), errors.Is(err, ccid.ErrNoCard):
		return fmt.Errorf("%w: %w", gpgcard.ErrRemoved, err)
	case errors.Is(err, usb.ErrBusy):
		return fmt.Errorf("%w: %w", gpgcard.ErrBusy, err)
	}
	return err
}
