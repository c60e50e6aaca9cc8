package gpgcard_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
)

// TestSilenceIsSeen: a card that takes its time is heard of every five seconds, on a reader
// that says nothing, too; where the policy wants a finger, each time with that.
func TestSilenceIsSeen(t *testing.T) {
	for name, link := range map[string]func(*cardtest.Card) gpgcard.Link{
		"a reader that tells of more time": func(c *cardtest.Card) gpgcard.Link { return cardtest.NewLink(c) },
		"a silent reader": func(c *cardtest.Card) gpgcard.Link {
			return struct{ gpgcard.Link }{cardtest.NewLink(c)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				card := cardtest.New(cardtest.YubiKey)
				c, err := gpgcard.New(t.Context(), link(card), gpgcard.Reader{})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				c.Now = func() time.Time { return created.Add(time.Hour) }
				if err := c.GenerateKeys(t.Context(),
					gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created}); err != nil {
					t.Fatal(err)
				}
				cert, err := c.Certificate(t.Context(), jane, nil)
				if err != nil {
					t.Fatal(err)
				}
				var heard []bool
				c.OnWait(func(touch bool) { heard = append(heard, touch) })
				card.Slow(12 * time.Second)
				if _, err := c.Info(t.Context()); err != nil || len(heard) < 2 || slices.Contains(heard, true) {
					t.Errorf("without a policy: %v, heard %v", err, heard)
				}
				card.Slow(0)
				if err := c.SetTouch(t.Context(), nil, gpgcard.Signature, gpgcard.TouchOn); err != nil {
					t.Fatal(err)
				}
				heard = nil
				card.SetTouchTimeout(time.Minute)
				time.AfterFunc(12*time.Second, card.Touch)
				if _, err := c.SignDetached(t.Context(), cert, nil, []byte("x")); err != nil || len(heard) < 3 ||
					slices.Contains(heard, false) {
					t.Errorf("with a policy: %v, heard %v", err, heard)
				}
				n := len(heard)
				time.Sleep(time.Minute)
				if len(heard) != n {
					t.Error("heard of it after the command")
				}
			})
		})
	}
}
