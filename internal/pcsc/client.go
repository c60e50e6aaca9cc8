package pcsc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultSocket is where pcscd listens unless it was built otherwise.
const DefaultSocket = "/run/pcscd/pcscd.comm"

// ErrNotRunning says that no pcscd listens on the socket.
var ErrNotRunning = errors.New("pcscd is not running")

// ErrNoSocket is ErrNotRunning where the socket that was named does not exist.
var ErrNoSocket = fmt.Errorf("%w: no such socket", ErrNotRunning)

// ErrDenied says that a pcscd is there, and does not let this user in.
var ErrDenied = errors.New("no permission to use pcscd")

// ErrProtocol says that the daemon answered something that is not its protocol.
var ErrProtocol = errors.New("pcscd sent a malformed answer")

// ErrHung says that the daemon took a question and has not answered it in a time in
// which a working one does.
var ErrHung = errors.New("pcscd does not answer")

// Times that the daemon may take, for itself and to power a card on. A card at work on
// a command has no limit.
var (
	daemonTime = 20 * time.Second
	cardTime   = 90 * time.Second
)

// within runs f with a limit of this package beside the caller's.
func within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := f(inner)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("%w within %v", ErrHung, limit)
	}
	return err
}

// A Code is a return value of pcscd (pcsclite.h).
type Code uint32

// Return values that callers decide on.
const (
	CodeSharing        Code = 0x8010000b // in use by somebody else
	CodeNoCard         Code = 0x8010000c
	CodeUnknownReader  Code = 0x80100009
	CodeTimeout        Code = 0x8010000a
	CodeNotTransacted  Code = 0x80100016
	CodeReaderGone     Code = 0x80100017
	CodeNoService      Code = 0x8010001d
	CodeUnresponsive   Code = 0x80100066
	CodeUnpowered      Code = 0x80100067
	CodeReset          Code = 0x80100068 // another program reset the card
	CodeRemoved        Code = 0x80100069
	CodeInvalidHandle  Code = 0x80100003
	codeProtoMismatch  Code = 0x8010000f
	codeCommData       Code = 0x8010002f
	codeInternalErrror Code = 0x80100001
)

func (c Code) Error() string {
	if s, ok := codeNames[c]; ok {
		return "pcscd: " + s
	}
	return fmt.Sprintf("pcscd: error %08x", uint32(c))
}

var codeNames = map[Code]string{
	CodeSharing: "the reader is in use", CodeNoCard: "no card in the reader", CodeUnknownReader: "no such reader",
	CodeTimeout: "timeout", CodeNotTransacted: "the exchange with the card failed",
	CodeReaderGone: "the reader was unplugged",
	CodeNoService:  "no service", CodeUnresponsive: "the card does not answer", CodeUnpowered: "the card has no power",
	CodeReset: "the card was reset by another program", CodeRemoved: "the card was removed",
	CodeInvalidHandle: "invalid handle",
	codeProtoMismatch: "the card does not speak the requested protocol", codeCommData: "the reader failed",
	codeInternalErrror: "internal error",
}

// Commands (winscard_msg.h, enum pcsc_msg_commands).
const (
	cmdEstablish    = 0x01
	cmdRelease      = 0x02
	cmdConnect      = 0x04
	cmdReconnect    = 0x05
	cmdDisconnect   = 0x06
	cmdBegin        = 0x07
	cmdEnd          = 0x08
	cmdTransmit     = 0x09
	cmdCancel       = 0x0d
	cmdVersion      = 0x11
	cmdReadersState = 0x12
)

const (
	scopeSystem   = 2
	shareExclu    = 1
	shareShared   = 2
	protoT0       = 1
	protoT1       = 2
	leaveCard     = 0
	resetCard     = 1
	unpowerCard   = 2
	maxReaders    = 16
	readerNameLen = 128
	readerStateSz = 184
	maxResponse   = 65538 // 64 KiB and the status word
)

// Reader states (eventhandler.h), bits.
const (
	stateAbsent    = 0x02
	statePresent   = 0x04
	stateSwallowed = 0x08
)

var ne = binary.NativeEndian

// A Client is one connection to pcscd. It is used by one goroutine at a time.
type Client struct {
	fd  int
	ctx uint32
	err error // sticky: after a broken exchange the stream is out of step
}

// Dial connects to the daemon; an empty path is DefaultSocket.
func Dial(ctx context.Context, path string) (*Client, error) {
	if path == "" {
		path = DefaultSocket
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socket for pcscd: %w", err)
	}
	c := &Client{fd: fd}
	if err := within(ctx, daemonTime, func(ctx context.Context) error { return c.connect(ctx, path) }); err != nil {
		c.closeFD()
		return nil, err
	}
	return c, nil
}

