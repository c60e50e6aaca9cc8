package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"reown/gpgcard"
	"reown/internal/ccid"
	"reown/internal/pcsc"
	"reown/internal/secret"
	"reown/internal/usb"
	"reown/wizard"
)

// cardBuses are the ways to a card that a --card flag names: "auto" is a running
// pcscd first, which then owns the USB readers, and USB itself.
func cardBuses(spec string) ([]gpgcard.Bus, error) {
	kind, socket, _ := strings.Cut(spec, ":")
	switch kind {
	case "auto":
		return []gpgcard.Bus{pcsc.Bus{}, usbCards{usb.System()}}, nil
	case "usb":
		return []gpgcard.Bus{usbCards{usb.System()}}, nil
	case "pcsc":
		return []gpgcard.Bus{pcsc.Bus{Socket: socket}}, nil
	}
	return nil, usagef("--card takes auto, usb, pcsc or pcsc:SOCKET, not %q", spec)
}

// usbCards offers the CCID readers on a USB bus to gpgcard.
type usbCards struct{ bus usb.Bus }

func (u usbCards) Readers(context.Context) ([]gpgcard.Reader, error) {
	found, err := ccid.Find(u.bus)
	if err != nil {
		return nil, err
	}
	var list []gpgcard.Reader
	for _, i := range found {
		list = append(list, gpgcard.Reader{Bus: "usb", Name: usbName(i), Present: true, VID: i.Descriptors.Vendor, PID: i.Descriptors.Product})
	}
	return list, nil
}

func usbName(i usb.Info) string { return fmt.Sprintf("%d-%d", i.Bus, i.Address) }

func (u usbCards) Connect(ctx context.Context, r gpgcard.Reader) (gpgcard.Link, error) {
	found, err := ccid.Find(u.bus)
	if err != nil {
		return nil, err
	}
	for _, i := range found {
		if usbName(i) != r.Name {
			continue
		}
		conn, err := ccid.Connect(ctx, u.bus, i)
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

// card shows an OpenPGP card to the wizard. The card is held only while a method
// runs, so that no verified PIN outlives it.
type card struct {
	sel   gpgcard.Selector
	buses []gpgcard.Bus
}

func (c *card) with(ctx context.Context, f func(*gpgcard.Card) error) error {
	k, err := gpgcard.Open(ctx, c.sel, c.buses...)
	if err != nil {
		if errors.Is(err, gpgcard.ErrNoReader) || errors.Is(err, gpgcard.ErrNoCard) || errors.Is(err, gpgcard.ErrRemoved) {
			return fmt.Errorf("%w: %w", wizard.ErrNoCard, err)
		}
		if errors.Is(err, gpgcard.ErrSeveralCards) {
			return fmt.Errorf("%w: %w", wizard.ErrSeveralCards, err)
		}
		return err
	}
	err = errors.Join(f(k), k.Close())
	var pin *gpgcard.PINError
	if errors.As(err, &pin) && pin.Left != 0 {
		return fmt.Errorf("%w: %w", wizard.ErrWrongSecret, err)
	}
	return err
}

func (c *card) At(serial string) wizard.Card {
	return &card{sel: gpgcard.Selector{Reader: c.sel.Reader, Serial: serial}, buses: c.buses}
}

func (c *card) Info(ctx context.Context) (wizard.CardInfo, error) {
	var out wizard.CardInfo
	err := c.with(ctx, func(k *gpgcard.Card) error {
		i, err := k.Info(ctx)
		if err != nil {
			return err
		}
		out = wizard.CardInfo{
			Reader: i.ReaderName, Vendor: i.Manufacturer, Serial: fmt.Sprintf("%08X", i.Serial.Number), Application: i.AID, Terminated: i.Terminated, NoReset: !i.Resettable,
			Tries:  [3]int{i.User.Left, i.ResetCode.Left, i.Admin.Left},
			PINMin: [2]int{i.User.MinLen, i.Admin.MinLen}, PINMax: [2]int{i.User.MaxLen, i.Admin.MaxLen},
		}
		if i.Terminated {
			out.Serial = "" // it does not tell
		}
		for _, a := range i.Algorithms {
			out.Algorithms = append(out.Algorithms, a.String())
		}
		for n, key := range i.Keys {
			if key.Present && key.Consistent {
				out.Fingerprints[n] = key.Fingerprint
			}
			if key.Touch != "" && key.Touch != gpgcard.TouchOff.String() {
				out.Touch = key.Touch
			}
		}
		return nil
	})
	return out, err
}

func (c *card) Reset(ctx context.Context) error {
	return c.with(ctx, func(k *gpgcard.Card) error { return k.Reset(ctx, gpgcard.ResetOptions{}) })
}

func (c *card) Generate(ctx context.Context, spec wizard.KeySpec, progress wizard.Progress) error {
	alg, err := gpgcard.ParseAlgorithm(spec.Algorithm)
	if err != nil {
		return err
	}
	return c.with(ctx, func(k *gpgcard.Card) error {
		return k.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: alg, Created: spec.Created, Progress: progress})
	})
}

