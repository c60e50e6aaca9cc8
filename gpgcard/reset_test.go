package gpgcard_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
)

// fresh fails unless the card is as it left the maker.
func fresh(t *testing.T, c *gpgcard.Card) {
	t.Helper()
	ctx := context.Background()
	info, err := c.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if info.User.Left < 3 || info.Admin.Left < 3 || info.Keys[0].Present || info.Keys[0].Fingerprint != "" || info.KDF {
		t.Fatalf("%+v", info)
	}
	if err := c.Verify(ctx, gpgcard.AdminPIN, pin("12345678")); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(ctx, gpgcard.UserPIN, pin("123456")); err != nil {
		t.Fatal(err)
	}
}

func TestResetFromEveryState(t *testing.T) {
	ctx := context.Background()
	states := map[string]func(*cardtest.Card){
		"fresh":           func(*cardtest.Card) {},
		"user blocked":    func(c *cardtest.Card) { c.SetTries(0, 3) },
		"admin blocked":   func(c *cardtest.Card) { c.SetTries(3, 0) },
		"both blocked":    func(c *cardtest.Card) { c.SetTries(0, 0) },
		"one try left":    func(c *cardtest.Card) { c.SetTries(1, 1) },
		"terminated":      func(c *cardtest.Card) { c.Terminate() },
		"fifteen tries":   func(c *cardtest.Card) { c.SetMaxTries(15, 12) },
		"ninety-nine":     func(c *cardtest.Card) { c.SetMaxTries(99, 99) },
		"odd status word": nil,
	}
	for _, p := range cardtest.Profiles {
		for name, prepare := range states {
			t.Run(p.Name+"/"+name, func(t *testing.T) {
				p := p
				if prepare == nil {
					p.WrongPINCounts63, prepare = true, func(*cardtest.Card) {}
				}
				card := cardtest.New(p)
				prepare(card)
				c := open(t, card)
				if got := c.Terminated(); got != (name == "terminated") {
					t.Fatalf("terminated: %v", got)
				}
				if err := c.Reset(ctx, gpgcard.ResetOptions{}); err != nil {
					t.Fatal(err)
				}
				fresh(t, c)
			})
		}
		t.Run(p.Name+"/known PIN", func(t *testing.T) {
			card := cardtest.New(p)
			wrong := 0
			card.Log(func(cmd, resp []byte) {
				if cmd[1] == 0x20 && fmt.Sprintf("%x", resp) != "9000" {
					wrong++
				}
			})
			c := open(t, card)
			if err := c.Reset(ctx, gpgcard.ResetOptions{Admin: pin("12345678")}); err != nil {
				t.Fatal(err)
			}
			if wrong > 0 {
				t.Fatalf("%d wrong PINs were sent although the PIN is known", wrong)
			}
			fresh(t, c)
		})
	}
}

// TestNoReset: a card without a life cycle is refused before any PIN is sent.
func TestNoReset(t *testing.T) {
	for _, p := range cardtest.Profiles {
		card := cardtest.New(p)
		card.NoReset()
		c := open(t, card)
		if err := c.Reset(context.Background(), gpgcard.ResetOptions{}); !errors.Is(err, gpgcard.ErrNoReset) {
			t.Fatalf("%s: got %v", p.Name, err)
		}
		if u, a := card.Tries(); u != 3 || a != 3 {
			t.Fatalf("%s: %d and %d tries left", p.Name, u, a)
		}
	}
}

