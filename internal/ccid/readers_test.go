package ccid_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/ccid"
	"reown/internal/usb"
)

// public are the readers of testdata/readers.txt.
type public struct {
	vendor, product, iface           int
	class, slot, volts               byte
	protocols, features, ifsd, bytes uint32
	clock, rate                      uint32
}

func readers(t *testing.T) (all []public) {
	t.Helper()
	b, err := os.ReadFile("testdata/readers.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line[0] == '#' {
			continue
		}
		var p public
		if _, err := fmt.Sscanf(line, "%x:%x %d %x %d %d %d %x %d %d %d %d", &p.vendor, &p.product, &p.iface, &p.class,
			&p.slot, &p.volts, &p.protocols, &p.features, &p.ifsd, &p.bytes, &p.clock, &p.rate); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, p)
	}
	return all
}

// unusable is why a reader cannot be used by us, as its makers say; nil: it can.
func (p public) unusable() error {
	switch {
	case p.features&0x70000 == 0:
		return ccid.ErrCharacters
	case p.features&0x70000 == 0x10000 && p.protocols&2 == 0:
		return ccid.ErrT0
	}
	return nil
}

func (p public) described() usb.Interface {
	d := make([]byte, 54)
	le := binary.LittleEndian
	d[0], d[1], d[4], d[5] = 54, 0x21, p.slot, p.volts
	le.PutUint32(d[6:], p.protocols)
	le.PutUint32(d[10:], p.clock)
	le.PutUint32(d[23:], p.rate)
	le.PutUint32(d[28:], p.ifsd)
	le.PutUint32(d[40:], p.features)
	le.PutUint32(d[44:], p.bytes)
	return usb.Interface{Number: byte(p.iface), Class: p.class, Extra: [][]byte{d},
		Endpoints: []usb.Endpoint{{Address: 0x81, Type: usb.TypeBulk, MaxPacket: 64},
			{Address: 1, Type: usb.TypeBulk, MaxPacket: 64}}}
}

// TestPublicReaders: every reader that the world has is found, with all its slots, and is
// usable unless it leaves the card's protocol to its driver or speaks T=0 alone.
func TestPublicReaders(t *testing.T) {
	all, refused := readers(t), 0
	for _, p := range all {
		d, err := ccid.Describe(&usb.Descriptors{Interfaces: []usb.Interface{p.described()}})
		if err == nil {
			err = d.Usable()
		}
		if want := p.unusable(); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%04x:%04x: %v, want %v", p.vendor, p.product, err, want)
		}
		if err != nil {
			refused++
		}
	}
	if len(all) != 745 || refused != 31 {
		t.Errorf("%d readers, %d of them refused", len(all), refused)
	}
}

// TestEveryKindOfReader: commands go through every kind of public reader, at the speed that
// it and the card find: features, protocols, message size and speeds are as its makers say.
func TestEveryKindOfReader(t *testing.T) {
	kinds := map[public]public{}
	for _, p := range readers(t) {
		k := public{protocols: p.protocols, features: p.features, bytes: p.bytes, clock: p.clock, rate: p.rate}
		if _, have := kinds[k]; !have && p.unusable() == nil {
			kinds[k] = p
		}
	}
	for k, p := range kinds {
		u := usbdev.YubiKey
		u.Features, u.Protocols, u.MaxMessage = k.features, k.protocols, int(k.bytes)
		u.Clock, u.MaxRate = k.clock, k.rate
		if k.features&0x70000 == 0x20000 && k.bytes < 261 {
			continue // takes some commands
		} else if k.features&0x70000 == 0x20000 {
			u.MaxMessage = max(u.MaxMessage, 271) // a whole short APDU, whatever it says
		}
		e := &echo{}
		bus := usbdev.NewBus(usbdev.New(u, e, nil))
		found, err := ccid.Find(bus)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ccid.Connect(ctx(t), bus, found[0])
		if err != nil {
			t.Errorf("%04x:%04x: %v", p.vendor, p.product, err)
			continue
		}
		for _, size := range []int{5, 64, 200, 259, 261} {
			exchange(t, c, e, size)
		}
		if !c.ShortOnly() {
			exchange(t, c, e, 700)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%04x:%04x: %v", p.vendor, p.product, err)
		}
	}
	t.Logf("%d kinds", len(kinds))
}

// slotted is a reader with several slots, some of them empty: an answer ends in the slot's
// number.
type slotted struct {
	mu      sync.Mutex
	d       *usb.Descriptors
	empty   map[byte]bool
	on      map[byte]bool
	claims  map[byte]int // by interface: how often it is claimed now
	opened  int
	closed  int
	answers [][]byte
}

func (s *slotted) Devices() ([]usb.Info, error) {
	return []usb.Info{{Bus: 1, Address: 9, Product: "Two Of A Kind", Descriptors: s.d}}, nil
}

func (s *slotted) Open(usb.Info) (usb.Device, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	return &opening{slotted: s}, nil
}

