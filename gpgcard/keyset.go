package gpgcard

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgpecdh "github.com/ProtonMail/go-crypto/openpgp/ecdh"
	pgpecdsa "github.com/ProtonMail/go-crypto/openpgp/ecdsa"
	"github.com/ProtonMail/go-crypto/openpgp/eddsa"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/internal/secret"
)

// ErrWrongPassphrase says that a passphrase does not open a secret key.
var ErrWrongPassphrase = errors.New("the passphrase does not open the secret key")

// A KeySet is an OpenPGP key with its secret parts, in memory: keys that have a
// backup. The primary key certifies only, and three subkeys sign, encrypt and
// authenticate, as Heads lays them out; the subkeys go to one card or more, and
// the whole set, protected by a passphrase, onto a stick.
//
// The set is kept in locked memory. While it is made or used, its numbers also
// pass through ordinary memory of the Go runtime, which an initrd does not swap.
type KeySet struct {
	raw  *secret.Buffer // transferable secret key without protection (RFC 4880, 11.2)
	cert *Cert
}

// NewKeySet makes a primary key and three subkeys. All carry the time created.
func NewKeySet(alg Algorithm, id Identity, created time.Time) (*KeySet, error) {
	u, err := id.userID()
	if err != nil {
		return nil, err
	}
	if err := (&Card{}).checkClock(created, time.Time{}); err != nil {
		return nil, err
	}
	created = created.Truncate(time.Second)
	prim, err := newSecretKey(alg, Signature, created, false)
	if err != nil {
		return nil, err
	}
	defer wipeKey(prim.PrivateKey)
	cfg := packetConfig(created)
	var out bytes.Buffer
	defer func() { secret.Zero(out.Bytes()[:out.Cap()]) }()
	// Room for everything, so that the buffer does not leave copies behind as it grows.
	out.Grow(64 << 10)
	if err := prim.Serialize(&out); err != nil {
		return nil, err
	}
	if err := u.Serialize(&out); err != nil {
		return nil, err
	}
	sig := newSignature(&prim.PublicKey, alg, packet.SigTypePositiveCert, created)
	primary := true
	sig.IsPrimaryId = &primary
	sig.FlagsValid, sig.FlagCertify = true, true
	preferences(sig)
	if err := sig.SignUserId(u.Id, &prim.PublicKey, prim, cfg); err != nil {
		return nil, err
	}
	if err := sig.Serialize(&out); err != nil {
		return nil, err
	}
	for _, s := range []Slot{Signature, Decryption, Authentication} {
		sub, err := newSecretKey(alg, s, created, true)
		if err != nil {
			return nil, err
		}
		defer wipeKey(sub.PrivateKey)
		if err := sub.Serialize(&out); err != nil {
			return nil, err
		}
		sig := newSignature(&prim.PublicKey, alg, packet.SigTypeSubkeyBinding, created)
		sig.FlagsValid = true
		sig.FlagSign, sig.FlagAuthenticate = s == Signature, s == Authentication
		sig.FlagEncryptStorage, sig.FlagEncryptCommunications = s == Decryption, s == Decryption
		if s == Signature {
			// A signing subkey confirms that it belongs to the primary key (5.2.1, 0x19).
			back := newSignature(&sub.PublicKey, alg, packet.SigTypePrimaryKeyBinding, created)
			if err := back.CrossSignKey(&sub.PublicKey, &prim.PublicKey, sub, cfg); err != nil {
				return nil, err
			}
			sig.EmbeddedSignature = back
		}
		if err := sig.SignKey(&sub.PublicKey, prim, cfg); err != nil {
			return nil, err
		}
		if err := sig.Serialize(&out); err != nil {
			return nil, err
		}
	}
	return ParseKeySet(out.Bytes(), nil)
}

// preferences are what others may use to write to the owner, as GnuPG orders them.
func preferences(sig *packet.Signature) {
	sig.PreferredSymmetric, sig.PreferredHash, sig.PreferredCompression = []byte{9, 8, 7, 2}, []byte{10, 9, 8},
		[]byte{2, 3, 1}
	sig.SEIPDv1 = true
	sig.KeyserverPrefsValid, sig.KeyserverPrefNoModify = true, true
}