// TestPulledAtEveryCommand pulls the token out at each command of a flow, before
// and after the card has executed it, and does the flow again from what is left.
func TestPulledAtEveryCommand(t *testing.T) {
	ctx := context.Background()
	user, admin := pin("a new user PIN"), pin("a new admin PIN")
	set := keySet(t, gpgcard.P256)
	finish := func(c *gpgcard.Card) error {
		if err := c.SetPINs(ctx, user, admin); err != nil {
			return err
		}
		info, err := c.Info(ctx)
		if err != nil {
			return err
		}
		for _, k := range info.Keys {
			if !k.Consistent {
				return fmt.Errorf("%+v", k)
			}
		}
		return nil
	}
	flows := map[string]func(c *gpgcard.Card) error{
		"reset and generate": func(c *gpgcard.Card) error {
			if err := c.Reset(ctx, gpgcard.ResetOptions{}); err != nil {
				return err
			}
			if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created}); err != nil {
				return err
			}
			if err := c.SetIdentity(ctx, nil, "Jane Doe", "jane@example.org"); err != nil {
				return err
			}
			return finish(c)
		},
		"reset and import": func(c *gpgcard.Card) error {
			if err := c.Reset(ctx, gpgcard.ResetOptions{}); err != nil {
				return err
			}
			if err := c.Import(ctx, set, gpgcard.ImportOptions{}); err != nil {
				return err
			}
			return finish(c)
		},
		"PINs": func(c *gpgcard.Card) error {
			if info, err := c.Info(ctx); err != nil || !info.Keys[0].Present {
				if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created}); err != nil {
					return err
				}
			}
			return finish(c)
		},
	}
	for name, flow := range flows {
		for _, p := range cardtest.Profiles {
			t.Run(name+"/"+p.Name, func(t *testing.T) {
				prepared := func() *cardtest.Card {
					card := cardtest.New(p)
					if name == "PINs" {
						c := open(t, card)
						if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created}); err != nil {
							t.Fatal(err)
						}
						c.Close()
					}
					return card
				}
				total := 0
				for n := 1; total == 0 || n <= total; n++ {
					for _, after := range []bool{false, true} {
						card := prepared()
						if after {
							card.CutAfter(n)
						} else {
							card.CutBefore(n)
						}
						err := once(card, flow)
						if err == nil {
							total = n - 1 // the flow has fewer commands
							break
						}
						if !errors.Is(err, gpgcard.ErrRemoved) {
							t.Fatalf("pulled at command %d (after: %v): %v", n, after, err)
						}
						card.CutBefore(0)
						if err := once(card, flow); err != nil {
							t.Fatalf("again after command %d (after: %v): %v", n, after, err)
						}
						if u, a := card.Tries(); u != 3 || a != 3 {
							t.Fatalf("after command %d: %d and %d tries left", n, u, a)
						}
					}
				}
				if total < 5 {
					t.Fatalf("only %d commands", total)
				}
				t.Logf("%d commands, each cut before and after", total)
			})
		}
	}
}

// once opens the card and runs the flow.
func once(card *cardtest.Card, flow func(*gpgcard.Card) error) error {
	c, err := gpgcard.Open(context.Background(), gpgcard.Selector{}, cardtest.NewBus(card))
	if err != nil {
		return err
	}
	defer c.Close()
	return flow(c)
}

func TestTouch(t *testing.T) {
	ctx := context.Background()
	for _, p := range []cardtest.Profile{cardtest.Nitrokey3, cardtest.Gnuk, cardtest.YubiKey} {
		card := cardtest.New(p)
		c := open(t, card)
		if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.Curve25519, Created: created}); err != nil {
			t.Fatal(err)
		}
		cert, err := c.Certificate(ctx, jane, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetTouch(ctx, nil, gpgcard.Signature, gpgcard.TouchOn); err != nil {
			t.Fatal(err)
		}
		card.SetTouchTimeout(200 * time.Millisecond)
		if _, err := c.SignDetached(ctx, cert, nil, []byte("x")); !errors.Is(err, gpgcard.ErrTouch) {
			t.Fatalf("%s, not touched: %v", p.Name, err)
		}
		card.SetTouchTimeout(time.Minute)
		asked := false
		c.OnWait(func(touch bool) {
			if touch {
				asked = true
				card.Touch()
			}
		})
		if _, err := c.SignDetached(ctx, cert, nil, []byte("x")); err != nil || !asked {
			t.Fatalf("%s, touched: %v, asked %v", p.Name, err, asked)
		}
		if err := c.SetTouch(ctx, nil, gpgcard.Signature, gpgcard.TouchFixed); err != nil {
			t.Fatal(err)
		}
		// No PIN is blocked by it, whatever the card's word is.
		if err := c.SetTouch(ctx, nil, gpgcard.Signature, gpgcard.TouchOff); !errors.Is(err, gpgcard.ErrTouchFixed) ||
			errors.Is(err, gpgcard.ErrBlocked) {
			t.Fatalf("%s, fixed: %v", p.Name, err)
		}
	}
	if err := open(t, cardtest.New(cardtest.ZeitControl)).SetTouch(ctx, nil, gpgcard.Signature,
		gpgcard.TouchOn); !errors.Is(err, gpgcard.ErrNoTouch) {
		t.Fatalf("got %v", err)
	}
}

