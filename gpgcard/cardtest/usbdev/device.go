package usbdev

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"reown/internal/usb"
)

// A Card is a smart card behind its APDUs. An answer of nil means that the power
// failed: the token is then pulled out. The card may have more methods, which are used
// when they are there: PowerOn() []byte (returning the ATR), PowerOff(), and
// WaitingForTouch() bool.
type Card interface {
	ATR() []byte
	Transmit(apdu []byte) []byte
}

// Reports is the HID side of a token: 64-byte feature reports without an id.
type Reports interface {
	SetReport(p []byte)
	GetReport() []byte
}

// errHung marks a token whose firmware has crashed: it answers nothing until it is
// pulled out.
var errHung = errors.New("hung")

// A Device is one emulated token. Its methods may be called from any goroutine; the
// fault switches act on what comes after.
type Device struct {
	p    Profile
	card Card
	hid  Reports

	mu      sync.Mutex
	cond    *sync.Cond // signals: queue, plugged, hung
	plugged bool
	address int // on its Bus; changes with every plugging
	hung    bool
	claims  map[byte]*handle
	queue   map[byte][][]byte // what waits on an IN endpoint
	epoch   int               // counts pluggings and resets: late answers are dropped

	reader reader
	work   queue // what the card does, in order
	faults faults
	log    func(string)
}

// faults are the armed fault switches.
type faults struct {
	unplugIn    int // transfers until the token is pulled out; 0: never
	corrupt     int // T=1 blocks to the host with a wrong check byte
	loseBlocks  int // T=1 blocks from the host that the card does not get
	loseAnswers int // T=1 blocks from the card that the reader does not get
	extensions  int // additional requests for time before each answer
	slow        time.Duration
	stale       int // answers with a wrong sequence number put before the real one
	after       int // bulk transfers from the host until trigger is called
	trigger     func()
	pps         PPS
	split       int // bytes after which a CCID message is cut into another transfer; 0: whole
}

// New makes a token. hid may be nil.
func New(p Profile, card Card, hid Reports) *Device {
	d := &Device{p: p, card: card, hid: hid, plugged: true, claims: map[byte]*handle{}, queue: map[byte][][]byte{}}
	d.cond = sync.NewCond(&d.mu)
	d.reader.d = d
	return d
}

// Profile returns the make.
func (d *Device) Profile() Profile { return d.p }

// Log makes f see every control and bulk transfer, one line each.
func (d *Device) Log(f func(string)) { d.mu.Lock(); d.log = f; d.mu.Unlock() }

// Unplug pulls the token out. The card loses its power at once.
func (d *Device) Unplug() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unplug()
}

func (d *Device) unplug() {
	if !d.plugged {
		return
	}
	d.plugged = false
	d.reset()
	d.claims = map[byte]*handle{}
	d.cond.Broadcast()
}

// Plug puts it back in: a new address, a fresh firmware, the same memory.
func (d *Device) Plug() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.plugged {
		d.plugged, d.hung = true, false
		d.address += 100
		d.cond.Broadcast()
	}
}

// Eject takes the card out of the reader, which stays.
func (d *Device) Eject() { d.mu.Lock(); d.reader.on, d.reader.empty = false, true; d.mu.Unlock() }

// Plugged reports whether the token is in.
func (d *Device) Plugged() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.plugged }

// Hung reports whether the firmware has crashed.
func (d *Device) Hung() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.hung }

// Powered reports whether the card has power.
func (d *Device) Powered() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.reader.on }

// Hang crashes the firmware.
func (d *Device) Hang() { d.mu.Lock(); d.hung = true; d.mu.Unlock() }

// UnplugAfter pulls the token out instead of performing the n-th transfer from now,
// counting control transfers of the interfaces and bulk transfers both ways; 0
// disarms it.
func (d *Device) UnplugAfter(n int) { d.mu.Lock(); d.faults.unplugIn = n; d.mu.Unlock() }

// Corrupt gives the next n T=1 blocks from the card a wrong check byte.
func (d *Device) Corrupt(n int) { d.mu.Lock(); d.faults.corrupt = n; d.mu.Unlock() }

