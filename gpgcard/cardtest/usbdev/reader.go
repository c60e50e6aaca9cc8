package usbdev

import (
	"encoding/binary"
	"sync"
	"time"
)

const headerLen = 10

// Message types (CCID 1.1, 6.1 and 6.2).
const (
	pcSetParameters   = 0x61
	pcPowerOn         = 0x62
	pcPowerOff        = 0x63
	pcSlotStatus      = 0x65
	pcGetParameters   = 0x6c
	pcResetParameters = 0x6d
	pcXfrBlock        = 0x6f
	pcAbort           = 0x72

	rdrDataBlock  = 0x80
	rdrSlotStatus = 0x81
	rdrParameters = 0x82
)

// Values of bError.
const (
	errMute = 0xfe
	errBusy = 0xe0
	errSlot = 0x05
	errLen  = 0x01
	errLvl  = 0x08
	errCmd  = 0x00
)

// reader is the firmware of the CCID interface. Device.mu is held in all methods.
type reader struct {
	d     *Device
	in    []byte // a message that is still arriving
	on    bool
	busy  bool
	empty bool
	gen   int // counts aborted commands
	t1    *cardT1
	wire  wire

	apdu     []byte // a chained command that is still arriving
	chaining bool
	rest     []byte // of a response that goes out in blocks
	sending  bool
}

// receive takes a packet or more of a message. A zero-length packet ends nothing:
// the header says how long a message is.
func (r *reader) receive(p []byte) {
	r.in = append(r.in, p...)
	for len(r.in) >= headerLen {
		n := headerLen + int(binary.LittleEndian.Uint32(r.in[1:]))
		if n > r.d.p.MaxMessage {
			r.reply(r.in[:headerLen], rdrSlotStatus, 0x40, errLen, 0, nil)
			r.in = nil
			return
		}
		if len(r.in) < n {
			return
		}
		m := append([]byte(nil), r.in[:n]...)
		r.in = append([]byte(nil), r.in[n:]...)
		r.message(m)
	}
}

// reply sends one message that answers m. status is bmCommandStatus; the state of
// the card is added.
func (r *reader) reply(m []byte, typ, status, code, chain byte, data []byte) {
	switch {
	case r.empty:
		status |= 2
	case !r.on:
		status |= 1
	}
	out := []byte{typ, 0, 0, 0, 0, m[5], m[6], status, code, chain}
	binary.LittleEndian.PutUint32(out[1:], uint32(len(data)))
	out = append(out, data...)
	d := r.d
	if d.faults.stale > 0 && status&0xc0 == 0 {
		d.faults.stale--
		late := append([]byte(nil), out...)
		late[6]--
		d.push(d.p.EpIn, late)
	}
	for s := d.faults.split; s > 0 && len(out) > s; out = out[s:] {
		d.push(d.p.EpIn, out[:s:s])
	}
	d.push(d.p.EpIn, out)
	if d.p.EmptyPacket && len(out)%packet == 0 {
		d.push(d.p.EpIn, nil)
	}
}

func (r *reader) fail(m []byte, code byte) {
	typ := byte(rdrSlotStatus)
	switch m[0] {
	case pcXfrBlock, pcPowerOn:
		typ = rdrDataBlock
	case pcSetParameters, pcGetParameters, pcResetParameters:
		typ = rdrParameters
	}
	r.reply(m, typ, 0x40, code, 0, nil)
}

func (r *reader) powerOff() {
	if r.d.p.AlwaysOn && r.d.plugged {
		return
	}
	if r.on {
		if c, ok := r.d.card.(interface{ PowerOff() }); ok {
			// The card may be at work; it finishes without an audience.
			r.d.work.do(c.PowerOff)
		}
	}
	r.on, r.t1, r.apdu, r.rest, r.chaining, r.sending = false, nil, nil, nil, false, false
}

// message executes one command.
func (r *reader) message(m []byte) {
	switch {
	case m[5] != 0:
		r.fail(m, errSlot)
	case m[0] == pcAbort && r.d.p.Aborts:
		r.busy, r.chaining, r.sending = false, false, false
		r.gen++
		r.reply(m, rdrSlotStatus, 0, 0, 0, nil)
	case r.busy && m[0] != pcSlotStatus:
		r.fail(m, errBusy)
	default:
		r.execute(m)
	}
}

func (r *reader) execute(m []byte) {
	switch m[0] {
	case pcPowerOn:
		r.powerOn(m)
	case pcPowerOff:
		r.powerOff()
		r.reply(m, rdrSlotStatus, 0, 0, 0, nil)
	case pcSlotStatus:
		r.reply(m, rdrSlotStatus, 0, 0, 0, nil)
	case pcGetParameters, pcResetParameters:
		r.reply(m, rdrParameters, 0, 0, 1, []byte{0x18, 0x10, 0xff, 0x75, 0, 0xfe, 0})
	case pcSetParameters:
		if m[7] != 1 || len(m) != headerLen+7 {
			r.fail(m, 7)
			return
		}
		r.wire.set(r.d.p.Features, m[headerLen])
		r.reply(m, rdrParameters, 0, 0, 1, m[headerLen:])
	case pcXfrBlock:
		if !r.on && r.d.p.AlwaysOn {
			r.on = true
			if c, ok := r.d.card.(interface{ PowerOn() []byte }); ok {
				r.d.work.do(func() { c.PowerOn() })
			}
		}
		if !r.on {
			r.fail(m, errMute)
			return
		}
		switch r.d.p.Features & 0x70000 {
		case 0x10000:
			switch answer, pps := r.wire.receive(m[headerLen:], r.d.faults.pps); {
			case pps && answer != nil:
				r.reply(m, rdrDataBlock, 0, 0, 0, answer)
			case pps || r.wire.mute(r.d.p.Features):
				r.fail(m, errMute)
			default:
				r.t1.receive(m)
			}
		case 0x20000:
			if len(m)-headerLen > 261 || len(m) > headerLen+5 && m[headerLen+4] == 0 {
				r.fail(m, errLen) // an extended APDU
				return
			}
			r.run(m, m[headerLen:], func(resp []byte) { r.reply(m, rdrDataBlock, 0, 0, 0, resp) })
		default:
			r.extended(m)
		}
	default:
		r.fail(m, errCmd)
	}
}

