package ccid

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"reown/internal/usb"
)

// Fi and Di by the halves of TA1 (ISO/IEC 7816-3:2006, tables 7 and 8); 0 is reserved.
var (
	fi = [16]uint64{372, 372, 558, 744, 1116, 1488, 1860, 0, 0, 512, 768, 1024, 1536, 2048}
	di = [16]uint64{0, 1, 2, 4, 8, 16, 32, 64, 12, 20}
)

// rate is the speed that a TA1 stands for with the reader's clock, in bit/s; a reserved one
// stands for the default.
func (d Descriptor) rate(ta1 byte) uint64 {
	f, n := fi[ta1>>4], di[ta1&15]
	if f == 0 || n == 0 {
		f, n = fi[defaultSpeed>>4], di[defaultSpeed&15]
	}
	return 1000 * uint64(d.Clock) * n / f
}

// can says that the reader does a speed. rates is its table; nil: it has none.
func (d Descriptor) can(ta1 byte, rates []uint32) bool {
	r := d.rate(ta1)
	if rates == nil {
		return r <= uint64(d.MaxRate)
	}
	return slices.ContainsFunc(rates, func(x uint32) bool { return r < uint64(x)+2 && r+2 > uint64(x) })
}

// speed is the fastest that card and reader both do. It is what libccid takes: the card's
// own, for some cards that are too fast the next one or two below it, else the default.
func (d Descriptor) speed(ta1 byte, rates []uint32) byte {
	const from, to = 0x97, 0x94 // with Fi of 512, each is half as fast as the one above
	switch r := d.rate(ta1); {
	case r <= d.rate(defaultSpeed):
	case r <= uint64(d.MaxRate) && d.can(ta1, rates):
		return ta1
	case r > uint64(d.MaxRate)+2 && ta1 <= from:
		for ta1--; ta1 >= to; ta1-- {
			if d.can(ta1, rates) {
				return ta1
			}
		}
	}
	return defaultSpeed
}

// A start is what the card and its reader are told before the first command.
type start struct {
	ask   bool // PPS: the card is asked for T=1 and for the speed
	tell  bool // SetParameters: the reader is told the speed
	speed byte
}

// plan follows libccid, except where that would leave the card mute: see the test.
func plan(d Descriptor, a atr, rates []uint32) (start, error) {
	refuse := func(why string, args ...any) (start, error) {
		return start{}, fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(why, args...))
	}
	switch {
	case d.Level() != TPDU:
		return planAPDU(d, a, rates), nil
	case a.specific && a.first != 1:
		return refuse("the card speaks T=%d only", a.first)
	case d.Features&featNegotiates != 0: // it has done so while the card was powered on
		return start{}, nil
	case a.implicit:
		return refuse("the card does not tell its speed")
	}
	s := start{tell: true, speed: d.speed(a.ta1, rates)}
	if a.specific && d.rate(a.ta1) != d.rate(s.speed) {
		return refuse("the card has one speed, and the reader has another")
	}
	s.ask = d.Features&featPPS == 0 && !a.specific && (a.first != 1 || s.speed != defaultSpeed)
	return s, nil
}

// planAPDU is for a reader that speaks to the card itself, in the card's first protocol. A
// PPS is no APDU: without one, the card stays at the default speed.
func planAPDU(d Descriptor, a atr, rates []uint32) start {
	speed := d.speed(a.ta1, rates)
	switch {
	case d.Features&featNegotiates != 0 || a.first != 1 || a.implicit:
		return start{}
	case a.specific && d.rate(a.ta1) != d.rate(speed):
		return start{}
	case d.Features&featPPS == 0 && !a.specific:
		speed = defaultSpeed
	}
	return start{tell: true, speed: speed}
}

// dataRates asks the reader for the speeds that it has (CCID 1.1, 5.3.3). Most have no
// table.
func (r *Reader) dataRates(ctx context.Context) []uint32 {
	if r.askedRates {
		return r.rates
	}
	r.askedRates = true
	ctx, cancel := context.WithTimeout(ctx, abortTime)
	defer cancel()
	n := int(r.desc.Rates)
	if n == 0 {
		n = 256
	}
	buf := make([]byte, 4*n)
	got, err := r.dev.Control(ctx, usb.Setup{RequestType: 0xa1, Request: 3, Index: uint16(r.desc.Interface)}, buf)
	if err != nil || got == 0 || got%4 != 0 {
		return nil
	}
	r.rates = []uint32{}
	for b := buf[:got]; len(b) > 0; b = b[4:] {
		r.rates = append(r.rates, binary.LittleEndian.Uint32(b))
	}
	return r.rates
}

// errPPS says that the card did not take what it was asked for. It may be used again only
// after a reset (ISO/IEC 7816-3:2006, 9.1).
var errPPS = errors.New("the card refuses other parameters")

