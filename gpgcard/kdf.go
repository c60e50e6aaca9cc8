package gpgcard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"reown/internal/secret"
)

// kdf is DO F9 (clause 4.3.2): PINs are hashed before they are sent, with the
// iterated and salted S2K of RFC 4880, 3.7.1.3.
type kdf struct {
	hash byte   // 08 SHA-256, 0A SHA-512
	n    uint32 // bytes hashed
	salt [3][]byte
}

const (
	maxKDFPIN  = 128     // bytes of a PIN that is hashed
	maxKDFWork = 1 << 28 // bytes; a card cannot make us hash for minutes
)

// parseKDF decodes DO F9; nil without an error means that PINs are sent plainly.
func parseKDF(b []byte) (*kdf, error) {
	if len(b) == 0 {
		return nil, nil
	}
	get := func(tag uint16) []byte { v, _ := findTLV(b, tag); return v }
	alg := get(0x81)
	if len(alg) == 1 && alg[0] == 0 {
		return nil, nil
	}
	bad := func(what string) (*kdf, error) { return nil, fmt.Errorf("%w: KDF object: %s", ErrMalformed, what) }
	if len(alg) != 1 || alg[0] != 3 {
		return bad("unknown algorithm")
	}
	k := &kdf{}
	h, n := get(0x82), get(0x83)
	if len(h) != 1 || h[0] != 0x08 && h[0] != 0x0a {
		return bad("unknown hash")
	}
	if len(n) != 4 {
		return bad("no count")
	}
	k.hash, k.n = h[0], binary.BigEndian.Uint32(n)
	if k.n > maxKDFWork {
		return bad("count is too large")
	}
	for i, tag := range []uint16{0x84, 0x85, 0x86} {
		k.salt[i] = bytes.Clone(get(tag))
		if k.salt[i] == nil && i > 0 {
			k.salt[i] = k.salt[0] // one salt for all
		}
	}
	if len(k.salt[0]) != 8 || len(k.salt[2]) != 8 {
		return bad("no salt")
	}
	return k, nil
}

// derive hashes a PIN. The count is of bytes in total; salt and PIN are hashed
// once at least.
func (k *kdf) derive(which PIN, pin []byte) *secret.Buffer {
	var h hash.Hash = sha256.New()
	if k.hash == 0x0a {
		h = sha512.New()
	}
	salt := k.salt[which.index()]
	unit := len(salt) + len(pin)
	in := secret.New(unit * max(1, 4096/unit)) // over and over, to be quick
	defer in.Wipe()
	for b := in.Bytes(); len(b) > 0; b = b[unit:] {
		copy(b, salt)
		copy(b[len(salt):], pin)
	}
	for left := max(int(k.n), unit); left > 0; {
		n := min(left, in.Len())
		h.Write(in.Bytes()[:n])
		left -= n
	}
	out := secret.From(h.Sum(nil))
	// A hash keeps the last block that it was given; Reset does not clear it.
	h.Reset()
	var zero [sha512.BlockSize]byte
	h.Write(zero[:1])
	h.Write(zero[:h.BlockSize()-1])
	return out
}

// object encodes DO F9 with the hashes of the two factory PINs.
func (k *kdf) object(h1, h3 *secret.Buffer) *secret.Buffer {
	b := appendTLV(nil, 0x81, []byte{3})
	b = appendTLV(b, 0x82, []byte{k.hash})
	b = appendTLV(b, 0x83, binary.BigEndian.AppendUint32(nil, k.n))
	for i, s := range k.salt {
		b = appendTLV(b, 0x84+uint16(i), s)
	}
	b = appendTLV(b, 0x87, h1.Bytes())
	return secret.From(appendTLV(b, 0x88, h3.Bytes()))
}

// readKDF reads whether PINs have to be hashed. A card that offers KDF and whose
// object cannot be read is an error: a PIN sent in the wrong form costs a try.
func (c *Card) readKDF(ctx context.Context) error {
	c.kdf = nil
	if !c.caps.kdf {
		return nil
	}
	b, err := c.getOptional(ctx, 0xf9)
	if err != nil {
		return err
	}
	c.kdf, err = parseKDF(b)
	return err
}

// encodePIN returns the bytes to send for a PIN.
func (c *Card) encodePIN(which PIN, pin *secret.Buffer) (*secret.Buffer, error) {
	if pin.Len() == 0 {
		return nil, fmt.Errorf("%v: an empty PIN is never sent", which)
	}
	if c.kdf == nil {
		return pin.Copy(), nil
	}
	return c.kdf.derive(which, pin.Bytes()), nil
}

// ErrNoKDF says that the card cannot hash its PINs, or not in its present state.
var ErrNoKDF = errors.New("the card cannot use hashed PINs")

// EnableKDF makes the card's PINs hashed (clause 4.3.2): the card never sees them,
// and they may be up to 128 bytes long. It is for a card that is fresh from Reset:
// both PINs are the factory's afterwards, as before, and no key exists yet.
//
// Makers differ. Gnuk and YubiKey take the hashes from the object itself; on the
// others the PINs are changed to the hashes first, the admin PIN before the user
// PIN, so that an interruption leaves a card that Reset repairs.
func (c *Card) EnableKDF(ctx context.Context) error {
	switch {
	case c.terminated:
		return ErrTerminated
	case !c.caps.kdf:
		return ErrNoKDF
	case c.kdf != nil:
		return nil
	}
	salts := secret.Random(24)
	defer salts.Wipe()
	k := &kdf{hash: 0x08, n: 100000}
	for i := range k.salt {
		k.salt[i] = bytes.Clone(salts.Bytes()[8*i : 8*i+8])
	}
	u, a := FactoryPIN(UserPIN), FactoryPIN(AdminPIN)
	defer u.Wipe()
	defer a.Wipe()
	hu, ha := k.derive(UserPIN, u.Bytes()), k.derive(AdminPIN, a.Bytes())
	defer hu.Wipe()
	defer ha.Wipe()
	obj := k.object(hu, ha)
	defer obj.Wipe()
	if err := c.Verify(ctx, AdminPIN, a); err != nil {
		return err
	}
	if !c.quirk(func(q Quirk) bool { return q.KDFByPut }) {
		both := secret.New(a.Len() + ha.Len())
		defer both.Wipe()
		copy(both.Bytes(), a.Bytes())
		copy(both.Bytes()[a.Len():], ha.Bytes())
		if _, err := c.do(ctx, command{name: "CHANGE REFERENCE DATA", ins: insChange, p2: refAdmin,
			data: both.Bytes()}); err != nil {
			return c.pinError(ctx, AdminPIN, err)
		}
		if err := c.Verify(ctx, AdminPIN, ha); err != nil {
			return err
		}
		if _, err := c.do(ctx, command{name: "RESET RETRY COUNTER", ins: insUnblock, p1: 2, p2: refSign,
			data: hu.Bytes()}); err != nil {
			return err
		}
		if err := c.putData(ctx, 0xd3, nil); err != nil {
			return err
		}
	}
	if err := c.putData(ctx, 0xf9, obj.Bytes()); err != nil {
		return fmt.Errorf("%w: %w", ErrNoKDF, err)
	}
	if err := c.readKDF(ctx); err != nil {
		return err
	}
	if c.kdf == nil {
		return fmt.Errorf("%w: the card did not keep the object", ErrNoKDF)
	}
	return c.Verify(ctx, AdminPIN, a)
}