// LoseBlocks keeps the next n T=1 blocks from the card; the reader says that the
// card is mute.
func (d *Device) LoseBlocks(n int) { d.mu.Lock(); d.faults.loseBlocks = n; d.mu.Unlock() }

// LoseAnswers keeps the card's next n T=1 blocks from the reader.
func (d *Device) LoseAnswers(n int) { d.mu.Lock(); d.faults.loseAnswers = n; d.mu.Unlock() }

// Extensions makes the token ask for time n times more before each answer.
func (d *Device) Extensions(n int) { d.mu.Lock(); d.faults.extensions = n; d.mu.Unlock() }

// Slow makes every card command take longer.
func (d *Device) Slow(t time.Duration) { d.mu.Lock(); d.faults.slow = t; d.mu.Unlock() }

// Stale puts an answer to nothing before each of the next n answers.
func (d *Device) Stale(n int) { d.mu.Lock(); d.faults.stale = n; d.mu.Unlock() }

// Split cuts CCID messages into transfers of n bytes, a multiple of 64.
func (d *Device) Split(n int) { d.mu.Lock(); d.faults.split = n; d.mu.Unlock() }

// PPS chooses how the card answers a request for other parameters.
func (d *Device) PPS(p PPS) { d.mu.Lock(); d.faults.pps = p; d.mu.Unlock() }

// After calls f when the n-th bulk transfer from the host arrives, before it is acted
// on. f may arm other switches.
func (d *Device) After(n int, f func()) {
	d.mu.Lock()
	d.faults.after, d.faults.trigger = n, f
	d.mu.Unlock()
}

// reset is what a bus reset or loss of power does. d.mu is held.
func (d *Device) reset() {
	d.queue = map[byte][][]byte{}
	d.epoch++
	d.reader.powerOff()
	d.reader = reader{d: d}
}

// begin accounts for one transfer. d.mu is held.
func (d *Device) begin() error {
	if d.faults.unplugIn > 0 {
		if d.faults.unplugIn--; d.faults.unplugIn == 0 {
			d.unplug()
		}
	}
	if !d.plugged {
		return usb.ErrGone
	}
	if d.hung {
		return errHung
	}
	return nil
}

// hang waits like a transfer to a token that does not answer. d.mu is held.
func (d *Device) hang(ctx context.Context) error {
	stop := context.AfterFunc(ctx, d.wake)
	defer stop()
	for d.plugged && ctx.Err() == nil {
		d.cond.Wait()
	}
	if !d.plugged {
		return usb.ErrGone
	}
	return ctx.Err()
}

func (d *Device) wake() { d.mu.Lock(); d.cond.Broadcast(); d.mu.Unlock() }

// trace logs one transfer. d.mu is held.
func (d *Device) trace(what string, p []byte) {
	if d.log != nil {
		d.log(fmt.Sprintf("%s %x", what, p))
	}
}

// control is endpoint zero.
func (d *Device) control(ctx context.Context, s usb.Setup, data []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.RequestType&0x60 != 0 { // not the enumeration, which the kernel does when it likes
		if err := d.begin(); err == errHung {
			return 0, d.hang(ctx)
		} else if err != nil {
			return 0, err
		}
	} else if !d.plugged {
		return 0, usb.ErrGone
	}
	out, err := d.standard(s)
	if err == usb.ErrStall && d.p.Aborts && s.RequestType == 0x21 && s.Request == 1 && byte(s.Index) == d.p.CCIDInterface {
		err = nil
	}
	if err == usb.ErrStall && d.hid != nil && int(s.Index) == d.p.HIDInterface {
		out, err = d.hidControl(s, data)
		if err == errHung {
			d.hung = true
			d.trace("the firmware hangs", nil)
			return 0, d.hang(ctx)
		}
	}
	if err == usb.ErrStall && d.p.Rates != nil && s.RequestType == 0xa1 && s.Request == 3 &&
		byte(s.Index) == d.p.CCIDInterface {
		out, err = nil, nil
		for _, r := range d.p.Rates {
			out = binary.LittleEndian.AppendUint32(out, r)
		}
	}
	n := len(data)
	if s.In() {
		n = copy(data, out)
	}
	d.trace(fmt.Sprintf("control %02x %02x %04x %04x", s.RequestType, s.Request, s.Value, s.Index), data[:n])
	return n, err
}

