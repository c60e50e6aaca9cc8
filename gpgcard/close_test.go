package gpgcard_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/ccid"
	"reown/internal/secret"
	"reown/internal/usb"
)

// A Nitrokey 3 ignores that it is switched off, so that the next program could use a
// PIN which it never knew. Close ends the verification itself.
func TestCloseForgetsPINs(t *testing.T) {
	user, admin := secret.From([]byte("123456")), secret.From([]byte("12345678"))
	card := cardtest.New(cardtest.Nitrokey3)
	card.KeepsPIN(true)
	verified := func() (all []byte) {
		card.PowerOn()
		for _, ref := range []byte{0x81, 0x82, 0x83} {
			// An empty VERIFY asks (clause 7.2.2).
			if r := card.Transmit([]byte{0, 0x20, 0, ref}); string(r) == "\x90\x00" {
				all = append(all, ref)
			}
		}
		return all
	}
	c, err := gpgcard.Open(t.Context(), gpgcard.Selector{}, cardtest.NewBus(card))
	if err != nil {
		t.Fatal(err)
	}
	for which, pin := range map[gpgcard.PIN]*secret.Buffer{gpgcard.UserPIN: user, gpgcard.AdminPIN: admin} {
		if err := c.Verify(t.Context(), which, pin); err != nil {
			t.Fatal(err)
		}
	}
	if left := verified(); len(left) != 2 {
		t.Fatalf("the emulated card does not keep what a Nitrokey 3 keeps: %X", left)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if left := verified(); left != nil {
		t.Errorf("still verified: %X", left)
	}
}

// adminApp is the Nitrokey's admin application, as far as it is chosen here.
type adminApp struct{}

func (adminApp) AID() []byte            { return []byte{0xa0, 0, 0, 8, 0x47, 0, 0, 0, 1} }
func (adminApp) Select() []byte         { return []byte{0x90, 0} }
func (adminApp) Transmit([]byte) []byte { return []byte{0x6d, 0} }

// gone gives the error of a pulled-out token its name, as every Link does.
type gone struct{ *ccid.Conn }

func (l gone) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	r, err := l.Conn.Transmit(ctx, apdu)
	return r, l.name(err)
}

func (l gone) PowerCycle(ctx context.Context) error { return l.name(l.Conn.PowerCycle(ctx)) }

func (gone) name(err error) error {
	if errors.Is(err, usb.ErrGone) {
		return errors.Join(gpgcard.ErrRemoved, err)
	}
	return err
}

// An exchange that was given up ends the connection, and the key still knows the PIN.
// Close makes it forget, or says that it may not have.
func TestCloseAfterACutExchange(t *testing.T) {
	for name, c := range map[string]struct {
		then     func(*usbdev.Device)
		verified bool
		fails    bool
	}{
		"lives":      {func(*usbdev.Device) {}, false, false},
		"hangs":      {(*usbdev.Device).Hang, true, true},
		"pulled out": {(*usbdev.Device).Unplug, true, false}, // the emulated card keeps it, a real one has no power
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			card := cardtest.New(cardtest.Nitrokey3)
			card.KeepsPIN(true)
			card.AddApplet(adminApp{})
			d := usbdev.New(usbdev.NK3, card, nil)
			bus := usbdev.NewBus(d)
			found, err := ccid.Find(bus)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := ccid.Connect(t.Context(), bus, found[0])
			if err != nil {
				t.Fatal(err)
			}
			k, err := gpgcard.New(t.Context(), gone{conn}, gpgcard.Reader{})
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Verify(t.Context(), gpgcard.AdminPIN, secret.From([]byte("12345678"))); err != nil {
				t.Fatal(err)
			}
			d.Slow(300 * time.Millisecond)
			short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if _, err := k.Info(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			d.Slow(0)
			c.then(d)
			if err := k.Close(); (err != nil) != c.fails {
				t.Errorf("Close says %v", err)
			}
			card.PowerOn()
			if r := card.Transmit([]byte{0, 0x20, 0, 0x83}); bytes.Equal(r, []byte{0x90, 0}) != c.verified {
				t.Errorf("the key answers %X to the question whether it knows the PIN", r)
			}
		})
	}
}
