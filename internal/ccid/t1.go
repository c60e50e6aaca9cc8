package ccid

import (
	"context"
	"errors"
	"fmt"

	"reown/internal/secret"
)

// t1 is the host's end of the T=1 block protocol (ISO/IEC 7816-3:2006, clause 11).
// Rule numbers in this file are those of 11.6.3.2.
type t1 struct {
	// exchange sends one block and returns the next block from the card. bwi
	// multiplies the block waiting time for this block; 0 means 1. A CommandError for
	// a mute or garbled card is repaired here; any other error ends the exchange.
	exchange func(ctx context.Context, block []byte, bwi byte) ([]byte, error)
	// waiting hears of every waiting time extension.
	waiting func()

	ifsc   int // information bytes the card takes in a block, 1 to 254
	crc    bool
	ns, nr byte           // N(S) of the next I-block out and in
	info   *secret.Buffer // the current I-block; it may hold a PIN
}

// Block kinds and S-block types (11.3.2.2).
const (
	pcbMore = 0x20 // M-bit of an I-block
	pcbR    = 0x80
	pcbS    = 0xc0
	pcbResp = 0x20 // S-block: response

	sResync = 0
	sIFS    = 1
	sAbort  = 2
	sWTX    = 3

	errEDC   = 1 // R-block: error detection code or parity
	errOther = 2
)

const (
	maxInfo  = 254
	maxBlock = 3 + maxInfo + 2
	// retries is how often a block is repeated before resynchronisation, and that
	// before giving up (rules 7.4 and 6.4).
	retries = 3
)

func newT1(exchange func(context.Context, []byte, byte) ([]byte, error)) *t1 {
	return &t1{exchange: exchange, waiting: func() {}, ifsc: 32}
}

// A block is one received block.
type block struct {
	pcb  byte
	info []byte
}

func (b block) isI() bool { return b.pcb&0x80 == 0 }
func (b block) isR() bool { return b.pcb&0xc0 == pcbR }

// errBlock says which R-block answers a bad block.
type errBlock byte

func (e errBlock) Error() string { return fmt.Sprintf("bad block (%d)", byte(e)) }

// build appends a block to dst.
func (t *t1) build(dst []byte, pcb byte, info []byte) []byte {
	b := append(dst, 0, pcb, byte(len(info)))
	b = append(b, info...)
	if t.crc {
		c := crc16(b)
		return append(b, byte(c>>8), byte(c))
	}
	return append(b, lrc(b))
}

// parse checks a received block's form.
func (t *t1) parse(b []byte) (block, error) {
	edc := 1
	if t.crc {
		edc = 2
	}
	if len(b) < 3+edc || int(b[2])+3+edc != len(b) || b[2] == 255 || b[0] != 0 {
		return block{}, errBlock(errOther)
	}
	if t.crc && crc16(b[:len(b)-2]) != uint16(b[len(b)-2])<<8|uint16(b[len(b)-1]) || !t.crc && lrc(b) != 0 {
		return block{}, errBlock(errEDC)
	}
	k := block{b[1], b[3 : len(b)-edc]}
	switch {
	case k.isI():
		if k.pcb&0x1f != 0 {
			return block{}, errBlock(errOther)
		}
	case k.isR():
		if k.pcb&0x2c != 0 || len(k.info) != 0 {
			return block{}, errBlock(errOther)
		}
	default:
		want := 0
		if s := k.pcb & 0x1f; s == sIFS || s == sWTX {
			want = 1
		} else if s > sWTX {
			return block{}, errBlock(errOther)
		}
		if len(k.info) != want {
			return block{}, errBlock(errOther)
		}
	}
	return k, nil
}

// lrc is the exclusive or of all bytes (11.5).
func lrc(b []byte) (x byte) {
	for _, v := range b {
		x ^= v
	}
	return x
}

// crc16 is the CRC of ISO/IEC 13239 (11.5): reflected, x16+x12+x5+1, initial and final
// FFFF.
func crc16(b []byte) uint16 {
	c := uint16(0xffff)
	for _, v := range b {
		c ^= uint16(v)
		for range 8 {
			if c&1 != 0 {
				c = c>>1 ^ 0x8408
			} else {
				c >>= 1
			}
		}
	}
	return ^c
}

// swap sends one block and parses the answer. A garbled answer, or none in time, is
// an errBlock.
func (t *t1) swap(ctx context.Context, out []byte, bwi byte) (block, error) {
	b, err := t.exchange(ctx, out, bwi)
	var ce *CommandError
	switch {
	case errors.As(err, &ce) && (ce.Code == codeParity || ce.Code == codeOverrun):
		return block{}, errBlock(errEDC)
	case errors.As(err, &ce) && ce.Code == codeMute:
		return block{}, errBlock(errOther)
	case err != nil:
		return block{}, err
	}
	return t.parse(b)
}

// transmit exchanges one APDU. A card that asks for more time gets it, without
// end.
func (t *t1) transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	t.info = secret.New(maxBlock)
	defer t.info.Wipe()
	for try := 0; ; try++ {
		out, whole, err := t.chain(ctx, apdu)
		if _, bad := err.(errBlock); !bad {
			return out, err
		}
		// Repeating did not help (rule 6.4).
		if err := t.resync(ctx); err != nil {
			if _, bad := err.(errBlock); bad {
				err = ErrLost
			}
			return nil, fmt.Errorf("resynchronising: %w", err)
		}
		if whole || try > 0 {
			return nil, ErrLost
		}
		// The card has not had the whole command, so it cannot have executed it.
	}
}

