package ccid

import (
	"fmt"
	"math/bits"
)

// atr is what T=1 needs of an answer to reset (ISO/IEC 7816-3:2006, 8.2 and 11.4).
type atr struct {
	t1     bool
	ta1    byte // Fi, Di; default 0x11
	tc1    byte // extra guard time
	ifsc   byte // information field size of the card; default 32
	bwiCWI byte // waiting times; default 0x4d
	crc    bool // CRC instead of LRC
	first  byte // the protocol that the card speaks without PPS
	// specific: it has one speed and one protocol (TA2); otherwise it begins with the default
	// speed, and PPS may change both. implicit: of the speed only its maker knows.
	specific, implicit bool
}

// maxATR is the longest answer to reset, in bytes.
const maxATR = 33

// parseATR walks the interface bytes.
func parseATR(b []byte) (atr, error) {
	bad := func(what string) (atr, error) {
		return atr{}, fmt.Errorf("%w: answer to reset: %s", ErrProtocol, what)
	}
	if len(b) < 2 || len(b) > maxATR {
		return bad("length")
	}
	if b[0] != 0x3b && b[0] != 0x3f {
		return bad("first byte")
	}
	a := atr{ta1: defaultSpeed, ifsc: 32, bwiCWI: 0x4d}
	p, level, protocol := 2, 1, byte(0)
	onlyT0, seenT1 := true, false
	for y := b[1] >> 4; y != 0; level++ {
		if level > 8 {
			return bad("too many interface bytes")
		}
		if p+bits.OnesCount8(y) > len(b) {
			return bad("cut off")
		}
		// TA, TB and TC mean T=1's own parameters the first time they follow T=1 in a
		// TD other than the first (11.4.2 to 11.4.4).
		own := level > 2 && protocol == 1 && !seenT1
		seenT1 = seenT1 || own
		for i := range byte(3) {
			if y&(1<<i) == 0 {
				continue
			}
			if !a.take(level, i, b[p], own) {
				return bad("information field size")
			}
			p++
		}
		if y&8 == 0 {
			break
		}
		y, protocol = b[p]>>4, b[p]&0x0f
		p++
		if level == 1 {
			a.first = protocol
		}
		a.t1 = a.t1 || protocol == 1
		onlyT0 = onlyT0 && protocol == 0
	}
	p += int(b[1] & 0x0f) // historical bytes
	switch {
	case p > len(b):
		return bad("cut off")
	case onlyT0: // TCK is there unless T=0 alone is offered
	case p+1 != len(b):
		return bad("length")
	case lrc(b[1:]) != 0:
		return bad("check byte")
	}
	return a, nil
}

// take reads TA, TB or TC (i: 0, 1, 2) of a level. own: it is T=1's.
func (a *atr) take(level int, i, v byte, own bool) bool {
	switch {
	case level == 1 && i == 0:
		a.ta1 = v
	case level == 1 && i == 2:
		a.tc1 = v
	case level == 2 && i == 0:
		a.first, a.specific, a.implicit = v&0x0f, true, v&0x10 != 0
	case !own:
	case i == 0:
		a.ifsc = min(v, maxInfo) // 255 is reserved, and there are cards that say it
		return v != 0
	case i == 1:
		a.bwiCWI = v
	case i == 2:
		a.crc = v&1 != 0
	}
	return true
}
