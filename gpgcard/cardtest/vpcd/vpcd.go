// Package vpcd puts an emulated card into a reader of pcscd, through the virtual
// reader driver of the vsmartcard project. The driver connects out to a Slot
// (DEVICENAME 127.0.0.1:PORT in its reader.conf), which answers with the card.
//
// Frames in both directions are a big-endian 16-bit length and as many bytes; a
// frame of one byte is a control code: 0 power off, 1 power on, 2 reset, 4 send
// the answer to reset.
package vpcd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"

	"reown/gpgcard/cardtest"
)

// blankATR is the answer to reset of the card in a slot without a Card. Debian's
// driver ends pcscd when the connection ends (it selects on descriptor -1), so an
// empty slot has to be played by a card without applications.
var blankATR = []byte{0x3b, 0x00}

var blankAnswer = []byte{0x6a, 0x82}

// A Slot is the place behind one virtual reader slot. Without a Card it shows a
// card that has no application.
type Slot struct {
	ln net.Listener

	mu   sync.Mutex
	card *cardtest.Card
	conn net.Conn
}

// Listen opens a slot at an address of the loopback interface, for example
// "127.0.0.1:0".
func Listen(addr string) (*Slot, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &Slot{ln: ln}
	go s.accept()
	return s, nil
}

// Port is the TCP port the driver has to connect to.
func (s *Slot) Port() int { return s.ln.Addr().(*net.TCPAddr).Port }

// Insert puts a card into the slot; nil removes the one that is in it, which a
// client sees as a card that has lost its application. The driver does not see the
// exchange and need not switch the new card on, so that it is on.
func (s *Slot) Insert(c *cardtest.Card) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.card != nil {
		s.card.PowerOff()
	}
	if c != nil {
		c.PowerOn()
	}
	s.card = c
}

// Close closes the slot for good.
func (s *Slot) Close() error {
	err := s.ln.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.Close()
	}
	return err
}

func (s *Slot) accept() {
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conn = conn
		s.mu.Unlock()
		_ = s.serve(conn)
		conn.Close()
	}
}

// serve answers the driver until the connection ends.
func (s *Slot) serve(conn io.ReadWriter) error {
	var head [2]byte
	for {
		quickAck(conn)
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		m := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(conn, m); err != nil {
			return err
		}
		s.mu.Lock()
		card := s.card
		s.mu.Unlock()
		if len(m) == 1 {
			if err := s.control(conn, card, m[0]); err != nil {
				return err
			}
			continue
		}
		var r []byte
		if card != nil {
			r = card.Transmit(m)
		}
		if r == nil {
			// Out of power: the card leaves the slot.
			s.Insert(nil)
			r = blankAnswer
		}
		if err := send(conn, r); err != nil {
			return err
		}
	}
}

func (s *Slot) control(conn io.Writer, card *cardtest.Card, code byte) error {
	switch code {
	case 0:
		if card != nil {
			card.PowerOff()
		}
	case 1, 2:
		if card != nil {
			card.PowerOn()
		}
	case 4:
		atr := blankATR
		if card != nil {
			atr = card.ATR()
		}
		return send(conn, atr)
	default:
		return fmt.Errorf("vpcd: control code %d", code)
	}
	return nil
}

// quickAck makes the kernel acknowledge at once. The driver sends length and data
// in two writes and waits for the first to be acknowledged, 40 ms otherwise.
func quickAck(conn io.ReadWriter) {
	t, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
}

func send(w io.Writer, b []byte) error {
	if len(b) > 0xffff {
		return errors.New("vpcd: answer is too long")
	}
	m := binary.BigEndian.AppendUint16(nil, uint16(len(b)))
	_, err := w.Write(append(m, b...))
	return err
}