// A chain is one command on its way to the card, and its response on the way back.
type chain struct {
	t     *t1
	rest  []byte // of the command, from the current I-block on
	size  int    // information bytes of that
	whole bool   // the last I-block of the command has been sent
	got   bool   // a block of the response has come
	out   []byte

	send []byte // the next block
	last []byte // the block to repeat when the card asks for it
	bwi  byte   // for the next block
	bad  int    // blocks in a row that brought nothing
	ctl  [24]byte
}

// chain sends the command in I-blocks and collects the response. whole reports
// whether the last I-block of the command has been sent. An errBlock means that
// repeating blocks did not help.
func (t *t1) chain(ctx context.Context, apdu []byte) (out []byte, whole bool, err error) {
	c := &chain{t: t, rest: apdu}
	for c.nextI(); ; {
		b, err := t.swap(ctx, c.send, c.bwi)
		c.bwi = 0
		if err == nil {
			var done bool
			if done, err = c.take(b); done {
				return c.out, c.whole, nil
			}
		}
		var code errBlock
		if err == nil {
			continue
		} else if !errors.As(err, &code) {
			return nil, c.whole, err
		}
		if c.bad++; c.bad > retries {
			return nil, c.whole, err
		}
		c.send = t.build(c.ctl[16:16], pcbR|t.nr<<4|byte(code), nil) // rule 7.1
	}
}

// nextI makes the next I-block of the command.
func (c *chain) nextI() {
	c.size = min(len(c.rest), c.t.ifsc)
	pcb := c.t.ns << 6
	if c.more() {
		pcb |= pcbMore
	} else {
		c.whole = true
	}
	c.last = c.t.build(c.t.info.Bytes()[:0], pcb, c.rest[:c.size])
	c.next(c.last)
}

func (c *chain) more() bool { return c.size < len(c.rest) }

// next has the block that answers a good one.
func (c *chain) next(b []byte) { c.send, c.bad = b, 0 }

// take acts on a block from the card. An errBlock says that it does not belong here.
func (c *chain) take(b block) (done bool, err error) {
	t := c.t
	switch {
	case b.isI() && !c.more() && b.pcb>>6 == t.nr:
		return c.takeI(b)
	case b.isR():
		return false, c.takeR(b)
	case b.pcb == pcbS|sWTX:
		t.waiting()
		c.bwi = b.info[0]
		c.next(t.build(c.ctl[8:8], pcbS|pcbResp|sWTX, b.info))
	case b.pcb == pcbS|sIFS && b.info[0] >= 1 && b.info[0] <= maxInfo:
		t.ifsc = int(b.info[0])
		c.next(t.build(c.ctl[8:8], pcbS|pcbResp|sIFS, b.info))
	case b.pcb == pcbS|sAbort:
		// Nobody on a token aborts; a card that does has given up on the command.
		return false, fmt.Errorf("%w: the card aborted the exchange", ErrProtocol)
	default:
		return false, errBlock(errOther)
	}
	return false, nil
}

// takeI takes a block of the response.
func (c *chain) takeI(b block) (done bool, err error) {
	t := c.t
	if !c.got {
		c.got = true
		t.ns ^= 1 // it acknowledges ours (rule 2.1)
	}
	c.out = append(c.out, b.info...)
	if len(c.out) > maxAnswer {
		return false, fmt.Errorf("%w: answer longer than %d bytes", ErrProtocol, maxAnswer)
	}
	t.nr ^= 1
	if b.pcb&pcbMore == 0 {
		return true, nil
	}
	c.last = t.build(c.ctl[:0], pcbR|t.nr<<4, nil)
	c.next(c.last)
	return false, nil
}

// takeR goes on with the command, or repeats.
func (c *chain) takeR(b block) error {
	switch n := b.pcb >> 4 & 1; {
	case !c.got && c.more() && n != c.t.ns && b.pcb&0x0f == 0:
		c.t.ns ^= 1
		c.rest = c.rest[c.size:]
		c.nextI()
		return nil
	case c.got || n == c.t.ns:
		// It has not understood our last block: once more (rule 7.2).
		if c.bad++; c.bad > retries {
			return errBlock(errOther)
		}
		c.send = c.last
		return nil
	}
	return errBlock(errOther)
}

// resync puts both ends back to the start (rule 6).
func (t *t1) resync(ctx context.Context) error {
	_, err := t.request(ctx, sResync, nil)
	t.ns, t.nr = 0, 0
	return err
}

// sendIFS tells the card how long a block the reader takes (rule 4). It is the first
// block: a card that has no answer to it has none to anything.
func (t *t1) sendIFS(ctx context.Context, size byte) error {
	_, err := t.request(ctx, sIFS, []byte{size})
	if _, bad := err.(errBlock); bad {
		return fmt.Errorf("%w: no block comes through", ErrLost)
	}
	return err
}

// request sends an S-block until the card has answered it.
func (t *t1) request(ctx context.Context, typ byte, info []byte) (block, error) {
	var buf [8]byte
	for try := 0; ; try++ {
		b, err := t.swap(ctx, t.build(buf[:0], pcbS|typ, info), 0)
		if err == nil && b.pcb == pcbS|pcbResp|typ {
			return b, nil
		}
		if err == nil {
			err = errBlock(errOther)
		}
		if _, bad := err.(errBlock); !bad || try == retries-1 {
			return b, err
		}
	}
}
