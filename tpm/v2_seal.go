package tpm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"reown/internal/secret"
)

func isNotSetUp(err error) bool  { return errors.Is(err, ErrNotSetUp) }
func isNotSealed(err error) bool { return errors.Is(err, ErrNotSealed) }

// policyDigest computes, without the TPM, the policy of an object that Heads seals:
// PolicyPCR over the SHA-256 bank and, with a passphrase, PolicyAuthValue.
func policyDigest(pcrs []int, values PCRValues, passphrase bool) ([]byte, error) {
	all, err := values.concat(pcrs, V20.PCRSize())
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(all)
	calc, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		return nil, err
	}
	p := tpm2.PolicyPCR{PcrDigest: tpm2.TPM2BDigest{Buffer: digest[:]}, Pcrs: selection(pcrs)}
	if err := p.Update(calc); err != nil {
		return nil, err
	}
	if passphrase {
		if err := (tpm2.PolicyAuthValue{}).Update(calc); err != nil {
			return nil, err
		}
	}
	return calc.Hash().Digest, nil
}

// seal makes an object like Heads' `tpmr.sh seal` and stores it at the slot's
// handle. The new object is made and loaded before the old one goes; between its
// going and the new one's coming there is one command.
func (v *v2) seal(c *conn, s slot, owner, data, pass *secret.Buffer, values PCRValues) error {
	policy, err := policyDigest(s.pcrs, values, pass != nil)
	if err != nil {
		return err
	}
	if err := v.tidy(c); err != nil {
		return err
	}
	k, err := v.primary(c)
	if err != nil {
		return err
	}
	defer v.orderly(c)
	made, err := tpm2.Create{
		ParentHandle: k.self(),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: pass.Bytes()},
			Data:     tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: data.Bytes()}),
		}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, AdminWithPolicy: true},
			AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy},
		}),
	}.Execute(c, k.encryptIn())
	if err != nil {
		return c.check(err)
	}
	loaded, err := tpm2.Load{ParentHandle: k.self(), InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(c)
	if err != nil {
		return c.check(err)
	}
	defer func() { _, _ = tpm2.FlushContext{FlushHandle: loaded.ObjectHandle}.Execute(c) }()
	handle := tpm2.TPMHandle(s.v2)
	old, err := v.readPublic(c, handle)
	if err == nil {
		err = v.evict(c, k, owner, old, handle)
	} else if refused(err, v2Handle) {
		err = nil
	}
	if err != nil {
		return err
	}
	return v.evict(c, k, owner, &key{handle: loaded.ObjectHandle, name: loaded.Name}, handle)
}

// evict stores a loaded object at a persistent handle, or removes the object that
// is there already.
func (v *v2) evict(c *conn, k *key, owner *secret.Buffer, obj *key, at tpm2.TPMHandle) error {
	_, err := tpm2.EvictControl{
		Auth:             k.owner(owner),
		ObjectHandle:     &tpm2.NamedHandle{Handle: obj.handle, Name: obj.name},
		PersistentHandle: at,
	}.Execute(c)
	return v.ownerError(c, c.check(err))
}

// remove evicts the object that is sealed for a slot.
func (v *v2) remove(c *conn, s slot, owner *secret.Buffer) error {
	if err := v.tidy(c); err != nil {
		return err
	}
	obj, err := v.readPublic(c, tpm2.TPMHandle(s.v2))
	if refused(err, v2Handle) {
		return nil
	}
	if err != nil {
		return err
	}
	k, err := v.primary(c)
	if err != nil {
		return err
	}
	defer v.orderly(c)
	return v.evict(c, k, owner, obj, obj.handle)
}

func (v *v2) sealedTo(c *conn, s slot, passphrase bool, values PCRValues) (bool, error) {
	policy, err := policyDigest(s.pcrs, values, passphrase)
	if err != nil {
		return false, err
	}
	obj, err := v.readPublic(c, tpm2.TPMHandle(s.v2))
	if refused(err, v2Handle) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return sealedWith(obj, policy), nil
}

func sealedWith(obj *key, policy []byte) bool {
	return obj.pub.Type == tpm2.TPMAlgKeyedHash && bytes.Equal(obj.pub.AuthPolicy.Buffer, policy)
}

// unseal reads a sealed secret through one policy session that is salted to the
// primary, bound to the object's passphrase if it has one, and encrypts the reply.
func (v *v2) unseal(c *conn, s slot, pass *secret.Buffer) (*secret.Buffer, error) {
	if err := v.tidy(c); err != nil {
		return nil, err
	}
	k, err := v.primary(c)
	if err != nil {
		return nil, err
	}
	obj, err := v.readPublic(c, tpm2.TPMHandle(s.v2))
	if refused(err, v2Handle) {
		return nil, ErrNotSealed
	}
	if err != nil {
		return nil, err
	}
	opts := []tpm2.AuthOption{tpm2.Salted(k.handle, k.pub), tpm2.AESEncryption(128, tpm2.EncryptOut)}
	if pass != nil {
		defer v.orderly(c)
		opts = append(opts, tpm2.Auth(pass.Bytes()), tpm2.Bound(obj.handle, obj.name, pass.Bytes()))
	}
	session := tpm2.Policy(tpm2.TPMAlgSHA256, 32, func(t transport.TPM, h tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		if _, err := (tpm2.PolicyPCR{PolicySession: h, Pcrs: selection(s.pcrs)}).Execute(t); err != nil {
			return err
		}
		if pass == nil {
			return nil
		}
		_, err := tpm2.PolicyAuthValue{PolicySession: h}.Execute(t)
		return err
	}, opts...)
	r, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: obj.handle, Name: obj.name, Auth: session}}.Execute(c)
	switch err = c.check(err); {
	case err == nil:
		return secret.From(r.OutData.Buffer), nil
	case refused(err, v2PolicyFail):
		return nil, fmt.Errorf("%w (%w)", ErrPCRMismatch, err)
	case refused(err, v2AuthFail), refused(err, v2BadAuth):
		return nil, fmt.Errorf("%w (%w)", ErrWrongPassphrase, err)
	}
	return nil, err
}
