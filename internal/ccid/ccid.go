package ccid

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"reown/internal/secret"
	"reown/internal/usb"
)

// Errors of readers and cards.
var (
	// ErrNoReader says that a USB device has no smart-card interface.
	ErrNoReader = errors.New("the device has no smart-card interface")
	// ErrNoCard says that there is no card in the reader.
	ErrNoCard = errors.New("no card in the reader")
	// ErrUnsupported says that the reader or the card speaks a protocol that this
	// package does not. ErrCharacters and ErrT0 are the two kinds that there are of it.
	ErrUnsupported = errors.New("the card reader speaks an unsupported protocol")
	ErrCharacters  = fmt.Errorf("%w: single characters only", ErrUnsupported)
	ErrT0          = fmt.Errorf("%w: T=0 only", ErrUnsupported)
	// ErrNoAnswer says that the reader itself, not the card, did not answer within
	// the time that a working one needs.
	ErrNoAnswer = errors.New("the card reader does not answer")
	// ErrProtocol says that the reader or the card broke the rules of its protocol
	// and could not be brought back.
	ErrProtocol = errors.New("the card or its reader sent something meaningless")
	// ErrLost says that the answer to a command was lost. Whether the card has
	// executed the command is not known.
	ErrLost = errors.New("the card's answer was lost")
	// ErrTooLong says that an APDU is longer than the reader can carry.
	ErrTooLong = errors.New("command too long for the card reader")
	// ErrClosed says that the connection has ended: closed, or after an exchange
	// that was cut off.
	ErrClosed = errors.New("the connection to the card is closed")
)

// A Notice tells that the card is still at work on a command.
type Notice struct {
	Elapsed time.Duration // since the command was sent
	// Touch says that the token waits for its button (Gnuk says so).
	Touch bool
	// Silent says that nothing was heard since the last notice: the token may have
	// crashed, or its firmware does not ask for time.
	Silent bool
}

// A Reader is a claimed CCID interface. Its methods may be called from several
// goroutines; commands are serialised.
type Reader struct {
	// Notify, if set before the first command, hears of a card that takes its time.
	// It must not call back into the Reader.
	Notify func(Notice)

	dev  usb.Device
	desc Descriptor

	rates      []uint32 // that it has; nil: it has no table
	askedRates bool

	mu    sync.Mutex
	seq   byte
	slot  byte           // that the command at work is for
	frame *secret.Buffer // the outgoing message: it may hold a PIN
	in    []byte
	conns map[byte]*Conn // the powered cards, by slot
	since time.Time      // when the running command or APDU was sent

	cut     bool // the last command was given up before its answer
	cutSlot byte
	closed  bool
	users   int // connections that a Host has given out; guarded by its lock
}

// Open claims a device's first CCID interface and makes the Reader the device's owner:
// Close closes it, and so does a failing Open. usb.ErrBusy means that another
// program (pcscd, scdaemon) holds it.
func Open(dev usb.Device) (*Reader, error) {
	desc, err := Describe(dev.Descriptors())
	if err != nil {
		dev.Close()
		return nil, err
	}
	return open(dev, desc.Interface)
}

// open is Open for one of its interfaces.
func open(dev usb.Device, number byte) (*Reader, error) {
	desc, err := Descriptor{}, ErrNoReader
	for _, i := range interfaces(dev.Descriptors()) {
		if i.Number == number {
			desc, err = describe(i)
		}
	}
	if err == nil {
		err = dev.Claim(number)
	}
	if err != nil {
		dev.Close()
		return nil, err
	}
	return newReader(dev, desc), nil
}

func newReader(dev usb.Device, desc Descriptor) *Reader {
	return &Reader{dev: dev, desc: desc, frame: secret.New(desc.MaxMessage), conns: map[byte]*Conn{}}
}

// Descriptor returns the reader's description.
func (r *Reader) Descriptor() Descriptor { return r.desc }

// Device returns the device below, for its other interfaces.
func (r *Reader) Device() usb.Device { return r.dev }

// Close powers the card off and closes the device. It may be called more than once.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	// A device that is gone has no card to power off. The first slot may have been left on.
	r.slot = 0
	_ = r.powerOff(ctx)
	for r.slot = range r.conns {
		_ = r.powerOff(ctx)
	}
	r.closed = true
	r.frame.Wipe()
	secret.Zero(r.in) // may hold what a card has decrypted
	return r.dev.Close()
}

// PowerOff takes the power from the card in the first slot (CCID 1.1, 6.1.2) and ends its
// Conn.
func (r *Reader) PowerOff(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slot = 0
	return r.powerOff(ctx)
}

