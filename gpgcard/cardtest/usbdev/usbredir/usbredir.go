// Package usbredir plugs a device into a virtual machine: it is the "usb-host" end
// of the usbredir protocol (usbredir-protocol.txt, version 0.7), whose other end is
// QEMU's usb-redir device:
//
//	-device qemu-xhci,id=usb
//	-chardev socket,id=tok,path=SOCK,server=on,wait=off
//	-device usb-redir,chardev=tok,bus=usb.0
//
// The guest's kernel then enumerates the device itself. Closing the connection, or
// unplugging an emulated device, unplugs it in the guest. For tests and the lab.
package usbredir

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"reown/internal/usb"
)

// Packet types.
const (
	typHello             = 0
	typDeviceConnect     = 1
	typDeviceDisconnect  = 2
	typReset             = 3
	typInterfaceInfo     = 4
	typEPInfo            = 5
	typSetConfiguration  = 6
	typGetConfiguration  = 7
	typConfiguration     = 8
	typSetAlt            = 9
	typGetAlt            = 10
	typAlt               = 11
	typStartInterrupt    = 15
	typStopInterrupt     = 16
	typInterruptStatus   = 17
	typCancel            = 21
	typDisconnectAck     = 24
	typControl           = 100
	typBulk              = 101
	typInterrupt         = 103
	statusSuccess        = 0
	statusCancelled      = 1
	statusIOError        = 3
	statusStall          = 4
	helloLen             = 68
	maxPacket            = 1 << 20 // bytes of one packet of the protocol
	endpointUnused       = 255
	ourVersion           = "reown emulated token"
	plugPoll             = 20 * time.Millisecond
	interruptPacketLimit = 64
)

// Capabilities: QEMU's xHCI refuses a device without the last three.
const caps = 1<<1 | // connect_device_version
	1<<3 | // device_disconnect_ack
	1<<4 | // ep_info_max_packet_size
	1<<5 | // 64bits_ids
	1<<6 // 32bits_bulk_length

var le = binary.LittleEndian

