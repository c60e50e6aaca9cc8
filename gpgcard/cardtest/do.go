package cardtest

import (
	"bytes"
	"encoding/binary"
)

// tlv encodes one BER-TLV object with a tag of one or two bytes.
func tlv(tag uint16, values ...[]byte) []byte {
	v := bytes.Join(values, nil)
	var b []byte
	if tag > 0xff {
		b = append(b, byte(tag>>8))
	}
	b = append(b, byte(tag))
	switch n := len(v); {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 0x100:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, v...)
}

// next splits the first object off b; ok is false when b is not well formed.
func next(b []byte) (tag uint16, value, rest []byte, ok bool) {
	if len(b) < 2 {
		return
	}
	tag, b = uint16(b[0]), b[1:]
	if tag&0x1f == 0x1f {
		tag, b = tag<<8|uint16(b[0]), b[1:]
	}
	if len(b) == 0 {
		return
	}
	n := int(b[0])
	b = b[1:]
	switch {
	case n == 0x81 && len(b) >= 1:
		n, b = int(b[0]), b[1:]
	case n == 0x82 && len(b) >= 2:
		n, b = int(binary.BigEndian.Uint16(b)), b[2:]
	case n >= 0x80:
		return
	}
	if n > len(b) {
		return
	}
	return tag, b[:n], b[n:], true
}

// find returns the value of the first object with the tag, at the top level.
func find(b []byte, tag uint16) ([]byte, bool) {
	for len(b) > 0 {
		t, v, rest, ok := next(b)
		if !ok {
			return nil, false
		}
		if t == tag {
			return v, true
		}
		b = rest
	}
	return nil, false
}

// getData is GET DATA (clause 7.2.6).
func (c *Card) getData(tag uint16) ([]byte, int) {
	outer := func(v []byte) []byte {
		if c.p.OuterTag {
			return tlv(tag, v)
		}
		return v
	}
	switch tag {
	case 0x4f:
		return c.aid(), swOK
	case 0x5f52:
		return c.p.Historical, swOK
	case 0xc4:
		return c.pwStatus(), swOK
	case 0xc0:
		return c.p.ExtCap, swOK
	case 0xde:
		if c.p.KeyInfo {
			return c.keyInfo(), swOK
		}
	case 0x6e:
		return outer(c.applicationData()), swOK
	case 0x65:
		return outer(bytes.Join([][]byte{tlv(0x5b, c.st.DO[0x5b]), tlv(0x5f2d, c.st.DO[0x5f2d]),
			tlv(0x5f35, c.st.DO[0x5f35])}, nil)), swOK
	case 0x7a:
		return outer(tlv(0x93, c.counter())), swOK
	case 0x93:
		return c.counter(), swOK
	case 0x7f74:
		if c.p.UIF && !c.p.NoGeneral {
			if c.p.OuterTag {
				return tlv(tag, []byte{0x81, 1, 0x20}), swOK
			}
			return []byte{0x81, 1, 0x20}, swOK
		}
	case 0x7f66:
		if c.p.MaxCommand > 0 {
			return outer(c.lengthInfo()), swOK
		}
	case 0xfa:
		if c.p.AlgInfo543 {
			b := c.algorithmInfo()
			return append([]byte{0xfa, 0x82, byte((len(b) + 2) >> 8), byte(len(b) + 2)}, b...), swOK
		}
		if c.p.AlgInfo {
			return outer(c.algorithmInfo()), swOK
		}
		return nil, swWrongParams
	case 0xf9:
		if c.p.ExtCap[0]&1 != 0 {
			k := c.st.DO[0xf9]
			if len(k) == 0 && c.p.Name != "gnuk" {
				k = []byte{0x81, 1, 0}
			}
			return k, swOK // without its tag, even on a YubiKey: scdaemon relies on it
		}
	case 0xc5:
		return c.join(20, 0xc7, 0xc8, 0xc9), swOK
	case 0xc6:
		return c.join(20, 0xca, 0xcb, 0xcc), swOK
	case 0xcd:
		return c.join(4, 0xce, 0xcf, 0xd0), swOK
	case 0x0103:
		if !c.v.user {
			return nil, swSecurity
		}
		return c.st.DO[tag], swOK
	case 0x0104:
		if !c.v.admin {
			return nil, swSecurity
		}
		return c.st.DO[tag], swOK
	case 0x5b, 0x5e, 0x5f2d, 0x5f35, 0x5f50, 0x0101, 0x0102, 0x7f21:
		return c.st.DO[tag], swOK
	case 0xc1, 0xc2, 0xc3:
		return c.st.DO[tag], swOK
	case 0xd6, 0xd7, 0xd8:
		if c.p.UIF {
			return c.st.DO[tag], swOK
		}
	}
	return nil, swRefNotFound
}

