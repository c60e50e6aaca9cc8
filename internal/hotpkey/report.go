package hotpkey

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"reown/internal/secret"
	"reown/internal/usb"
)

// crc is the STM32's CRC unit: polynomial 04C11DB7 over little-endian words, most
// significant bit first, initial value FFFFFFFF, no final inversion.
func crc(b []byte) uint32 {
	c := ^uint32(0)
	for ; len(b) >= 4; b = b[4:] {
		c ^= binary.LittleEndian.Uint32(b)
		for range 32 {
			if c&0x80000000 != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
	}
	return c
}

// An answer is one report from the key.
type answer struct {
	busy    bool
	command byte
	crc     uint32 // of the command that it answers
	status  byte
	result  []byte // valid until the report's buffer is wiped
}

// parseAnswer parses a report. ok is false when its check value is wrong: the firmware
// is writing it just now, or it was garbled.
func parseAnswer(b []byte) (a answer, ok bool) {
	if len(b) != reportLen {
		return answer{}, false
	}
	le := binary.LittleEndian
	a = answer{busy: b[0] != 0, command: b[1], crc: le.Uint32(b[2:]), status: b[6], result: b[7 : 7+resultLen]}
	// The value was made before the first byte was filled in.
	first := b[0]
	b[0] = 0
	ok = crc(b[:60]) == le.Uint32(b[60:])
	b[0] = first
	return a, ok
}

// control performs GET_REPORT or SET_REPORT of the feature report (HID 1.11, 7.2).
func (p *pro) control(ctx context.Context, typ, req byte, data []byte) (int, error) {
	rctx, cancel := context.WithTimeout(ctx, hidReport)
	defer cancel()
	n, err := p.dev.Control(rctx, usb.Setup{RequestType: typ, Request: req, Value: 0x0300, Index: p.iface}, data)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = ErrNoAnswer // it has crashed
	}
	return n, err
}

// read reads the key's report into buf.
func (p *pro) read(ctx context.Context, buf *secret.Buffer) (answer, bool, error) {
	n, err := p.control(ctx, 0xa1, 1, buf.Bytes())
	if err != nil {
		return answer{}, false, fmt.Errorf("reading a report: %w", err)
	}
	a, ok := parseAnswer(buf.Bytes()[:n])
	return a, ok, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// command sends one command and waits for its answer. The result is handed to use and
// wiped afterwards: the firmware echoes secrets. repeat says that executing the command
// twice does no harm.
func (p *pro) command(ctx context.Context, cmd byte, payload []byte, repeat bool, use func(result []byte)) error {
	out, in := secret.New(reportLen), secret.New(reportLen)
	defer out.Wipe()
	defer in.Wipe()
	b := out.Bytes()
	b[0] = cmd
	if copy(b[1:1+maxPayload], payload) != len(payload) {
		panic("hotpkey: payload too long")
	}
	sum := crc(b[:60])
	binary.LittleEndian.PutUint32(b[60:], sum)

	// A report that arrives while the firmware is busy is dropped without a word.
	for end := time.Now().Add(hidReady); ; {
		a, _, err := p.read(ctx, in)
		if err != nil {
			return err
		}
		if !a.busy {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w: it stays busy", ErrNoAnswer)
		}
		if err := pause(ctx, p.model.poll); err != nil {
			return err
		}
	}
	for try := 1; ; try++ {
		if _, err := p.control(ctx, 0x21, 9, b); err != nil {
			return fmt.Errorf("sending command %02x: %w", cmd, err)
		}
		a, err := p.await(ctx, in, cmd, sum)
		if errors.Is(err, errIgnored) {
			if repeat && try < hidResend {
				continue
			}
			err = ErrNoAnswer
		}
		if err != nil {
			return err
		}
		switch a.status {
		case stOK:
			if use != nil {
				use(a.result)
			}
			return nil
		case stWrongCRC: // not executed
			if try < hidResend {
				continue
			}
		case stNotProgrammed:
			return ErrNoSlot
		case stNotAuthorized:
			return ErrNotAuthorized
		}
		return &StatusError{Command: cmd, Status: uint16(a.status)}
	}
}

// errIgnored says that the key is idle and has answered something else.
var errIgnored = errors.New("report ignored")

// await reads reports until one answers the command with the given check value.
func (p *pro) await(ctx context.Context, in *secret.Buffer, cmd byte, sum uint32) (answer, error) {
	start := time.Now()
	for {
		if err := pause(ctx, p.model.poll); err != nil {
			return answer{}, err
		}
		a, ok, err := p.read(ctx, in)
		if err != nil {
			return answer{}, err
		}
		waited := time.Since(start)
		switch {
		case ok && !a.busy && a.command == cmd && (a.crc == sum || a.status == stWrongCRC):
			return a, nil
		case ok && !a.busy && waited > hidIgnored:
			return answer{}, errIgnored
		case waited > hidAnswer:
			return answer{}, fmt.Errorf("%w: command %02x", ErrNoAnswer, cmd)
		}
	}
}
