package tpm

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/google/go-tpm/tpm2"
)

// endorsementHandle is where the TCG's registry of reserved handles has the first
// endorsement key.
const endorsementHandle = tpm2.TPMHandle(0x81010001)

// EndorsementKey identifies the chip, over every clear and every owner: the SHA-256
// of the public area of the endorsement key that Reset keeps at 0x81010001 (its
// Name without the algorithm), in lower-case hexadecimal. No authorization is needed,
// and no other TPM can hold an object of that name. "" when there is none: a TPM that
// another program has reset, or a TPM 1.2, which tells it to its owner only.
func (t *TPM) EndorsementKey(ctx context.Context) (digest string, err error) {
	if t.family != V20 {
		return "", nil
	}
	err = t.with(ctx, func(c *conn) error {
		k, err := (&v2{}).readPublic(c, endorsementHandle)
		if refused(err, v2Handle) {
			return nil
		}
		if err == nil {
			digest = k.digest()
		}
		return err
	})
	return digest, wrap("reading the TPM's endorsement key", err)
}

// digest is a SHA-256 Name without its algorithm, in hex.
func (k *key) digest() string {
	if len(k.name.Buffer) != 2+32 {
		return ""
	}
	return hex.EncodeToString(k.name.Buffer[2:])
}

// keepEndorsementKey makes the endorsement key by the TCG's template (EK Credential
// Profile, L-2 ECC P-256; L-1 RSA where the chip lacks the curve) and stores it, while
// the hierarchy's passphrase is still empty. A TPM that refuses goes without: nothing
// but a hand-over statement needs it.
func (v *v2) keepEndorsementKey(c *conn) error {
	// Where places are few, TOTP secret and disk unlock key have them.
	p, err := v.properties(c, ptPersistentAvail, 1)
	if err != nil {
		return err
	}
	if avail, ok := p[ptPersistentAvail]; ok && avail < slotsWithEK-1 {
		return nil
	}
	empty := tpm2.PasswordAuth(nil)
	for _, template := range []tpm2.TPMTPublic{tpm2.ECCEKTemplate, tpm2.RSAEKTemplate} {
		ek, err := tpm2.CreatePrimary{
			PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: empty},
			InPublic:      tpm2.New2B(template),
		}.Execute(c)
		if err = c.check(err); errors.As(err, new(*CommandError)) {
			continue
		} else if err != nil {
			return err
		}
		_, err = tpm2.EvictControl{
			Auth:             tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: empty},
			ObjectHandle:     &tpm2.NamedHandle{Handle: ek.ObjectHandle, Name: ek.Name},
			PersistentHandle: endorsementHandle,
		}.Execute(c)
		if err = c.check(err); err != nil && !errors.As(err, new(*CommandError)) {
			return err
		}
		_, err = tpm2.FlushContext{FlushHandle: ek.ObjectHandle}.Execute(c)
		return c.check(err)
	}
	return nil
}
