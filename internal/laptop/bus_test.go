package laptop

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/hotpkey"
	"reown/internal/hotpkey/hotptest"
	"reown/internal/usb"
	"reown/wizard"
)

// coming is a bus on which a key shows up at the n-th look.
type coming struct {
	usb.Bus
	n       int32
	looks   atomic.Int32
	settles bool
}

func (c *coming) Devices() ([]usb.Info, error) {
	if c.looks.Add(1) < c.n {
		return nil, nil
	}
	return c.Bus.Devices()
}

func (c *coming) Settling() bool { return c.settles }

// A key that the kernel has just begun to see is waited for, three seconds at most, as a
// card and for its green light; where nothing has come lately, nobody waits.
func TestAKeyJustPluggedIn(t *testing.T) {
	for name, look := range map[string]func(context.Context, usb.Bus) error{
		"card": func(ctx context.Context, bus usb.Bus) error {
			_, err := newCard(gpgcard.Selector{}, []gpgcard.Bus{onUSB(bus)}).Info(ctx)
			if errors.Is(err, wizard.ErrNoCard) {
				err = errNone
			}
			return err
		},
		"list": func(ctx context.Context, bus usb.Bus) error {
			found, err := gpgcard.List(ctx, gpgcard.Record(io.Discard, onUSB(bus))...)
			if err == nil && len(found) == 0 {
				err = errNone
			}
			return err
		},
		"light": func(ctx context.Context, bus usb.Bus) error {
			token := &hotpToken{bus}
			if !token.Present(ctx) && ctx.Err() == nil {
				return errNone
			}
			_, err := token.Info(ctx)
			if errors.Is(err, hotpkey.ErrNoToken) {
				err = errNone
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				on := func(n int32, settles bool) *coming {
					card := cardtest.New(cardtest.Nitrokey3)
					card.AddApplet(hotptest.NewSecrets())
					return &coming{Bus: usbdev.NewBus(usbdev.New(usbdev.NK3, card, nil)), n: n, settles: settles}
				}
				if err := look(t.Context(), on(10, true)); err != nil {
					t.Errorf("after two seconds: %v", err)
				}
				late := on(1000, true)
				if err := look(t.Context(), late); !errors.Is(err, errNone) || late.looks.Load() < 10 || late.looks.Load() > 60 {
					t.Errorf("later: %v after %d looks", err, late.looks.Load())
				}
				still := on(20, false)
				if err := look(t.Context(), still); !errors.Is(err, errNone) || still.looks.Load() > 4 {
					t.Errorf("nothing new: %v after %d looks", err, still.looks.Load())
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := look(ctx, on(1000, true)); !errors.Is(err, context.Canceled) {
					t.Errorf("left: %v", err)
				}
			})
		})
	}
}

var errNone = errors.New("none")

// A reader in the laptop does not keep a key from being waited for.
func TestAKeyBesideAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		built := usbdev.New(usbdev.YubiKey, cardtest.New(cardtest.YubiKey), nil)
		built.Eject()
		key := usbdev.New(usbdev.NK3, cardtest.New(cardtest.Nitrokey3), nil)
		key.Unplug()
		bus := &coming{Bus: usbdev.NewBus(built, key), settles: true}
		time.AfterFunc(time.Second, key.Plug)
		if _, err := newCard(gpgcard.Selector{}, []gpgcard.Bus{onUSB(bus)}).Info(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A reader that goes away, or fails, does not hide the other of the same kind.
func TestTwoReadersOfOneKind(t *testing.T) {
	other := cardtest.ZeitControl
	other.Serial = 0xB2
	first, second := usbdev.New(usbdev.Pro, cardtest.New(cardtest.ZeitControl), nil),
		usbdev.New(usbdev.Pro, cardtest.New(other), nil)
	c := newCard(gpgcard.Selector{}, []gpgcard.Bus{onUSB(usbdev.NewBus(first, second))})
	if _, err := c.Info(t.Context()); !errors.Is(err, gpgcard.ErrSeveralCards) {
		t.Fatalf("both: %v", err)
	}
	if i, err := c.At("000000B2").Info(t.Context()); err != nil || i.Serial != "000000B2" {
		t.Fatalf("the second by its number: %+v, %v", i, err)
	}
	first.Unplug()
	if i, err := c.Info(t.Context()); err != nil || i.Serial != "000000B2" {
		t.Fatalf("the first unplugged: %+v, %v", i, err)
	}
}
