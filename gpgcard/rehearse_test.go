package gpgcard_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
)

// named is a card in a reader that pcscd has given a name.
func named(t *testing.T, card *cardtest.Card, reader string) *gpgcard.Card {
	t.Helper()
	b := &cardtest.Bus{Name: "pcsc", Slots: []cardtest.Slot{{Name: reader, Card: card}}}
	c, err := gpgcard.Open(t.Context(), gpgcard.Selector{}, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// quiet fails a test when anything but a reading reaches the card.
type quiet struct {
	gpgcard.Link
	t *testing.T
}

func (q quiet) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	if ins := apdu[1]; ins != 0xa4 && ins != 0xca && ins != 0xcb && ins != 0xc0 {
		q.t.Errorf("sent %X", apdu)
	}
	return q.Link.Transmit(ctx, apdu)
}

// TestRehearsalHolds: on every make, with every algorithm, what the rehearsal has no
// problem with is done, and what it has a problem with is refused.
func TestRehearsalHolds(t *testing.T) {
	for _, p := range cardtest.Profiles {
		for _, alg := range cheap {
			t.Run(fmt.Sprintf("%s/%v", p.Name, alg), func(t *testing.T) {
				long(t, alg != gpgcard.P256 && alg != gpgcard.P384)
				card := cardtest.New(p)
				q, err := gpgcard.New(t.Context(), quiet{cardtest.NewLink(card), t}, gpgcard.Reader{})
				if err != nil {
					t.Fatal(err)
				}
				user, admin := pin("correct horse 1"), pin("battery staple 1")
				problems, err := q.Rehearse(t.Context(), gpgcard.Plan{User: user, Admin: admin, Algorithm: alg})
				if err != nil {
					t.Fatal(err)
				}
				imports, err := q.Rehearse(t.Context(), gpgcard.Plan{Algorithm: alg, Import: true})
				if err != nil {
					t.Fatal(err)
				}
				c := open(t, card)
				err = c.Reset(t.Context(), gpgcard.ResetOptions{})
				if err == nil {
					err = c.GenerateKeys(t.Context(), gpgcard.GenerateOptions{Algorithm: alg, Created: created})
				}
				if err == nil {
					err = c.SetPINs(t.Context(), user, admin)
				}
				if (err != nil) != (len(problems) > 0) {
					t.Errorf("rehearsed %v, did %v", problems, err)
				}
				err = open(t, cardtest.New(p)).Import(t.Context(), keySet(t, alg), gpgcard.ImportOptions{})
				if (err != nil) != (len(imports) > 0) {
					t.Errorf("import: rehearsed %v, did %v", imports, err)
				}
			})
		}
	}
}

// TestRehearsalNames: each problem is the error that the act would return.
func TestRehearsalNames(t *testing.T) {
	var length *gpgcard.PINLengthError
	var alg *gpgcard.AlgorithmError
	old := cardtest.CanoKey
	old.Reset, old.Historical = false, []byte{0, 0x31, 0x73, 0xc0, 1, 0x40, 0, 0x90, 0}
	for _, tc := range []struct {
		name   string
		reader string
		p      cardtest.Profile
		plan   gpgcard.Plan
		is     error
		as     any
	}{
		{"a Nitrokey Start behind pcscd", "Nitrokey Nitrokey Start (FSIJ-1.2.15-43204556) 00 00", cardtest.Gnuk,
			gpgcard.Plan{User: pin("12345678")}, nil, &length},
		{"a Gnuk of which nothing is known", "Virtual PCD 00 00", cardtest.Gnuk, gpgcard.Plan{Admin: pin("123456789")}, nil,
			&length},
		{"a Nitrokey Pro behind pcscd", "Nitrokey Nitrokey Pro (0000) 00 00", cardtest.ZeitControl,
			gpgcard.Plan{User: pin("12345678901234567890123456")}, nil, &length},
		{"a CanoKey of 2022", "Canokeys Canokey 00 00", cardtest.CanoKey, gpgcard.Plan{Algorithm: gpgcard.RSA4096}, nil,
			&alg},
		{"no hashed PINs", "Canokeys Canokey 00 00", cardtest.CanoKey, gpgcard.Plan{KDF: true}, gpgcard.ErrNoKDF, nil},
		{"no reset", "x", old, gpgcard.Plan{}, gpgcard.ErrNoReset, nil},
	} {
		c := named(t, cardtest.New(tc.p), tc.reader)
		problems, err := c.Rehearse(t.Context(), tc.plan)
		if err != nil || len(problems) != 1 || tc.is != nil && !errors.Is(problems[0], tc.is) || tc.as != nil &&
			!errors.As(problems[0], tc.as) {
			t.Errorf("%s: %v, %v", tc.name, problems, err)
		}
	}
	c := named(t, cardtest.New(cardtest.Gnuk), "Free Software Initiative of Japan Gnuk (FSIJ-1.2.19-01234567) 00 00")
	if p, err := c.Rehearse(t.Context(), gpgcard.Plan{User: pin("1234567"), Admin: pin("12345678"),
		Algorithm: gpgcard.Curve25519}); err != nil || len(p) != 0 {
		t.Errorf("a Gnuk that says so: %v %v", p, err)
	}
	// Newer firmware of CanoKey makes what it lists.
	p := cardtest.CanoKey
	for i := range p.Algorithms {
		p.Algorithms[i] = append([]string{"rsa3072"}, p.Algorithms[i]...)
	}
	p.NoGenerate = nil
	c = named(t, cardtest.New(p), "Canokeys Canokey 00 00")
	for _, a := range []gpgcard.Algorithm{gpgcard.RSA3072, gpgcard.RSA4096} {
		if p, err := c.Rehearse(t.Context(), gpgcard.Plan{Algorithm: a}); err != nil || len(p) != 0 {
			t.Errorf("%v: %v %v", a, p, err)
		}
	}
}

// TestTwoPINsAreOneAct: where the user PIN cannot be set, the admin PIN is as before.
func TestTwoPINsAreOneAct(t *testing.T) {
	user, admin := pin("correct horse 1"), pin("battery staple 1")
	c := open(t, cardtest.New(cardtest.Gnuk)) // without keys
	if err := c.SetPINs(t.Context(), user, admin); !errors.Is(err, gpgcard.ErrNoKey) {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context(), gpgcard.AdminPIN, pin("12345678")); err != nil {
		t.Fatal(err)
	}
	// A card whose user PIN is another's: the admin PIN is put back.
	for _, p := range cardtest.Profiles {
		c := named(t, cardtest.New(p), "FSIJ Gnuk 00 00")
		if err := c.GenerateKeys(t.Context(), gpgcard.GenerateOptions{Algorithm: gpgcard.P256,
			Created: created}); err != nil {
			t.Fatal(err)
		}
		// A Gnuk whose admin PIN was never set would take the user PIN for it.
		if p.Name != "gnuk" {
			if err := c.ChangePIN(t.Context(), gpgcard.UserPIN, pin("123456"), pin("somebody else's")); err != nil {
				t.Fatal(p.Name, err)
			}
		} else if err := errors.Join(c.ChangePIN(t.Context(), gpgcard.AdminPIN, pin("12345678"), admin),
			c.ChangePIN(t.Context(), gpgcard.UserPIN, pin("123456"), pin("somebody else's")),
			c.ChangePIN(t.Context(), gpgcard.AdminPIN, admin, pin("12345678"))); err != nil {
			t.Fatal(p.Name, err)
		}
		var wrong *gpgcard.PINError
		if err := c.SetPINs(t.Context(), user, admin); !errors.As(err, &wrong) || wrong.Which != gpgcard.UserPIN {
			t.Fatalf("%s: %v", p.Name, err)
		}
		if err := c.Verify(t.Context(), gpgcard.AdminPIN, pin("12345678")); err != nil {
			t.Errorf("%s: the admin PIN is not as before: %v", p.Name, err)
		}
	}
}

// TestSignatureCount: one signature moves the card's count (DO 93) by one, and nothing
// else does; a new signature key begins at zero.
func TestSignatureCount(t *testing.T) {
	for _, p := range cardtest.Profiles {
		t.Run(p.Name, func(t *testing.T) {
			ctx := t.Context()
			c := open(t, cardtest.New(p))
			count := func() int {
				t.Helper()
				i, err := c.Info(ctx)
				if err != nil {
					t.Fatal(err)
				}
				return i.Signatures
			}
			generate := func() *gpgcard.Cert {
				t.Helper()
				if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created}); err != nil {
					t.Fatal(err)
				}
				cert, err := c.Certificate(ctx, jane, nil)
				if err != nil {
					t.Fatal(err)
				}
				return cert
			}
			cert := generate()
			n := count()
			if n != 3 { // the user ID and two subkeys
				t.Fatalf("%d after the certificate", n)
			}
			for range 3 {
				if _, err := c.SignDetached(ctx, cert, nil, []byte("data")); err != nil {
					t.Fatal(err)
				}
				if n++; count() != n {
					t.Fatalf("%d, want %d", count(), n)
				}
			}
			if _, err := c.Authenticate(ctx, pin("123456"), make([]byte, 32)); err != nil {
				t.Fatal(err)
			}
			if err := c.SetIdentity(ctx, nil, "Jane Doe", "jane@example.org"); err != nil || count() != n {
				t.Fatalf("%v, %d", err, count())
			}
			if generate(); count() != 3 {
				t.Fatalf("%d after new keys", count())
			}
			if err := c.Reset(ctx, gpgcard.ResetOptions{}); err != nil || count() != 0 {
				t.Fatalf("%v, %d after a reset", err, count())
			}
		})
	}
}

// TestTouchIsAnnounced: over a reader that does not say that the card waits, the touch
// that the policy wants is announced before the command; without a policy, it is not.
func TestTouchIsAnnounced(t *testing.T) {
	card := cardtest.New(cardtest.YubiKey)
	c, err := gpgcard.New(t.Context(), struct{ gpgcard.Link }{cardtest.NewLink(card)}, gpgcard.Reader{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.GenerateKeys(t.Context(), gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created}); err != nil {
		t.Fatal(err)
	}
	asked := 0
	c.OnWait(func(touch bool) { asked++ })
	cert, err := c.Certificate(t.Context(), jane, nil)
	if err != nil || asked != 0 {
		t.Fatalf("%v, asked %d times", err, asked)
	}
	if err := c.SetTouch(t.Context(), nil, gpgcard.Signature, gpgcard.TouchOn); err != nil {
		t.Fatal(err)
	}
	card.SetTouchTimeout(time.Millisecond)
	if _, err := c.SignDetached(t.Context(), cert, nil, []byte("x")); !errors.Is(err, gpgcard.ErrTouch) || asked != 1 {
		t.Fatalf("%v, asked %d times", err, asked)
	}
}
