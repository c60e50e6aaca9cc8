package laptop

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"reown/internal/secret"
	"reown/luks"
	"reown/luks/second"
	"reown/wizard"
)

func (d *disk) OpensNothing(ctx context.Context, pass *secret.Buffer) (slots string, err error) {
	err = d.with(ctx, true, func(v *luks.Volume) (err error) {
		slots, err = v.OpensNothing(ctx, pass)
		var opens *luks.OpensError
		if errors.As(err, &opens) {
			return fmt.Errorf("%w: %w", wizard.ErrStillOpens, err)
		}
		return err
	})
	return slots, err
}

func (d *disk) SlotsDigest(ctx context.Context) (slots string, err error) {
	err = d.with(ctx, true, func(v *luks.Volume) (err error) {
		slots, err = v.SlotsDigest(ctx)
		return err
	})
	return slots, err
}

func (d *disk) Look(ctx context.Context, pass *secret.Buffer) error {
	return d.with(ctx, true, func(v *luks.Volume) error {
		err := v.Look(ctx, pass)
		if errors.Is(err, luks.ErrNoise) {
			return fmt.Errorf("%w: %w", wizard.ErrNoise, err)
		}
		if errors.Is(err, luks.ErrUnseen) {
			return fmt.Errorf("%w: %w", wizard.ErrUnseen, err)
		}
		return err
	})
}

// SecondRead compares the volume key that the second reader finds with the one that we find, by
// their marks under a salt of this moment.
func (d *disk) SecondRead(ctx context.Context, pass *secret.Buffer) error {
	salt := make([]byte, 32)
	_, _ = rand.Read(salt) // it never fails
	var slot int
	var mark luks.Mark
	err := d.with(ctx, true, func(v *luks.Volume) (err error) {
		if slot, err = v.Unlock(ctx, pass); err == nil {
			mark, err = v.Mark(ctx, pass, salt)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = second.Open(ctx, d.spec.Path, d.spec.Offset, d.spec.Size, slot, pass, salt, mark)
	switch {
	case errors.Is(err, second.ErrDiffers):
		return fmt.Errorf("%w: %w", wizard.ErrOtherKey, err)
	case errors.Is(err, luks.ErrWrongPassphrase):
		return fmt.Errorf("%w: %w", wizard.ErrWrongSecret, err)
	}
	return err
}