func (c *Client) connect(ctx context.Context, path string) error {
	for {
		err := unix.Connect(c.fd, &unix.SockaddrUnix{Name: path})
		switch {
		case err == nil:
			return c.hello(ctx)
		case errors.Is(err, unix.EAGAIN): // its backlog is full
			if err := sleep(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
			return fmt.Errorf("%w: %s", ErrNoSocket, path)
		case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOTSOCK):
			return fmt.Errorf("%w: nobody listens on %s", ErrNotRunning, path)
		case errors.Is(err, os.ErrPermission):
			return fmt.Errorf("%w: %s", ErrDenied, path)
		default:
			return fmt.Errorf("connecting to pcscd at %s: %w", path, err)
		}
	}
}

// hello agrees on the protocol and opens a context.
func (c *Client) hello(ctx context.Context) error {
	r, err := c.call(ctx, cmdVersion, words(4, 4, 0))
	if err != nil {
		return err
	}
	if err := rv(r); err != nil {
		return fmt.Errorf("pcscd speaks protocol %d.%d: %w", ne.Uint32(r), ne.Uint32(r[4:]), err)
	}
	r, err = c.call(ctx, cmdEstablish, words(scopeSystem, 0, 0))
	if err != nil {
		return err
	}
	c.ctx = ne.Uint32(r[4:])
	return rv(r)
}

// Close ends the connection; the daemon frees what belongs to it.
func (c *Client) Close() error {
	if c.fd < 0 {
		return nil
	}
	c.closeFD()
	return nil
}

func (c *Client) closeFD() {
	if c.fd >= 0 {
		_ = unix.Close(c.fd)
		c.fd = -1
	}
	if c.err == nil {
		c.err = os.ErrClosed
	}
}

// A ReaderState is one row of the daemon's reader table.
type ReaderState struct {
	Name    string
	Present bool   // a card is in the reader
	ATR     []byte // answer to reset, when Present
}

// Readers lists the readers, empty ones too.
func (c *Client) Readers(ctx context.Context) ([]ReaderState, error) {
	b := make([]byte, maxReaders*readerStateSz)
	err := within(ctx, daemonTime, func(ctx context.Context) error {
		if err := c.send(ctx, words(0, cmdReadersState)); err != nil {
			return err
		}
		return c.recv(ctx, b)
	})
	if err != nil {
		return nil, err
	}
	return parseReaders(b)
}

// parseReaders decodes READER_STATE[16]: name[128], event counter, state, sharing,
// ATR[33] padded to 36, its length, protocol.
func parseReaders(b []byte) ([]ReaderState, error) {
	if len(b) != maxReaders*readerStateSz {
		return nil, fmt.Errorf("%w: reader table of %d bytes", ErrProtocol, len(b))
	}
	var out []ReaderState
	for ; len(b) > 0; b = b[readerStateSz:] {
		name, _, ended := bytes.Cut(b[:readerNameLen], []byte{0})
		if len(name) == 0 {
			continue
		}
		if !ended {
			return nil, fmt.Errorf("%w: reader name does not end", ErrProtocol)
		}
		n := ne.Uint32(b[176:])
		if n > 33 {
			return nil, fmt.Errorf("%w: answer to reset of %d bytes", ErrProtocol, n)
		}
		st := ne.Uint32(b[132:])
		r := ReaderState{Name: string(name), Present: st&statePresent != 0 && st&stateAbsent == 0}
		if r.Present {
			r.ATR = bytes.Clone(b[140 : 140+n])
		}
		out = append(out, r)
	}
	return out, nil
}

// A Card is a connection to the card in one reader.
type Card struct {
	c      *Client
	handle uint32
	proto  uint32
}

