package usbdev

// PPS is how a card answers a request for other parameters (ISO/IEC 7816-3:2006, 9).
type PPS byte

// Answers to PPS.
const (
	PPSTakes   PPS = iota // as it is asked
	PPSDefault            // T=1, and no other speed
	PPSMute               // not at all; it is mute until the next reset, as the standard wants
	PPSWrong              // with another speed
	PPSLies               // as it is asked, and stays at the default speed
)

const slow = 0x11 // Fi 372, Di 1

// A wire is what a card and its reader think of the contacts between them. A card at
// another speed than its reader, or at another protocol than T=1, is mute.
type wire struct {
	card, reader byte // speeds, in the form of TA1
	protocol     byte // of the card
	specific     bool // it does not change them
	later        bool // the first block after the reset has come
	gone         bool // until the next reset
}

// newWire is a card that has just answered to its reset.
func newWire(atr []byte) wire {
	w := wire{card: slow, reader: slow}
	at := func(i int) byte {
		if i < len(atr) {
			return atr[i]
		}
		return 0
	}
	y, i, ta1 := at(1)>>4, 2, byte(slow)
	if y&1 != 0 {
		ta1, i = at(i), i+1
	}
	i += int(y>>1&1 + y>>2&1) // TB1, TC1
	if y&8 == 0 {
		return w
	}
	w.protocol = at(i) & 15
	if at(i)&0x10 != 0 { // TA2
		w.specific, w.card, w.protocol = true, ta1, at(i+1)&15
	}
	return w
}

// set is SetParameters; the reader may make the PPS for it.
func (w *wire) set(features uint32, speed byte) {
	w.reader = speed
	if features&0x80 != 0 && !w.specific && !w.later {
		w.card, w.protocol = speed, 1
	}
}

// receive takes a block; pps says that it was a request for parameters.
func (w *wire) receive(b []byte, how PPS) (answer []byte, pps bool) {
	first := !w.later
	w.later = true
	if len(b) < 3 || b[0] != 0xff {
		return nil, false
	}
	if !first || w.specific || w.reader != slow || how == PPSMute || checksum(b) != 0 || b[1]&0x0f != 1 || len(b) != 3+
		int(b[1]>>4&1) {
		w.gone = true
		return nil, true
	}
	w.protocol = 1
	fast := b[1]&0x10 != 0
	switch {
	case how == PPSWrong:
		return []byte{0xff, 0x11, 0x12, 0xfc}, true
	case how == PPSDefault || !fast:
		return []byte{0xff, 0x01, 0xfe}, true
	case how == PPSTakes:
		w.card = b[2]
	}
	return append([]byte(nil), b...), true
}

// mute says that no block gets through.
func (w *wire) mute(features uint32) bool {
	if features&0x40 != 0 { // the reader has found the right ones
		return false
	}
	return w.gone || w.protocol != 1 || rate(w.card) != rate(w.reader)
}

// rate makes the two ways to write the default speed one.
func rate(ta1 byte) byte {
	if ta1 == 0x01 {
		return slow
	}
	return ta1
}
