package tpm

import (
	"errors"

	"github.com/google/go-tpm/tpm2"

	"reown/internal/secret"
)

// anchorAttributes let the owner write and lock, and everybody read with the
// area's empty passphrase. WriteDefine makes the lock outlive a restart (part 2, 13.4).
func anchorAttributes() tpm2.TPMANV {
	return tpm2.TPMANV{OwnerWrite: true, AuthRead: true, NoDA: true, WriteDefine: true, NT: tpm2.TPMNTOrdinary}
}

// isAnchor compares all but what writing and locking change.
func (i *index) isAnchor() bool {
	a := i.pub.Attributes
	a.Written, a.WriteLocked = false, false
	return i.pub.NameAlg == tpm2.TPMAlgSHA256 && a == anchorAttributes() &&
		i.pub.DataSize == anchorSize && len(i.pub.AuthPolicy.Buffer) == 0
}

func (v *v2) anchor(c *conn) (Anchor, error) {
	k, err := v.salted(c)
	if err != nil {
		return Anchor{}, err
	}
	return v.anchorFrom(c, k)
}

func (v *v2) anchorFrom(c *conn, k *key) (Anchor, error) {
	i, err := v.area(c, k, v2AnchorIndex)
	switch {
	case err != nil:
		return Anchor{}, err
	case i == nil:
		return Anchor{State: AnchorAbsent}, nil
	case !i.isAnchor():
		return Anchor{State: AnchorForeign}, nil
	case !i.pub.Attributes.Written:
		return Anchor{State: AnchorAbsent}, nil
	}
	r, err := tpm2.NVRead{
		AuthHandle: tpm2.AuthHandle{Handle: i.handle, Name: i.name, Auth: k.session()},
		NVIndex:    tpm2.NamedHandle{Handle: i.handle, Name: i.name},
		Size:       anchorSize,
	}.Execute(c)
	if err != nil {
		return Anchor{}, c.check(err)
	}
	return parseAnchor(r.Data.Buffer, i.pub.Attributes.WriteLocked), nil
}

// salted is the storage primary, after what others left loaded has gone.
func (v *v2) salted(c *conn) (*key, error) {
	if err := v.tidy(c); err != nil {
		return nil, err
	}
	return v.primary(c)
}

// anchorRemove undefines the area. One that was made with the platform's authority
// can go by that only, which Heads has until it starts a system.
func (v *v2) anchorRemove(c *conn, owner *secret.Buffer) error {
	k, err := v.salted(c)
	if err != nil {
		return err
	}
	i, err := v.area(c, k, v2AnchorIndex)
	if err != nil || i == nil {
		return err
	}
	who := k.owner(owner)
	if i.pub.Attributes.PlatformCreate {
		who = tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: k.session()}
	}
	_, err = tpm2.NVUndefineSpace{AuthHandle: who, NVIndex: tpm2.NamedHandle{Handle: i.handle, Name: i.name}}.Execute(c)
	err = c.check(err)
	if i.pub.Attributes.PlatformCreate && errors.As(err, new(*CommandError)) {
		return errors.Join(ErrAnchorForeign, err)
	}
	return v.ownerError(c, err)
}

func (v *v2) anchorDefine(c *conn, owner *secret.Buffer) error {
	k, err := v.primary(c)
	if err != nil {
		return err
	}
	_, err = tpm2.NVDefineSpace{
		AuthHandle: k.owner(owner),
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
			NVIndex: v2AnchorIndex, NameAlg: tpm2.TPMAlgSHA256, Attributes: anchorAttributes(), DataSize: anchorSize,
		}),
	}.Execute(c)
	return v.ownerError(c, c.check(err))
}

// ownersAnchor is the area as the owner writes and locks it.
func (v *v2) ownersAnchor(c *conn) (*key, tpm2.NamedHandle, error) {
	k, err := v.primary(c)
	if err != nil {
		return nil, tpm2.NamedHandle{}, err
	}
	i, err := v.area(c, k, v2AnchorIndex)
	switch {
	case err != nil:
		return nil, tpm2.NamedHandle{}, err
	case i == nil:
		return nil, tpm2.NamedHandle{}, ErrNoAnchor
	case !i.isAnchor():
		return nil, tpm2.NamedHandle{}, ErrAnchorForeign
	}
	return k, tpm2.NamedHandle{Handle: i.handle, Name: i.name}, nil
}

func (v *v2) anchorWrite(c *conn, owner *secret.Buffer, content []byte) error {
	k, area, err := v.ownersAnchor(c)
	if err != nil {
		return err
	}
	data := tpm2.TPM2BMaxNVBuffer{Buffer: content}
	_, err = tpm2.NVWrite{AuthHandle: k.owner(owner), NVIndex: area, Data: data}.Execute(c)
	return v.ownerError(c, c.check(err))
}

func (v *v2) anchorLock(c *conn, owner *secret.Buffer) error {
	k, area, err := v.ownersAnchor(c)
	if err != nil {
		return err
	}
	_, err = tpm2.NVWriteLock{AuthHandle: k.owner(owner), NVIndex: area}.Execute(c)
	return v.ownerError(c, c.check(err))
}