// start brings card and reader to a common protocol and speed. With slow, a card that may
// is left as it is after a reset. asked: PPS was sent.
func (c *Conn) start(ctx context.Context, slow bool) (asked bool, err error) {
	d := c.r.desc
	a, err := parseATR(c.atr)
	if d.Level() != TPDU && (err != nil || !a.t1) {
		return false, nil // it is between the card and its reader
	}
	if err != nil {
		return false, err
	}
	if !a.t1 {
		return false, fmt.Errorf("%w: the card offers no T=1", ErrUnsupported)
	}
	var rates []uint32
	if d.Features&featNegotiates == 0 && d.rate(a.ta1) > d.rate(defaultSpeed) {
		rates = c.r.dataRates(ctx)
	}
	s, err := plan(d, a, rates)
	if err != nil {
		return false, err
	}
	if s.ask && slow {
		if a.first != 1 {
			return false, fmt.Errorf("%w: the card begins with T=%d and does not change to T=1", ErrUnsupported, a.first)
		}
		s.ask, s.speed = false, defaultSpeed
	}
	if s.ask {
		if s.speed, err = c.pps(ctx, s.speed); err != nil {
			return true, err
		}
	}
	if s.tell {
		if err := c.tell(ctx, a, s.speed); err != nil {
			return s.ask, err
		}
	}
	if d.Level() != TPDU {
		return false, nil
	}
	return s.ask, c.startT1(ctx, a)
}

// pps asks the card for T=1 and a speed, and returns the speed that it chose.
func (c *Conn) pps(ctx context.Context, speed byte) (byte, error) {
	q := []byte{0xff, 0x01}
	if speed != defaultSpeed {
		q[1] |= 0x10
		q = append(q, speed)
	}
	q = append(q, lrc(q))
	m, err := c.xfr(ctx, q, 0, 0)
	var ce *CommandError
	switch {
	case errors.As(err, &ce):
		return 0, fmt.Errorf("%w: %w", errPPS, err)
	case err != nil:
		return 0, fmt.Errorf("asking the card for its parameters: %w", err)
	case bytes.Equal(m.data, q):
		return speed, nil
	case bytes.Equal(m.data, []byte{0xff, 0x01, 0xfe}): // it stays at the default
		return defaultSpeed, nil
	}
	return 0, fmt.Errorf("%w: it answers with %d bytes", errPPS, len(m.data))
}

// openPGP2 is an early OpenPGP card that takes longer to make a key than it says.
var openPGP2 = []byte{0x3b, 0xfa, 0x13, 0x00, 0xff, 0x81, 0x31, 0x80, 0x45, 0x00, 0x31, 0xc1, 0x73, 0xc0, 0x01, 0x00,
	0x00, 0x90, 0x00, 0xb1}

// tell sets the reader's parameters (CCID 1.1, 6.1.7).
func (c *Conn) tell(ctx context.Context, a atr, speed byte) error {
	check := byte(0x10)
	if a.crc {
		check |= 1
	}
	if c.atr[0] == 0x3f {
		check |= 2
	}
	bwi := a.bwiCWI
	if bytes.Equal(c.atr, openPGP2) {
		bwi = 0x75
	}
	m, err := c.r.command(ctx, msgSetParameters, [3]byte{1}, []byte{speed, check, a.tc1, bwi, 0, a.ifsc, 0}, answerTime)
	var ce *CommandError
	if err != nil && !errors.As(err, &ce) { // a reader may insist on its own parameters
		return fmt.Errorf("setting the card's parameters: %w", err)
	}
	if err == nil && m.typ != msgParameters {
		return fmt.Errorf("setting the card's parameters: %w: message type %02x", ErrProtocol, m.typ)
	}
	return nil
}

// proves says that the first block is ours: the size of a block, which shows that the card
// is not mute. Other readers have sent one.
func (d Descriptor) proves() bool {
	return d.Features&featAutoIFSD == 0 || d.Features&(featNegotiates|featPPS) == 0
}

// startT1 begins the block protocol.
func (c *Conn) startT1(ctx context.Context, a atr) error {
	d := c.r.desc
	c.t1 = newT1(func(ctx context.Context, block []byte, bwi byte) ([]byte, error) {
		m, err := c.xfr(ctx, block, bwi, 0)
		if err != nil {
			return nil, err
		}
		return m.data, nil
	})
	room := d.MaxMessage - headerLen - 5
	c.t1.crc = a.crc
	c.t1.ifsc = min(int(a.ifsc), room)
	c.t1.waiting = func() { c.r.notify(Notice{}) }
	if !d.proves() {
		return nil
	}
	return c.t1.sendIFS(ctx, byte(min(max(int(min(d.MaxIFSD, maxInfo)), 1), room, maxInfo)))
}
