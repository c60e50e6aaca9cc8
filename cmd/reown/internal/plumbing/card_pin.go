package plumbing

import (
	"context"

	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
	"reown/internal/secret"
)

func cardPIN(ctx context.Context, e *cli.Env, args []string) error {
	f := newCardFlags("pin").withPINs()
	var newFile, codeFile string
	f.StringVar(&newFile, "new-pin-file", "", "FILE the new PIN, or reset code")
	f.StringVar(&codeFile, "code-file", "", "FILE the reset code")
	ops, err := cli.Parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	files := map[string][2]string{ // what each operation takes: flag and file
		"set":     {"pin-file", f.pin},
		"user":    {"new-pin-file", newFile},
		"admin":   {"new-pin-file", newFile},
		"unblock": {"new-pin-file", newFile},
		"code":    {"admin-pin-file", f.admin},
	}
	need, ok := files[ops[0]]
	if !ok {
		return cli.Usagef("%s: set, user, admin, unblock or code, not %q", f.Name(), ops[0])
	}
	if need[1] == "" {
		return cli.Usagef("%s %s: --%s is needed", f.Name(), ops[0], need[0])
	}
	if ops[0] == "set" && f.admin == "" {
		return cli.Usagef("%s set: --admin-pin-file is needed", f.Name())
	}
	var user, admin, fresh, code *secret.Buffer
	for _, s := range []struct {
		file string
		to   **secret.Buffer
	}{{f.pin, &user}, {f.admin, &admin}, {newFile, &fresh}, {codeFile, &code}} {
		if *s.to, err = e.OptionalSecret(s.file); err != nil {
			return err
		}
		defer (*s.to).Wipe()
	}
	return f.with(ctx, e, func(c *gpgcard.Card) error {
		switch ops[0] {
		case "set":
			return c.SetPINs(ctx, user, admin)
		case "user":
			return changePIN(ctx, c, gpgcard.UserPIN, user, fresh)
		case "admin":
			return changePIN(ctx, c, gpgcard.AdminPIN, admin, fresh)
		case "unblock":
			if code != nil {
				return c.UnblockWithCode(ctx, code, fresh)
			}
			return c.Unblock(ctx, admin, fresh)
		}
		return c.SetResetCode(ctx, admin, fresh)
	})
}

// changePIN changes one PIN; without the old one it is the factory's.
func changePIN(ctx context.Context, c *gpgcard.Card, which gpgcard.PIN, old, fresh *secret.Buffer) error {
	if old == nil {
		old = gpgcard.FactoryPIN(which)
		defer old.Wipe()
	}
	return c.ChangePIN(ctx, which, old, fresh)
}

func cardTouch(ctx context.Context, e *cli.Env, args []string) error {
	f := newCardFlags("touch")
	f.StringVar(&f.admin, "admin-pin-file", "", "FILE the admin PIN; without it the factory's")
	ops, err := cli.Parse(f.FlagSet, args, 2, 2)
	if err != nil {
		return err
	}
	slot, err := gpgcard.ParseSlot(ops[0])
	if err != nil {
		return cli.Usagef("%s: %v", f.Name(), err)
	}
	policy, err := gpgcard.ParseTouchPolicy(ops[1])
	if err != nil {
		return cli.Usagef("%s: %v", f.Name(), err)
	}
	admin, err := e.OptionalSecret(f.admin)
	if err != nil {
		return err
	}
	defer admin.Wipe()
	return f.with(ctx, e, func(c *gpgcard.Card) error { return c.SetTouch(ctx, admin, slot, policy) })
}

func cardKDF(ctx context.Context, e *cli.Env, args []string) error {
	f := newCardFlags("kdf")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	return f.with(ctx, e, func(c *gpgcard.Card) error { return c.EnableKDF(ctx) })
}
