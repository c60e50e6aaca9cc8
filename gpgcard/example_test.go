package gpgcard_test

import (
	"context"
	"fmt"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
)

// A factory-new card gets keys and a certificate of them, and signs.
func Example() {
	ctx := context.Background()
	bus := cardtest.NewBus(cardtest.New(cardtest.Nitrokey3)) // laptop.CardBuses are those of a computer
	card, err := gpgcard.Open(ctx, gpgcard.Selector{}, bus)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer card.Close()
	who := gpgcard.Identity{Name: "Jane Doe", Email: "jane@example.org"}
	made := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	// nil stands for the factory PINs.
	if err := card.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.Curve25519, Created: made}); err != nil {
		fmt.Println(err)
		return
	}
	cert, err := card.Certificate(ctx, who, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	document := []byte("the start files")
	sig, err := card.SignDetached(ctx, cert, nil, document)
	if err != nil {
		fmt.Println(err)
		return
	}
	good, err := gpgcard.VerifyDetached(cert, sig, document)
	fmt.Println(err, len(good.Fingerprint))
	_, err = gpgcard.VerifyDetached(cert, sig, []byte("other files"))
	fmt.Println(err != nil)
	// Output:
	// <nil> 40
	// true
}
