package ccid_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/ccid"
)

// echo is a card that answers with the command it was given, and counts.
type echo struct {
	mu     sync.Mutex
	seen   int
	extra  int // bytes added to the answer
	atr    []byte
	before func()
}

var zeitcontrol = []byte{0x3b, 0xda, 0x18, 0xff, 0x81, 0xb1, 0xfe, 0x75, 0x1f, 0x03, 0x00, 0x31, 0xf5, 0x73, 0xc0, 0x01,
	0x60, 0x00, 0x90, 0x00, 0x1c}

func (e *echo) ATR() []byte {
	if e.atr != nil {
		return e.atr
	}
	return zeitcontrol
}

func (e *echo) Transmit(apdu []byte) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen++
	if e.before != nil {
		e.before()
	}
	return append(append(bytes.Clone(apdu), make([]byte, e.extra)...), 0x90, 0x00)
}

func (e *echo) count() int { e.mu.Lock(); defer e.mu.Unlock(); return e.seen }

func ctx(t *testing.T) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return c
}

func connect(t *testing.T, d *usbdev.Device) *ccid.Conn {
	t.Helper()
	bus := usbdev.NewBus(d)
	found, err := ccid.Find(bus)
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	c, err := ccid.Connect(ctx(t), bus, found[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func apdu(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + 1)
	}
	b[0] = 0
	if n > 4 {
		b[4] = 1 // not an extended APDU, whatever its length
	}
	return b
}

var profiles = []usbdev.Profile{usbdev.Pro, usbdev.Librem, usbdev.NK3, usbdev.Gnuk, usbdev.NitrokeyStart,
	usbdev.YubiKey}

// exchange sends an APDU and checks that the echo is exact and that the card saw it once.
func exchange(t *testing.T, c *ccid.Conn, e *echo, n int) {
	t.Helper()
	before := e.count()
	cmd := apdu(n)
	got, err := c.Transmit(ctx(t), cmd)
	if err != nil {
		t.Fatalf("%d bytes: %v", n, err)
	}
	want := append(append(bytes.Clone(cmd), make([]byte, e.extra)...), 0x90, 0x00)
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes: got %x", n, got)
	}
	if e.count() != before+1 {
		t.Fatalf("the card executed the command %d times", e.count()-before)
	}
}

func TestEveryLevel(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.Name, func(t *testing.T) {
			e := &echo{}
			c := connect(t, usbdev.New(p, e, nil))
			if !bytes.Equal(c.ATR(), zeitcontrol) {
				t.Fatalf("ATR %x", c.ATR())
			}
			sizes := []int{4, 5, 53, 54, 55, 64, 250, 253, 254, 255, 256, 261}
			if !c.ShortOnly() {
				sizes = append(sizes, 262, 507, 508, 509, 1500, 3071, 3072, 3073, 9000)
			}
			for _, n := range sizes {
				exchange(t, c, e, n)
			}
			if c.ShortOnly() {
				if _, err := c.Transmit(ctx(t), apdu(262)); !errors.Is(err, ccid.ErrTooLong) {
					t.Fatalf("an extended APDU went to a short reader: %v", err)
				}
				exchange(t, c, e, 10) // and nothing is broken by it
			}
			e.extra = 5000
			if c.ShortOnly() {
				e.extra = 0
			}
			exchange(t, c, e, 20)
			if err := c.PowerCycle(ctx(t)); err != nil {
				t.Fatal(err)
			}
			exchange(t, c, e, 20)
		})
	}
}
