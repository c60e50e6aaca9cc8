// Package usbip carries USB transfers over a socket as Linux's USB/IP does
// (Documentation/usb/usbip_protocol.rst, version 1.1.1). Serve exports an opened
// device; Dial is a host controller without a kernel. Both are for tests: neither
// authenticates its peer, and both belong on loopback.
package usbip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"reown/internal/usb"
)

const (
	version = 0x0111

	opReqDevlist = 0x8005
	opRepDevlist = 0x0005
	opReqImport  = 0x8003
	opRepImport  = 0x0003

	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4

	recordLen = 312 // of a device, without its interfaces
	headerLen = 48
	maxBuffer = 1 << 20 // bytes of one transfer
)

var be = binary.BigEndian

// BusID is the name under which Serve exports its device.
const BusID = "1-1"

// Serve exports a device, on which it claims all interfaces, to one client after
// another until ctx ends or the listener is closed.
func Serve(ctx context.Context, l net.Listener, dev usb.Device) error {
	for _, i := range dev.Descriptors().Interfaces {
		if err := dev.Claim(i.Number); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		sctx, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(sctx, func() { c.Close() })
		s := &server{c: c, dev: dev, running: map[uint32]*running{}}
		s.serve(sctx)
		cancel()
		stop()
	}
}

// server is one client's connection.
type server struct {
	c   net.Conn
	dev usb.Device

	write   sync.Mutex
	mu      sync.Mutex
	running map[uint32]*running
}

// running is a transfer that has not been answered.
type running struct {
	cancel context.CancelFunc
	unlink uint32 // the command that wants it cancelled; 0: none
}

// serve answers one client until it goes away or breaks the protocol.
func (s *server) serve(ctx context.Context) {
	var op [8]byte
	if _, err := io.ReadFull(s.c, op[:]); err != nil || be.Uint16(op[:]) != version {
		return
	}
	switch be.Uint16(op[2:]) {
	case opReqDevlist:
		b := be.AppendUint16(nil, version)
		b = be.AppendUint16(b, opRepDevlist)
		b = be.AppendUint32(b, 0)
		b = be.AppendUint32(b, 1)
		b = append(b, s.record()...)
		for _, i := range s.dev.Descriptors().Interfaces {
			b = append(b, i.Class, i.SubClass, i.Protocol, 0)
		}
		_, _ = s.c.Write(b)
		s.c.Close()
		return
	case opReqImport:
		var id [32]byte
		if _, err := io.ReadFull(s.c, id[:]); err != nil {
			return
		}
		b := be.AppendUint16(nil, version)
		b = be.AppendUint16(b, opRepImport)
		if strings.TrimRight(string(id[:]), "\x00") != BusID {
			_, _ = s.c.Write(be.AppendUint32(b, 1))
			s.c.Close()
			return
		}
		b = be.AppendUint32(b, 0)
		if _, err := s.c.Write(append(b, s.record()...)); err != nil {
			return
		}
	default:
		return
	}
	for s.command(ctx) == nil {
	}
	s.c.Close()
}

// record describes the device.
func (s *server) record() []byte {
	d := s.dev.Descriptors()
	b := make([]byte, recordLen)
	copy(b, "/sys/devices/emulated/usb1/1-1")
	copy(b[256:], BusID)
	be.PutUint32(b[288:], 1)
	be.PutUint32(b[292:], 2)
	be.PutUint32(b[296:], 2) // full speed
	be.PutUint16(b[300:], d.Vendor)
	be.PutUint16(b[302:], d.Product)
	be.PutUint16(b[304:], d.Release)
	b[306] = d.Class
	b[309], b[310], b[311] = d.Configuration, 1, byte(len(d.Interfaces))
	return b
}

// command reads one command and starts it.
func (s *server) command(ctx context.Context) error {
	var h [headerLen]byte
	if _, err := io.ReadFull(s.c, h[:]); err != nil {
		return err
	}
	seq, in, ep := be.Uint32(h[4:]), be.Uint32(h[12:]) == 1, byte(be.Uint32(h[16:]))
	switch be.Uint32(h[:]) {
	case cmdSubmit:
	case cmdUnlink:
		s.mu.Lock()
		r := s.running[be.Uint32(h[20:])]
		if r != nil {
			r.unlink = seq
			r.cancel()
		}
		s.mu.Unlock()
		if r != nil {
			return nil // answered when the transfer has ended
		}
		return s.reply(retUnlink, seq, 0, nil, 0)
	default:
		return fmt.Errorf("usbip: command %d", be.Uint32(h[:]))
	}
	n := be.Uint32(h[24:])
	if n > maxBuffer || ep > 15 {
		return fmt.Errorf("usbip: transfer of %d bytes on endpoint %d", n, ep)
	}
	data := make([]byte, n)
	if !in {
		if _, err := io.ReadFull(s.c, data); err != nil {
			return err
		}
	}
	tctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	s.running[seq] = &running{cancel: cancel}
	s.mu.Unlock()
	setup := usb.Setup{RequestType: h[40], Request: h[41], Value: binary.LittleEndian.Uint16(h[42:]),
		Index: binary.LittleEndian.Uint16(h[44:])}
	run := func() {
		defer cancel()
		n, err := s.transfer(tctx, ep, in, setup, data)
		s.mu.Lock()
		unlink := s.running[seq].unlink
		delete(s.running, seq)
		s.mu.Unlock()
		if unlink != 0 && errors.Is(err, context.Canceled) {
			_ = s.reply(retUnlink, unlink, -int32(unix.ECONNRESET), nil, 0)
			return
		}
		if in {
			data = data[:n]
		} else {
			data = nil
		}
		if s.reply(retSubmit, seq, statusOf(err), data, n) != nil {
			s.c.Close()
		}
		if unlink != 0 {
			_ = s.reply(retUnlink, unlink, 0, nil, 0) // too late
		}
	}
	if in {
		go run()
	} else {
		run() // the order of what is sent must stay
	}
	return nil
}

