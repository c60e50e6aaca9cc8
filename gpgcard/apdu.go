package gpgcard

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"reown/internal/secret"
)

// Instructions (clause 7).
const (
	insVerify    = 0x20
	insMSE       = 0x22
	insChange    = 0x24
	insPSO       = 0x2a
	insUnblock   = 0x2c
	insActivate  = 0x44
	insGenerate  = 0x47
	insChallenge = 0x84
	insAuth      = 0x88
	insSelect    = 0xa4
	insResponse  = 0xc0
	insGetData   = 0xca
	insPutData   = 0xda
	insPutOdd    = 0xdb
	insTerminate = 0xe6
)

// want says how much answer a command expects.
type want int

const (
	wantNone  want = iota
	wantShort      // up to 256 bytes at a time, the rest by GET RESPONSE
	wantLong       // as much as the card can send at once
)

// command is one logical command; do splits it as the card needs.
type command struct {
	name       string // for errors: "VERIFY"
	ins        byte
	p1, p2     byte
	data       []byte
	want       want
	maxAnswer  int // 0: defaultMaxAnswer
	noExtended bool
	finger     bool // the key's policy wants a touch
}

const (
	// defaultMaxAnswer bounds a whole answer, in bytes: the largest object is a
	// card holder certificate.
	defaultMaxAnswer = 16 << 10
	// maxLe is the most we ask for at once. A larger Le is refused by readers
	// with small buffers, and no answer needs it.
	maxLe = 2048
	// commandTime is how long a card may work on one command: making an RSA key takes ten
	// minutes on the slowest.
	commandTime = 30 * time.Minute
	// chunk is the length of one part of a chained command.
	chunk = 254
)

// do executes a command: command chaining or extended length for long data, GET
// RESPONSE for long answers, and the repetition with the right Le after 6Cxx. The
// error is a *StatusError when the card answered anything but 9000.
func (c *Card) do(ctx context.Context, cmd command) ([]byte, error) {
	parts, err := c.encode(cmd)
	defer func() {
		for _, p := range parts {
			secret.Zero(p.b)
			p.mem.Wipe()
		}
	}()
	if err != nil {
		return nil, err
	}
	var out []byte
	var sw uint16
	for i, p := range parts {
		out, sw, err = c.exchange(ctx, cmd, p.b)
		if err != nil {
			return nil, err
		}
		if i < len(parts)-1 && sw != swOK {
			return nil, &StatusError{Command: cmd.name, SW: sw}
		}
	}
	if sw>>8 == 0x6c {
		// Wrong Le: the card says how many bytes it has.
		last := parts[len(parts)-1].b
		if cmd.want == wantNone || last[4] == 0 && len(last) > 5 {
			return nil, &StatusError{Command: cmd.name, SW: sw}
		}
		last[len(last)-1] = byte(sw)
		if out, sw, err = c.exchange(ctx, cmd, last); err != nil {
			return nil, err
		}
	}
	limit := cmd.maxAnswer
	if limit == 0 {
		limit = defaultMaxAnswer
	}
	for sw>>8 == 0x61 {
		if len(out) > limit {
			return nil, fmt.Errorf("%s: %w: the answer does not end", cmd.name, ErrMalformed)
		}
		more, next, err := c.exchange(ctx, cmd, []byte{0, insResponse, 0, 0, byte(sw)})
		if err != nil {
			return nil, err
		}
		if len(more) == 0 && next>>8 == 0x61 {
			return nil, fmt.Errorf("%s: %w: an empty part of an answer", cmd.name, ErrMalformed)
		}
		out, sw = append(out, more...), next
	}
	if sw != swOK {
		return nil, &StatusError{Command: cmd.name, SW: sw}
	}
	return out, nil
}

// exchange sends one APDU and splits the status word off.
func (c *Card) exchange(ctx context.Context, cmd command, apdu []byte) ([]byte, uint16, error) {
	limited, cancel := context.WithTimeout(ctx, commandTime)
	stop := c.remind(cmd.finger)
	r, err := c.link.Transmit(limited, apdu)
	stop()
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = ErrUnanswered
	}
	cancel()
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", cmd.name, err)
	}
	if len(r) < 2 {
		return nil, 0, fmt.Errorf("%s: %w: answer of %d bytes", cmd.name, ErrMalformed, len(r))
	}
	n := len(r) - 2
	return r[:n:n], binary.BigEndian.Uint16(r[n:]), nil
}

