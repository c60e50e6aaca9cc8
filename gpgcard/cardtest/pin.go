package cardtest

import "bytes"

// compare checks a PIN and counts its tries. i is 0 for PW1, 1 for the resetting
// code, 2 for PW3.
func (c *Card) compare(i int, pin []byte) int {
	if c.st.Tries[i] == 0 {
		return swBlocked
	}
	if !bytes.Equal(c.reference(i), pin) {
		c.st.Tries[i]--
		if c.st.Tries[i] == 0 {
			return swBlocked
		}
		if c.p.WrongPINCounts63 {
			return 0x63c0 | c.st.Tries[i]
		}
		return swSecurity
	}
	c.st.Tries[i] = c.st.MaxTries[i]
	if i == 1 {
		c.st.Tries[1] = c.p.Tries
	}
	return swOK
}

func (c *Card) reference(i int) []byte {
	switch {
	case i == 0 || i == 2 && c.st.AdminLess:
		return c.st.PW1
	case i == 1:
		return c.st.RC
	}
	return c.st.PW3
}

// verify is VERIFY (clause 7.2.2).
func (c *Card) verify(a apdu) int {
	if a.p1 == 0xff && len(a.data) == 0 {
		switch a.p2 {
		case 0x81:
			c.v.sign = false
		case 0x82:
			c.v.user = false
		case 0x83:
			c.v.admin = false
		default:
			return swWrongP1P2
		}
		return swOK
	}
	if a.p1 != 0 {
		return swWrongP1P2
	}
	i, done := 0, &c.v.sign
	switch a.p2 {
	case 0x81:
	case 0x82:
		done = &c.v.user
	case 0x83:
		i, done = 2, &c.v.admin
	default:
		return swWrongP1P2
	}
	if len(a.data) == 0 {
		if *done {
			return swOK
		}
		return 0x63c0 | c.st.Tries[i]
	}
	if m := c.p.Odd.MaxVerify; m > 0 && len(a.data) > m {
		return swWrongData
	}
	sw := c.compare(i, a.data)
	*done = sw == swOK
	return sw
}

// newPIN checks the length of a new PIN.
func (c *Card) newPIN(i int, pin []byte) int {
	min := c.p.MinPW1
	if i == 2 {
		min = c.p.MinPW3
	}
	if k := c.st.DO[0xf9]; len(k) < 6 {
		min = max(min, c.p.MinWithoutKDF)
	}
	if len(pin) < min {
		return swConditions
	}
	if len(pin) > c.p.MaxPW {
		return swWrongData
	}
	return swOK
}

// change is CHANGE REFERENCE DATA (clause 7.2.3): old PIN and new PIN without a
// separator.
func (c *Card) change(a apdu) int {
	if a.p1 != 0 {
		return swWrongP1P2
	}
	i := 0
	switch a.p2 {
	case 0x81:
	case 0x83:
		i = 2
	default:
		return swWrongP1P2
	}
	if i == 0 && c.p.NoPW1ChangeWithoutKeys && c.st.Keys == [3]*key{} {
		return swConditions
	}
	n := len(c.reference(i))
	old := a.data
	if len(old) > n {
		old = old[:n]
	}
	if sw := c.compare(i, old); sw != swOK && c.p.WrongOld != 0 {
		return c.p.WrongOld
	} else if sw != swOK {
		return sw
	}
	pin := bytes.Clone(a.data[n:])
	if sw := c.newPIN(i, pin); sw != swOK {
		return sw
	}
	if i == 2 {
		c.st.PW3, c.st.PW3Set, c.st.AdminLess = pin, true, false
		c.v.admin = false
		return swOK
	}
	if c.p.AdminLess && !c.st.PW3Set {
		if len(pin) < c.p.MinPW3 {
			return swConditions
		}
		c.st.AdminLess = true
	}
	c.st.PW1 = pin
	c.v.sign, c.v.user = false, false
	return swOK
}

// unblock is RESET RETRY COUNTER (clause 7.2.4).
func (c *Card) unblock(a apdu) int {
	if a.p2 != 0x81 {
		return swWrongP1P2
	}
	pin := a.data
	switch a.p1 {
	case 2:
		if !c.v.admin {
			return swSecurity
		}
	case 0:
		if len(c.st.RC) == 0 {
			return swBlocked
		}
		if len(pin) < len(c.st.RC) {
			return swLength
		}
		if sw := c.compare(1, pin[:len(c.st.RC)]); sw != swOK {
			return sw
		}
		pin = pin[len(c.st.RC):]
	default:
		return swWrongP1P2
	}
	if sw := c.newPIN(0, pin); sw != swOK {
		return sw
	}
	c.st.PW1 = bytes.Clone(pin)
	c.st.Tries[0] = c.st.MaxTries[0]
	return swOK
}