func (s *server) transfer(ctx context.Context, ep byte, in bool, setup usb.Setup, data []byte) (int, error) {
	switch {
	case ep == 0:
		return s.dev.Control(ctx, setup, data)
	case in:
		return s.dev.BulkIn(ctx, ep|0x80, data)
	}
	return len(data), s.dev.BulkOut(ctx, ep, data)
}

func statusOf(err error) int32 {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, usb.ErrStall):
		return -int32(unix.EPIPE)
	case errors.Is(err, usb.ErrGone):
		return -int32(unix.ENODEV)
	}
	return -int32(unix.EPROTO)
}

func (s *server) reply(cmd, seq uint32, status int32, data []byte, n int) error {
	b := make([]byte, headerLen, headerLen+len(data))
	be.PutUint32(b, cmd)
	be.PutUint32(b[4:], seq)
	be.PutUint32(b[20:], uint32(status))
	be.PutUint32(b[24:], uint32(n))
	s.write.Lock()
	defer s.write.Unlock()
	_, err := s.c.Write(append(b, data...))
	return err
}

// client is a device at the other end of a socket.
type client struct {
	c     net.Conn
	devid uint32
	desc  *usb.Descriptors

	write   sync.Mutex
	mu      sync.Mutex
	seq     uint32
	pending map[uint32]*transfer
	unlinks map[uint32]uint32 // what an unlink command is about
	gone    bool
}

type transfer struct {
	in   []byte
	n    int
	err  error
	done chan struct{}
}

// Dial imports a device from a USB/IP server: network and address as for net.Dial.
func Dial(ctx context.Context, network, address, busID string) (usb.Device, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	dev, err := attach(ctx, c, busID)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("importing %s from %s: %w", busID, address, err)
	}
	return dev, nil
}

func attach(ctx context.Context, c net.Conn, busID string) (usb.Device, error) {
	req := be.AppendUint16(nil, version)
	req = be.AppendUint16(req, opReqImport)
	req = be.AppendUint32(req, 0)
	id := make([]byte, 32)
	copy(id, busID)
	if _, err := c.Write(append(req, id...)); err != nil {
		return nil, err
	}
	var h [8]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return nil, err
	}
	if be.Uint16(h[2:]) != opRepImport || be.Uint32(h[4:]) != 0 {
		return nil, usb.ErrGone
	}
	var rec [recordLen]byte
	if _, err := io.ReadFull(c, rec[:]); err != nil {
		return nil, err
	}
	d := &client{c: c, devid: be.Uint32(rec[288:])<<16 | be.Uint32(rec[292:]), pending: map[uint32]*transfer{},
		unlinks: map[uint32]uint32{}}
	go d.read()
	// Servers disagree on the byte order of the record: ask the device itself.
	raw := make([]byte, 18)
	if n, err := d.Control(ctx, usb.Setup{RequestType: 0x80, Request: 6, Value: 0x0100}, raw); err != nil || n != 18 {
		return nil, fmt.Errorf("device descriptor: %d bytes, %w", n, err)
	}
	cfg := make([]byte, 4096)
	n, err := d.Control(ctx, usb.Setup{RequestType: 0x80, Request: 6, Value: 0x0200}, cfg)
	if err != nil {
		return nil, fmt.Errorf("configuration descriptor: %w", err)
	}
	if d.desc, err = usb.ParseDescriptors(append(raw, cfg[:n]...)); err != nil {
		return nil, err
	}
	// What a kernel would do.
	_, err = d.Control(ctx, usb.Setup{Request: 9, Value: uint16(d.desc.Configuration)}, nil)
	return d, err
}

// read hands answers to their transfers until the connection ends.
func (d *client) read() {
	for d.answer() == nil {
	}
	d.c.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
	for seq, t := range d.pending {
		t.err = usb.ErrGone
		close(t.done)
		delete(d.pending, seq)
	}
}