// A part is one APDU.
type part struct {
	b   []byte
	mem *secret.Buffer // what b stands in, if that is locked memory
}

// newPart makes room for an APDU of n bytes: in locked memory if it will hold a PIN or a
// key.
func (cmd command) newPart(n int) part {
	switch cmd.ins {
	case insVerify, insChange, insUnblock, insPutOdd, insPutData:
		if len(cmd.data) > 0 {
			m := secret.New(n)
			return part{m.Bytes()[:0], m}
		}
	}
	return part{b: make([]byte, 0, n)}
}

// encode returns the APDUs of a command (ISO 7816-3, 12.1).
func (c *Card) encode(cmd command) ([]part, error) {
	extended := c.caps.extended && !c.shortOnly && !cmd.noExtended
	if len(cmd.data) > 0xffff {
		return nil, fmt.Errorf("%s: %w: %d bytes of data", cmd.name, ErrTooLarge, len(cmd.data))
	}
	if len(cmd.data) <= 255 && (cmd.want != wantLong || !extended) {
		a := header(cmd, 0, len(cmd.data))
		a.b = append(a.b, cmd.data...)
		if cmd.want != wantNone {
			a.b = append(a.b, 0)
		}
		return []part{a}, nil
	}
	if extended && (c.caps.maxCommand == 0 || len(cmd.data) <= c.caps.maxCommand || !c.caps.chaining) {
		a := cmd.newPart(9 + len(cmd.data))
		a.b = append(a.b, 0, cmd.ins, cmd.p1, cmd.p2, 0)
		if len(cmd.data) > 0 {
			a.b = binary.BigEndian.AppendUint16(a.b, uint16(len(cmd.data)))
			a.b = append(a.b, cmd.data...)
		}
		if cmd.want != wantNone {
			a.b = binary.BigEndian.AppendUint16(a.b, uint16(c.le()))
		}
		return []part{a}, nil
	}
	if !c.caps.chaining {
		return nil, fmt.Errorf("%s: %w: %d bytes of data, and the card or its reader takes 255", cmd.name, ErrTooLarge,
			len(cmd.data))
	}
	var parts []part
	for data := cmd.data; ; data = data[chunk:] {
		if len(data) <= chunk {
			a := header(cmd, 0, len(data))
			a.b = append(a.b, data...)
			if cmd.want != wantNone {
				a.b = append(a.b, 0)
			}
			return append(parts, a), nil
		}
		a := header(cmd, 0x10, chunk)
		a.b = append(a.b, data[:chunk]...)
		parts = append(parts, a)
	}
}

// header is a short command's beginning, with room for all of it, so that secret
// data is not left behind in a smaller copy.
func header(cmd command, cla byte, n int) part {
	a := cmd.newPart(6 + n)
	a.b = append(a.b, cla, cmd.ins, cmd.p1, cmd.p2)
	if n > 0 {
		a.b = append(a.b, byte(n))
	}
	return a
}

// le is the Le of extended commands.
func (c *Card) le() int {
	if c.caps.maxResponse > 0 && c.caps.maxResponse < maxLe {
		return c.caps.maxResponse
	}
	return maxLe
}

// getData is GET DATA (clause 7.2.6).
func (c *Card) getData(ctx context.Context, tag uint16) ([]byte, error) {
	cmd := command{name: fmt.Sprintf("GET DATA %04X", tag), ins: insGetData, p1: byte(tag >> 8), p2: byte(tag),
		want: wantShort}
	b, err := c.do(ctx, cmd)
	if isStatus(err, swWrongLength) && c.caps.extended {
		cmd.want = wantLong
		b, err = c.do(ctx, cmd)
	}
	if err != nil {
		return nil, err
	}
	return stripTag(b, tag), nil
}

// getOptional is getData for an object that a card may lack; nil then.
func (c *Card) getOptional(ctx context.Context, tag uint16) ([]byte, error) {
	b, err := c.getData(ctx, tag)
	if absent(err) {
		return nil, nil
	}
	return b, err
}

// putData is PUT DATA (clause 7.2.8).
func (c *Card) putData(ctx context.Context, tag uint16, value []byte) error {
	_, err := c.do(ctx, command{name: fmt.Sprintf("PUT DATA %04X", tag), ins: insPutData, p1: byte(tag >> 8),
		p2: byte(tag), data: value})
	return err
}