func TestChoosingACard(t *testing.T) {
	ctx := context.Background()
	a, b := cardtest.New(cardtest.Nitrokey3), cardtest.New(cardtest.Nitrokey3)
	b.SetSerial(0xCAFE)
	bus := cardtest.NewBus(nil, a, b)
	if _, err := gpgcard.Open(ctx, gpgcard.Selector{}, bus); !errors.Is(err, gpgcard.ErrSeveralCards) {
		t.Fatalf("got %v", err)
	}
	for _, s := range []string{"000F:0000CAFE", "0000cafe", "000f 0000cafe", "D276000124010304000F0000CAFE0000"} {
		c, err := gpgcard.Open(ctx, gpgcard.Selector{Serial: s}, bus)
		if err != nil || c.Serial().Number != 0xcafe {
			t.Fatalf("%q: %v", s, err)
		}
		c.Close()
	}
	c, err := gpgcard.Open(ctx, gpgcard.Selector{Reader: "test:1"}, bus)
	if err != nil || c.Serial().Number == 0xcafe {
		t.Fatal(err)
	}
	c.Close()
	if _, err := gpgcard.Open(ctx, gpgcard.Selector{Serial: "12345678"}, bus); !errors.Is(err, gpgcard.ErrNoCard) {
		t.Fatalf("got %v", err)
	}
	if _, err := gpgcard.Open(ctx, gpgcard.Selector{}, cardtest.NewBus()); !errors.Is(err, gpgcard.ErrNoReader) {
		t.Fatalf("got %v", err)
	}
	// A bus that fails does not hide the card on another one.
	if c, err = gpgcard.Open(ctx, gpgcard.Selector{Serial: "0000CAFE"}, brokenBus{}, bus); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err = gpgcard.Open(ctx, gpgcard.Selector{}, brokenBus{}); !errors.Is(err, errBroken) {
		t.Fatalf("got %v", err)
	}
	// A terminated card has no number: it is the one that is missing, unless there are two.
	b.Terminate()
	if c, err = gpgcard.Open(ctx, gpgcard.Selector{Serial: "0000CAFE"}, bus); err != nil || !c.Terminated() {
		t.Fatalf("got %v", err)
	}
	c.Close()
	a.Terminate()
	if _, err = gpgcard.Open(ctx, gpgcard.Selector{Serial: "0000CAFE"}, bus); !errors.Is(err, gpgcard.ErrSeveralCards) {
		t.Fatalf("got %v", err)
	}
	found, err := gpgcard.List(ctx, bus)
	if err != nil || len(found) != 2 || !found[0].Terminated {
		t.Fatalf("%+v %v", found, err)
	}
}

func TestAlgorithmNotOffered(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		p   cardtest.Profile
		alg gpgcard.Algorithm
	}{{cardtest.ZeitControl, gpgcard.Curve25519}, {cardtest.Gnuk, gpgcard.RSA3072}, {cardtest.CanoKey, gpgcard.P521},
		{cardtest.CanoKey, gpgcard.RSA4096}} {
		c := open(t, cardtest.New(tc.p))
		err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: tc.alg, Created: created})
		var a *gpgcard.AlgorithmError
		if !errors.As(err, &a) || a.Algorithm != tc.alg {
			t.Fatalf("%s %v: %v", tc.p.Name, tc.alg, err)
		}
	}
}

// TestIgnoredAttribute: a card that takes the order for RSA 3072 and stays at 2048
// must not be believed.
func TestIgnoredAttribute(t *testing.T) {
	p := cardtest.ZeitControl
	p.Odd.IgnoresAttribute = true
	err := open(t, cardtest.New(p)).GenerateKeys(context.Background(),
		gpgcard.GenerateOptions{Algorithm: gpgcard.RSA3072, Created: created})
	var a *gpgcard.AlgorithmError
	if !errors.As(err, &a) || a.Algorithm != gpgcard.RSA3072 {
		t.Fatalf("got %v", err)
	}
}