func (r *Reader) powerOff(ctx context.Context) error {
	if c := r.conns[r.slot]; c != nil {
		c.dead = true
		delete(r.conns, r.slot)
	}
	if r.cut {
		r.abort(ctx)
	}
	var err error
	var ce *CommandError
	for end := time.Now().Add(busyTime); ; {
		_, err = r.command(ctx, msgPowerOff, [3]byte{}, nil, answerTime)
		if !errors.As(err, &ce) || ce.Code != codeBusy || time.Now().After(end) {
			break
		}
		// The card still works on a command that was given up.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(busyPoll):
		}
	}
	switch {
	case errors.As(err, &ce) && ce.Code == codeBusy:
		err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
	case errors.Is(err, ErrNoCard) || errors.As(err, &ce):
		return nil // there was nothing to power off
	}
	if err != nil {
		return fmt.Errorf("powering the card off: %w", err)
	}
	return nil
}

// abort asks the reader to drop the command that was given up (CCID 1.1, 5.3.1 and
// 6.1.13). Few readers can; the others refuse, which does no harm. A Nitrokey 3 can, and
// would answer nothing more without it.
func (r *Reader) abort(ctx context.Context) {
	slot := r.slot
	r.cut, r.slot = false, r.cutSlot
	defer func() { r.slot = slot }()
	ctx, cancel := context.WithTimeout(ctx, abortTime)
	defer cancel()
	s := usb.Setup{RequestType: 0x21, Request: 1, Value: uint16(r.seq+1)<<8 | uint16(r.slot),
		Index: uint16(r.desc.Interface)}
	if _, err := r.dev.Control(ctx, s, nil); err != nil {
		return
	}
	_, _ = r.command(ctx, msgAbort, [3]byte{}, nil, abortTime) // powering off shows what has become of it
}

// A SlotState is what is in the reader.
type SlotState byte

// States of the slot (bmICCStatus).
const (
	CardActive   SlotState = 0
	CardInactive SlotState = 1
	CardAbsent   SlotState = 2
)

// Status asks for the state of the first slot (CCID 1.1, 6.1.3).
func (r *Reader) Status(ctx context.Context) (SlotState, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slot = 0
	m, err := r.command(ctx, msgSlotStatus, [3]byte{}, nil, answerTime)
	if errors.Is(err, ErrNoCard) {
		return CardAbsent, nil
	}
	if err != nil {
		return 0, fmt.Errorf("asking for the slot's state: %w", err)
	}
	return SlotState(m.status & 3), nil
}

// Connect powers the card in the first slot on, cold, and returns the connection to it. An
// earlier Conn ends.
func (r *Reader) Connect(ctx context.Context) (*Conn, error) { return r.ConnectSlot(ctx, 0) }

// ConnectSlot is Connect for a slot up to the Descriptor's MaxSlot.
func (r *Reader) ConnectSlot(ctx context.Context, slot byte) (*Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &Conn{r: r, slot: slot}
	if err := r.connect(ctx, c); err != nil {
		return nil, err
	}
	return c, nil
}

// connect powers the card on and makes c its connection.
func (r *Reader) connect(ctx context.Context, c *Conn) error {
	r.slot = c.slot
	if err := r.desc.Usable(); err != nil {
		return err
	}
	if err := r.powerOff(ctx); err != nil {
		return err
	}
	asked, err := r.begin(ctx, c, false)
	var ce *CommandError
	if asked && ctx.Err() == nil && (errors.Is(err, errPPS) || errors.Is(err, ErrLost) || errors.As(err, &ce)) {
		// The card, or the reader, cannot do what it says: as slow as everybody can.
		if err := r.powerOff(ctx); err != nil {
			return err
		}
		_, err = r.begin(ctx, c, true)
	}
	if err != nil {
		return err
	}
	c.dead, c.why = false, nil
	r.conns[c.slot] = c
	return nil
}

// begin powers the card on and starts its protocol.
func (r *Reader) begin(ctx context.Context, c *Conn, slow bool) (asked bool, err error) {
	atr, err := r.powerOn(ctx)
	if err != nil {
		return false, fmt.Errorf("powering the card on: %w", err)
	}
	c.atr, c.t1 = atr, nil
	return c.start(ctx, slow)
}

// powerOn tries the voltages that the reader may need to be told, the lowest first: a
// card of a low one is not to be given 5 V (ISO/IEC 7816-3:2006, 6.2).
func (r *Reader) powerOn(ctx context.Context) ([]byte, error) {
	var volts []byte
	for v := byte(3); v > 0; v-- { // 1.8 V, 3 V, 5 V
		if r.desc.Voltages&(1<<(v-1)) != 0 {
			volts = append(volts, v)
		}
	}
	switch {
	case r.desc.Features&featAutoVoltage != 0:
		volts = []byte{0, 0} // again: some cards are mute the first time
	case len(volts) == 0:
		volts = []byte{1, 2}
	}
	for i, v := range volts {
		m, err := r.command(ctx, msgPowerOn, [3]byte{v}, nil, powerOnTime)
		if err == nil {
			if m.typ != msgDataBlock || len(m.data) < 2 {
				return nil, fmt.Errorf("%w: answer to power-on", ErrProtocol)
			}
			return append([]byte(nil), m.data...), nil
		}
		var ce *CommandError
		if !errors.As(err, &ce) || i == len(volts)-1 {
			return nil, err
		}
		if err := r.powerOff(ctx); err != nil {
			return nil, err
		}
	}
	panic("unreachable")
}

