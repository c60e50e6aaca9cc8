package gpgcard_test

import (
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/internal/secret"
)

// A Nitrokey 3 ignores that it is switched off, so that the next program could use a
// PIN which it never knew. Close ends the verification itself.
func TestCloseForgetsPINs(t *testing.T) {
	user, admin := secret.From([]byte("123456")), secret.From([]byte("12345678"))
	card := cardtest.New(cardtest.Nitrokey3)
	card.KeepsPIN(true)
	verified := func() (all []byte) {
		card.PowerOn()
		for _, ref := range []byte{0x81, 0x82, 0x83} {
			// An empty VERIFY asks (clause 7.2.2).
			if r := card.Transmit([]byte{0, 0x20, 0, ref}); string(r) == "\x90\x00" {
				all = append(all, ref)
			}
		}
		return all
	}
	c, err := gpgcard.Open(t.Context(), gpgcard.Selector{}, cardtest.NewBus(card))
	if err != nil {
		t.Fatal(err)
	}
	for which, pin := range map[gpgcard.PIN]*secret.Buffer{gpgcard.UserPIN: user, gpgcard.AdminPIN: admin} {
		if err := c.Verify(t.Context(), which, pin); err != nil {
			t.Fatal(err)
		}
	}
	if left := verified(); len(left) != 2 {
		t.Fatalf("the emulated card does not keep what a Nitrokey 3 keeps: %X", left)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if left := verified(); left != nil {
		t.Errorf("still verified: %X", left)
	}
}
