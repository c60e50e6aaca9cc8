package gpgcard

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
	"time"

	"reown/internal/secret"
)

// publicKey is one slot's public key as the card gives it (7F49, clause 7.2.14).
type publicKey struct {
	slot  Slot
	alg   Algorithm
	n, e  []byte // RSA, big endian
	point []byte // curves: 04 x y, or 32 bytes of Curve25519
}

// parsePublicKey decodes 7F49 and checks that it is a key of the algorithm: a card
// that ignored an attribute makes a key of another size.
func parsePublicKey(s Slot, alg Algorithm, b []byte) (*publicKey, error) {
	t, err := findTLV(b, 0x7f49)
	if err != nil {
		return nil, fmt.Errorf("%w: public key: %w", ErrMalformed, err)
	}
	if t == nil {
		t = b
	}
	k := &publicKey{slot: s, alg: alg}
	get := func(tag uint16) []byte { v, _ := findTLV(t, tag); return bytes.Clone(v) }
	if bits := alg.bits(); bits > 0 {
		k.n, k.e = bytes.TrimLeft(get(0x81), "\x00"), bytes.TrimLeft(get(0x82), "\x00")
		if got := new(big.Int).SetBytes(k.n).BitLen(); got != bits {
			return nil, &AlgorithmError{Slot: s, Algorithm: alg, Detail: fmt.Sprintf("the key on the card has %d bits", got)}
		}
		if len(k.e) == 0 || len(k.e) > 4 || k.e[len(k.e)-1]&1 == 0 {
			return nil, fmt.Errorf("%w: public exponent %X", ErrMalformed, k.e)
		}
		return k, nil
	}
	k.point = get(0x86)
	if alg == Curve25519 && len(k.point) == 33 && k.point[0] == 0x40 {
		k.point = k.point[1:]
	}
	if len(k.point) != alg.pointLen() || alg != Curve25519 && k.point[0] != 4 {
		return nil, &AlgorithmError{Slot: s, Algorithm: alg,
			Detail: fmt.Sprintf("the key on the card has a point of %d bytes", len(k.point))}
	}
	return k, nil
}

// body is the OpenPGP version 4 public key packet's body (RFC 4880, 5.5.2; for
// curves RFC 6637, 9, and RFC 9580, 5.5.5). It is hashed into the fingerprint, so
// the ECDH parameters are those that GnuPG chooses.
func (k *publicKey) body(created uint32) []byte {
	oid, pk := k.alg.curve(k.slot)
	b := binary.BigEndian.AppendUint32([]byte{4}, created)
	b = append(b, pk)
	if pk == pkRSA {
		return appendMPI(appendMPI(b, k.n), k.e)
	}
	b = append(append(b, byte(len(oid))), oid...)
	if k.alg == Curve25519 {
		b = appendMPI(b, append([]byte{0x40}, k.point...))
	} else {
		b = appendMPI(b, k.point)
	}
	if pk == pkECDH {
		// SHA-256 with AES-128, SHA-384 with AES-192, SHA-512 with AES-256 (RFC 6637,
		// 13), as GnuPG 2.2 writes them.
		p := map[Algorithm][2]byte{P384: {9, 8}, P521: {10, 9}}[k.alg]
		if p[0] == 0 {
			p = [2]byte{8, 7}
		}
		b = append(b, 3, 1, p[0], p[1])
	}
	return b
}

// appendMPI appends a multiprecision integer (RFC 4880, 3.2).
func appendMPI(b, v []byte) []byte {
	v = bytes.TrimLeft(v, "\x00")
	n := 8 * len(v)
	if n > 0 {
		n -= bits.LeadingZeros8(v[0])
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(n)), v...)
}

// fingerprint is a version 4 fingerprint (RFC 4880, 12.2).
func fingerprint(body []byte) [20]byte {
	b := binary.BigEndian.AppendUint16([]byte{0x99}, uint16(len(body)))
	return sha1.Sum(append(b, body...))
}

