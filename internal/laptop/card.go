package laptop

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"reown/gpgcard"
	"reown/internal/escape"
	"reown/internal/secret"
	"reown/wizard"
)

// Card is the one card with that serial number ("": the only one) on some buses: a key that
// is none of the laptop's own.
func Card(serial string, buses ...gpgcard.Bus) wizard.Card {
	return newCard(gpgcard.Selector{Serial: serial}, buses)
}

func newCard(sel gpgcard.Selector, buses []gpgcard.Bus) *card {
	return &card{sel: sel, buses: buses, finger: &finger{}}
}

// finger tells somebody when a card waits for one.
type finger struct {
	mu    sync.Mutex
	tell  func(waits bool)
	waits bool
}

// now says how it is; only a wait, and the end of one, is told.
func (f *finger) now(waits bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tell != nil && (waits || f.waits) {
		f.tell(waits)
	}
	f.waits = waits
}

// card shows an OpenPGP card to the wizard. The card is held only while a method
// runs, so that no verified PIN outlives it.
type card struct {
	sel    gpgcard.Selector
	buses  []gpgcard.Bus
	finger *finger
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
	k.OnWait(c.finger.now)
	err = f(k)
	k.OnWait(nil)
	c.finger.now(false)
	err = errors.Join(err, k.Close())
	var pin *gpgcard.PINError
	if errors.As(err, &pin) && pin.Left != 0 {
		return fmt.Errorf("%w: %w", wizard.ErrWrongSecret, err)
	}
	if errors.Is(err, gpgcard.ErrFalseKey) {
		return fmt.Errorf("%w: %w", wizard.ErrExchanged, err)
	}
	return err
}

func (c *card) At(serial string) wizard.Card {
	return &card{sel: gpgcard.Selector{Reader: c.sel.Reader, Serial: serial}, buses: c.buses, finger: c.finger}
}

// Announce implements wizard.Card.
func (c *card) Announce(f func(waits bool)) {
	c.finger.mu.Lock()
	defer c.finger.mu.Unlock()
	c.finger.tell = f
}

// Rehearse implements wizard.Card.
func (c *card) Rehearse(ctx context.Context, plan wizard.CardPlan) (found []*wizard.Finding, err error) {
	p := gpgcard.Plan{User: plan.User, Admin: plan.Admin, Import: plan.Import}
	if err := userID(plan.Identity).Check(); err != nil {
		found = append(found, refusedByCard(gpgcard.Info{}, err))
	}
	err = c.with(ctx, func(k *gpgcard.Card) error {
		i, err := k.Info(ctx)
		if err != nil || i.Terminated {
			return err
		}
		if plan.Algorithm != "" {
			if p.Algorithm, err = gpgcard.ParseAlgorithm(plan.Algorithm); err != nil {
				return err
			}
		} else if len(i.Algorithms) > 0 {
			p.Algorithm = i.Algorithms[0]
		}
		problems, err := k.Rehearse(ctx, p)
		for _, e := range problems {
			found = append(found, refusedByCard(i, e))
		}
		return err
	})
	return found, err
}

// refusedByCard is what a card would refuse, in the wizard's words.
func refusedByCard(i gpgcard.Info, err error) *wizard.Finding {
	f := &wizard.Finding{Kind: wizard.CardImport, Args: []any{i.Manufacturer, escape.Text(err.Error())}, Err: err}
	var pin *gpgcard.PINLengthError
	var alg *gpgcard.AlgorithmError
	switch {
	case errors.Is(err, gpgcard.ErrBadIdentity):
		f.Kind, f.Args = wizard.CardName, nil
	case errors.Is(err, gpgcard.ErrNoReset):
		f.Kind, f.Args = wizard.CardNoReset, []any{i.Manufacturer}
	case errors.As(err, &pin):
		f.Kind, f.Args = wizard.CardPIN, []any{i.Manufacturer, pin.Min, pin.Max}
	case errors.As(err, &alg):
		f.Kind, f.Args = wizard.CardAlgorithm, []any{i.Manufacturer, alg.Algorithm.String()}
	}
	return f
}

func (c *card) Info(ctx context.Context) (wizard.CardInfo, error) {
	var out wizard.CardInfo
	err := c.with(ctx, func(k *gpgcard.Card) error {
		i, err := k.Info(ctx)
		if err != nil {
			return err
		}
		out = wizard.CardInfo{
			Reader: i.ReaderName, Vendor: i.Manufacturer, Serial: fmt.Sprintf("%08X", i.Serial.Number), Application: i.AID,
			Terminated: i.Terminated, NoReset: !i.Resettable,
			Tries:  [3]int{i.User.Left, i.ResetCode.Left, i.Admin.Left},
			PINMin: [2]int{i.User.Reset[0], i.Admin.Reset[0]}, PINMax: [2]int{i.User.Reset[1], i.Admin.Reset[1]},
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

// SetHolder leaves the names out on a card that refuses them: nothing depends on them.
func (c *card) SetHolder(ctx context.Context, id wizard.Identity) error {
	err := c.with(ctx, func(k *gpgcard.Card) error { return k.SetIdentity(ctx, nil, id.Name, id.Email) })
	var refused *gpgcard.StatusError
	if errors.As(err, &refused) && refused.Unwrap() == nil {
		return nil
	}
	return err
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
