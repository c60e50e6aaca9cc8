package wizardtest

import (
	"context"
	"errors"

	"reown/internal/secret"
	"reown/wizard"
)

func (d disk) OpensNothing(ctx context.Context, pass *secret.Buffer) (string, error) {
	switch err := d.CheckPassphrase(ctx, pass); {
	case errors.Is(err, wizard.ErrWrongSecret):
		return d.SlotsDigest(ctx)
	case err != nil:
		return "", err
	}
	return "", wizard.ErrStillOpens
}

func (d disk) SlotsDigest(context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.v()
	return hash(append([]string{"slots", v.UUID, v.Key, v.NewKey, v.DUK}, v.Slots...)...), d.read()
}

// Look sees what the first chunk is under.
func (d disk) Look(ctx context.Context, pass *secret.Buffer) error {
	if err := d.CheckPassphrase(ctx, pass); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.Refuses["look"]; f != nil {
		return f
	}
	v := d.v()
	if v.Unseen {
		return wizard.ErrUnseen
	}
	under := v.Key
	if v.NewKey != "" && v.Done > 0 {
		under = v.NewKey
	}
	if v.Blank || v.Chunks[0] != under {
		return wizard.ErrNoise
	}
	return d.read()
}

func (d disk) SecondRead(ctx context.Context, pass *secret.Buffer) error {
	return d.CheckPassphrase(ctx, pass)
}