// publicKey reads a slot's public key (GENERATE ASYMMETRIC KEY PAIR with P1 81). It
// needs no PIN. The error is ErrNoKey when the slot is empty.
func (c *Card) publicKey(ctx context.Context, s Slot, a attribute) (*publicKey, error) {
	b, err := c.do(ctx, command{name: "reading the public key", ins: insGenerate, p1: 0x81, data: s.crt(), want: wantLong})
	if err != nil {
		var st *StatusError
		if errors.As(err, &st) && st.SW != swBlocked {
			// Makers disagree on the word for an empty slot.
			return nil, fmt.Errorf("%v: %w: %w", s, ErrNoKey, err)
		}
		return nil, err
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("%v: %w", s, ErrNoKey)
	}
	return parsePublicKey(s, a.Algorithm, b)
}

func isNoKey(err error) bool { return errors.Is(err, ErrNoKey) }

// setAttribute makes a slot take an algorithm and reads it back: a card that
// refuses, or that takes another one silently, is an *AlgorithmError. It needs the
// admin PIN verified, and deletes the slot's key when the algorithm changes.
func (c *Card) setAttribute(ctx context.Context, s Slot, alg Algorithm, admin *secret.Buffer) (attribute, error) {
	d, err := c.applicationData(ctx)
	if err != nil {
		return attribute{}, err
	}
	have, err := parseAttribute(s, d.attr[s])
	if err == nil && have.Algorithm == alg {
		return have, nil
	}
	if !c.caps.algorithms {
		return attribute{}, &AlgorithmError{Slot: s, Algorithm: alg, Detail: "its algorithms are fixed"}
	}
	var refused error
	for _, a := range c.candidates(ctx, s, alg, have) {
		refused = c.asAdmin(ctx, admin, func() error { return c.putData(ctx, s.attributeTag(), a.encode(s)) })
		if refused != nil {
			var st *StatusError
			if !errors.As(refused, &st) || st.SW == swSecurity {
				return attribute{}, refused
			}
			continue
		}
		if d, err = c.applicationData(ctx); err != nil {
			return attribute{}, err
		}
		got, err := parseAttribute(s, d.attr[s])
		if err != nil {
			return attribute{}, &AlgorithmError{Slot: s, Algorithm: alg, Err: err}
		}
		if got.Algorithm != alg {
			return attribute{}, &AlgorithmError{Slot: s, Algorithm: alg,
				Detail: fmt.Sprintf("it took the order and stayed at %v", got.Algorithm)}
		}
		return got, nil
	}
	return attribute{}, &AlgorithmError{Slot: s, Algorithm: alg, Err: refused}
}

// candidates lists the attributes to try for an algorithm: as the card lists it
// in DO FA, then with the RSA details that it has now, then the usual ones.
func (c *Card) candidates(ctx context.Context, s Slot, alg Algorithm, have attribute) []attribute {
	var out []attribute
	add := func(a attribute) {
		for _, o := range out {
			if o == a {
				return
			}
		}
		out = append(out, a)
	}
	for _, a := range c.offered(ctx, s) {
		if a.Algorithm == alg {
			add(a)
		}
	}
	if alg.bits() == 0 {
		add(attribute{Algorithm: alg})
		add(attribute{Algorithm: alg, withPublic: true})
		return out
	}
	if have.bits() > 0 {
		add(attribute{Algorithm: alg, exponentBits: have.exponentBits, format: have.format})
	}
	for _, bits := range []int{32, 17} {
		for _, f := range []byte{0, 2} {
			add(attribute{Algorithm: alg, exponentBits: bits, format: f})
		}
	}
	return out
}

// offered reads the list of algorithms, DO FA (clause 4.4.3.11). Many cards have
// none, and some have a wrong one: it is a hint, never a reason to refuse.
func (c *Card) offered(ctx context.Context, s Slot) []attribute {
	b, err := c.getData(ctx, 0xfa)
	if err != nil {
		return nil
	}
	return parseOffered(s, b)
}

