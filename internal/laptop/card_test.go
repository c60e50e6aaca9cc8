package laptop

import (
	"errors"
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/wizard"
)

// A laptop's own card reader, empty, is no security key that fails: with nothing else
// plugged in there is none, and one that is plugged in is the only one.
func TestAnEmptyCardReader(t *testing.T) {
	reader := usbdev.New(usbdev.Pro, cardtest.New(cardtest.ZeitControl), nil)
	reader.Eject()
	bus := usbdev.NewBus(reader)
	c := newCard(gpgcard.Selector{}, []gpgcard.Bus{onUSB(bus)})
	if _, err := c.Info(t.Context()); !errors.Is(err, wizard.ErrNoCard) {
		t.Fatalf("nothing but the reader: %v", err)
	}
	if found, err := gpgcard.List(t.Context(), c.buses...); err != nil || len(found) != 0 {
		t.Fatalf("the list: %+v, %v", found, err)
	}
	bus.Add(usbdev.New(usbdev.NK3, cardtest.New(cardtest.Nitrokey3), nil))
	if i, err := c.Info(t.Context()); err != nil || i.Serial != "4E4B3301" {
		t.Fatalf("with a key: %+v, %v", i, err)
	}
}

// A key in the middle of a reset has no serial number that anybody could be shown.
func TestATerminatedKeyHasNoSerial(t *testing.T) {
	k := cardtest.New(cardtest.Nitrokey3)
	k.Terminate()
	i, err := newCard(gpgcard.Selector{}, []gpgcard.Bus{cardtest.NewBus(k)}).Info(t.Context())
	if err != nil || !i.Terminated || i.Serial != "" {
		t.Fatalf("%+v, %v", i, err)
	}
}
