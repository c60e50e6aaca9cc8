package laptop

import (
	"context"
	"errors"
	"fmt"

	"reown/gpgcard"
	"reown/internal/secret"
	"reown/wizard"
)

// Card is the one card with that serial number ("": the only one) on some buses: a key that
// is none of the laptop's own.
func Card(serial string, buses ...gpgcard.Bus) wizard.Card {
	return &card{sel: gpgcard.Selector{Serial: serial}, buses: buses}
}

// card shows an OpenPGP card to the wizard. The card is held only while a method
// runs, so that no verified PIN outlives it.
type card struct {
	sel   gpgcard.Selector
	buses []gpgcard.Bus
}

func (c *card) with(ctx context.Context, f func(*gpgcard.Card) error) error {
	k, err := gpgcard.Open(ctx, c.sel, c.buses...)
	if err != nil {
		if errors.Is(err, gpgcard.ErrNoReader) || errors.Is(err, gpgcard.ErrNoCard) || errors.Is(err, gpgcard.ErrRemoved) {
			return fmt.Errorf("%w: %w", wizard.ErrNoCard, err)
		}
		if errors.Is(err, gpgcard.ErrSeveralCards) {
			return fmt.Errorf("%w: %w", wizard.ErrSeveralCards, err)
		}
		return err
	}
	err = errors.Join(f(k), k.Close())
	var pin *gpgcard.PINError
	if errors.As(err, &pin) && pin.Left != 0 {
		return fmt.Errorf("%w: %w", wizard.ErrWrongSecret, err)
	}
	return err
}

func (c *card) At(serial string) wizard.Card {
	return &card{sel: gpgcard.Selector{Reader: c.sel.Reader, Serial: serial}, buses: c.buses}
}

func (c *card) Info(ctx context.Context) (wizard.CardInfo, error) {
	var out wizard.CardInfo
	err := c.with(ctx, func(k *gpgcard.Card) error {
		i, err := k.Info(ctx)
		if err != nil {
			return err
		}
		out = wizard.CardInfo{
			Reader: i.ReaderName, Vendor: i.Manufacturer, Serial: fmt.Sprintf("%08X", i.Serial.Number), Application: i.AID, Terminated: i.Terminated, NoReset: !i.Resettable,
			Tries:  [3]int{i.User.Left, i.ResetCode.Left, i.Admin.Left},
			PINMin: [2]int{i.User.MinLen, i.Admin.MinLen}, PINMax: [2]int{i.User.MaxLen, i.Admin.MaxLen},
			Signatures: uint32(i.Signatures),
		}
		if i.Terminated {
			out.Serial = "" // it does not tell
		}
		for _, a := range i.Algorithms {
			out.Algorithms = append(out.Algorithms, a.String())
		}
		for n, key := range i.Keys {
			if key.Present && key.Consistent {
				out.Fingerprints[n] = key.Fingerprint
			}
			if key.Touch != "" && key.Touch != gpgcard.TouchOff.String() {
				out.Touch = key.Touch
			}
		}
		return nil
	})
	return out, err
}

func (c *card) Reset(ctx context.Context) error {
	return c.with(ctx, func(k *gpgcard.Card) error { return k.Reset(ctx, gpgcard.ResetOptions{}) })
}

func (c *card) Generate(ctx context.Context, spec wizard.KeySpec, progress wizard.Progress) error {
	alg, err := gpgcard.ParseAlgorithm(spec.Algorithm)
	if err != nil {
		return err
	}
	return c.with(ctx, func(k *gpgcard.Card) error {
		return k.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: alg, Created: spec.Created, Progress: progress})
	})
}

func (c *card) Import(ctx context.Context, set wizard.KeySet, progress wizard.Progress) error {
	k, ok := set.(keySet)
	if !ok {
		return gpgcard.ErrNotImportable
	}
	return c.with(ctx, func(c *gpgcard.Card) error {
		return c.Import(ctx, k.KeySet, gpgcard.ImportOptions{Progress: progress})
	})
}

func (c *card) SetPINs(ctx context.Context, user, admin *secret.Buffer) error {
	return c.with(ctx, func(k *gpgcard.Card) error { return k.SetPINs(ctx, user, admin) })
}

func (c *card) VerifyPINs(ctx context.Context, user, admin *secret.Buffer) error {
	return c.with(ctx, func(k *gpgcard.Card) error {
		if user != nil {
			if err := k.Verify(ctx, gpgcard.UserPIN, user); err != nil {
				return err
			}
		}
		if admin != nil {
			return k.Verify(ctx, gpgcard.AdminPIN, admin)
		}
		return nil
	})
}

func (c *card) Certify(ctx context.Context, id wizard.Identity, userPIN *secret.Buffer) ([]byte, error) {
	if id == (wizard.Identity{}) {
		id.Name = "Owner" // an OpenPGP key must say something (RFC 9580, 10.1)
	}
	var out []byte
	err := c.with(ctx, func(k *gpgcard.Card) error {
		cert, err := k.Certificate(ctx, userID(id), userPIN)
		if err == nil {
			out = cert.Bytes()
		}
		return err
	})
	return out, err
}

func (c *card) Sign(ctx context.Context, cert []byte, userPIN *secret.Buffer, data []byte) ([]byte, error) {
	parsed, err := gpgcard.ParseCert(cert)
	if err != nil {
		return nil, err
	}
	var sig []byte
	err = c.with(ctx, func(k *gpgcard.Card) error {
		sig, err = k.SignDetached(ctx, parsed, userPIN, data)
		return err
	})
	return sig, err
}
