package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/gpgcard/cardtest/usbdev/usbredir"
	"reown/internal/hotpkey/hotptest"
	"reown/internal/lab"
	"reown/internal/usb"
)

// plugToken brings the emulated token to the guest's USB.
func (m *Machine) plugToken(ctx context.Context, o Options) error {
	saved, err := os.ReadFile(filepath.Join(m.laptop.Dir, "card.json"))
	if err != nil {
		return err
	}
	if m.Card, err = cardtest.Load(saved); err != nil {
		return err
	}
	m.Card.AutoTouch(true)
	m.Card.OnChange(func(saved []byte) { _ = os.WriteFile(filepath.Join(m.laptop.Dir, "card.json"), saved, 0o600) })
	if m.HOTP, err = loadHOTP(m.laptop); err != nil {
		return err
	}
	m.Card.AddApplet(m.HOTP)
	m.Token = usbdev.New(profileOf(m.laptop.Profile), m.Card, nil)
	if o.NoToken {
		m.Token.Unplug()
	}
	return m.serveUSB(ctx, "token", m.Token)
}

// loadHOTP returns the token's second application as its file in the laptop's
// directory has it, and keeps it there.
func loadHOTP(l *lab.Laptop) (*hotptest.Secrets, error) {
	file := filepath.Join(l.Dir, "hotp.json")
	app := hotptest.NewSecrets()
	saved, err := os.ReadFile(file)
	if err == nil {
		app, err = hotptest.LoadSecrets(saved)
	} else if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	app.Changed = func(saved []byte) { _ = os.WriteFile(file, saved, 0o600) }
	return app, err
}

// serveUSB gives a device one of the guest's USB ports.
func (m *Machine) serveUSB(ctx context.Context, port string, d *usbdev.Device) error {
	conn, err := usbredir.Dial(ctx, m.path(port))
	if err != nil {
		return err
	}
	bus := usbdev.NewBus(d)
	go func() {
		_ = usbredir.Serve(ctx, conn, func() (usb.Device, error) {
			all, err := bus.Devices()
			if err != nil || len(all) == 0 {
				return nil, usb.ErrGone
			}
			return bus.Open(all[0])
		})
	}()
	return nil
}

// PlugSecond plugs another token into the other USB port, for good. It may be called
// once; the token's own Unplug and Plug follow it.
func (m *Machine) PlugSecond(d *usbdev.Device) error { return m.serveUSB(m.ctx, "second", d) }

// PlugKeyboard plugs a USB keyboard in, from which all keys come from now on.
func (m *Machine) PlugKeyboard() error {
	return m.QMP.Do("device_add", map[string]any{"driver": "usb-kbd", "id": "keyboard", "bus": "usb.0"}, nil)
}

// UnplugKeyboard takes it away.
func (m *Machine) UnplugKeyboard() error {
	return m.QMP.Do("device_del", map[string]any{"id": "keyboard"}, nil)
}

// profileOf is the USB side of a card profile.
func profileOf(card string) usbdev.Profile {
	for _, p := range []usbdev.Profile{usbdev.Pro, usbdev.Librem, usbdev.Storage, usbdev.Gnuk, usbdev.NitrokeyStart,
		usbdev.YubiKey} {
		if p.Name == card {
			return p
		}
	}
	return usbdev.NK3
}