// newSecretKey makes a key pair and go-crypto's packet of it.
func newSecretKey(alg Algorithm, s Slot, created time.Time, sub bool) (*packet.PrivateKey, error) {
	pub := &publicKey{slot: s, alg: alg}
	room := secret.New(8 << 10)
	defer room.Wipe()
	mpis := room.Bytes()[:0]
	switch bits := alg.bits(); {
	case bits > 0:
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, err
		}
		pub.n, pub.e = k.N.Bytes(), big.NewInt(int64(k.E)).Bytes()
		p, q := k.Primes[0], k.Primes[1]
		if p.Cmp(q) > 0 {
			p, q = q, p
		}
		u := new(big.Int).ModInverse(p, q)
		defer wipeKey(k)
		defer wipeInts(u)
		number := secret.New(bits / 8)
		defer number.Wipe()
		for _, v := range []*big.Int{k.D, p, q, u} {
			mpis = appendMPI(mpis, v.FillBytes(number.Bytes()))
		}
	case alg == Curve25519 && s == Decryption:
		k, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		pub.point = k.PublicKey().Bytes()
		d := k.Bytes()
		d[0] &= 248 // clamped (RFC 7748, 5), as GnuPG stores it
		d[31] = d[31]&127 | 64
		slices.Reverse(d)
		mpis = appendMPI(mpis, d)
		secret.Zero(d)
	case alg == Curve25519:
		p, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		pub.point = p
		seed := k.Seed()
		mpis = appendMPI(mpis, seed)
		secret.Zero(seed)
		secret.Zero(k)
	default:
		curve := map[Algorithm]elliptic.Curve{P256: elliptic.P256(), P384: elliptic.P384(), P521: elliptic.P521()}[alg]
		if curve == nil {
			return nil, fmt.Errorf("%v: no such algorithm", alg)
		}
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			return nil, err
		}
		if pub.point, err = k.PublicKey.Bytes(); err != nil {
			return nil, err
		}
		//lint:ignore SA1019 to wipe it
		defer wipeInts(k.D)
		d, err := k.Bytes()
		if err != nil {
			return nil, err
		}
		mpis = appendMPI(mpis, d)
		secret.Zero(d)
	}
	packed := secret.New(16 << 10)
	defer packed.Wipe()
	body := append(packed.Bytes()[:0], pub.body(uint32(created.Unix()))...)
	body = append(body, 0) // no protection
	var sum uint16
	for _, b := range mpis {
		sum += uint16(b)
	}
	body = binary.BigEndian.AppendUint16(append(body, mpis...), sum)
	tag := byte(5)
	if sub {
		tag = 7
	}
	head := binary.BigEndian.AppendUint32([]byte{0xc0 | tag, 0xff}, uint32(len(body)))
	p, err := packet.Read(io.MultiReader(bytes.NewReader(head), bytes.NewReader(body)))
	if err != nil {
		return nil, err
	}
	k, ok := p.(*packet.PrivateKey)
	if !ok {
		return nil, errors.New("not a private key packet")
	}
	return k, nil
}

// wipeKey clears the numbers of a private key, as far as they can be reached: Go's own
// and go-crypto's types keep more of them, and copies of them, to themselves.
func wipeKey(key any) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		wipeInts(k.D, k.Precomputed.Dp, k.Precomputed.Dq, k.Precomputed.Qinv)
		wipeInts(k.Primes...)
	case *pgpecdsa.PrivateKey:
		wipeInts(k.D)
	case *eddsa.PrivateKey:
		secret.Zero(k.D)
	case *pgpecdh.PrivateKey:
		secret.Zero(k.D)
	}
}

func wipeInts(list ...*big.Int) {
	for _, v := range list {
		if v != nil {
			clear(v.Bits())
		}
	}
}

// wipeKeys is wipeKey for packets.
func wipeKeys(keys []*packet.PrivateKey) {
	for _, k := range keys {
		wipeKey(k.PrivateKey)
	}
}

// ParseKeySet reads one secret key, binary or armoured, such as Export or gpg
// --export-secret-keys writes it. A key whose primary secret was left out (gpg
// --export-secret-subkeys) is taken. passphrase may be nil for a key without
// protection. The caller wipes the result.
func ParseKeySet(data []byte, passphrase *secret.Buffer) (*KeySet, error) {
	if len(data) > maxCert {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadCert, len(data))
	}
	raw, err := dearmor(data, openpgp.PrivateKeyType)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCert, err)
	}
	defer secret.Zero(raw)
	var pub, sec bytes.Buffer
	sec.Grow(len(raw) + 1024)
	defer func() { secret.Zero(sec.Bytes()[:sec.Cap()]) }()
	packets := map[string][]byte{} // in sec, by fingerprint
	for at := 0; at < len(raw); {
		tag, _, n, err := packetLength(raw[at:])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadCert, err)
		}
		p := raw[at : at+n]
		at += n
		switch tag {
		case 5, 7:
			k, err := openSecret(p, passphrase)
			if err != nil {
				return nil, err
			}
			defer wipeKey(k.PrivateKey)
			start := sec.Len()
			if err := k.Serialize(&sec); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrBadCert, err)
			}
			packets[string(k.PublicKey.Fingerprint)] = sec.Bytes()[start:]
			if err := k.PublicKey.Serialize(&pub); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrBadCert, err)
			}
		case 6, 14:
			return nil, fmt.Errorf("%w: it has no secret keys", ErrBadCert)
		default:
			pub.Write(p)
		}
	}
	cert, err := ParseCert(pub.Bytes())
	if err != nil {
		return nil, err
	}
	whole := make([]byte, 0, sec.Len()+len(cert.raw))
	for _, p := range cert.Packets() {
		if p.Tag == tagPrimary || p.Tag == tagSubkey {
			f := fingerprint(p.Body)
			whole = append(whole, packets[string(f[:])]...)
			continue
		}
		whole = appendPacket(whole, p.Tag, p.Body)
	}
	return &KeySet{raw: secret.From(whole), cert: cert}, nil
}

