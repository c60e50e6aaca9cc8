package gpgcard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/internal/secret"
)

// ErrNotImportable says that a key set lacks a key for the card, or its secret.
var ErrNotImportable = errors.New("the key set has no key for the card")

// ImportOptions says how keys are moved to a card.
type ImportOptions struct {
	// Admin is the admin PIN; nil means the factory's.
	Admin *secret.Buffer
	// Progress is called with the number of finished keys; it may be nil.
	Progress func(done, total int64)
}

// Import copies a key set's signing, decryption and authentication keys to the
// card (PUT DATA with the extended header list, clause 4.4.3.12). Both of Heads's
// layouts are taken: subkeys that sign, encrypt and authenticate, or a primary key
// that signs. A key that the set does not have leaves its slot as it is, except
// the signing key, which is needed.
//
// Each public key is read back and compared, then its fingerprint and time are
// stored. When it is interrupted it is repeated as a whole. The set stays in
// memory, for a second card.
func (c *Card) Import(ctx context.Context, set *KeySet, o ImportOptions) error {
	if c.terminated {
		return ErrTerminated
	}
	if !c.caps.keyImport {
		return fmt.Errorf("%w: the card takes no keys from outside", ErrNotImportable)
	}
	chosen, keys, err := set.choose()
	if err != nil {
		return err
	}
	defer wipeKeys(keys)
	var todo []importKey
	defer func() {
		for _, k := range todo {
			k.wipe()
		}
	}()
	for s, p := range chosen {
		if p == nil {
			continue
		}
		k, err := newImportKey(Slot(s), p)
		if err != nil {
			return err
		}
		todo = append(todo, k)
	}
	if err := c.admin(ctx, o.Admin); err != nil {
		return err
	}
	attrs := make([]attribute, len(todo))
	for i, k := range todo {
		if attrs[i], err = c.setAttribute(ctx, k.pub.slot, k.pub.alg, o.Admin); err != nil {
			return err
		}
	}
	report(o.Progress, 0, int64(len(todo)))
	for i, k := range todo {
		err := c.asAdmin(ctx, o.Admin, func() error { return c.importKey(ctx, k, attrs[i]) })
		if err == nil {
			err = c.asAdmin(ctx, o.Admin, func() error { return c.storeFingerprint(ctx, k.pub.slot, k.created, k.fpr) })
		}
		if err != nil {
			return fmt.Errorf("the %v key: %w", k.pub.slot, err)
		}
		report(o.Progress, int64(i)+1, int64(len(todo)))
	}
	return nil
}

// importKey puts one key into its slot.
func (c *Card) importKey(ctx context.Context, k importKey, a attribute) error {
	list, err := k.headerList(a)
	if err != nil {
		return err
	}
	defer list.Wipe()
	if _, err := c.do(ctx, command{name: "importing a key", ins: insPutOdd, p1: 0x3f, p2: 0xff,
		data: list.Bytes()}); err != nil {
		var st *StatusError
		if errors.As(err, &st) && st.Unwrap() == nil {
			return &AlgorithmError{Slot: k.pub.slot, Algorithm: k.pub.alg, Detail: "it refused the key", Err: err}
		}
		return err
	}
	got, err := c.publicKey(ctx, k.pub.slot, a)
	if err != nil {
		return err
	}
	if !bytes.Equal(got.n, k.pub.n) || !bytes.Equal(got.e, k.pub.e) || !bytes.Equal(got.point, k.pub.point) {
		return fmt.Errorf("%w: the card shows another public key than it was given", ErrKeyMismatch)
	}
	return nil
}

// choose returns the set's secret keys, which the caller wipes, and of them the one for
// each slot: the newest subkey with the usage, or for signing a primary key that may
// sign.
func (k *KeySet) choose() (out [slots]*packet.PrivateKey, keys []*packet.PrivateKey, err error) {
	keys, err = k.secretKeys()
	if err != nil {
		return out, nil, err
	}
	usages := map[string]CertKey{}
	for _, u := range k.cert.Keys() {
		usages[u.Fingerprint] = u
	}
	for s, letter := range []string{"S", "E", "A"} {
		for i, p := range keys {
			u, known := usages[fmt.Sprintf("%X", p.Fingerprint)]
			if !known || p.Dummy() || !strings.Contains(u.Usage, letter) {
				continue
			}
			if out[s] == nil || i > 0 && (out[s] == keys[0] || p.CreationTime.After(out[s].CreationTime)) {
				out[s] = p
			}
		}
	}
	if out[Signature] == nil {
		wipeKeys(keys)
		return out, nil, fmt.Errorf("%w: nothing in it signs", ErrNotImportable)
	}
	return out, keys, nil
}

// importKey is one secret key as numbers.
type importKey struct {
	pub     *publicKey
	created time.Time
	fpr     [20]byte
	p, q, d *secret.Buffer // RSA: p and q; curves: d
}

func (k importKey) wipe() {
	for _, b := range []*secret.Buffer{k.p, k.q, k.d} {
		b.Wipe()
	}
}

