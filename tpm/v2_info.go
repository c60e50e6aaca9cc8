package tpm

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// handles lists the handles of one kind (the kind is the first handle's top byte).
func (v *v2) handles(c *conn, first uint32) ([]uint32, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 254}.Execute(c)
	if err != nil {
		return nil, c.check(err)
	}
	l, err := r.CapabilityData.Data.Handles()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrProtocol, err)
	}
	var hs []uint32
	for _, h := range l.Handle {
		// Loaded sessions are listed with the type they were started with, HMAC
		// (0x02) or policy (0x03).
		if top := uint32(h) >> 24; top == first>>24 || first>>24 == 2 && top == 3 {
			hs = append(hs, uint32(h))
		}
	}
	return hs, nil
}

// listed says whether a handle is there, by a list that comes in a session salted to k:
// a bare "no such handle" is an answer that anybody on the bus can give.
func (v *v2) listed(c *conn, k *key, h uint32) (bool, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: h, PropertyCount: 1}.Execute(c, k.audit())
	if err != nil {
		return false, c.check(err)
	}
	l, err := r.CapabilityData.Data.Handles()
	if err != nil {
		return false, fmt.Errorf("%w: %v", ErrProtocol, err)
	}
	return len(l.Handle) > 0 && uint32(l.Handle[0]) == h, nil
}

func (v *v2) properties(c *conn, first, n uint32) (map[uint32]uint32, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: first, PropertyCount: n}.Execute(c)
	if err != nil {
		return nil, c.check(err)
	}
	l, err := r.CapabilityData.Data.TPMProperties()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrProtocol, err)
	}
	m := map[uint32]uint32{}
	for _, p := range l.TPMProperty {
		m[uint32(p.Property)] = p.Value
	}
	return m, nil
}

// Properties of part 2, 6.13.
const (
	ptManufacturer    = 0x105
	ptPermanent       = 0x200
	ptLockoutCounter  = 0x20e
	ptMaxAuthFail     = 0x20f
	ptLockoutInterval = 0x210
	ptLockoutRecovery = 0x211

	permOwnerAuth, permEndorsementAuth, permLockoutAuth, permInLockout = 1, 2, 4, 1 << 9
)

func (v *v2) lockoutState(c *conn) (Lockout, uint32, error) {
	p, err := v.properties(c, ptPermanent, 0x20)
	if err != nil {
		return Lockout{}, 0, err
	}
	return Lockout{
		Locked:   p[ptPermanent]&permInLockout != 0,
		Tries:    p[ptLockoutCounter],
		Max:      p[ptMaxAuthFail],
		Interval: p[ptLockoutInterval],
		Recovery: p[ptLockoutRecovery],
	}, p[ptPermanent], nil
}

// lockout makes the error for TPM_RC_LOCKOUT, with the numbers where they can be had.
func (c *conn) lockout() error {
	l, _, err := (&v2{}).lockoutState(c)
	if err != nil {
		return &LockoutError{}
	}
	return &LockoutError{Tries: l.Tries, Max: l.Max, Wait: time.Duration(l.Interval) * time.Second}
}

func (v *v2) info(c *conn) (*Info, error) {
	if err := v.tidy(c); err != nil {
		return nil, err
	}
	i := &Info{Family: V20}
	p, err := v.properties(c, ptManufacturer, 1)
	if err != nil {
		return nil, err
	}
	i.Manufacturer = vendorName(p[ptManufacturer])
	var perm uint32
	if i.Lockout, perm, err = v.lockoutState(c); err != nil {
		return nil, err
	}
	i.Owned = perm&permOwnerAuth != 0
	persistent, err := v.handles(c, 0x81000000)
	if err != nil {
		return nil, err
	}
	i.HasOTP = slices.Contains(persistent, otpSlot.v2)
	i.HasDUK = slices.Contains(persistent, dukSlot.v2)
	switch k, err := v.primary(c); {
	case err == nil:
		i.PrimaryName, i.PrimaryAlg = hex.EncodeToString(k.name.Buffer), algOf(&k.pub)
	case !isNotSetUp(err):
		return nil, err
	}
	const auths = permOwnerAuth | permEndorsementAuth | permLockoutAuth
	i.SetUp = i.PrimaryName != "" && perm&auths == auths
	if i.SetUp && (i.Lockout.Max != daMaxTries || i.Lockout.Interval != daRecovery) {
		i.Missing = append(i.Missing, ErrGuessingRule.Error())
	}
	if i.SetUp && !slices.Contains(persistent, uint32(endorsementHandle)) {
		i.Missing = append(i.Missing, ErrNoEndorsementKey.Error())
	}
	switch err := v.policySecret(c, tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)}); {
	case err == nil:
		i.CanReset = true
	case !errors.Is(platformLocked(err), ErrPlatformLocked):
		return nil, err
	}
	if i.Counters, err = v.counters(c); err != nil {
		return nil, err
	}
	if i.Anchor, err = v.anchorInfo(c, i.PrimaryName != ""); err != nil {
		return nil, err
	}
	i.PCRs, err = v.readPCRs(c, DUKPCRs())
	return i, err
}

// anchorInfo is the anchor for Info: a TPM that refuses to show it is described all the
// same. Without a storage root nothing there can be the owner's.
func (v *v2) anchorInfo(c *conn, root bool) (Anchor, error) {
	if !root {
		hs, err := v.handles(c, counterFirst)
		if slices.Contains(hs, v2AnchorIndex) {
			return Anchor{State: AnchorForeign}, err
		}
		return Anchor{State: AnchorAbsent}, err
	}
	a, err := v.anchor(c)
	return a.orUnreadable(err)
}

// vendorName turns a TCG vendor id, four padded characters, into text.
func vendorName(id uint32) string {
	b := binary.BigEndian.AppendUint32(nil, id)
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, string(b)))
}

// v2GetCapability is the command itself, for a TPM of unknown family.
func v2GetCapability(capability, property, count uint32) []byte {
	b := []byte{0x80, 0x01, 0, 0, 0, 22, 0, 0, 0x01, 0x7a}
	b = binary.BigEndian.AppendUint32(b, capability)
	b = binary.BigEndian.AppendUint32(b, property)
	return binary.BigEndian.AppendUint32(b, count)
}