// Connect connects to the card in a reader, exclusively or sharing it.
func (c *Client) Connect(ctx context.Context, reader string, exclusive bool) (*Card, error) {
	if len(reader) >= readerNameLen {
		return nil, CodeUnknownReader
	}
	share := uint32(shareShared)
	if exclusive {
		share = shareExclu
	}
	q := words(c.ctx)
	q = append(q, reader...)
	q = append(q, make([]byte, readerNameLen-len(reader))...)
	q = append(q, words(share, protoT0|protoT1, 0, 0, 0)...)
	var r []byte
	err := within(ctx, cardTime, func(ctx context.Context) (err error) {
		r, err = c.call(ctx, cmdConnect, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := rv(r); err != nil {
		return nil, err
	}
	k := &Card{c: c, handle: ne.Uint32(r[140:]), proto: ne.Uint32(r[144:])}
	if k.proto != protoT0 && k.proto != protoT1 {
		return nil, fmt.Errorf("%w: protocol %d", ErrProtocol, k.proto)
	}
	return k, nil
}

// Begin starts a transaction: no other program reaches the card until End.
func (k *Card) Begin(ctx context.Context) error {
	return within(ctx, cardTime, func(ctx context.Context) error { return k.simple(ctx, cmdBegin, words(k.handle, 0)) })
}

// End ends the transaction and leaves the card as it is.
func (k *Card) End(ctx context.Context) error {
	return within(ctx, daemonTime, func(ctx context.Context) error {
		return k.simple(ctx, cmdEnd,
			words(k.handle, leaveCard, 0))
	})
}

// Reconnect switches the card off and on.
func (k *Card) Reconnect(ctx context.Context, exclusive bool) error {
	share := uint32(shareShared)
	if exclusive {
		share = shareExclu
	}
	var r []byte
	err := within(ctx, cardTime, func(ctx context.Context) (err error) {
		r, err = k.c.call(ctx, cmdReconnect, words(k.handle, share, protoT0|protoT1, unpowerCard, 0, 0))
		return err
	})
	if err != nil {
		return err
	}
	if err := rv(r); err != nil {
		return err
	}
	k.proto = ne.Uint32(r[16:])
	return nil
}

// Disconnect resets the card and gives it up.
func (k *Card) Disconnect(ctx context.Context) error {
	return within(ctx, cardTime, func(ctx context.Context) error {
		return k.simple(ctx, cmdDisconnect, words(k.handle, resetCard, 0))
	})
}

func (k *Card) simple(ctx context.Context, cmd uint32, body []byte) error {
	r, err := k.c.call(ctx, cmd, body)
	if err != nil {
		return err
	}
	return rv(r)
}

// Transmit exchanges one APDU. When ctx ends while the card works, the connection
// is lost: the daemon cannot recall a command.
func (k *Card) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	c := k.c
	// The APDU is sent from its own memory: it may hold a PIN.
	if err := c.send(ctx, words(32, cmdTransmit, k.handle, k.proto, 8, uint32(len(apdu)), k.proto, 8, maxResponse,
		0)); err != nil {
		return nil, err
	}
	if err := c.send(ctx, apdu); err != nil {
		return nil, err
	}
	var r [32]byte
	if err := c.recv(ctx, r[:]); err != nil {
		return nil, err
	}
	if err := rv(r[:]); err != nil {
		return nil, err
	}
	n := ne.Uint32(r[24:])
	if n < 2 || n > maxResponse {
		c.err = fmt.Errorf("%w: response of %d bytes", ErrProtocol, n)
		return nil, c.err
	}
	out := make([]byte, n)
	if err := c.recv(ctx, out); err != nil {
		return nil, err
	}
	return out, nil
}

// call sends a request; the daemon answers with the same structure, filled in.
func (c *Client) call(ctx context.Context, cmd uint32, body []byte) ([]byte, error) {
	if err := c.send(ctx, append(words(uint32(len(body)), cmd), body...)); err != nil {
		return nil, err
	}
	r := make([]byte, len(body))
	if err := c.recv(ctx, r); err != nil {
		return nil, err
	}
	return r, nil
}

// rv is the return value, the last word of every structure.
func rv(b []byte) error {
	if v := ne.Uint32(b[len(b)-4:]); v != 0 {
		return Code(v)
	}
	return nil
}

func words(v ...uint32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = ne.AppendUint32(b, x)
	}
	return b
}

func (c *Client) send(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		if err := c.wait(ctx, unix.POLLOUT); err != nil {
			return err
		}
		n, err := unix.SendmsgN(c.fd, b, nil, nil, unix.MSG_NOSIGNAL)
		if err := c.check(err, "writing to pcscd"); err != nil {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

func (c *Client) recv(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		if err := c.wait(ctx, unix.POLLIN); err != nil {
			return err
		}
		n, err := unix.Read(c.fd, b)
		if err := c.check(err, "reading from pcscd"); err != nil {
			return err
		}
		if err == nil && n == 0 {
			c.err = fmt.Errorf("%w: it closed the connection", ErrNotRunning)
			return c.err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// check makes an I/O error sticky; interrupted and would-block calls are repeated.
func (c *Client) check(err error, doing string) error {
	if err == nil || errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		return nil
	}
	c.err = fmt.Errorf("%w: %s: %w", ErrNotRunning, doing, err)
	return c.err
}

// wait blocks until the socket is ready or ctx is done. A done context leaves the
// stream in the middle of an exchange, hence the sticky error.
func (c *Client) wait(ctx context.Context, events int16) error {
	if c.err != nil {
		return c.err
	}
	for {
		if err := ctx.Err(); err != nil {
			c.err = err
			return err
		}
		p := []unix.PollFd{{Fd: int32(c.fd), Events: events}}
		n, err := unix.Poll(p, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			c.err = fmt.Errorf("waiting for pcscd: %w", err)
			return c.err
		}
		if n > 0 {
			return nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