// A message is one answer of the reader (CCID 1.1, 6.2).
type message struct {
	typ, status, code, chain byte
	data                     []byte // valid until the next command
}

// command sends one message and waits for its answer. A limit of zero waits until
// ctx ends. Time extensions are reported to Notify and waited out.
func (r *Reader) command(ctx context.Context, typ byte, p [3]byte, data []byte, limit time.Duration) (message, error) {
	if r.closed {
		return message{}, ErrClosed
	}
	if headerLen+len(data) > r.desc.MaxMessage {
		return message{}, fmt.Errorf("%w: %d bytes", ErrTooLong, len(data))
	}
	r.seq++
	f := r.frame.Bytes()[:headerLen+len(data)]
	defer secret.Zero(f)
	f[0], f[5], f[6] = typ, r.slot, r.seq
	binary.LittleEndian.PutUint32(f[1:], uint32(len(data)))
	copy(f[7:], p[:])
	copy(f[headerLen:], data)
	wctx, cancel := context.WithTimeout(ctx, writeTime)
	err := r.dev.BulkOut(wctx, r.desc.Out.Address, f)
	cancel()
	if err != nil {
		r.cut, r.cutSlot = true, r.slot
		return message{}, tooSlow(ctx, err)
	}
	rctx := ctx
	if limit > 0 {
		r.since = time.Now()
		rctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	m, err := r.answer(rctx, typ)
	r.cut, r.cutSlot = rctx.Err() != nil && err != nil, r.slot
	return m, tooSlow(ctx, err)
}

// tooSlow tells a deadline of this package from one of the caller.
func tooSlow(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return ErrNoAnswer
	}
	return err
}

// notify passes a notice on.
func (r *Reader) notify(n Notice) {
	n.Elapsed = time.Since(r.since)
	if r.Notify != nil {
		r.Notify(n)
	}
	if c := r.conns[r.slot]; c != nil && c.wait != nil && !n.Silent {
		c.wait(n.Touch)
	}
}

// answer reads messages until the one that belongs to the last command is final.
func (r *Reader) answer(ctx context.Context, typ byte) (message, error) {
	for {
		b, err := r.read(ctx)
		if err != nil {
			return message{}, err
		}
		if b[5] != r.slot || b[6] != r.seq {
			continue // the late answer to a command that was given up
		}
		m := message{typ: b[0], status: b[7], code: b[8], chain: b[9], data: b[headerLen:]}
		switch m.status >> 6 {
		case 0:
			if m.typ < msgDataBlock || m.typ > 0x84 {
				return m, fmt.Errorf("%w: message type %02x", ErrProtocol, m.typ)
			}
			return m, nil
		case 2:
			r.notify(Notice{Touch: m.code == 0xff})
		default:
			if m.status&3 == byte(CardAbsent) {
				return m, ErrNoCard
			}
			return m, &CommandError{Command: typ, Code: m.code}
		}
	}
}

// read reads one message: its first packet, then as many packets as its header says.
// Asking for no more works with readers that end a message of whole packets with an empty
// one, and with those that don't. It waits in slices, so that silence can be reported; a
// slice that ends loses nothing (see usb.Device).
func (r *Reader) read(ctx context.Context) ([]byte, error) {
	packet := r.desc.In.MaxPacket
	have, want := 0, packet // bytes
	for {
		if len(r.in) < want {
			r.in = append(r.in, make([]byte, want-len(r.in))...)
		}
		tick, cancel := context.WithTimeout(ctx, silenceTick)
		n, err := r.dev.BulkIn(tick, r.desc.In.Address, r.in[have:want])
		cancel()
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				r.notify(Notice{Silent: true})
				continue
			}
			return nil, err
		}
		have += n
		switch {
		case have == 0: // the empty packet after the last message
			continue
		case have < headerLen && n%packet != 0:
			return nil, fmt.Errorf("%w: message of %d bytes", ErrProtocol, have)
		case have < headerLen: // smaller packets than a header
			want = have + packet
			continue
		}
		size := binary.LittleEndian.Uint32(r.in[1:])
		if size > maxAnswer {
			return nil, fmt.Errorf("%w: message of %d bytes", ErrProtocol, size)
		}
		total := headerLen + int(size)
		if have >= total {
			return r.in[:total], nil
		}
		if n%packet != 0 {
			return nil, fmt.Errorf("%w: message ends after %d of %d bytes", ErrProtocol, have, total)
		}
		want = have + (total-have+packet-1)/packet*packet
	}
}