// opening is one opening of it.
type opening struct {
	*slotted
	usb.Device
	mine []byte
}

func (s *opening) Descriptors() *usb.Descriptors { return s.d }

func (s *opening) Claim(n byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[n] > 0 {
		return usb.ErrBusy
	}
	s.claims[n]++
	s.mine = append(s.mine, n)
	return nil
}

func (s *opening) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.mine {
		s.claims[n]--
	}
	s.mine = nil
	s.closed++
	return nil
}

func (s *opening) BulkOut(_ context.Context, ep byte, p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := p[5] + ep<<4 // each interface has an endpoint of its own
	reply := func(typ, status, code byte, data []byte) {
		out := []byte{typ, 0, 0, 0, 0, p[5], p[6], status, code, 0}
		binary.LittleEndian.PutUint32(out[1:], uint32(len(data)))
		s.answers = append(s.answers, append(out, data...))
	}
	switch {
	case s.empty[slot]:
		reply(0x80, 0x42, 0xfe, nil)
	case p[0] == 0x62:
		s.on[slot] = true
		reply(0x80, 0, 0, zeitcontrol)
	case p[0] == 0x63:
		s.on[slot] = false
		reply(0x81, 1, 0, nil)
	case p[0] == 0x6f && s.on[slot]:
		reply(0x80, 0, 0, append(bytes.Clone(p[10:]), slot, 0x90, 0))
	default:
		reply(0x81, 0x40, 0xfe, nil)
	}
	return nil
}

func (s *opening) BulkIn(ctx context.Context, _ byte, p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) == 0 {
		return 0, errors.New("nothing to read")
	}
	n := copy(p, s.answers[0])
	s.answers = s.answers[1:]
	return n, nil
}

// TestSlotsAndInterfaces: every slot of every interface of one device is a place of its
// own; those of one interface are used side by side, and the device is given back when the
// last of them is.
func TestSlotsAndInterfaces(t *testing.T) {
	a := public{iface: 1, class: 0x0b, slot: 1, volts: 7, protocols: 3, features: 0x40010, bytes: 3072}.described()
	b := public{iface: 4, class: 0xff, slot: 0, volts: 1, protocols: 3, features: 0x40010, bytes: 271}.described()
	a.Endpoints[0].Address, a.Endpoints[1].Address = 0x81, 1
	b.Endpoints[0].Address, b.Endpoints[1].Address = 0x82, 2
	hid := usb.Interface{Number: 0, Class: usb.ClassHID}
	s := &slotted{d: &usb.Descriptors{Interfaces: []usb.Interface{hid, a, b}}, on: map[byte]bool{}, claims: map[byte]int{},
		empty: map[byte]bool{}}
	h := &ccid.Host{Bus: s}
	places, err := ccid.Places(s)
	if err != nil || fmt.Sprint(places) != "[1-9 1-9.1.1 1-9.4.0]" {
		t.Fatalf("%v, %v", places, err)
	}
	var conns []*ccid.Conn
	for _, p := range places {
		c, err := h.Connect(ctx(t), p)
		if err != nil {
			t.Fatalf("%v: %v", p, err)
		}
		conns = append(conns, c)
	}
	for range 2 {
		for i, want := range []byte{0x10, 0x11, 0x20} {
			got, err := conns[i].Transmit(ctx(t), []byte{0, 1, 2, 3})
			if err != nil || got[4] != want {
				t.Fatalf("%v: %x, %v", places[i], got, err)
			}
		}
	}
	if s.opened != 2 {
		t.Errorf("opened %d times", s.opened)
	}
	if _, err := ccid.Connect(ctx(t), s, places[0].Info); !errors.Is(err, usb.ErrBusy) {
		t.Errorf("another program: %v", err)
	}
	if err := conns[0].Close(); err != nil || s.on[0x10] || !s.on[0x11] || s.claims[1] != 1 {
		t.Errorf("one slot closed: %v, %v, %v", err, s.on, s.claims)
	}
	if _, err := conns[1].Transmit(ctx(t), []byte{0, 1, 2, 3}); err != nil {
		t.Errorf("the other one: %v", err)
	}
	if err := errors.Join(conns[0].Close(), conns[1].Close(), conns[2].Close(), conns[2].Close()); err != nil {
		t.Error(err)
	}
	if s.on[0x11] || s.on[0x20] || s.claims[1] != 0 || s.claims[4] != 0 || s.closed != s.opened {
		t.Errorf("on %v, claims %v, %d of %d closed", s.on, s.claims, s.closed, s.opened)
	}
	// An empty slot keeps nobody away.
	s.empty[0x10] = true
	if _, err := h.Connect(ctx(t), places[0]); !errors.Is(err, ccid.ErrNoCard) {
		t.Errorf("an empty slot: %v", err)
	}
	c, err := h.Connect(ctx(t), places[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil || s.claims[1] != 0 {
		t.Errorf("%v, %v", err, s.claims)
	}
}
