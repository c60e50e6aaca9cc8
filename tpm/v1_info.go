package tpm

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"strconv"
)

// flags of TPM_PERMANENT_FLAGS and TPM_STCLEAR_FLAGS (part 2, 7.1 and 7.2).
type v1Flags struct {
	disabled, deactivated             bool // from the next start on
	nvLocked                          bool // who may write an NV area is enforced
	lifetimeLock, cmdEnable           bool // of physical presence
	nowDeactivated, noForceClear      bool // until the next start
	present, presenceLocked, hwEnable bool
}

func (c *conn) flags() (f v1Flags, err error) {
	p, err := c.capability(v1CapFlag, uint32(v1PermanentFlags))
	if err != nil {
		return f, err
	}
	b := p.b
	if len(b) < 2+9 {
		return f, ErrProtocol
	}
	f.disabled, f.deactivated = b[2] != 0, b[4] != 0
	f.lifetimeLock, f.hwEnable, f.cmdEnable = b[8] != 0, b[9] != 0, b[10] != 0
	f.nvLocked = len(b) > 17 && b[17] != 0 // chips before revision 94 have fewer flags
	p, err = c.capability(v1CapFlag, uint32(v1VolatileFlags))
	if err != nil {
		return f, err
	}
	if b = p.take(2 + 4); p.bad {
		return f, ErrProtocol
	}
	f.nowDeactivated, f.noForceClear, f.present, f.presenceLocked = b[2] != 0, b[3] != 0, b[4] != 0, b[5] != 0
	return f, nil
}

// canReset says whether software can claim physical presence and clear the TPM.
func (f v1Flags) canReset() bool {
	claim := !f.presenceLocked && (f.cmdEnable || !f.lifetimeLock)
	return (f.present || claim) && !f.noForceClear
}

func (v *v1) info(c *conn) (*Info, error) {
	i := &Info{Family: V12, Counters: []string{}, Anchor: Anchor{State: AnchorUnreadable}}
	p, err := c.capability(v1CapProperty, uint32(v1PropManufacturer))
	if err != nil {
		return nil, err
	}
	i.Manufacturer = vendorName(p.u32())
	if p, err = c.capability(v1CapProperty, uint32(v1PropOwner)); err != nil {
		return nil, err
	}
	i.Owned = p.u8() != 0
	f, err := c.flags()
	if err != nil {
		return nil, err
	}
	i.CanReset = f.canReset()
	i.SetUp = i.Owned && !f.disabled && !f.deactivated && !f.nowDeactivated
	if l, err := c.daLogic(); err == nil { // optional in the specification
		i.Lockout = l
	}
	if f.disabled || f.nowDeactivated {
		return i, nil // such a TPM answers nothing else
	}
	if i.Owned {
		if i.PrimaryName, err = v.rootName(c); err != nil {
			return nil, err
		}
	}
	for s, has := range map[*slot]*bool{&otpSlot: &i.HasOTP, &dukSlot: &i.HasDUK} {
		b, err := v.readBlob(c, *s)
		if err != nil && !isNotSealed(err) {
			return nil, err
		}
		*has = b != nil
	}
	ids, err := c.v1Handles(v1ResourceCounter)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		i.Counters = append(i.Counters, strconv.FormatUint(uint64(id), 10))
	}
	a, err := v.anchor(c)
	if i.Anchor, err = a.orUnreadable(err); err != nil {
		return nil, err
	}
	i.PCRs, err = v.readPCRs(c, DUKPCRs())
	return i, err
}

// daLogic reads the guessing protection of the owner passphrase (part 2, 21.10).
func (c *conn) daLogic() (Lockout, error) {
	p, err := c.capability(v1CapDALogic, uint16(v1EntityOwner))
	if err != nil {
		return Lockout{}, err
	}
	p.u16() // structure tag
	l := Lockout{Locked: p.u8() != 0, Tries: uint32(p.u16()), Max: uint32(p.u16())}
	p.take(2 + 4) // what happens at the threshold
	l.Interval = p.u32()
	return l, p.err()
}

// rootName is the hash of the storage root's public key in hex, "" where the TPM does
// not show it.
func (v *v1) rootName(c *conn) (string, error) {
	p, err := c.call(v1GetPubKey, uint32(v1SRK))
	var refused *CommandError
	switch {
	case err == nil:
		h := sha1.Sum(p.b)
		return hex.EncodeToString(h[:]), nil
	case errors.As(err, &refused) && c.io == nil:
		return "", nil
	}
	return "", err
}
