package gpgcard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
)

// endless is a link whose card never comes to the end of a command.
type endless struct {
	gpgcard.Link
	from int
}

func (e *endless) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	if e.from--; e.from < 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return e.Link.Transmit(ctx, apdu)
}

// TestEveryWaitHasAnEnd: a card that works for ever is left, and who leaves it is not told
// that it was the card.
func TestEveryWaitHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := gpgcard.New(t.Context(), &endless{cardtest.NewLink(cardtest.New(cardtest.Gnuk)), 2}, gpgcard.Reader{})
		if !errors.Is(err, gpgcard.ErrUnanswered) || time.Since(began) > time.Hour {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = gpgcard.New(ctx, &endless{cardtest.NewLink(cardtest.New(cardtest.Gnuk)), 2}, gpgcard.Reader{})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, gpgcard.ErrUnanswered) {
			t.Errorf("left: %v", err)
		}
	})
}

// TestAWrongPINIsSaidOnce: with every kind of key, for every use of it.
func TestAWrongPINIsSaidOnce(t *testing.T) {
	for _, alg := range []gpgcard.Algorithm{gpgcard.P256, gpgcard.P384, gpgcard.Curve25519, gpgcard.RSA2048} {
		c := open(t, cardtest.New(cardtest.YubiKey))
		if err := c.GenerateKeys(t.Context(), gpgcard.GenerateOptions{Algorithm: alg, Created: created}); err != nil {
			t.Fatal(err)
		}
		cert, err := c.Certificate(t.Context(), jane, nil)
		if err != nil {
			t.Fatal(err)
		}
		wrong := pin("no such PIN")
		_, signing := c.SignDetached(t.Context(), cert, wrong, []byte("x"))
		_, certifying := c.Certificate(t.Context(), jane, wrong)
		for _, err := range []error{signing, certifying} {
			var pe *gpgcard.PINError
			if !errors.As(err, &pe) || strings.Count(err.Error(), "wrong") != 1 || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: %q", alg, err)
			}
		}
	}
}