// Dial connects to QEMU's socket, which may take a moment to appear.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "unix", path)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Serve plugs in what open gives and serves it until ctx ends or the guest closes the
// connection; it closes c. When the device is gone it is unplugged in the guest, and
// open is called again until it gives a device: so a person replugs it.
func Serve(ctx context.Context, c net.Conn, open func() (usb.Device, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	s := &host{c: c, running: map[uint64]context.CancelFunc{}}
	hello := make([]byte, helloLen)
	copy(hello, ourVersion)
	le.PutUint32(hello[64:], caps)
	if err := s.send(typHello, 0, hello); err != nil {
		return err
	}
	typ, _, b, err := s.receive()
	if err != nil {
		return ended(ctx, err)
	}
	if typ != typHello || len(b) < helloLen || le.Uint32(b[64:])&caps != caps {
		return fmt.Errorf("usbredir: the peer's hello has not the capabilities that are needed")
	}
	s.long = true
	go s.plug(ctx, open)
	for {
		typ, id, b, err := s.receive()
		if err == nil {
			err = s.packet(ctx, typ, id, b)
		}
		if err != nil {
			return ended(ctx, err)
		}
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// host is one connection.
type host struct {
	c    net.Conn
	long bool // ids have 64 bits, after the hellos

	write sync.Mutex
	mu    sync.Mutex
	dev   usb.Device // nil: unplugged
	gone  chan struct{}
	pctx  context.Context // ends when the device is unplugged
	stop  context.CancelFunc

	running map[uint64]context.CancelFunc
	polling map[byte]context.CancelFunc // interrupt endpoints
}

func (h *host) send(typ uint32, id uint64, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b := le.AppendUint32(nil, typ)
	b = le.AppendUint32(b, uint32(n))
	if h.long {
		b = le.AppendUint64(b, id)
	} else {
		b = le.AppendUint32(b, uint32(id))
	}
	for _, p := range parts {
		b = append(b, p...)
	}
	h.write.Lock()
	defer h.write.Unlock()
	_, err := h.c.Write(b)
	return err
}

func (h *host) receive() (typ uint32, id uint64, body []byte, err error) {
	n := 12
	if h.long {
		n = 16
	}
	var b [16]byte
	if _, err = io.ReadFull(h.c, b[:n]); err != nil {
		return
	}
	typ, id = le.Uint32(b[:]), uint64(le.Uint32(b[8:]))
	if h.long {
		id = le.Uint64(b[8:])
	}
	size := le.Uint32(b[4:])
	if size > maxPacket {
		return 0, 0, nil, fmt.Errorf("usbredir: packet of %d bytes", size)
	}
	body = make([]byte, size)
	_, err = io.ReadFull(h.c, body)
	return
}

// plug keeps a device plugged in as long as there is one.
func (h *host) plug(ctx context.Context, open func() (usb.Device, error)) {
	for ctx.Err() == nil {
		dev, err := open()
		if err == nil {
			err = h.connect(ctx, dev)
		}
		if err == nil {
			<-h.gone
			_ = h.send(typDeviceDisconnect, 0)
		}
		select {
		case <-ctx.Done():
		case <-time.After(plugPoll):
		}
	}
}

// connect announces a device.
func (h *host) connect(ctx context.Context, dev usb.Device) error {
	for _, i := range dev.Descriptors().Interfaces {
		if err := dev.Claim(i.Number); err != nil {
			dev.Close()
			return err
		}
	}
	h.mu.Lock()
	h.dev, h.gone, h.polling = dev, make(chan struct{}), map[byte]context.CancelFunc{}
	h.pctx, h.stop = context.WithCancel(ctx)
	h.mu.Unlock()
	go h.watch(ctx, dev)
	if err := h.info(dev); err != nil {
		return err
	}
	d := dev.Descriptors()
	b := []byte{1, d.Class, 0, 0} // full speed
	b = le.AppendUint16(b, d.Vendor)
	b = le.AppendUint16(b, d.Product)
	return h.send(typDeviceConnect, 0, le.AppendUint16(b, d.Release))
}

// watch notices that the device was unplugged while nobody talks to it.
func (h *host) watch(ctx context.Context, dev usb.Device) {
	var b [18]byte
	for {
		if _, err := dev.Control(ctx, usb.Setup{RequestType: 0x80, Request: 6, Value: 0x0100}, b[:]); err != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(plugPoll):
			continue
		}
		break
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dev = nil
	h.stop()
	close(h.gone)
	dev.Close()
}

// info describes interfaces and endpoints. It is due before every connection and
// after every change of configuration.
func (h *host) info(dev usb.Device) error {
	var ifs [4 + 4*32]byte
	var ep [32*3 + 64]byte
	for i := range 32 {
		ep[i] = endpointUnused
	}
	index := func(addr byte) int { return int(addr&0x0f) | int(addr&0x80)>>3 }
	set := func(addr, typ, interval, iface byte, size int) {
		i := index(addr)
		ep[i], ep[32+i], ep[64+i] = typ, interval, iface
		le.PutUint16(ep[96+2*i:], uint16(size))
	}
	set(0x00, usb.TypeControl, 0, 0, 64)
	set(0x80, usb.TypeControl, 0, 0, 64)
	n := 0
	for _, i := range dev.Descriptors().Interfaces {
		if n == 32 || i.Alternate != 0 {
			continue
		}
		ifs[4+n], ifs[36+n], ifs[68+n], ifs[100+n] = i.Number, i.Class, i.SubClass, i.Protocol
		n++
		for _, e := range i.Endpoints {
			set(e.Address, e.Type, e.Interval, i.Number, e.MaxPacket)
		}
	}
	le.PutUint32(ifs[:], uint32(n))
	if err := h.send(typInterfaceInfo, 0, ifs[:]); err != nil {
		return err
	}
	return h.send(typEPInfo, 0, ep[:])
}

// headers are the least lengths of the packets that are understood.
var headers = map[uint32]int{
	typReset: 0, typSetConfiguration: 1, typGetConfiguration: 0, typSetAlt: 2, typGetAlt: 1,
	typStartInterrupt: 1, typStopInterrupt: 1, typCancel: 0, typControl: 10, typBulk: 10, typDisconnectAck: 0,
}

// packet handles one packet of the guest. Transfers to the device run in order,
// those from it beside each other.
func (h *host) packet(ctx context.Context, typ uint32, id uint64, b []byte) error {
	min, known := headers[typ]
	if !known {
		return nil // a newer guest's wish, which our capabilities rule out
	}
	if len(b) < min {
		return fmt.Errorf("usbredir: packet type %d of %d bytes", typ, len(b))
	}
	h.mu.Lock()
	dev, pctx := h.dev, h.pctx
	h.mu.Unlock()
	if dev == nil {
		return nil
	}
	switch typ {
	case typReset:
		_ = dev.Reset()
	case typSetConfiguration:
		_, err := dev.Control(pctx, usb.Setup{Request: 9, Value: uint16(b[0])}, nil)
		if err := h.info(dev); err != nil {
			return err
		}
		return h.send(typConfiguration, id, []byte{status(err), b[0]})
	case typGetConfiguration:
		return h.send(typConfiguration, id, []byte{statusSuccess, dev.Descriptors().Configuration})
	case typSetAlt:
		return h.send(typAlt, id, []byte{statusSuccess, b[0], b[1]})
	case typGetAlt:
		return h.send(typAlt, id, []byte{statusSuccess, b[0], 0})
	case typStartInterrupt:
		h.poll(pctx, dev, b[0])
		return h.send(typInterruptStatus, id, []byte{statusSuccess, b[0]})
	case typStopInterrupt:
		h.mu.Lock()
		if stop := h.polling[b[0]]; stop != nil {
			stop()
			delete(h.polling, b[0])
		}
		h.mu.Unlock()
		return h.send(typInterruptStatus, id, []byte{statusSuccess, b[0]})
	case typCancel:
		h.mu.Lock()
		if cancel := h.running[id]; cancel != nil {
			cancel()
		}
		h.mu.Unlock()
	case typControl:
		tctx, done := h.start(pctx, id)
		go func() {
			defer done()
			h.control(tctx, dev, id, b)
		}()
	case typBulk:
		tctx, done := h.start(pctx, id)
		run := func() {
			defer done()
			h.bulk(tctx, dev, id, b)
		}
		if b[0]&0x80 != 0 {
			go run()
		} else {
			run()
		}
	}
	return nil
}

// start registers a transfer, so that it can be cancelled.
func (h *host) start(ctx context.Context, id uint64) (context.Context, func()) {
	tctx, cancel := context.WithCancel(ctx)
	h.mu.Lock()
	h.running[id] = cancel
	h.mu.Unlock()
	return tctx, func() {
		h.mu.Lock()
		delete(h.running, id)
		h.mu.Unlock()
		cancel()
	}
}

func status(err error) byte {
	switch {
	case err == nil:
		return statusSuccess
	case errors.Is(err, usb.ErrStall):
		return statusStall
	case errors.Is(err, context.Canceled):
		return statusCancelled
	}
	return statusIOError
}

func (h *host) control(ctx context.Context, dev usb.Device, id uint64, b []byte) {
	s := usb.Setup{RequestType: b[2], Request: b[1], Value: le.Uint16(b[4:]), Index: le.Uint16(b[6:])}
	data := b[10:]
	if s.In() {
		data = make([]byte, le.Uint16(b[8:]))
	}
	n, err := dev.Control(ctx, s, data)
	head := append([]byte(nil), b[:10]...)
	head[3] = status(err)
	if err != nil {
		n = 0
	}
	le.PutUint16(head[8:], uint16(n))
	if !s.In() {
		n = 0
	}
	_ = h.send(typControl, id, head, data[:n])
}

func (h *host) bulk(ctx context.Context, dev usb.Device, id uint64, b []byte) {
	head, data := append([]byte(nil), b[:10]...), b[10:]
	n := int(le.Uint16(b[2:])) | int(le.Uint16(b[8:]))<<16
	var err error
	if in := b[0]&0x80 != 0; in {
		data = make([]byte, min(n, maxPacket))
		n, err = dev.BulkIn(ctx, b[0], data)
	} else {
		err = dev.BulkOut(ctx, b[0], data)
		n = len(data)
	}
	if err != nil {
		n = 0
	}
	head[1] = status(err)
	le.PutUint16(head[2:], uint16(n))
	le.PutUint16(head[8:], uint16(n>>16))
	if b[0]&0x80 == 0 {
		data = nil
	} else {
		data = data[:n]
	}
	_ = h.send(typBulk, id, head, data)
}

// poll pushes what comes from an interrupt endpoint.
func (h *host) poll(ctx context.Context, dev usb.Device, endpoint byte) {
	ctx, stop := context.WithCancel(ctx)
	h.mu.Lock()
	if old := h.polling[endpoint]; old != nil {
		old()
	}
	h.polling[endpoint] = stop
	h.mu.Unlock()
	go func() {
		defer stop()
		var b [interruptPacketLimit]byte
		for {
			n, err := dev.Interrupt(ctx, endpoint, b[:])
			if err != nil {
				return
			}
			head := le.AppendUint16([]byte{endpoint, statusSuccess}, uint16(n))
			if h.send(typInterrupt, 0, head, b[:n]) != nil {
				return
			}
		}
	}()
}