// join puts the values of several objects of n bytes each side by side.
func (c *Card) join(n int, tags ...uint16) []byte {
	var b []byte
	for _, t := range tags {
		v := c.st.DO[t]
		if len(v) != n {
			v = make([]byte, n)
		}
		b = append(b, v...)
	}
	return b
}

func (c *Card) counter() []byte {
	b := binary.BigEndian.AppendUint32(nil, c.st.Counter)
	return b[1:]
}

func (c *Card) pwStatus() []byte {
	m := c.p.MaxPWInC4
	return []byte{c.st.PWStatus, m, m, m, byte(c.st.Tries[0]), byte(c.st.Tries[1]), byte(c.st.Tries[2])}
}

func (c *Card) lengthInfo() []byte {
	return []byte{2, 2, byte(c.p.MaxCommand >> 8), byte(c.p.MaxCommand), 2, 2, byte(c.p.MaxResponse >> 8),
		byte(c.p.MaxResponse)}
}

func (c *Card) keyInfo() []byte {
	var b []byte
	for i, k := range c.st.Keys {
		s := byte(0)
		if k != nil {
			s = k.Origin
		}
		b = append(b, byte(i+1), s)
	}
	return b
}

// applicationData is DO 6E (clause 4.4.1).
func (c *Card) applicationData() []byte {
	d := bytes.Join([][]byte{
		tlv(0xc0, c.p.ExtCap),
		tlv(0xc1, c.st.DO[0xc1]), tlv(0xc2, c.st.DO[0xc2]), tlv(0xc3, c.st.DO[0xc3]),
		apart(c.p.Odd.ObjectsApart, tlv(0xc4, c.pwStatus())),
		tlv(0xc5, c.join(20, 0xc7, 0xc8, 0xc9)), tlv(0xc6, c.join(20, 0xca, 0xcb, 0xcc)),
		tlv(0xcd, c.join(4, 0xce, 0xcf, 0xd0)),
	}, nil)
	if c.p.KeyInfo {
		d = append(d, tlv(0xde, c.keyInfo())...)
	}
	if c.p.UIF {
		d = append(d, bytes.Join([][]byte{tlv(0xd6, c.st.DO[0xd6]), tlv(0xd7, c.st.DO[0xd7]), tlv(0xd8, c.st.DO[0xd8])},
			nil)...)
	}
	if n := c.p.Odd.LongDO; n > 0 {
		d = append(d, tlv(0xcb, make([]byte, n))...)
	}
	b := append(tlv(0x4f, c.aid()), apart(c.p.Odd.ObjectsApart, tlv(0x5f52, c.p.Historical))...)
	if c.p.MaxCommand > 0 {
		b = append(b, tlv(0x7f66, c.lengthInfo())...)
	}
	if c.p.UIF && !c.p.NoGeneral {
		b = append(b, tlv(0x7f74, []byte{0x81, 1, 0x20})...)
	}
	return append(b, tlv(0x73, d)...)
}

