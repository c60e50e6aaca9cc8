package gpgcard

import (
	"encoding/binary"
	"errors"
)

// errTLV says that a data object is not well formed.
var errTLV = errors.New("malformed data object")

// maxDepth bounds the nesting of constructed objects; the specification has three
// levels.
const maxDepth = 6

// nextTLV splits the first BER-TLV object (ISO 7816-4, 5.2.2) off b: tags of one
// or two bytes, lengths up to 65535. Padding of 00 between objects is skipped.
func nextTLV(b []byte) (tag uint16, value, rest []byte, err error) {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, nil, nil, nil
	}
	tag, b = uint16(b[0]), b[1:]
	if tag&0x1f == 0x1f {
		if len(b) == 0 || b[0]&0x80 != 0 {
			return 0, nil, nil, errTLV
		}
		tag, b = tag<<8|uint16(b[0]), b[1:]
	}
	n, b, err := tlvLength(b)
	if err != nil || n > len(b) {
		return 0, nil, nil, errTLV
	}
	return tag, b[:n], b[n:], nil
}

// tlvLength decodes a length of one, two or three bytes.
func tlvLength(b []byte) (n int, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, errTLV
	}
	switch {
	case b[0] < 0x80:
		return int(b[0]), b[1:], nil
	case b[0] == 0x81 && len(b) >= 2:
		return int(b[1]), b[2:], nil
	case b[0] == 0x82 && len(b) >= 3:
		return int(binary.BigEndian.Uint16(b[1:])), b[3:], nil
	}
	return 0, nil, errTLV
}

// constructed reports that a tag's value consists of objects.
func constructed(tag uint16) bool {
	if tag > 0xff {
		return tag&0x2000 != 0
	}
	return tag&0x20 != 0
}

// findTLV returns the first value with the tag, at any depth; nil when absent. A
// present but empty value is not nil.
func findTLV(b []byte, tag uint16) ([]byte, error) { return findTLVDepth(b, tag, maxDepth) }

func findTLVDepth(b []byte, tag uint16, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, errTLV
	}
	for len(b) > 0 {
		t, v, rest, err := nextTLV(b)
		if err != nil {
			return nil, err
		}
		if t == tag && v != nil {
			return v, nil
		}
		if constructed(t) {
			if found, err := findTLVDepth(v, tag, depth-1); found != nil || err != nil {
				return found, err
			}
		}
		b = rest
	}
	return nil, nil
}

// appendTLV appends one object made of the values side by side.
func appendTLV(b []byte, tag uint16, values ...[]byte) []byte {
	n := 0
	for _, v := range values {
		n += len(v)
	}
	if tag > 0xff {
		b = append(b, byte(tag>>8))
	}
	b = appendLength(append(b, byte(tag)), n)
	for _, v := range values {
		b = append(b, v...)
	}
	return b
}

func appendLength(b []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n < 0x100:
		return append(b, 0x81, byte(n))
	}
	return append(b, 0x82, byte(n>>8), byte(n))
}

// stripTag removes the object's own tag where a card puts it around the answer
// (YubiKey does for constructed objects, most others do not).
func stripTag(b []byte, tag uint16) []byte {
	if t, v, rest, err := nextTLV(b); err == nil && t == tag && len(rest) == 0 {
		return v
	}
	return b
}
