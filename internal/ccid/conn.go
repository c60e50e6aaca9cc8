package ccid

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Conn is a powered card. It carries APDUs until it is closed, the Reader powers
// the card off, or an exchange is cut off in the middle; PowerCycle revives it.
type Conn struct {
	r    *Reader
	slot byte
	atr  []byte
	t1   *t1
	dead bool
	why  error // what ended the connection, if it was a failure
	host *Host // nil: somebody else owns the Reader
	wait func(touch bool)
}

// ATR returns the card's answer to reset (ISO/IEC 7816-3:2006, 8.2).
func (c *Conn) ATR() []byte { return c.atr }

// Reader returns the reader that the card is in.
func (c *Conn) Reader() *Reader { return c.r }

// ShortOnly reports that the reader cannot carry extended APDUs. Whether the card
// understands them is another question.
func (c *Conn) ShortOnly() bool { return c.r.desc.Level() == ShortAPDU }

// SetWait makes f hear of every request for more time, from inside Transmit; touch
// is true when the token says that it waits for its button. Nil removes it.
func (c *Conn) SetWait(f func(touch bool)) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.wait = f
}

// PowerCycle takes the card's power and gives it back, also after an exchange that
// was cut off. The card forgets which PINs it has been shown.
func (c *Conn) PowerCycle(ctx context.Context) error {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	return c.r.connect(ctx, c)
}

// Close ends the connection: the card loses its power, and with it every PIN it
// has been shown.
func (c *Conn) Close() error {
	if c.host != nil {
		return c.host.release(c)
	}
	return c.off()
}

// off takes the card's power, if it has any.
func (c *Conn) off() error {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if c.dead || c.r.closed {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	c.r.slot = c.slot
	return c.r.powerOff(ctx)
}

// Transmit sends one command APDU of at most 65544 bytes and returns the response
// APDU, SW1 SW2 included (2 to 65538 bytes). It waits as long as the card needs.
//
// When it fails with ErrLost, ErrProtocol or the context's error after the command
// was sent, the card may or may not have executed it, and the Conn is closed: connect
// again and look. ErrTooLong means that nothing was sent.
func (c *Conn) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if c.dead && c.why != nil {
		return nil, fmt.Errorf("%w: %w", ErrClosed, c.why)
	}
	if c.dead {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(apdu) < 4 {
		return nil, fmt.Errorf("%w: command of %d bytes", ErrProtocol, len(apdu))
	}
	max := maxExtended
	if c.r.desc.Level() == ShortAPDU {
		max = min(maxShort, c.r.desc.MaxMessage-headerLen)
	}
	if len(apdu) > max {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(apdu), max)
	}
	c.r.since, c.r.slot = time.Now(), c.slot
	var out []byte
	var err error
	if c.t1 != nil {
		out, err = c.t1.transmit(ctx, apdu)
	} else {
		out, err = c.transmitAPDU(ctx, apdu)
	}
	if err == nil && len(out) < 2 {
		err = fmt.Errorf("%w: answer of %d bytes", ErrProtocol, len(out))
	}
	if err != nil {
		c.dead, c.why = true, err
		return nil, err
	}
	return out, nil
}

// Values of wLevelParameter and bChainParameter (CCID 1.1, 6.1.4 and 6.2.1).
const (
	chainWhole    = 0x00
	chainBegin    = 0x01
	chainEnd      = 0x02
	chainMiddle   = 0x03
	chainContinue = 0x10
)

// transmitAPDU exchanges one APDU with a reader of APDU level, in blocks when it is
// longer than one message.
func (c *Conn) transmitAPDU(ctx context.Context, apdu []byte) ([]byte, error) {
	max := c.r.desc.MaxMessage - headerLen
	level := byte(chainWhole)
	if len(apdu) > max {
		level = chainBegin
	}
	rest := apdu
	for {
		chunk := rest[:min(len(rest), max)]
		rest = rest[len(chunk):]
		m, err := c.xfr(ctx, chunk, 0, level)
		if err != nil {
			return nil, err
		}
		if len(rest) == 0 {
			return c.collect(ctx, m)
		}
		if m.chain != chainContinue || len(m.data) != 0 {
			return nil, fmt.Errorf("%w: answer in the middle of a command", ErrProtocol)
		}
		level = chainMiddle
		if len(rest) <= max {
			level = chainEnd
		}
	}
}

// collect puts a response together from the blocks the reader sends.
func (c *Conn) collect(ctx context.Context, m message) ([]byte, error) {
	var out []byte
	for first := true; ; first = false {
		out = append(out, m.data...)
		if len(out) > maxAnswer {
			return nil, fmt.Errorf("%w: answer longer than %d bytes", ErrProtocol, maxAnswer)
		}
		switch {
		case first && m.chain == chainWhole, !first && m.chain == chainEnd:
			return out, nil
		case first && m.chain == chainBegin, !first && m.chain == chainMiddle:
			if len(m.data) == 0 {
				return nil, fmt.Errorf("%w: empty block", ErrProtocol)
			}
		default:
			return nil, fmt.Errorf("%w: chain parameter %02x", ErrProtocol, m.chain)
		}
		var err error
		if m, err = c.xfr(ctx, nil, 0, chainContinue); err != nil {
			return nil, err
		}
	}
}

// xfr exchanges one block (CCID 1.1, 6.1.4).
func (c *Conn) xfr(ctx context.Context, block []byte, bwi, level byte) (message, error) {
	m, err := c.r.command(ctx, msgXfrBlock, [3]byte{bwi, level, 0}, block, 0)
	var ce *CommandError
	if c.t1 == nil && errors.As(err, &ce) && ce.Code >= codeOverrun && ce.Code <= codeMute {
		// The reader and the card lost each other; the reader has given up on it.
		return m, fmt.Errorf("%w: %w", ErrLost, err)
	}
	if err == nil && m.typ != msgDataBlock {
		err = fmt.Errorf("%w: message type %02x", ErrProtocol, m.typ)
	}
	return m, err
}
