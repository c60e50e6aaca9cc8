package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// headerLen is the length of a command's or reply's header: tag, size, code.
const headerLen = 10

// maxWait bounds how long a TPM may keep answering "try again" to one command.
const maxWait = 30 * time.Second

// conn is the device while one method runs. It implements go-tpm's transport.TPM.
type conn struct {
	ctx  context.Context
	dev  Device
	v1   bool
	last string // name of the command sent last, for errors
	bad  string // name of the command that was refused last, cleaning up apart
	code uint32 // its response code
	io   error  // the device's own failure, kept apart from the TPM's answers

	patience time.Duration // maxWait, but in tests
	pending  chan struct{} // closed when a command that nobody waits for any more has ended
}

// Send carries one command. A TPM that asks to send the same bytes again gets
// them: nothing has been executed then, and session nonces stay valid (part 1,
// 39.2; the kernel's driver does the same where it is in between).
func (c *conn) Send(cmd []byte) ([]byte, error) {
	wait, total := 2*time.Millisecond, time.Duration(0)
	for {
		reply, err := c.sendOnce(cmd)
		if err != nil || !c.again() {
			return reply, err
		}
		if total >= c.patience {
			return reply, nil
		}
		if c.v1 && c.code == v1NeedsSelfTest {
			if _, err := c.sendOnce(v1Command(v1ContinueSelfTest, nil)); err != nil {
				return nil, err
			}
		}
		select {
		case <-c.ctx.Done():
			return nil, c.failed(c.ctx.Err())
		case <-time.After(wait):
		}
		total += wait
		wait = min(2*wait, time.Second)
	}
}

func (c *conn) again() bool {
	if c.v1 {
		return v1Waits(c.code)
	}
	return v2Waits(c.code)
}

func v1Waits(code uint32) bool {
	return code == v1Retry || code == v1NeedsSelfTest || code == v1DoingSelfTest
}

func v2Waits(code uint32) bool {
	return code == v2Retry || code == v2Yielded || code == v2Testing || code == v2NVRate
}

// transmit waits for the reply, or for the end of the context: a chip may never
// answer, and the kernel's driver cannot be interrupted. The command goes on in the
// TPM then, as with a power cut after it was sent.
func (c *conn) transmit(cmd []byte) ([]byte, error) {
	if c.ctx.Done() == nil {
		return c.dev.Transmit(cmd)
	}
	var reply []byte
	var err error
	done := make(chan struct{})
	go func() {
		reply, err = c.dev.Transmit(cmd)
		close(done)
	}()
	select {
	case <-done:
		return reply, err
	case <-c.ctx.Done():
		c.pending = done
		return nil, c.ctx.Err()
	}
}

// close closes the device, after a command that nobody waits for any more.
func (c *conn) close() {
	if c.pending == nil {
		c.dev.Close()
		return
	}
	go func(dev Device, done chan struct{}) {
		<-done
		dev.Close()
	}(c.dev, c.pending)
}

func (c *conn) sendOnce(cmd []byte) ([]byte, error) {
	c.last = CommandName(cmd)
	if err := c.ctx.Err(); err != nil {
		return nil, c.failed(err)
	}
	reply, err := c.transmit(cmd)
	if err != nil {
		return nil, c.failed(err)
	}
	if len(reply) < headerLen || int(binary.BigEndian.Uint32(reply[2:])) != len(reply) {
		return nil, c.failed(fmt.Errorf("%w: %d bytes", ErrProtocol, len(reply)))
	}
	c.code = binary.BigEndian.Uint32(reply[6:])
	if c.code != 0 && c.last != "TPM2_FlushContext" {
		c.bad = c.last
	}
	return reply, nil
}

func (c *conn) failed(err error) error {
	c.io = fmt.Errorf("%s: %w", c.last, err)
	return c.io
}

// check turns an error from go-tpm into one of ours. What is neither the device's
// failure nor the TPM's refusal is a reply that did not parse or whose HMAC is
// wrong: in a session that is salted, both mean that somebody else has answered.
func (c *conn) check(err error) error {
	var rc tpm2.TPMRC
	switch {
	case err == nil:
		return nil
	case c.io != nil:
		return c.io
	case errors.As(err, &rc):
		if uint32(rc) == v2Lockout {
			return c.lockout()
		}
		return &CommandError{c.bad, uint32(rc)}
	}
	return fmt.Errorf("%s: %w: %v", c.last, ErrTampered, err)
}

// refused says whether err is the TPM's refusal with the given code, without
// regard to which handle, parameter or session a format-one code names.
func refused(err error, code uint32) bool {
	var ce *CommandError
	if !errors.As(err, &ce) {
		return false
	}
	got := ce.Code
	if got&0x80 != 0 {
		got &= 0xbf // part 2, 6.6.2: bits 6 and 8-11 say which
	}
	return got == code
}
