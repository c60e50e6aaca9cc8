package usbdev

import "time"

// cardT1 is the card's end of T=1 (ISO/IEC 7816-3:2006, clause 11), which a reader
// at TPDU level passes through. Device.mu is held in all methods.
type cardT1 struct {
	r      *reader
	ns, nr byte
	ifsd   int
	apdu   []byte // a chained command that is still arriving
	rest   []byte // what is left of the response after the block in flight
	size   int    // of the block in flight
	last   []byte // the last block sent that is not an error
	result <-chan []byte
	wtx    int // further requests for time before the response
}

const (
	pcbMore   = 0x20
	pcbR      = 0x80
	pcbResync = 0xc0
	pcbIFS    = 0xc1
	pcbWTX    = 0xc3
	pcbAnswer = 0x20 // of an S-block
)

func checksum(b []byte) (x byte) {
	for _, v := range b {
		x ^= v
	}
	return x
}

// receive takes one block from the host.
func (t *cardT1) receive(m []byte) {
	f := &t.r.d.faults
	if f.loseBlocks > 0 {
		f.loseBlocks--
		t.r.fail(m, errMute)
		return
	}
	b := m[headerLen:]
	if len(b) < 4 || int(b[2])+4 != len(b) || b[0] != 0 {
		t.send(m, t.block(pcbR|t.nr<<4|2, nil))
		return
	}
	if checksum(b) != 0 {
		t.send(m, t.block(pcbR|t.nr<<4|1, nil))
		return
	}
	pcb, info := b[1], b[3:len(b)-1]
	switch {
	case pcb&0x80 == 0:
		if pcb>>6 != t.nr || t.result != nil {
			t.send(m, t.block(pcbR|t.nr<<4|2, nil))
			return
		}
		t.nr ^= 1
		t.apdu = append(t.apdu, info...)
		if pcb&pcbMore != 0 {
			t.keep(m, t.block(pcbR|t.nr<<4, nil))
			return
		}
		t.result = t.r.d.start(t.apdu)
		t.apdu = nil
		t.wtx = f.extensions
		t.think(m)
	case pcb&0xc0 == pcbR:
		switch n := pcb >> 4 & 1; {
		case t.result == nil && t.size < len(t.rest) && n == t.ns: // acknowledges a block of a chain
			t.rest = t.rest[t.size:]
			t.sendI(m)
		case t.last == nil, t.last[1]&0x80 == 0 && n == t.ns:
			// It has everything we sent, and we have not what it sent.
			t.send(m, t.block(pcbR|t.nr<<4, nil))
		default:
			t.send(m, t.last)
		}
	case pcb == pcbResync:
		t.ns, t.nr, t.apdu, t.rest, t.size, t.result = 0, 0, nil, nil, 0, nil
		t.keep(m, t.block(pcbResync|pcbAnswer, nil))
	case pcb == pcbIFS && len(info) == 1:
		t.ifsd = int(info[0])
		t.keep(m, t.block(pcbIFS|pcbAnswer, info))
	case pcb == pcbWTX|pcbAnswer && t.result != nil:
		t.think(m)
	default:
		t.send(m, t.block(pcbR|t.nr<<4|2, nil))
	}
}

// think waits a while for the response and asks for time when there is none.
func (t *cardT1) think(m []byte) {
	d, epoch, result := t.r.d, t.r.d.epoch, t.result
	t.r.busy = true
	go func() {
		var resp []byte
		ready := true
		select {
		case resp = <-result:
		case <-time.After(d.p.Extension):
			ready = false
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.epoch != epoch || t.result != result {
			return
		}
		t.r.busy = false
		if ready && resp == nil { // the card says that the power failed
			d.unplug()
			return
		}
		if resp != nil && t.wtx > 0 { // it is ready, but a switch wants more
			t.wtx--
			again := make(chan []byte, 1)
			again <- resp
			t.result, resp = again, nil
		}
		if resp == nil {
			t.keep(m, t.block(pcbWTX, []byte{2}))
			return
		}
		t.result, t.rest = nil, resp
		t.sendI(m)
	}()
}

// sendI sends the next block of the response.
func (t *cardT1) sendI(m []byte) {
	t.size = min(len(t.rest), t.ifsd)
	pcb := t.ns << 6
	if t.size < len(t.rest) {
		pcb |= pcbMore
	}
	t.ns ^= 1
	t.keep(m, t.block(pcb, t.rest[:t.size]))
}

func (t *cardT1) block(pcb byte, info []byte) []byte {
	b := append([]byte{0, pcb, byte(len(info))}, info...)
	return append(b, checksum(b))
}

// keep sends a block that the host may ask for again.
func (t *cardT1) keep(m, b []byte) {
	t.last = b
	t.send(m, b)
}

func (t *cardT1) send(m, b []byte) {
	f := &t.r.d.faults
	switch {
	case f.loseAnswers > 0:
		f.loseAnswers--
		t.r.fail(m, errMute)
		return
	case f.corrupt > 0:
		f.corrupt--
		b = append([]byte(nil), b...)
		b[len(b)-1] ^= 0x55
	}
	t.r.reply(m, rdrDataBlock, 0, 0, 0, b)
}
