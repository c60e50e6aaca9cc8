package cardtest_test

import (
	"context"
	"testing"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/internal/secret"
)

// TestSaveAndLoad restarts a token's process in the middle of its life.
func TestSaveAndLoad(t *testing.T) {
	ctx := context.Background()
	for _, p := range cardtest.Profiles {
		t.Run(p.Name, func(t *testing.T) {
			card := cardtest.New(p)
			card.SetSerial(4711)
			var saved []byte
			card.OnChange(func(b []byte) { saved = b })
			c, err := gpgcard.Open(ctx, gpgcard.Selector{}, cardtest.NewBus(card))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256,
				Created: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)}); err != nil {
				t.Fatal(err)
			}
			cert, err := c.Certificate(ctx, gpgcard.Identity{Name: "Jane"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			wrong := secret.From([]byte("wrong PIN"))
			if err := c.Verify(ctx, gpgcard.AdminPIN, wrong); err == nil {
				t.Fatal("any PIN will do")
			}
			c.Close()

			card, err = cardtest.Load(saved)
			if err != nil {
				t.Fatal(err)
			}
			if u, a := card.Tries(); u != 3 || a != 2 {
				t.Fatalf("%d and %d tries left", u, a)
			}
			c, err = gpgcard.Open(ctx, gpgcard.Selector{Serial: "00001267"}, cardtest.NewBus(card))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.SignDetached(ctx, cert, nil, []byte("data")); err != nil {
				t.Fatal(err)
			}
		})
	}
	if _, err := cardtest.Load([]byte(`{"Profile":"none"}`)); err == nil {
		t.Fatal("an unknown profile was loaded")
	}
}