func (d *client) answer() error {
	var h [headerLen]byte
	if _, err := io.ReadFull(d.c, h[:]); err != nil {
		return err
	}
	seq, status, n := be.Uint32(h[4:]), int32(be.Uint32(h[20:])), be.Uint32(h[24:])
	if be.Uint32(h[:]) == retUnlink {
		d.mu.Lock()
		seq = d.unlinks[seq]
		if t := d.pending[seq]; t != nil {
			t.err = context.Canceled
			close(t.done)
			delete(d.pending, seq)
		}
		d.mu.Unlock()
		return nil
	}
	d.mu.Lock()
	t := d.pending[seq]
	delete(d.pending, seq)
	d.mu.Unlock()
	if t == nil {
		return fmt.Errorf("usbip: answer to nothing")
	}
	defer close(t.done)
	t.n = int(n)
	switch {
	case status == -int32(unix.EPIPE):
		t.err = usb.ErrStall
	case status == -int32(unix.ENODEV), status == -int32(unix.ESHUTDOWN):
		t.err = usb.ErrGone
	case status != 0:
		t.err = fmt.Errorf("%w: status %d", usb.ErrTransfer, status)
	}
	if t.in != nil {
		if int(n) > len(t.in) {
			t.err = usb.ErrTransfer
			return t.err
		}
		_, err := io.ReadFull(d.c, t.in[:n])
		return err
	}
	return nil
}

// submit runs one transfer. in is nil for one to the device.
func (d *client) submit(ctx context.Context, ep byte, setup [8]byte, in, out []byte) (int, error) {
	t := &transfer{in: in, done: make(chan struct{})}
	d.mu.Lock()
	if d.gone {
		d.mu.Unlock()
		return 0, usb.ErrGone
	}
	d.seq++
	seq := d.seq
	d.pending[seq] = t
	d.mu.Unlock()
	m := make([]byte, headerLen, headerLen+len(out))
	be.PutUint32(m, cmdSubmit)
	be.PutUint32(m[4:], seq)
	be.PutUint32(m[8:], d.devid)
	be.PutUint32(m[16:], uint32(ep))
	be.PutUint32(m[24:], uint32(len(out)))
	if in != nil {
		be.PutUint32(m[12:], 1)
		be.PutUint32(m[24:], uint32(len(in)))
	}
	copy(m[40:], setup[:])
	if err := d.send(append(m, out...)); err != nil {
		return 0, usb.ErrGone
	}
	select {
	case <-t.done:
		return t.n, t.err
	case <-ctx.Done():
	}
	// The transfer may still have been carried out: the server's answer tells, and
	// until then the buffer is not the caller's.
	d.mu.Lock()
	d.seq++
	unlink := make([]byte, headerLen)
	be.PutUint32(unlink, cmdUnlink)
	be.PutUint32(unlink[4:], d.seq)
	be.PutUint32(unlink[8:], d.devid)
	be.PutUint32(unlink[20:], seq)
	d.unlinks[d.seq] = seq
	d.mu.Unlock()
	if err := d.send(unlink); err != nil {
		return 0, usb.ErrGone
	}
	<-t.done
	if errors.Is(t.err, context.Canceled) {
		return 0, ctx.Err()
	}
	return t.n, t.err
}

func (d *client) send(b []byte) error {
	d.write.Lock()
	defer d.write.Unlock()
	_, err := d.c.Write(b)
	return err
}

func (d *client) Descriptors() *usb.Descriptors { return d.desc }
func (d *client) Claim(byte) error              { return nil } // the server has
func (d *client) Release(byte) error            { return nil }
func (d *client) Reset() error                  { return nil }
func (d *client) Close() error                  { return d.c.Close() }

func (d *client) Control(ctx context.Context, s usb.Setup, data []byte) (int, error) {
	var setup [8]byte
	setup[0], setup[1] = s.RequestType, s.Request
	binary.LittleEndian.PutUint16(setup[2:], s.Value)
	binary.LittleEndian.PutUint16(setup[4:], s.Index)
	binary.LittleEndian.PutUint16(setup[6:], uint16(len(data)))
	if s.In() {
		if data == nil {
			data = []byte{}
		}
		return d.submit(ctx, 0, setup, data, nil)
	}
	return d.submit(ctx, 0, setup, nil, data)
}

func (d *client) BulkOut(ctx context.Context, endpoint byte, p []byte) error {
	_, err := d.submit(ctx, endpoint&0x0f, [8]byte{}, nil, p)
	return err
}

func (d *client) BulkIn(ctx context.Context, endpoint byte, p []byte) (int, error) {
	return d.submit(ctx, endpoint&0x0f, [8]byte{}, p, nil)
}

func (d *client) Interrupt(ctx context.Context, endpoint byte, p []byte) (int, error) {
	return d.BulkIn(ctx, endpoint, p)
}