func TestPINLengths(t *testing.T) {
	ctx := context.Background()
	bus := cardtest.NewBus(cardtest.New(cardtest.Nitrokey3))
	for _, tc := range []struct {
		vid, pid uint16
		p        cardtest.Profile
		which    gpgcard.PIN
		n        int
		ok       bool
	}{
		{0x20a0, 0x4108, cardtest.ZeitControl, gpgcard.AdminPIN, 25, true},
		{0x20a0, 0x4108, cardtest.ZeitControl, gpgcard.AdminPIN, 26, false},
		{0x316d, 0x4c4b, cardtest.ZeitControl, gpgcard.AdminPIN, 26, false},
		{0x20a0, 0x4109, cardtest.ZeitControl, gpgcard.AdminPIN, 21, false},
		{0x20a0, 0x4211, cardtest.Gnuk, gpgcard.UserPIN, 13, false},
		{0x20a0, 0x4211, cardtest.Gnuk, gpgcard.UserPIN, 14, true},
		{0x234b, 0x0000, cardtest.Gnuk, gpgcard.UserPIN, 6, true},
		{0, 0, cardtest.YubiKey, gpgcard.AdminPIN, 7, false},
		{0, 0, cardtest.YubiKey, gpgcard.AdminPIN, 127, true},
		{0, 0, cardtest.YubiKey, gpgcard.AdminPIN, 128, false},
	} {
		bus.Slots[0] = cardtest.Slot{Name: "0", Card: cardtest.New(tc.p), VID: tc.vid, PID: tc.pid}
		c, err := gpgcard.Open(ctx, gpgcard.Selector{}, bus)
		if err != nil {
			t.Fatal(err)
		}
		err = c.CheckPIN(ctx, tc.which, pin(strings.Repeat("x", tc.n)))
		var l *gpgcard.PINLengthError
		if tc.ok != (err == nil) || err != nil && !errors.As(err, &l) {
			t.Errorf("%04x:%04x %v of %d: %v", tc.vid, tc.pid, tc.which, tc.n, err)
		}
		c.Close()
	}
}

func TestClock(t *testing.T) {
	ctx := context.Background()
	c := open(t, cardtest.New(cardtest.Nitrokey3))
	var clock *gpgcard.ClockError
	if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256,
		Created: time.Unix(0, 0)}); !errors.As(err, &clock) {
		t.Fatalf("got %v", err)
	}
	if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created}); err != nil {
		t.Fatal(err)
	}
	cert, err := c.Certificate(ctx, jane, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Now = func() time.Time { return created.Add(-time.Second) }
	if _, err := c.SignDetached(ctx, cert, nil, nil); !errors.As(err, &clock) {
		t.Fatalf("got %v", err)
	}
}

// TestGnukOrder shows that the trap is real in the emulator, and that SetPINs
// avoids it.
func TestGnukOrder(t *testing.T) {
	ctx := context.Background()
	c := open(t, cardtest.New(cardtest.Gnuk))
	if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created}); err != nil {
		t.Fatal(err)
	}
	if err := c.ChangePIN(ctx, gpgcard.UserPIN, pin("123456"), pin("a user PIN")); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(ctx, gpgcard.AdminPIN, pin("a user PIN")); err != nil {
		t.Fatal("the emulator has no trap: ", err)
	}
}

// TestOddCards takes the wizard's flow to cards with properties that no make in
// this package has.
func TestOddCards(t *testing.T) {
	every := cardtest.Odd{AttributeEndsPIN: true, KeyEndsPIN: true, ObjectsApart: true, PublicAtImport: true,
		MaxVerify: 20, SelectFCI: true, LongDO: 400}
	for name, odd := range map[string]cardtest.Odd{
		"attribute ends PIN": {AttributeEndsPIN: true}, "key ends PIN": {KeyEndsPIN: true},
		"objects apart":    {ObjectsApart: true},
		"public at import": {PublicAtImport: true}, "short VERIFY": {MaxVerify: 20}, "FCI": {SelectFCI: true},
		"long 6E": {LongDO: 400}, "everything": every,
	} {
		for _, p := range []cardtest.Profile{cardtest.ZeitControl, cardtest.Nitrokey3, cardtest.Gnuk, cardtest.YubiKey} {
			t.Run(name+"/"+p.Name, func(t *testing.T) {
				p.Odd = odd
				own(t, cardtest.New(p), gpgcard.P256)
				c := open(t, cardtest.New(p))
				for _, alg := range []gpgcard.Algorithm{gpgcard.P256, gpgcard.Curve25519} {
					if alg == gpgcard.Curve25519 && p.Name == cardtest.ZeitControl.Name {
						continue // has no such curve
					}
					if err := c.Import(context.Background(), keySet(t, alg), gpgcard.ImportOptions{}); err != nil {
						t.Fatal(alg, err)
					}
				}
			})
		}
	}
}

var errBroken = errors.New("no permission")

type brokenBus struct{ gpgcard.Bus }

func (brokenBus) Readers(context.Context) ([]gpgcard.Reader, error) { return nil, errBroken }
