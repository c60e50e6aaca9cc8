package luks_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"reown/internal/secret"
	"reown/luks"
)

// What stands on a device is told without a passphrase, and nothing is written.
func ExampleFind() {
	f, err := os.CreateTemp("", "image")
	if err != nil {
		panic(err)
	}
	defer os.Remove(f.Name())
	if err := errors.Join(f.Truncate(1<<20), f.Close()); err != nil {
		panic(err)
	}
	found := luks.Find(context.Background(), f.Name(), luks.Options{})
	fmt.Println(found.Kind, found.Version, found.Err)
	// Output: none 0 <nil>
}

// A volume gets a passphrase and then a key that nobody else has seen. After an interruption the same
// calls go on.
func ExampleVolume_Reencrypt() {
	ctx := context.Background()
	own := func(device string, old, mine *secret.Buffer) error {
		v, err := luks.Open(ctx, device, luks.Options{})
		if err != nil {
			return err
		}
		defer v.Close()
		if err := v.SetPassphrase(ctx, old, mine); err != nil {
			return err
		}
		return v.Reencrypt(ctx, mine, luks.ReencryptOptions{})
	}
	fmt.Println(errors.Is(own("/nowhere", nil, secret.From([]byte("mine"))), os.ErrNotExist))
	// Output: true
}
