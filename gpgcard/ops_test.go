package gpgcard_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"math/big"
	"strings"
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/internal/pcsc"
)

// material takes the numbers of a certificate's key packet: what follows version,
// time and algorithm.
func material(t *testing.T, cert *gpgcard.Cert, tag byte, n int) []byte {
	t.Helper()
	for _, p := range cert.Packets() {
		if p.Tag == tag {
			if n == 0 {
				return p.Body[6:]
			}
			n--
		}
	}
	t.Fatal("no such key packet")
	return nil
}

func mpi(b []byte) (v, rest []byte) {
	n := (int(b[0])<<8 | int(b[1]) + 7) / 8
	return b[2 : 2+n], b[2+n:]
}

// TestOtherOperations checks INTERNAL AUTHENTICATE and DECIPHER against Go's own
// cryptography.
func TestOtherOperations(t *testing.T) {
	ctx := context.Background()
	for _, alg := range []gpgcard.Algorithm{gpgcard.RSA2048, gpgcard.P256, gpgcard.Curve25519} {
		c := open(t, cardtest.New(cardtest.Nitrokey3))
		if err := c.Import(ctx, keySet(t, alg), gpgcard.ImportOptions{}); err != nil {
			t.Fatal(err)
		}
		cert := keySet(t, alg).Cert()
		user := pin("123456")
		enc, auth := material(t, cert, 14, 1), material(t, cert, 14, 2) // subkeys S, E, A
		digest := sha256.Sum256([]byte("challenge"))
		switch alg {
		case gpgcard.RSA2048:
			public := func(b []byte) *rsa.PublicKey {
				n, b := mpi(b)
				e, _ := mpi(b)
				return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
			}
			info := append([]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
				0x00, 0x04, 0x20}, digest[:]...)
			sig, err := c.Authenticate(ctx, user, info)
			if err != nil {
				t.Fatal(err)
			}
			if err := rsa.VerifyPKCS1v15(public(auth), crypto.SHA256, digest[:], sig); err != nil {
				t.Fatal(err)
			}
			//lint:ignore SA1019 what an OpenPGP card decrypts
			box, err := rsa.EncryptPKCS1v15(rand.Reader, public(enc), []byte("session key"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Decipher(ctx, user, box); err != nil || string(got.Bytes()) != "session key" {
				t.Fatal(err)
			}
		default:
			point, _ := mpi(auth[1+auth[0]:])
			peerPoint, _ := mpi(enc[1+enc[0]:])
			curve := ecdh.P256()
			if alg == gpgcard.Curve25519 {
				point, peerPoint, curve = point[1:], peerPoint[1:], ecdh.X25519()
			}
			sig, err := c.Authenticate(ctx, user, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			if alg == gpgcard.P256 {
				pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
				if err != nil {
					t.Fatal(err)
				}
				if !ecdsa.Verify(pub, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
					t.Fatal("ECDSA")
				}
			} else if !ed25519.Verify(point, digest[:], sig) {
				t.Fatal("EdDSA")
			}
			ours, err := curve.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := curve.NewPublicKey(peerPoint)
			if err != nil {
				t.Fatal(err)
			}
			want, err := ours.ECDH(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Decipher(ctx, user, ours.PublicKey().Bytes()); err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("%v: %v", alg, err)
			}
		}
	}
}

func TestResetCode(t *testing.T) {
	ctx := context.Background()
	card := cardtest.New(cardtest.ZeitControl)
	c := open(t, card)
	code, admin := pin("a reset code"), pin("12345678")
	if err := c.UnblockWithCode(ctx, code, pin("new user")); !errors.Is(err, gpgcard.ErrBlocked) {
		t.Fatalf("without a code: %v", err)
	}
	if err := c.SetResetCode(ctx, admin, code); err != nil {
		t.Fatal(err)
	}
	card.SetTries(0, 3)
	var wrong *gpgcard.PINError
	if err := c.UnblockWithCode(ctx, pin("another code"), pin("new user")); !errors.As(err, &wrong) ||
		wrong.Which != gpgcard.ResetCode || wrong.Left != 2 {
		t.Fatalf("got %v", err)
	}
	if err := c.UnblockWithCode(ctx, code, pin("new user")); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(ctx, gpgcard.UserPIN, pin("new user")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetResetCode(ctx, admin, nil); err != nil {
		t.Fatal(err)
	}
	if info, err := c.Info(ctx); err != nil || info.ResetCode.Left != 0 {
		t.Fatalf("%+v %v", info.ResetCode, err)
	}
}

func TestPINPerSignature(t *testing.T) {
	ctx := context.Background()
	for _, p := range cardtest.Profiles {
		c := open(t, cardtest.New(p))
		for _, each := range []bool{false, true} {
			if err := c.RequirePINPerSignature(ctx, pin("12345678"), each); err != nil {
				t.Fatal(err)
			}
			if info, err := c.Info(ctx); err != nil || info.PINOnce != each {
				t.Fatalf("%s: %v, %v", p.Name, info.PINOnce, err)
			}
		}
	}
}

// TestNothingIsGuessed: whatever is asked with a wrong PIN costs exactly one try,
// and with no PIN and no factory PIN on the card one try at most.
func TestNothingIsGuessed(t *testing.T) {
	ctx := context.Background()
	card := cardtest.New(cardtest.Nitrokey3)
	c := open(t, card)
	set := keySet(t, gpgcard.P256)
	if err := c.Import(ctx, set, gpgcard.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.SetPINs(ctx, pin("user PIN"), pin("admin PIN")); err != nil {
		t.Fatal(err)
	}
	wrong := pin("no such PIN")
	for name, f := range map[string]func() error{
		"generate": func() error {
			return c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created, Admin: wrong})
		},
		"generate, factory": func() error {
			return c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created})
		},
		"import":   func() error { return c.Import(ctx, set, gpgcard.ImportOptions{Admin: wrong}) },
		"identity": func() error { return c.SetIdentity(ctx, wrong, "x", "y") },
		"sign":     func() error { _, err := c.SignDetached(ctx, set.Cert(), wrong, nil); return err },
		"decipher": func() error { _, err := c.Decipher(ctx, wrong, make([]byte, 65)); return err },
		"change":   func() error { return c.ChangePIN(ctx, gpgcard.UserPIN, wrong, pin("new PIN")) },
		"unblock":  func() error { return c.Unblock(ctx, wrong, pin("new PIN")) },
		"touch":    func() error { return c.SetTouch(ctx, wrong, gpgcard.Signature, gpgcard.TouchOn) },
	} {
		card.SetTries(3, 3)
		var p *gpgcard.PINError
		if err := f(); !errors.As(err, &p) || p.Left != 2 {
			t.Errorf("%s: %v", name, err)
		}
		if u, a := card.Tries(); u+a != 5 {
			t.Errorf("%s: %d and %d tries left", name, u, a)
		}
	}
	// The set-up of PINs may try two, and leaves one for the owner.
	card.SetTries(3, 3)
	if err := c.SetPINs(ctx, wrong, wrong); err == nil {
		t.Error("SetPINs")
	}
	if u, a := card.Tries(); u != 3 || a != 1 {
		t.Errorf("SetPINs: %d and %d tries left", u, a)
	}
	if err := c.SetPINs(ctx, wrong, wrong); !errors.Is(err, gpgcard.ErrLastTry) {
		t.Errorf("SetPINs again: %v", err)
	}
	if _, a := card.Tries(); a != 1 {
		t.Errorf("SetPINs again: %d tries left", a)
	}
	// Another card's certificate is told before a PIN is used.
	card.SetTries(3, 3)
	if _, err := c.SignDetached(ctx, keySet(t, gpgcard.Curve25519).Cert(), wrong, nil); !errors.Is(err,
		gpgcard.ErrWrongCard) {
		t.Errorf("wrong card: %v", err)
	}
	if u, _ := card.Tries(); u != 3 {
		t.Errorf("wrong card: %d tries left", u)
	}
}

