package laptop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"reown/internal/hotpkey"
	"reown/internal/secret"
	"reown/internal/usb"
	"reown/wizard"
)

// hotpToken shows the HOTP side of a security key to the wizard. The key is held only
// while a method runs: the same key is the OpenPGP card of the other steps.
type hotpToken struct{ bus usb.Bus }

// Present looks at the bus anew each time: the key may come after the program.
func (t *hotpToken) Present(ctx context.Context) bool {
	list, err := hotpkey.Wait(ctx, t.bus)
	return err == nil && len(list) == 1
}

func (t *hotpToken) with(ctx context.Context, touch func(hotpkey.Touch), f func(*hotpkey.Token) error) error {
	k, err := hotpkey.Find(ctx, t.bus, hotpkey.Options{Touch: touch})
	if err != nil {
		return err
	}
	defer k.Close()
	return f(k)
}

func (t *hotpToken) Info(ctx context.Context) (wizard.TokenInfo, error) {
	var out wizard.TokenInfo
	err := t.with(ctx, nil, func(k *hotpkey.Token) error {
		i, err := k.Info(ctx)
		if errors.Is(err, hotpkey.ErrNoApp) {
			return fmt.Errorf("%w: %w", wizard.ErrNoHOTP, err)
		} else if err != nil {
			return err
		}
		out = wizard.TokenInfo{Name: i.Model, Configured: i.Slot == hotpkey.SlotSet, PINTries: i.PINTries}
		if !i.PINSet {
			out.PINTries = -1
		}
		if !k.NeedsPIN() {
			out.Touches = secretsTouches
		}
		if i.TooOld {
			return fmt.Errorf("%w: %w", wizard.ErrNoHOTP, hotpkey.ErrOldFirmware)
		}
		return nil
	})
	return out, err
}

// secretsTouches is how often a Nitrokey 3 is touched in Set: for the reset of its secrets
// app, and to set the PIN of the empty one.
const secretsTouches = 2

// Set makes the key forget what the seller stored where that is no part of the
// OpenPGP card (the Nitrokey 3's secrets app, whose PIN the seller may have set),
// and stores the new secret.
func (t *hotpToken) Set(ctx context.Context, otp, adminPIN *secret.Buffer, touch func(n, of int)) error {
	n := 0
	announce := func(x hotpkey.Touch) {
		if !x.Again {
			n++
		}
		if touch != nil {
			touch(n, max(n, secretsTouches))
		}
	}
	return t.with(ctx, announce, func(k *hotpkey.Token) error {
		if !k.NeedsPIN() {
			if err := k.Reset(ctx, nil); err != nil {
				return err
			}
		}
		_, err := k.Seal(ctx, adminPIN, otp, hotpkey.SetOptions{NewPIN: true})
		return err
	})
}

// AfterReset makes the AES keys of a Nitrokey Storage, Pro or Librem Key anew, and
// waits until the key, which restarts, is on the bus again.
func (t *hotpToken) AfterReset(ctx context.Context, adminPIN *secret.Buffer) error {
	restarts := false
	err := t.with(ctx, nil, func(k *hotpkey.Token) error {
		restarts = k.NeedsPIN()
		return k.RegenerateAES(ctx, adminPIN)
	})
	if errors.Is(err, hotpkey.ErrNoToken) {
		return nil // a second security key without the function
	}
	for end := time.Now().Add(backOnBus); err == nil && restarts; {
		if list, lerr := hotpkey.List(t.bus); lerr == nil && len(list) == 1 {
			break
		}
		if time.Now().After(end) {
			return hotpkey.ErrNoToken
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return err
}

// backOnBus is how long a key may take to restart.
const backOnBus = 15 * time.Second

// CounterFile is what Heads' own tool leaves after the first check.
func (t *hotpToken) CounterFile() []byte { return []byte(hotpkey.FormatCounter(2)) }