// openSecret parses and decrypts one secret key packet.
func openSecret(p []byte, passphrase *secret.Buffer) (*packet.PrivateKey, error) {
	if plain, ok, err := unprotect(p, passphrase); err != nil {
		return nil, err
	} else if ok {
		defer plain.Wipe()
		p = plain.Bytes()
	}
	got, err := packet.Read(bytes.NewReader(p))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCert, err)
	}
	k, ok := got.(*packet.PrivateKey)
	if !ok || k.Version != 4 {
		return nil, fmt.Errorf("%w: not a version 4 secret key", ErrBadCert)
	}
	if k.Dummy() || !k.Encrypted {
		return k, nil
	}
	if err := k.Decrypt(passphrase.Bytes()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrongPassphrase, err)
	}
	return k, nil
}

// Cert is the public part.
func (k *KeySet) Cert() *Cert { return k.cert }

// Wipe clears the secret keys.
func (k *KeySet) Wipe() { k.raw.Wipe() }

// secretKeys parses the set's secret keys, the primary first.
func (k *KeySet) secretKeys() ([]*packet.PrivateKey, error) {
	var out []*packet.PrivateKey
	raw := k.raw.Bytes()
	if len(raw) == 0 {
		return nil, errors.New("the key set was wiped")
	}
	for at := 0; at < len(raw); {
		tag, _, n, err := packetLength(raw[at:])
		if err != nil {
			return nil, err
		}
		if tag == 5 || tag == 7 {
			p, err := openSecret(raw[at:at+n], nil)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
		at += n
	}
	return out, nil
}

// Export writes the whole set, protected by the passphrase (AES-256, iterated and
// salted S2K over 65 MB of SHA-256), armoured, as gpg --import takes it. It is read
// back and compared before it is returned.
func (k *KeySet) Export(passphrase *secret.Buffer) ([]byte, error) {
	if passphrase.Len() == 0 {
		return nil, errors.New("a backup needs a passphrase")
	}
	var out bytes.Buffer
	raw := k.raw.Bytes()
	for at := 0; at < len(raw); {
		tag, _, n, err := packetLength(raw[at:])
		if err != nil {
			return nil, err
		}
		p := raw[at : at+n]
		at += n
		if tag != 5 && tag != 7 {
			out.Write(p)
			continue
		}
		if p, err = protect(p, passphrase); err != nil {
			return nil, err
		}
		out.Write(p)
	}
	armored := enarmor(out.Bytes(), openpgp.PrivateKeyType)
	back, err := ParseKeySet(armored, passphrase)
	if err != nil {
		return nil, fmt.Errorf("reading the backup back: %w", err)
	}
	defer back.Wipe()
	if !back.raw.Equal(k.raw) {
		return nil, errors.New("the backup is not what was to be saved")
	}
	return armored, nil
}

// Revocation returns an armoured certificate that revokes the whole key. It is
// kept with the backup, and imported when the key must no longer be used.
func (k *KeySet) Revocation(at time.Time) ([]byte, error) {
	keys, err := k.secretKeys()
	if err != nil {
		return nil, err
	}
	defer wipeKeys(keys)
	if keys[0].Dummy() {
		return nil, fmt.Errorf("%w: the primary key's secret is not here", ErrNoKey)
	}
	return revocation(&keys[0].PublicKey, keys[0], at, nil)
}

// revocation makes a key revocation signature (RFC 4880, 5.2.1, type 0x20).
func revocation(pub *packet.PublicKey, priv *packet.PrivateKey, at time.Time, signer *cardSigner) ([]byte, error) {
	alg, err := algorithmOf(pub)
	if err != nil {
		return nil, err
	}
	sig := newSignature(pub, alg, packet.SigTypeKeyRevocation, at)
	reason := packet.ReasonForRevocation(0)
	sig.RevocationReason = &reason
	err = sig.RevokeKey(pub, priv, packetConfig(at))
	if signer != nil {
		err = signer.cause(err)
	}
	if err != nil {
		return nil, err
	}
	if err := pub.VerifyRevocationSignature(sig); err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrFalseKey, err)
	}
	var out bytes.Buffer
	if err := sig.Serialize(&out); err != nil {
		return nil, err
	}
	return enarmor(out.Bytes(), openpgp.PublicKeyType), nil
}

// algorithmOf tells a key packet's algorithm.
func algorithmOf(pub *packet.PublicKey) (Algorithm, error) {
	var b bytes.Buffer
	if err := pub.Serialize(&b); err != nil {
		return 0, err
	}
	_, head, n, err := packetLength(b.Bytes())
	if err != nil {
		return 0, err
	}
	k, _, err := parseBody(b.Bytes()[head:n])
	if err != nil {
		return 0, err
	}
	return k.alg, nil
}