// standard answers the requests of USB 2.0, chapter 9.
func (d *Device) standard(s usb.Setup) ([]byte, error) {
	switch {
	case s.RequestType == 0x80 && s.Request == 6:
		switch i := byte(s.Value); s.Value >> 8 {
		case 1:
			return d.p.deviceDescriptor(), nil
		case 2:
			return d.p.configDescriptor(), nil
		case 3:
			switch {
			case i == 0:
				return []byte{4, 3, 0x09, 0x04}, nil
			case i == 1:
				return stringDescriptor(d.p.Manufacturer), nil
			case i == 2:
				return stringDescriptor(d.p.Model), nil
			case i == 3 && d.p.Serial != "":
				return stringDescriptor(d.p.Serial), nil
			}
		}
	case s.RequestType == 0x81 && s.Request == 6 && s.Value>>8 == 0x22 && int(s.Index) == d.p.HIDInterface:
		return hidReport, nil
	case s.RequestType&0x9f == 0x80 && s.Request == 0, s.RequestType == 0x82 && s.Request == 0: // status
		return []byte{0, 0}, nil
	case s.RequestType == 0x80 && s.Request == 8: // configuration
		return []byte{1}, nil
	case s.RequestType == 0x81 && s.Request == 10: // alternate setting
		return []byte{0}, nil
	case s.RequestType == 0 && (s.Request == 9 || s.Request == 5), s.RequestType == 1 && s.Request == 11,
		s.RequestType == 2 && s.Request == 1:
		return nil, nil // set configuration, address, interface; clear halt
	}
	return nil, usb.ErrStall
}

// hidControl answers the requests of HID 1.11, 7.2.
func (d *Device) hidControl(s usb.Setup, data []byte) ([]byte, error) {
	switch {
	case s.RequestType == 0x21 && s.Request == 9 && s.Value == 0x0300: // SET_REPORT, feature, no id
		if d.p.HangsWhenInterleaved && d.reader.on {
			return nil, errHung
		}
		d.hid.SetReport(append([]byte(nil), data...))
		return nil, nil
	case s.RequestType == 0xa1 && s.Request == 1 && s.Value == 0x0300: // GET_REPORT
		return d.hid.GetReport(), nil
	case s.RequestType == 0x21 && (s.Request == 10 || s.Request == 11): // SET_IDLE, SET_PROTOCOL
		return nil, nil
	}
	return nil, usb.ErrStall
}

// out takes what the host sends to a bulk endpoint.
func (d *Device) out(ctx context.Context, ep byte, p []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(); err == errHung {
		return d.hang(ctx)
	} else if err != nil {
		return err
	}
	if ep != d.p.EpOut {
		return usb.ErrStall
	}
	d.trace("out", p)
	if d.faults.after > 0 {
		if d.faults.after--; d.faults.after == 0 {
			d.mu.Unlock()
			d.faults.trigger()
			d.mu.Lock()
		}
	}
	d.reader.receive(p)
	return nil
}

// in waits until there is something on an endpoint.
func (d *Device) in(ctx context.Context, ep byte, p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ep == d.p.EpIn {
		if err := d.begin(); err == errHung {
			return 0, d.hang(ctx)
		} else if err != nil {
			return 0, err
		}
	} else if ep != d.p.EpInt && ep != hidEndpoint {
		return 0, usb.ErrStall
	}
	stop := context.AfterFunc(ctx, d.wake)
	defer stop()
	for len(d.queue[ep]) == 0 {
		if !d.plugged {
			return 0, usb.ErrGone
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		d.cond.Wait()
	}
	m := d.queue[ep][0]
	n := copy(p, m)
	if n < len(m) {
		d.queue[ep][0] = m[n:]
	} else {
		d.queue[ep] = d.queue[ep][1:]
	}
	d.trace("in", p[:n])
	return n, nil
}

// push queues data on an IN endpoint. d.mu is held.
func (d *Device) push(ep byte, p []byte) {
	d.queue[ep] = append(d.queue[ep], p)
	d.cond.Broadcast()
}
