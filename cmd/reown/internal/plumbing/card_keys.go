package plumbing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
	"reown/gpgcard/keybox"
	"reown/internal/secret"
)

func cardReset(ctx context.Context, e *cli.Env, args []string) error {
	f := newCardFlags("reset").withConfirm()
	f.StringVar(&f.admin, "admin-pin-file", "", "FILE the admin PIN; without it the factory's")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if err := f.confirmed(); err != nil {
		return err
	}
	admin, err := e.OptionalSecret(f.admin)
	if err != nil {
		return err
	}
	defer admin.Wipe()
	return f.with(ctx, e, func(c *gpgcard.Card) error {
		if err := c.Reset(ctx, gpgcard.ResetOptions{Admin: admin}); err != nil {
			return err
		}
		fmt.Fprintf(e.Stdout, "card %v is as new: user PIN 123456, admin PIN 12345678\n", c.Serial())
		return nil
	})
}

func cardGenerate(ctx context.Context, e *cli.Env, args []string) error {
	f := newCardFlags("generate").withConfirm().withPINs().withNewKeys().withOutput()
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	alg, created, err := f.newKeys()
	if err != nil {
		return err
	}
	if err := f.id.Check(); err != nil {
		return err
	}
	if err := f.confirmed(); err != nil {
		return err
	}
	user, err := e.OptionalSecret(f.pin)
	if err != nil {
		return err
	}
	defer user.Wipe()
	admin, err := e.OptionalSecret(f.admin)
	if err != nil {
		return err
	}
	defer admin.Wipe()
	return f.with(ctx, e, func(c *gpgcard.Card) error {
		err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: alg, Created: created, Admin: admin,
			Progress: cardProgress(e, "keys made")})
		if err != nil {
			return err
		}
		if err := c.SetIdentity(ctx, admin, f.id.Name, f.id.Email); err != nil {
			return err
		}
		cert, err := c.Certificate(ctx, f.id, user)
		if err != nil {
			return err
		}
		return e.WriteResult(f.output, cert.Armored(), 0o644)
	})
}

func cardProgress(e *cli.Env, what string) func(done, total int64) {
	return func(done, total int64) { fmt.Fprintf(e.Stderr, "reown: %d of %d %s\n", done, total, what) }
}

func cardBackup(ctx context.Context, e *cli.Env, args []string) error {
	f := withoutCard("backup").withNewKeys().withOutput()
	var pass, revocation string
	f.StringVar(&pass, "passphrase-file", "", "FILE the passphrase that protects the file")
	f.StringVar(&f.certFile, "cert", "", "FILE where the certificate goes")
	f.StringVar(&revocation, "revocation", "", "FILE where a revocation of it goes, too")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	alg, created, err := f.newKeys()
	if err != nil {
		return err
	}
	if f.output == "" || f.output == "-" {
		return cli.Usagef("%s: --output is needed: the secret keys go to a file", f.Name())
	}
	p, err := f.neededSecret(e, "passphrase-file", pass)
	if err != nil {
		return err
	}
	defer p.Wipe()
	set, err := gpgcard.NewKeySet(alg, f.id, created)
	if err != nil {
		return err
	}
	defer set.Wipe()
	out, err := set.Export(p)
	if err != nil {
		return err
	}
	if err := e.WriteResult(f.output, out, 0o600); err != nil {
		return err
	}
	back, err := os.ReadFile(f.output)
	if err != nil || !bytes.Equal(back, out) {
		return fmt.Errorf("the backup in %s is not what was written: %w", f.output, errors.Join(err, io.ErrUnexpectedEOF))
	}
	if revocation != "" {
		r, err := set.Revocation(created)
		if err != nil {
			return err
		}
		if err := e.WriteResult(revocation, r, 0o600); err != nil {
			return err
		}
	}
	return e.WriteResult(f.certFile, set.Cert().Armored(), 0o644)
}

func cardImport(ctx context.Context, e *cli.Env, args []string) error {
	f := newCardFlags("import").withConfirm()
	var key, pass string
	f.StringVar(&key, "key", "", "FILE the backup")
	f.StringVar(&pass, "passphrase-file", "", "FILE the passphrase that protects the file")
	f.StringVar(&f.admin, "admin-pin-file", "", "FILE the admin PIN; without it the factory's")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if key == "" {
		return cli.Usagef("%s: --key is needed", f.Name())
	}
	if err := f.confirmed(); err != nil {
		return err
	}
	p, err := e.OptionalSecret(pass)
	if err != nil {
		return err
	}
	defer p.Wipe()
	admin, err := e.OptionalSecret(f.admin)
	if err != nil {
		return err
	}
	defer admin.Wipe()
	data, err := readInput(e, key)
	if err != nil {
		return err
	}
	defer secret.Zero(data)
	set, err := gpgcard.ParseKeySet(data, p)
	if err != nil {
		return err
	}
	defer set.Wipe()
	return f.with(ctx, e, func(c *gpgcard.Card) error {
		return c.Import(ctx, set, gpgcard.ImportOptions{Admin: admin, Progress: cardProgress(e, "keys imported")})
	})
}

func cardExport(ctx context.Context, e *cli.Env, args []string) error {
	f := newCardFlags("export").withIdentity().withOutput()
	var format, trustdb string
	f.StringVar(&f.pin, "pin-file", "", "FILE the user PIN; without it the factory's")
	f.StringVar(&format, "format", "asc", "KIND asc, gpg, or kbx, GnuPG's keyring pubring.kbx")
	f.StringVar(&trustdb, "trustdb", "", "FILE write the trustdb.gpg there that goes with the keyring")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if format != "asc" && format != "gpg" && format != "kbx" {
		return cli.Usagef("%s: --format takes asc, gpg or kbx, not %q", f.Name(), format)
	}
	user, err := e.OptionalSecret(f.pin)
	if err != nil {
		return err
	}
	defer user.Wipe()
	var cert *gpgcard.Cert
	err = f.with(ctx, e, func(c *gpgcard.Card) (err error) {
		cert, err = c.Certificate(ctx, f.id, user)
		return err
	})
	if err != nil {
		return err
	}
	out := cert.Armored()
	switch format {
	case "gpg":
		out = cert.Bytes()
	case "kbx":
		if out, err = keybox.Write(cert.Created(), cert); err != nil {
			return err
		}
	}
	if trustdb != "" {
		t, err := keybox.WriteTrustDB(cert.Created(), cert)
		if err != nil {
			return err
		}
		if err := e.WriteResult(trustdb, t, 0o600); err != nil {
			return err
		}
	}
	return e.WriteResult(f.output, out, 0o644)
}
