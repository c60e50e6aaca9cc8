package tpm

import (
	"bytes"
	"errors"

	"reown/internal/secret"
)

const (
	v1CapNVIndex = 0x11

	// The owner writes, everybody reads; a write of nothing locks for good
	// (TPM_NV_PER_OWNERWRITE and TPM_NV_PER_WRITEDEFINE, part 2, 19.2).
	v1AnchorPermission = 1<<1 | 1<<13
)

// v1Area is TPM_NV_DATA_PUBLIC (part 2, 19.3) as far as the anchor needs it.
type v1Area struct {
	open       bool // to every state of the registers and to locality 0
	permission uint32
	locked     bool
	size       uint32
}

// area asks for an NV area; nil when there is none.
func (c *conn) area(index uint32) (*v1Area, error) {
	p, err := c.capability(v1CapNVIndex, index)
	if refused(err, v1BadIndex) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p.take(2 + 4)
	a := &v1Area{open: true}
	for range 2 { // reading, writing
		for _, b := range p.take(int(p.u16())) {
			a.open = a.open && b == 0
		}
		a.open = a.open && p.u8()&v1LocalityZero != 0
		p.digest()
	}
	p.take(2)
	a.permission = p.u32()
	p.take(2) // locks until the next start
	a.locked = p.u8() != 0
	a.size = p.u32()
	return a, p.err()
}

func (v *v1) anchor(c *conn) (Anchor, error) {
	f, err := c.flags()
	if err != nil {
		return Anchor{}, err
	}
	if !f.nvLocked {
		return Anchor{State: AnchorUnavailable}, nil
	}
	a, err := c.area(v1AnchorIndex)
	switch {
	case err != nil:
		return Anchor{}, err
	case a == nil:
		return Anchor{State: AnchorAbsent}, nil
	case !a.open || a.permission != v1AnchorPermission || a.size != anchorSize:
		return Anchor{State: AnchorForeign}, nil
	}
	p, err := c.call(v1NVRead, uint32(v1AnchorIndex), uint32(0), uint32(anchorSize))
	if err != nil {
		return Anchor{}, err
	}
	content := p.sized()
	if p.bad {
		return Anchor{}, ErrProtocol
	}
	if !a.locked && len(bytes.Trim(content, "\xff")) == 0 || !a.locked && len(bytes.Trim(content, "\x00")) == 0 {
		return Anchor{State: AnchorAbsent}, nil // never written
	}
	return parseAnchor(content, a.locked), nil
}

// anchorArea defines an area of the anchor's form; a size of 0 removes the one that
// is there (part 3, 20.1).
func (v *v1) anchorArea(c *conn, owner *secret.Buffer, size uint32) error {
	return v.defineArea(c, owner, v1AnchorIndex, v1AnchorPermission, size)
}

func (v *v1) anchorRemove(c *conn, owner *secret.Buffer) error {
	a, err := c.area(v1AnchorIndex)
	if err != nil || a == nil {
		return err
	}
	return v.anchorArea(c, owner, 0)
}

func (v *v1) anchorDefine(c *conn, owner *secret.Buffer) error {
	f, err := c.flags()
	if err != nil {
		return err
	}
	if !f.nvLocked {
		return ErrNoAnchorHere
	}
	return v.anchorArea(c, owner, anchorSize)
}

// anchorWrite writes as the owner; nothing locks the area.
func (v *v1) anchorWrite(c *conn, owner *secret.Buffer, content []byte) error {
	s, err := c.oiap(passwordAuth(owner))
	if err != nil {
		return err
	}
	_, err = c.authorised(v1NVWrite, s, nil, pack(uint32(v1AnchorIndex), uint32(0), sized(content)))
	if refused(err, v1AreaLocked) {
		return errors.Join(ErrAnchorClosed, err)
	}
	return v.ownerError(c, err)
}

func (v *v1) anchorLock(c *conn, owner *secret.Buffer) error { return v.anchorWrite(c, owner, nil) }
