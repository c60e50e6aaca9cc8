package luks

import (
	"context"
	"errors"
	"fmt"

	"reown/internal/secret"
)

// SetPassphrase makes newPass the only way to open the volume: a keyslot for it is
// added and proven, every other keyslot is destroyed and its key material wiped.
// The slot that old opened keeps its number and its tokens. It may be repeated
// after an interruption anywhere: old is not needed once newPass opens a slot. On
// a volume being re-encrypted it returns nil when newPass opens everything there
// is, and ErrReencrypting otherwise: finish first.
func (v *Volume) SetPassphrase(ctx context.Context, old, newPass *secret.Buffer) (err error) {
	defer v.account.close(&err)
	if err := v.notEmpty(newPass); err != nil {
		return err
	}
	if err := v.begin(ctx); err != nil {
		return err
	}
	if len(v.h.meta.requirements) > 0 {
		return v.opensAll(ctx, newPass)
	}
	d, err := v.h.meta.dataDigest()
	if err != nil {
		return err
	}
	keep, vk, err := v.find(ctx, newPass, v.h.meta.slotsOf(d))
	if err == nil && v.belowFloor(keep) {
		defer vk.Wipe()
		return v.setOnly(ctx, keep, vk, newPass, d.id)
	}
	if err == nil {
		vk.Wipe()
		number := keep
		if len(v.h.meta.keyslots) > 1 { // interrupted after the new slot was added
			if s, vk, err := v.find(ctx, old, v.h.meta.slotsOf(d)); err == nil {
				vk.Wipe()
				number = s
			}
		}
		return v.keepOnly(ctx, keep, number)
	}
	var bad *IOError
	if ctx.Err() != nil || errors.As(err, &bad) {
		return err
	}
	// A slot that cannot be tried does not matter if old opens another.
	from, vk, err := v.find(ctx, old, v.h.meta.slotsOf(d))
	if err != nil {
		return err
	}
	defer vk.Wipe()
	return v.setOnly(ctx, from, vk, newPass, d.id)
}

// setOnly makes a keyslot for pass that takes the place of slot from, and of all others.
func (v *Volume) setOnly(ctx context.Context, from int, vk, pass *secret.Buffer, digestID int) error {
	st, err := v.style(from, v.kdf)
	if err != nil {
		return err
	}
	keep, err := v.add(ctx, st, vk, pass, digestID, -1)
	if errors.Is(err, ErrNoSpace) {
		// Room is made by destroying the slots that have to go anyway. The one that
		// is known to open stays.
		if err = v.keepOnly(ctx, from, from); err == nil {
			keep, err = v.add(ctx, st, vk, pass, digestID, -1)
		}
	}
	if err != nil {
		return err
	}
	return v.keepOnly(ctx, keep, from)
}

// belowFloor reports whether a keyslot is weaker than one made now.
func (v *Volume) belowFloor(slot int) bool {
	k := v.h.meta.keyslots[slot]
	strong := k.aboveFloor()
	switch {
	case choosesNothing || v.kdf == KDFInherit:
		return false
	case v.h.v1 != nil:
		strong = k.kdf.iterations >= leastRounds
	case v.kdf == KDFPBKDF2:
		strong = strong || k.kdf.typ == "pbkdf2" && k.kdf.hash != "sha1" && k.kdf.iterations >= leastRounds &&
			k.af.stripes >= stripes1
	}
	return !strong
}

// notEmpty refuses the empty passphrase, which opens the volume to everybody.
func (v *Volume) notEmpty(pass *secret.Buffer) error {
	if pass.Len() == 0 && !v.allowEmpty {
		return ErrEmptyPassphrase
	}
	return nil
}

// opensAll returns nil when pass opens every passphrase slot.
func (v *Volume) opensAll(ctx context.Context, pass *secret.Buffer) error {
	for _, s := range v.h.meta.passSlots() {
		vk, err := v.openSlot(ctx, s, pass)
		if errors.Is(err, ErrWrongPassphrase) {
			return fmt.Errorf("%w, and keyslot %d has another passphrase", ErrReencrypting, s)
		}
		if err != nil {
			return err
		}
		vk.Wipe()
	}
	return nil
}

// keepOnly destroys every keyslot but one, gives that one its number, and wipes
// what is no longer referred to.
func (v *Volume) keepOnly(ctx context.Context, keep, number int) error {
	if v.h.v1 != nil && !renames1(keep, number) {
		number = keep
	}
	root := v.h.root.clone()
	changed := keep != number
	for i := range v.h.meta.keyslots {
		if i != keep {
			// The successor takes over the tokens of the slot whose number it gets.
			if i == number {
				replaceToken(root, i, keep)
			}
			dropSlot(root, i)
			changed = true
		}
	}
	if changed {
		renameSlot(root, keep, number)
		if err := v.commit(ctx, root); err != nil {
			return err
		}
	}
	return v.scrub(ctx)
}
