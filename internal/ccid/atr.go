package ccid

import "fmt"

// atr is what T=1 needs of an answer to reset (ISO/IEC 7816-3:2006, 8.2 and 11.4).
type atr struct {
	t1     bool
	ta1    byte // Fi, Di; default 0x11
	tc1    byte // extra guard time
	ifsc   byte // information field size of the card; default 32
	bwiCWI byte // waiting times; default 0x4d
	crc    bool // CRC instead of LRC
	first  byte // the protocol that the card speaks without PPS
	// fixed: it speaks ta1 from the start (TA2, "specific mode"); otherwise the default
	// speed until PPS.
	fixed bool
}

// maxATR is the longest answer to reset, in bytes.
const maxATR = 33

// parseATR walks the interface bytes.
func parseATR(b []byte) (atr, error) {
	bad := func(what string) (atr, error) {
		return atr{}, fmt.Errorf("%w: answer to reset: %s", ErrProtocol, what)
	}
	a := atr{ta1: 0x11, ifsc: 32, bwiCWI: 0x4d}
	if len(b) < 2 || len(b) > maxATR {
		return bad("length")
	}
	if b[0] != 0x3b && b[0] != 0x3f {
		return bad("first byte")
	}
	historical := int(b[1] & 0x0f)
	y := b[1] >> 4
	p, level, protocol := 2, 1, byte(0)
	onlyT0, seenT1 := true, false
	for y != 0 {
		var next byte
		// TA, TB and TC mean T=1's own parameters the first time they follow T=1 in a
		// TD other than the first (11.4.2 to 11.4.4).
		specific := level > 2 && protocol == 1 && !seenT1
		seenT1 = seenT1 || specific
		for bit := byte(0); bit < 4; bit++ {
			if y&(1<<bit) == 0 {
				continue
			}
			if p >= len(b) {
				return bad("cut off")
			}
			v := b[p]
			p++
			switch {
			case bit == 3:
				next = v
			case level == 1 && bit == 0:
				a.ta1 = v
			case level == 1 && bit == 2:
				a.tc1 = v
			case level == 2 && bit == 0: // bit 5: the speed is the reader's to know
				a.first, a.fixed = v&0x0f, v&0x10 == 0
			case specific:
				switch bit {
				case 0:
					if v == 0 || v == 255 {
						return bad("information field size")
					}
					a.ifsc = v
				case 1:
					a.bwiCWI = v
				case 2:
					a.crc = v&1 != 0
				}
			}
		}
		if y&8 == 0 {
			break
		}
		protocol = next & 0x0f
		if level == 1 {
			a.first = protocol
		}
		a.t1 = a.t1 || protocol == 1
		onlyT0 = onlyT0 && protocol == 0
		y = next >> 4
		if level++; level > 8 {
			return bad("too many interface bytes")
		}
	}
	p += historical
	if p > len(b) {
		return bad("cut off")
	}
	if !onlyT0 { // TCK is there unless T=0 alone is offered
		if p+1 != len(b) {
			return bad("length")
		}
		var x byte
		for _, v := range b[1:] {
			x ^= v
		}
		if x != 0 {
			return bad("check byte")
		}
	}
	return a, nil
}
