package main

import (
	"context"

	"reown/internal/hotpkey"
	"reown/internal/secret"
	"reown/internal/usb"
	"reown/wizard"
)

// hotpToken shows the HOTP side of a security key to the wizard. The key is held only
// while a method runs: the same key is the OpenPGP card of the other steps.
type hotpToken struct{ bus usb.Bus }

// findToken returns a token if exactly one key on the bus can verify HOTP codes, nil
// otherwise.
func findToken(bus usb.Bus) wizard.Token {
	if list, err := hotpkey.List(bus); err != nil || len(list) != 1 {
		return nil
	}
	return &hotpToken{bus}
}

func (t *hotpToken) with(ctx context.Context, touch func(), f func(*hotpkey.Token) error) error {
	k, err := hotpkey.Find(ctx, t.bus, hotpkey.Options{Touch: func(hotpkey.Touch) {
		if touch != nil {
			touch()
		}
	}})
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
		if err != nil {
			return err
		}
		out = wizard.TokenInfo{Name: i.Model, Configured: i.Slot == hotpkey.SlotSet, PINTries: i.PINTries}
		if !i.PINSet {
			out.PINTries = -1
		}
		return nil
	})
	return out, err
}

// Set makes the key forget what the seller stored where that is no part of the
// OpenPGP card (the Nitrokey 3's secrets app, whose PIN the seller may have set),
// and stores the new secret.
func (t *hotpToken) Set(ctx context.Context, otp, adminPIN *secret.Buffer, touch func()) error {
	return t.with(ctx, touch, func(k *hotpkey.Token) error {
		if !k.NeedsPIN() {
			if err := k.Reset(ctx, nil); err != nil {
				return err
			}
		}
		_, err := k.Seal(ctx, adminPIN, otp, hotpkey.SetOptions{NewPIN: true})
		return err
	})
}

// CounterFile is what Heads' own tool leaves after the first check.
func (t *hotpToken) CounterFile() []byte { return []byte(hotpkey.FormatCounter(2)) }