// newImportKey takes the numbers out of a secret key packet without protection.
func newImportKey(s Slot, p *packet.PrivateKey) (k importKey, err error) {
	var b bytes.Buffer
	b.Grow(8 << 10)
	defer func() { secret.Zero(b.Bytes()[:b.Cap()]) }()
	if err := p.Serialize(&b); err != nil {
		return k, err
	}
	_, head, n, err := packetLength(b.Bytes())
	if err != nil {
		return k, err
	}
	pub, rest, err := parseBody(b.Bytes()[head:n])
	if err != nil {
		return k, err
	}
	if pub.slot != s && (pub.slot == Decryption || s == Decryption) && pub.alg.bits() == 0 {
		return k, fmt.Errorf("%w: a key of another kind stands where the %v key should", ErrNotImportable, s)
	}
	// What points into b is copied: b is wiped.
	pub.slot, pub.n, pub.e, pub.point = s, bytes.Clone(pub.n), bytes.Clone(pub.e), bytes.Clone(pub.point)
	k = importKey{pub: pub, created: p.CreationTime}
	copy(k.fpr[:], p.Fingerprint)
	if len(rest) == 0 || rest[0] != 0 {
		return k, fmt.Errorf("%w: the secret key is still protected", ErrNotImportable)
	}
	first, rest, err := nextMPI(rest[1:])
	if err != nil {
		return k, err
	}
	if pub.alg.bits() == 0 {
		k.d = fixed(first, map[Algorithm]int{P256: 32, P384: 48, P521: 66, Curve25519: 32}[pub.alg])
		return k, nil
	}
	half := pub.alg.bits() / 16
	pp, rest, err := nextMPI(rest)
	if err != nil {
		return k, err
	}
	qq, _, err := nextMPI(rest)
	if err != nil {
		return k, err
	}
	if len(pp) > half || len(qq) > half {
		return k, fmt.Errorf("%w: primes of unequal length", ErrNotImportable)
	}
	k.p, k.q = fixed(pp, half), fixed(qq, half)
	return k, nil
}

// fixed is a number with leading zeros, n bytes long.
func fixed(v []byte, n int) *secret.Buffer {
	b := secret.New(n)
	if len(v) <= n {
		copy(b.Bytes()[n-len(v):], v)
	}
	return b
}

// headerList is the extended header list 4D: which slot, the lengths of the
// numbers (7F48), and the numbers one after the other (5F48).
func (k importKey) headerList(a attribute) (*secret.Buffer, error) {
	var lengths []byte
	values := secret.New(4096)
	defer values.Wipe()
	n := 0
	add := func(tag byte, v []byte) {
		lengths = appendLength(append(lengths, tag), len(v))
		n += copy(values.Bytes()[n:], v)
	}
	if a.bits() > 0 {
		if len(k.pub.e) > (a.exponentBits+7)/8 {
			return nil, &AlgorithmError{Slot: k.pub.slot, Algorithm: a.Algorithm, Detail: "its public exponent is too short"}
		}
		e := make([]byte, (a.exponentBits+7)/8)
		copy(e[len(e)-len(k.pub.e):], k.pub.e)
		add(0x91, e)
		add(0x92, k.p.Bytes())
		add(0x93, k.q.Bytes())
		if a.format >= 2 {
			half := k.p.Len()
			p, q := new(big.Int).SetBytes(k.p.Bytes()), new(big.Int).SetBytes(k.q.Bytes())
			one := big.NewInt(1)
			p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
			ex := new(big.Int).SetBytes(k.pub.e)
			u, dp, dq := new(big.Int).ModInverse(q, p), new(big.Int).ModInverse(ex, p1), new(big.Int).ModInverse(ex, q1)
			defer wipeInts(p, q, p1, q1, u, dp, dq)
			if u == nil || dp == nil || dq == nil {
				return nil, fmt.Errorf("%w: not an RSA key", ErrNotImportable)
			}
			for i, v := range []*big.Int{u, dp, dq} {
				b := secret.New(half)
				v.FillBytes(b.Bytes())
				add(0x94+byte(i), b.Bytes())
				b.Wipe()
			}
		}
		if a.format&1 == 1 {
			add(0x97, k.pub.n)
		}
	} else {
		add(0x92, k.d.Bytes())
		if a.withPublic {
			point := k.pub.point
			if a.Algorithm == Curve25519 {
				point = append([]byte{0x40}, point...) // as in OpenPGP packets
			}
			add(0x99, point)
		}
	}
	values.SetLen(n)
	size := 2 + len(lengths) + n + 16
	b := secret.New(size + 8)
	room := secret.New(size)
	defer room.Wipe()
	inner := appendTLV(room.Bytes()[:0], 0x7f48, lengths)
	inner = appendTLV(inner, 0x5f48, values.Bytes())
	out := appendTLV(b.Bytes()[:0], 0x4d, k.pub.slot.crt(), inner)
	b.SetLen(len(out))
	return b, nil
}
