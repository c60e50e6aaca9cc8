package cardtest

import (
	"bytes"
	"encoding/binary"
)

// apdu is one decoded command.
type apdu struct {
	cla, ins, p1, p2 byte
	data             []byte
	le               int // 0: none wanted
	extended         bool
}

// parseAPDU decodes the four short and three extended cases of ISO 7816-3.
func parseAPDU(b []byte) (a apdu, ok bool) {
	if len(b) < 4 {
		return a, false
	}
	a.cla, a.ins, a.p1, a.p2 = b[0], b[1], b[2], b[3]
	r := b[4:]
	switch {
	case len(r) == 0:
	case len(r) == 1:
		a.le = le(int(r[0]), 256)
	case r[0] != 0:
		n := int(r[0])
		if len(r) != 1+n && len(r) != 2+n {
			return a, false
		}
		a.data = r[1 : 1+n]
		if len(r) == 2+n {
			a.le = le(int(r[1+n]), 256)
		}
	case len(r) == 3:
		a.extended, a.le = true, le(int(binary.BigEndian.Uint16(r[1:])), 65536)
	case len(r) > 3:
		n := int(binary.BigEndian.Uint16(r[1:]))
		a.extended = true
		if n == 0 || len(r) != 3+n && len(r) != 5+n {
			return a, false
		}
		a.data = r[3 : 3+n]
		if len(r) == 5+n {
			a.le = le(int(binary.BigEndian.Uint16(r[3+n:])), 65536)
		}
	default:
		return a, false
	}
	return a, true
}

func le(n, zero int) int {
	if n == 0 {
		return zero
	}
	return n
}

func status(sw int) []byte { return []byte{byte(sw >> 8), byte(sw)} }

// command handles what belongs to the transport of APDUs: application choice,
// chaining, lengths, GET RESPONSE.
func (c *Card) command(raw []byte) []byte {
	a, ok := parseAPDU(raw)
	if !ok {
		return status(swLength)
	}
	if a.ins == 0xa4 && a.p1 == 4 {
		return c.selectApp(a)
	}
	if c.v.other != nil {
		return c.v.other.Transmit(raw)
	}
	if a.ins == 0xa4 {
		return status(swNotFound)
	}
	if !c.v.selected {
		return status(swINSNotFound)
	}
	if a.extended && !c.p.Extended {
		return status(swLength)
	}
	if a.extended && c.p.MaxCommand > 0 && len(a.data) > c.p.MaxCommand {
		return status(swLength)
	}
	if a.ins == 0xc0 {
		return c.getResponse(a)
	}
	c.v.pending = nil
	if a.cla&0x10 != 0 {
		if !c.p.Chaining {
			return status(swCLANotFound)
		}
		hdr := [4]byte{a.cla &^ 0x10, a.ins, a.p1, a.p2}
		if c.v.chain != nil && hdr != c.v.chainHdr {
			c.v.chain = nil
			return status(swChainingWanted)
		}
		c.v.chainHdr = hdr
		c.v.chain = append(c.v.chain, a.data...)
		if len(c.v.chain) > 4096 {
			c.v.chain = nil
			return status(swLength)
		}
		return status(swOK)
	}
	if a.cla != 0 {
		return status(swCLANotFound)
	}
	if c.v.chain != nil {
		chain := c.v.chain
		c.v.chain = nil
		if c.v.chainHdr != [4]byte{a.cla, a.ins, a.p1, a.p2} {
			return status(swChainingWanted)
		}
		a.data = append(chain, a.data...)
	}
	out, sw := c.execute(a)
	if sw != swOK {
		return status(sw)
	}
	return c.reply(out, a.le)
}

// reply sends as much of an answer as fits; the rest waits for GET RESPONSE.
func (c *Card) reply(out []byte, le int) []byte {
	limit := len(out)
	switch {
	case le > 0 && le <= 256 && len(out) > 256:
		limit = 256
	case le > 0 && c.p.CompleteLe && len(out) > le:
		limit = le
	}
	if limit == len(out) {
		return append(bytes.Clone(out), status(swOK)...)
	}
	c.v.pending = bytes.Clone(out[limit:])
	return append(bytes.Clone(out[:limit]), 0x61, more(len(c.v.pending)))
}

func more(n int) byte {
	if n > 255 {
		return 0
	}
	return byte(n)
}

func (c *Card) getResponse(a apdu) []byte {
	p := c.v.pending
	if len(p) == 0 {
		return status(swConditions)
	}
	n := a.le
	if n == 0 || n > len(p) {
		n = len(p)
	}
	if n > 256 && !a.extended {
		n = 256
	}
	c.v.pending = p[n:]
	if len(c.v.pending) > 0 {
		return append(bytes.Clone(p[:n]), 0x61, more(len(c.v.pending)))
	}
	return append(bytes.Clone(p[:n]), status(swOK)...)
}
