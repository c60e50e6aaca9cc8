package gpgcard

import (
	"bytes"
	"context"
	"encoding/hex"
	"testing"

	"reown/internal/secret"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// seeds are objects of real cards.
var seeds = [][]byte{
	unhex("4f10d276000124010200fffef1420a7a00005f520a003184738001800590007381d0c00a75000020000000ff0100c10a162b06010401da470f01c20b122b060104019755010501c30a162b06010401da470f01c407007f7f7f020303"),
	unhex("5f520a0031c573c001400590007f66080202053c0202053c7f7403810120"),
	unhex("8101038201088304000186a084080102030405060708850801020304050607088608010203040506070887" + "20" +
		"00000000000000000000000000000000000000000000000000000000000000008820" +
		"0000000000000000000000000000000000000000000000000000000000000000"),
	unhex("7f49228620f856d6dd452eebd746e078d1bdccecbe6b609216a8b129053f303a54aa4cd407"),
	unhex("c106010800002000c109132a8648ce3d030107c20b122b060104019755010501c30a162b06010401da470f01"),
	unhex("5b085374c3a4646c3c3c5f2d0264655f350139"),
	unhex("9303000004"),
}

// FuzzTLV: every parser of card data takes anything, and what nextTLV splits can be
// put together again.
func FuzzTLV(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for rest := b; len(rest) > 0; {
			tag, v, more, err := nextTLV(rest)
			if err != nil || v == nil {
				break
			}
			if len(more) >= len(rest) {
				t.Fatal("no progress")
			}
			got, err := findTLV(appendTLV(nil, tag, v), tag)
			if err != nil || !bytes.Equal(got, v) {
				if tag != 0 {
					t.Fatalf("tag %04X: %X, %v", tag, got, err)
				}
			}
			rest = more
		}
		_, _ = findTLV(b, 0xffff)
		_, _ = parseApplicationData(b)
		_, _ = parsePWStatus(b)
		var c caps
		parseHistorical(b, &c)
		_ = printable(b)
		for s := range slots {
			_ = parseOffered(s, b)
			if a, err := parseAttribute(s, b); err == nil {
				if again, err := parseAttribute(s, a.encode(s)); err != nil || again.Algorithm != a.Algorithm {
					t.Fatalf("%X: %v %v", b, again, err)
				}
				if k, err := parsePublicKey(s, a.Algorithm, b); err == nil {
					_ = fingerprint(k.body(1))
				}
			}
			for alg := range algorithmNames {
				if k, err := parsePublicKey(s, alg, b); err == nil {
					back, rest, err := parseBody(k.body(1))
					if err != nil || len(rest) != 0 || back.alg != alg || !bytes.Equal(back.point, k.point) && alg != Curve25519 ||
						!bytes.Equal(back.n, k.n) {
						t.Fatalf("%v %v: %+v became %+v, %v", s, alg, k, back, err)
					}
				}
			}
		}
	})
}

// FuzzKDF: a card's KDF object neither breaks nor delays us.
func FuzzKDF(f *testing.F) {
	f.Add(seeds[2])
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := parseKDF(b); err == nil && k != nil {
			k.n = min(k.n, 1000)
			k.derive(AdminPIN, []byte("12345678")).Wipe()
		}
	})
}

// hostile is a card that answers whatever the input says: a length byte and the
// answer, over and over.
type hostile struct {
	b    []byte
	left int
}

func (h *hostile) Transmit(context.Context, []byte) ([]byte, error) {
	if h.left--; h.left < 0 || len(h.b) == 0 {
		return nil, ErrRemoved
	}
	n := min(int(h.b[0]), len(h.b)-1)
	r := h.b[1 : 1+n]
	h.b = h.b[1+n:]
	return r, nil
}
func (h *hostile) PowerCycle(context.Context) error { return nil }
func (h *hostile) Close() error                     { return nil }

// FuzzHostileCard lets a card lie in every answer.
func FuzzHostileCard(f *testing.F) {
	script := func(answers ...string) (b []byte) {
		for _, a := range answers {
			r := unhex(a)
			b = append(append(b, byte(len(r))), r...)
		}
		return b
	}
	ard := hex.EncodeToString(seeds[0]) + "9000"
	f.Add(byte(0), script("9000", ard, "9000", ard))
	f.Add(byte(1), script("9000", ard, "9000", "007f7f7f0203039000", "6982", "6983", "6983", "9000", "9000", "9000", ard,
		ard))
	f.Add(byte(2), script("6285", "6985", "9000", "9000", ard))
	f.Add(byte(3), script("9000", "6110", ard, "6c20", ard))
	f.Fuzz(func(t *testing.T, what byte, b []byte) {
		ctx := context.Background()
		c, err := New(ctx, &hostile{b, 300}, Reader{})
		if err != nil {
			return
		}
		p := secret.From([]byte("12345678"))
		defer p.Wipe()
		switch what % 5 {
		case 0:
			_, _ = c.Info(ctx)
		case 1:
			_ = c.Reset(ctx, ResetOptions{})
		case 2:
			_ = c.GenerateKeys(ctx, GenerateOptions{Algorithm: P256, Created: notBefore})
		case 3:
			_ = c.SetPINs(ctx, p, p)
		case 4:
			_, _ = c.Certificate(ctx, Identity{Name: "x"}, p)
		}
	})
}

// FuzzCert: certificates, secret keys and signatures from outside.
func FuzzCert(f *testing.F) {
	set, err := NewKeySet(Curve25519, Identity{Name: "Jane"}, notBefore)
	if err != nil {
		f.Fatal(err)
	}
	pass := secret.From([]byte("x"))
	f.Add(set.Cert().Bytes(), []byte("-----BEGIN PGP SIGNATURE-----\n\n=abcd\n-----END PGP SIGNATURE-----\n"))
	f.Add(set.Cert().Armored(), []byte{0xc2, 1, 4})
	f.Add(bytes.Clone(set.raw.Bytes()), []byte{})
	f.Fuzz(func(t *testing.T, key, sig []byte) {
		if certs, err := ParseCerts(key); err == nil {
			for _, c := range certs {
				_, _ = c.Keys(), c.UserIDs()
				if _, err := VerifyDetached(c, sig, []byte("data")); err == nil {
					t.Fatal("a signature out of thin air")
				}
			}
		}
		if k, err := ParseKeySet(key, pass); err == nil {
			_, _, _ = k.choose()
			k.Wipe()
		}
		_, _ = VerifyDetached(set.Cert(), sig, []byte("data"))
	})
}