func (c *card) Import(ctx context.Context, set wizard.KeySet, progress wizard.Progress) error {
	k, ok := set.(keySet)
	if !ok {
		return gpgcard.ErrNotImportable
	}
	return c.with(ctx, func(c *gpgcard.Card) error {
		return c.Import(ctx, k.KeySet, gpgcard.ImportOptions{Progress: progress})
	})
}

func (c *card) SetPINs(ctx context.Context, user, admin *secret.Buffer) error {
	return c.with(ctx, func(k *gpgcard.Card) error { return k.SetPINs(ctx, user, admin) })
}

func (c *card) VerifyPINs(ctx context.Context, user, admin *secret.Buffer) error {
	return c.with(ctx, func(k *gpgcard.Card) error {
		if user != nil {
			if err := k.Verify(ctx, gpgcard.UserPIN, user); err != nil {
				return err
			}
		}
		if admin != nil {
			return k.Verify(ctx, gpgcard.AdminPIN, admin)
		}
		return nil
	})
}

func (c *card) Certify(ctx context.Context, id wizard.Identity, userPIN *secret.Buffer) ([]byte, error) {
	if id == (wizard.Identity{}) {
		id.Name = "Owner" // an OpenPGP key must say something (RFC 9580, 10.1)
	}
	var out []byte
	err := c.with(ctx, func(k *gpgcard.Card) error {
		cert, err := k.Certificate(ctx, userID(id), userPIN)
		if err == nil {
			out = cert.Bytes()
		}
		return err
	})
	return out, err
}

func (c *card) Sign(ctx context.Context, cert []byte, userPIN *secret.Buffer, data []byte) ([]byte, error) {
	parsed, err := gpgcard.ParseCert(cert)
	if err != nil {
		return nil, err
	}
	var sig []byte
	err = c.with(ctx, func(k *gpgcard.Card) error {
		sig, err = k.SignDetached(ctx, parsed, userPIN, data)
		return err
	})
	return sig, err
}

// userID is the name on the key. A key must have one; an owner need not.
func userID(id wizard.Identity) gpgcard.Identity {
	if id.Name == "" && id.Email == "" {
		return gpgcard.Identity{Name: "Owner"}
	}
	return gpgcard.Identity{Name: id.Name, Email: id.Email}
}

// keySet shows keys in memory to the wizard.
type keySet struct{ *gpgcard.KeySet }

func (k keySet) Certificate() []byte { return k.Cert().Bytes() }

// openPGP reads certificates, makes keys in memory and checks signatures for the wizard.
type openPGP struct{}

func (openPGP) Fingerprints(cert []byte) ([3]string, error) {
	var out [3]string
	c, err := gpgcard.ParseCert(cert)
	if err != nil {
		return out, err
	}
	for _, k := range c.Keys() {
		for i, use := range []string{"S", "E", "A"} {
			if out[i] == "" && strings.Contains(k.Usage, use) {
				out[i] = k.Fingerprint
			}
		}
	}
	return out, nil
}

func (openPGP) Verify(cert, data, sig []byte) error {
	c, err := gpgcard.ParseCert(cert)
	if err != nil {
		return err
	}
	_, err = gpgcard.VerifyDetached(c, sig, data)
	return err
}

func (openPGP) NewKeySet(ctx context.Context, spec wizard.KeySpec, id wizard.Identity) (wizard.KeySet, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	alg, err := gpgcard.ParseAlgorithm(spec.Algorithm)
	if err != nil {
		return nil, err
	}
	set, err := gpgcard.NewKeySet(alg, userID(id), spec.Created)
	if err != nil {
		return nil, err
	}
	return keySet{set}, nil
}