func apart(is bool, object []byte) []byte {
	if is {
		return nil
	}
	return object
}

// algorithmInfo is DO FA (clause 4.4.3.11).
func (c *Card) algorithmInfo() []byte {
	var b []byte
	if c.p.Odd.NoAlgorithms {
		return b
	}
	for i, list := range c.p.Algorithms {
		for _, a := range list {
			v := c.attribute(i, a)
			if c.p.AlgInfo543 && a == "cv25519" {
				v[0] = 0x16
			}
			b = append(b, tlv(0xc1+uint16(i), v)...)
		}
	}
	return b
}

// putData is PUT DATA (clause 7.2.8).
func (c *Card) putData(tag uint16, v []byte) int {
	switch tag {
	case 0x0101, 0x0103:
		if !c.v.user {
			return swSecurity
		}
	default:
		if !c.v.admin {
			return swSecurity
		}
	}
	v = bytes.Clone(v)
	max := 254
	switch tag {
	case 0x5b:
		max = 39
	case 0x5f2d:
		max = 8
	case 0x5f35:
		if len(v) != 1 {
			return swWrongData
		}
	case 0x5e, 0x5f50, 0x0101, 0x0102, 0x0103, 0x0104:
	case 0x7f21:
		max = 2048
	case 0xc1, 0xc2, 0xc3:
		return c.setAttribute(int(tag-0xc1), v)
	case 0xc4:
		if len(v) == 0 || v[0] > 1 {
			return swWrongData
		}
		c.st.PWStatus = v[0]
		return swOK
	case 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc:
		if len(v) != 20 {
			return swWrongData
		}
	case 0xce, 0xcf, 0xd0:
		if len(v) != 4 {
			return swWrongData
		}
	case 0xd3:
		c.st.RC = v
		c.st.Tries[1] = 0
		if len(v) > 0 {
			if len(v) < 8 || len(v) > c.p.MaxPW {
				return swWrongData
			}
			c.st.Tries[1] = c.p.Tries
		}
		c.st.MaxTries[1] = c.st.Tries[1]
		return swOK
	case 0xd6, 0xd7, 0xd8:
		if !c.p.UIF {
			return swRefNotFound
		}
		if len(v) != 2 || v[0] > 4 || v[1] != 0x20 {
			return swWrongData
		}
		if old := c.st.DO[tag]; len(old) == 2 && old[0] == 2 {
			if c.p.Name == Nitrokey3.Name {
				return swBlocked // opcard's word
			}
			return swConditions
		}
	case 0xf9:
		return c.setKDF(v)
	default:
		return swRefNotFound
	}
	if len(v) > max {
		return swLength
	}
	c.st.DO[tag] = v
	return swOK
}

// setKDF is PUT DATA F9 (clause 4.3.2). On cards that do it so, the hashes in the
// object become the PINs.
func (c *Card) setKDF(v []byte) int {
	if c.p.ExtCap[0]&1 == 0 {
		return swRefNotFound
	}
	if c.p.KDFOnlyWithoutKeys && c.st.Keys != [3]*key{} {
		return swFailed
	}
	alg, ok := find(v, 0x81)
	if len(v) == 0 || ok && len(alg) == 1 && alg[0] == 0 {
		delete(c.st.DO, 0xf9)
		if c.p.KDFSetsPINs {
			c.st.PW1, c.st.PW3 = []byte(FactoryPW1), []byte(FactoryPW3)
		}
		return swOK
	}
	h1, ok1 := find(v, 0x87)
	h3, ok3 := find(v, 0x88)
	if !ok || len(alg) != 1 || alg[0] != 3 {
		return swWrongData
	}
	c.st.DO[0xf9] = v
	if c.p.KDFSetsPINs && ok1 && ok3 {
		c.st.PW1, c.st.PW3 = bytes.Clone(h1), bytes.Clone(h3)
	}
	return swOK
}
