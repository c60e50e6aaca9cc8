package wizardtest

import (
	"context"
	"errors"

	"reown/internal/secret"
	"reown/wizard"
)

func (d disk) OpensNothing(ctx context.Context, pass *secret.Buffer) error {
	switch err := d.CheckPassphrase(ctx, pass); {
	case errors.Is(err, wizard.ErrWrongSecret):
		return nil
	case err != nil:
		return err
	}
	return wizard.ErrStillOpens
}

func (d disk) SecondRead(ctx context.Context, pass *secret.Buffer) error {
	return d.CheckPassphrase(ctx, pass)
}