// parseOffered decodes one slot's part of DO FA.
func parseOffered(s Slot, b []byte) (out []attribute) {
	if len(b) > 0 && b[0] == 0xfa {
		// YubiKey 5.4.3 says that there are two bytes more than it sends.
		_, b, _ = tlvLength(b[1:])
	}
	for len(b) > 0 {
		tag, v, rest, err := nextTLV(b)
		if err != nil || v == nil {
			return out
		}
		if tag == s.attributeTag() {
			if a, err := parseAttribute(s, v); err == nil {
				out = append(out, a)
			}
		}
		b = rest
	}
	return out
}

// GenerateOptions says what keys to make.
type GenerateOptions struct {
	Algorithm Algorithm
	// Created is the creation time of all three keys; it is part of their
	// fingerprints. Whole seconds are used.
	Created time.Time
	// Admin is the admin PIN; nil means the factory's.
	Admin *secret.Buffer
	// Progress is called with the number of finished keys of three; it may be
	// nil. RSA on a card can take minutes a key; Card.OnWait shows life.
	Progress func(done, total int64)
}

// GenerateKeys makes the three keys on the card (clause 7.2.14) and stores their
// fingerprints and time. It replaces keys that are there. When it is interrupted
// it is repeated as a whole; Info shows a slot in between as not Consistent.
func (c *Card) GenerateKeys(ctx context.Context, o GenerateOptions) error {
	if err := c.checkClock(o.Created, time.Time{}); err != nil {
		return err
	}
	if err := c.admin(ctx, o.Admin); err != nil {
		return err
	}
	// All attributes first: a card that refuses one is told before any key is lost.
	var attr [slots]attribute
	for s := range slots {
		a, err := c.setAttribute(ctx, s, o.Algorithm, o.Admin)
		if err != nil {
			return err
		}
		attr[s] = a
	}
	report(o.Progress, 0, int64(slots))
	for s := range slots {
		var b []byte
		err := c.asAdmin(ctx, o.Admin, func() (err error) {
			b, err = c.do(ctx, command{name: "generating the " + s.String() + " key", ins: insGenerate, p1: 0x80, data: s.crt(),
				want: wantLong})
			return err
		})
		if err != nil {
			var st *StatusError
			if errors.As(err, &st) && st.Unwrap() == nil {
				return &AlgorithmError{Slot: s, Algorithm: o.Algorithm, Detail: "it refused to make the key", Err: err}
			}
			return err
		}
		k, err := parsePublicKey(s, attr[s].Algorithm, b)
		if err != nil {
			return err
		}
		if err := c.asAdmin(ctx, o.Admin, func() error { return c.storeKeyData(ctx, k, o.Created) }); err != nil {
			return err
		}
		report(o.Progress, int64(s)+1, int64(slots))
	}
	return nil
}

// storeKeyData writes a key's fingerprint and time beside it (DO C7..C9, CE..D0).
// The time goes first: a fingerprint without its time could not be checked.
func (c *Card) storeKeyData(ctx context.Context, k *publicKey, created time.Time) error {
	return c.storeFingerprint(ctx, k.slot, created, fingerprint(k.body(uint32(created.Unix()))))
}

func (c *Card) storeFingerprint(ctx context.Context, s Slot, created time.Time, fpr [20]byte) error {
	if err := c.putData(ctx, s.createdTag(), binary.BigEndian.AppendUint32(nil, uint32(created.Unix()))); err != nil {
		return err
	}
	return c.putData(ctx, s.fingerprintTag(), fpr[:])
}

// admin verifies the admin PIN, or the factory's when pin is nil.
func (c *Card) admin(ctx context.Context, pin *secret.Buffer) error {
	if c.terminated {
		return ErrTerminated
	}
	pin, done := orFactory(AdminPIN, pin)
	defer done()
	return c.Verify(ctx, AdminPIN, pin)
}

// asAdmin runs f once more after the admin PIN when f says that it is needed: the
// PIN's validity ends with a new attribute or a new key on some cards.
func (c *Card) asAdmin(ctx context.Context, pin *secret.Buffer, f func() error) error {
	err := f()
	if errors.Is(err, ErrPINNeeded) {
		if err = c.admin(ctx, pin); err == nil {
			err = f()
		}
	}
	return err
}

func report(f func(done, total int64), done, total int64) {
	if f != nil {
		f(done, total)
	}
}