func (r *reader) powerOn(m []byte) {
	if r.empty {
		r.fail(m, errMute)
		return
	}
	if r.d.p.Features&8 == 0 && m[7] == 0 {
		r.fail(m, 7) // the voltage is for the host to choose
		return
	}
	r.busy = true
	epoch, warm := r.d.epoch, r.on && r.d.p.AlwaysOn
	d := r.d
	d.work.do(func() {
		atr := d.card.ATR()
		if c, ok := d.card.(interface{ PowerOn() []byte }); ok && !warm {
			atr = c.PowerOn()
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.epoch != epoch {
			return
		}
		r.busy = false
		r.on, r.apdu, r.rest, r.chaining, r.sending = true, nil, nil, false, false
		r.t1, r.wire = &cardT1{r: r, ifsd: 254}, newWire(atr)
		r.reply(m, rdrDataBlock, 0, 0, 0, atr)
	})
}

// extended is a command at extended APDU level, in blocks if need be.
func (r *reader) extended(m []byte) {
	data := m[headerLen:]
	switch level := binary.LittleEndian.Uint16(m[8:]); {
	case level == 0x10 && r.sending && len(data) == 0:
		r.send(m)
		return
	case level == 0 && !r.chaining:
		r.apdu = data
	case level == 1 && !r.chaining:
		r.apdu, r.chaining = data, true
	case level == 3 && r.chaining:
		r.apdu = append(r.apdu, data...)
	case level == 2 && r.chaining:
		r.apdu, r.chaining = append(r.apdu, data...), false
	default:
		r.chaining, r.sending = false, false
		r.fail(m, errLvl)
		return
	}
	if r.chaining {
		r.reply(m, rdrDataBlock, 0, 0, 0x10, nil)
		return
	}
	r.run(m, r.apdu, func(resp []byte) {
		r.rest, r.sending = resp, false
		r.send(m)
	})
}

// send sends the next block of a response.
func (r *reader) send(m []byte) {
	n := min(len(r.rest), r.d.p.MaxMessage-headerLen)
	first, last := !r.sending, n == len(r.rest)
	chain := byte(0)
	switch {
	case first && !last:
		chain = 1
	case !first && last:
		chain = 2
	case !first:
		chain = 3
	}
	r.sending = !last
	block := r.rest[:n]
	r.rest = r.rest[n:]
	r.reply(m, rdrDataBlock, 0, 0, chain, block)
}

// run lets the card work on a command and asks for time meanwhile.
func (r *reader) run(m, apdu []byte, done func(resp []byte)) {
	d, epoch, gen := r.d, r.d.epoch, r.gen
	current := func() bool { return d.epoch == epoch && r.gen == gen }
	r.busy = true
	result := d.start(apdu)
	extend := func() {
		code := byte(1)
		if c, ok := d.card.(interface{ WaitingForTouch() bool }); ok && d.p.ExtensionFirst && c.WaitingForTouch() {
			code = 0xff // as Gnuk does
		}
		r.reply(m, rdrDataBlock, 0x80, code, 0, nil)
	}
	extra := d.faults.extensions
	if d.p.ExtensionFirst {
		extra++
	}
	go func() {
		tick := time.NewTicker(d.p.Extension)
		defer tick.Stop()
		for {
			select {
			case resp := <-result:
				d.mu.Lock()
				defer d.mu.Unlock()
				if !current() {
					return
				}
				if resp == nil { // the card says that the power failed
					d.unplug()
					return
				}
				for range extra {
					extend()
				}
				r.busy = false
				done(resp)
				return
			case <-tick.C:
				d.mu.Lock()
				if current() {
					extend()
				}
				d.mu.Unlock()
			}
		}
	}()
}

// start gives a command to the card.
func (d *Device) start(apdu []byte) <-chan []byte {
	result := make(chan []byte, 1)
	slow := d.faults.slow
	apdu = append([]byte(nil), apdu...)
	d.work.do(func() {
		time.Sleep(slow)
		result <- d.card.Transmit(apdu)
	})
	return result
}

// A queue runs functions one after the other, in order, without blocking the caller.
type queue struct {
	mu      sync.Mutex
	waiting []func()
	running bool
}

func (q *queue) do(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, f)
	if !q.running {
		q.running = true
		go q.run()
	}
}

func (q *queue) run() {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.running = false
			q.mu.Unlock()
			return
		}
		f := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
		f()
	}
}
