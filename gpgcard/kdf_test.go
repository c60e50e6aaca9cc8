package gpgcard_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/internal/pcsc"
)

// TestKDFThenGPG hashes the PINs with our code and lets gpg use the card with the
// same PINs; then the other way round.
func TestKDFThenGPG(t *testing.T) {
	for _, p := range []cardtest.Profile{cardtest.ZeitControl, cardtest.Gnuk, cardtest.YubiKey} {
		t.Run(p.Name, func(t *testing.T) {
			ctx := context.Background()
			card := cardtest.New(p)
			d, g := daemon(t, card)
			c, err := gpgcard.Open(ctx, gpgcard.Selector{}, pcsc.Bus{Socket: d.Socket})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := c.EnableKDF(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.RSA2048, Created: created}); err != nil {
				t.Fatal(err)
			}
			user := pin("a user PIN")
			if err := c.SetPINs(ctx, user, pin("an admin PIN")); err != nil {
				t.Fatal(err)
			}
			cert, err := c.Certificate(ctx, jane, user)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			file := filepath.Join(g.Home, "in")
			if err := os.WriteFile(file, cert.Armored(), 0o600); err != nil {
				t.Fatal(err)
			}
			must(t, g, nil, "--import", file)
			if out := must(t, g, nil, "--card-status"); !strings.Contains(out, "KDF setting ......: on") {
				t.Fatal(out)
			}
			must(t, g, []byte("a user PIN\n"), "-o", file+".sig", "--detach-sign", file)
			edit(t, g, []string{"admin", "passwd"}, map[string]string{"cardutil.change_pin.menu": "3|1|q"},
				"an admin PIN", "other admin pin", "other admin pin", "a user PIN", "other user pin", "other user pin")
			g.Kill()
			if c, err = gpgcard.Open(ctx, gpgcard.Selector{}, pcsc.Bus{Socket: d.Socket}); err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Verify(ctx, gpgcard.AdminPIN, pin("other admin pin")); err != nil {
				t.Fatal(err)
			}
			if _, err := c.SignDetached(ctx, cert, pin("other user pin"), []byte("x")); err != nil {
				t.Fatal(err)
			}
			if u, a := card.Tries(); u != 3 || a != 3 {
				t.Fatalf("%d and %d tries left", u, a)
			}
			if err := c.Reset(ctx, gpgcard.ResetOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := c.Verify(ctx, gpgcard.AdminPIN, pin("12345678")); err != nil {
				t.Fatal("after a reset PINs are plain again: ", err)
			}
		})
	}
	t.Run("canokey", func(t *testing.T) {
		if err := open(t, cardtest.New(cardtest.CanoKey)).EnableKDF(context.Background()); !errors.Is(err, gpgcard.ErrNoKDF) {
			t.Fatalf("got %v", err)
		}
	})
}
