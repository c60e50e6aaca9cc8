package gpgcard_test

import (
	"errors"
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
)

// SetPINs goes on where an earlier one was cut: it has sent the factory PIN, which the
// card refused, and nothing more.
func TestSetPINsAgain(t *testing.T) {
	user, admin := pin("correct horse 1"), pin("battery staple 1")
	for _, p := range cardtest.Profiles {
		t.Run(p.Name, func(t *testing.T) {
			card := cardtest.New(p)
			c := open(t, card)
			if err := c.GenerateKeys(t.Context(),
				gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created}); err != nil {
				t.Fatal(err)
			}
			set := func(want error) {
				t.Helper()
				if err := c.SetPINs(t.Context(), user, admin); !errors.Is(err, want) {
					t.Fatalf("got %v, want %v", err, want)
				}
			}
			tries := func(u, a int) {
				t.Helper()
				if x, y := card.Tries(); x != u || y != a {
					t.Fatalf("%d and %d tries left, want %d and %d", x, y, u, a)
				}
			}
			set(nil)
			set(nil)
			card.SetTries(3, 2)
			set(nil)
			card.SetTries(2, 3)
			set(nil)
			tries(3, 3)
			card.SetTries(1, 3)
			set(gpgcard.ErrLastTry)
			tries(1, 3)
			c.AllowLastTry = true
			set(nil)
			tries(3, 3)
			card.SetTries(0, 3)
			set(gpgcard.ErrBlocked)
		})
	}
}

// With two tries left only one PIN may be tried, unless the caller allows the last.
func TestSetPINsWithFactoryPINsAndTwoTries(t *testing.T) {
	card := cardtest.New(cardtest.Nitrokey3)
	c := open(t, card)
	card.SetTries(3, 2)
	var wrong *gpgcard.PINError
	if err := c.SetPINs(t.Context(), pin("correct horse 1"), pin("battery staple 1")); !errors.As(err, &wrong) ||
		wrong.Left != 1 {
		t.Fatal(err)
	}
	card.SetTries(3, 2)
	c.AllowLastTry = true
	if err := c.SetPINs(t.Context(), pin("correct horse 1"), pin("battery staple 1")); err != nil {
		t.Fatal(err)
	}
	if _, left := card.Tries(); left != 3 {
		t.Fatalf("%d tries left", left)
	}
}
