package laptop

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/usb"
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

// A key that the kernel has just begun to see is waited for, three seconds at most; where
// nothing has come lately, nobody waits.
func TestAKeyJustPluggedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := func(n int32, settles bool) (*coming, usbCards) {
			c := &coming{Bus: usbdev.NewBus(usbdev.New(usbdev.NK3, cardtest.New(cardtest.Nitrokey3), nil)), n: n, settles: settles}
			return c, onUSB(c)
		}
		_, bus := on(20, true)
		if r, err := bus.Readers(t.Context()); err != nil || len(r) != 1 {
			t.Errorf("after two seconds: %v, %v", r, err)
		}
		late, bus := on(100, true)
		if r, err := bus.Readers(t.Context()); err != nil || len(r) != 0 || late.looks.Load() < 20 || late.looks.Load() > 40 {
			t.Errorf("later: %v, %v after %d looks", r, err, late.looks.Load())
		}
		still, bus := on(2, false)
		if r, err := bus.Readers(t.Context()); err != nil || len(r) != 0 || still.looks.Load() != 1 {
			t.Errorf("nothing new: %v, %v after %d looks", r, err, still.looks.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, bus := on(100, true); true {
			if _, err := bus.Readers(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("left: %v", err)
			}
		}
	})
}

// A reader that goes away, or fails, does not hide the other of the same kind.
func TestTwoReadersOfOneKind(t *testing.T) {
	other := cardtest.ZeitControl
	other.Serial = 0xB2
	first, second := usbdev.New(usbdev.Pro, cardtest.New(cardtest.ZeitControl), nil), usbdev.New(usbdev.Pro, cardtest.New(other), nil)
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