func TestBusy(t *testing.T) {
	ctx := context.Background()
	d, _ := daemon(t, cardtest.New(cardtest.Nitrokey3))
	bus := pcsc.Bus{Socket: d.Socket}
	c, err := gpgcard.Open(ctx, gpgcard.Selector{}, bus)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gpgcard.Open(ctx, gpgcard.Selector{}, bus); !errors.Is(err, gpgcard.ErrBusy) {
		t.Fatalf("got %v", err)
	}
	if err := c.Verify(ctx, gpgcard.AdminPIN, pin("12345678")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	// The PIN's validity ended with the connection.
	client, err := pcsc.Dial(ctx, d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	k, err := client.Connect(ctx, "Virtual PCD 0 00 00", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range [][]byte{{0, 0xa4, 4, 0, 6, 0xd2, 0x76, 0, 1, 0x24, 1}, {0, 0xda, 0, 0x5e, 1, 'x'}} {
		r, err := k.Transmit(ctx, cmd)
		if err != nil {
			t.Fatal(err)
		}
		if cmd[1] == 0xda && !bytes.Equal(r, []byte{0x69, 0x82}) {
			t.Fatalf("the PIN is still valid: %x", r)
		}
	}
}

func TestBadIdentity(t *testing.T) {
	for _, id := range []gpgcard.Identity{{}, {Name: "a<b"}, {Name: "a\nb"}, {Name: "ok", Email: "x@y>"}, {Name: "a\xff"},
		{Name: strings.Repeat("x", 2000)}} {
		if err := id.Check(); !errors.Is(err, gpgcard.ErrBadIdentity) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if err := (gpgcard.Identity{Name: "Jürgen Ångström", Email: "j@example.org"}).Check(); err != nil {
		t.Error(err)
	}
}
