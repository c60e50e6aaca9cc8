package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/keybox"
	"reown/internal/atomicfile"
	"reown/internal/secret"
)

func cardCommand() *command {
	const where = " [--reader R] [--serial S]"
	return &command{name: "card", short: "the OpenPGP card: state, reset, keys, PINs, signatures", sub: []*command{
		{name: "status", args: "[--json]" + where, short: "every security key that is plugged in; changes nothing", run: cardStatus,
			long: cardWhere},
		{name: "reset", args: "--confirm card [--admin-pin-file F]" + where, short: "destroy its keys and set the factory PINs", run: cardReset,
			long: "Keys, names and PINs of the OpenPGP application are gone afterwards; PINs are 123456 and\n12345678. Without the admin PIN both PINs are blocked on the way, as gpg does. Other\nfunctions of a token (HOTP slots, passwords) stay. An interrupted reset is finished by\nthe next one.\n\n" + cardWhere},
		{name: "generate", args: "--algorithm A --name N --email E [--comment C] [--output F] [--created T] [--admin-pin-file F] [--pin-file F] --confirm card" + where, short: "make three keys on it and a certificate of them", run: cardGenerate,
			long: "Algorithms: rsa2048, rsa3072, rsa4096, p256, p384, p521, 25519. Keys that are there are\noverwritten. PINs that are not given are the factory's. The certificate is written to the\nfile or to standard output; it can be made again later with export.\n\n" + cardWhere},
		{name: "import", args: "--key F [--passphrase-file F] [--admin-pin-file F] --confirm card" + where, short: "copy the keys of a backup to it", run: cardImport,
			long: "The file is what `gpg --export-secret-keys` or `reown card backup` writes. It may be\nrepeated with a second card.\n\n" + cardWhere},
		{name: "backup", args: "--algorithm A --name N --email E [--comment C] [--created T] --passphrase-file F --output F [--cert F] [--revocation F]", short: "make keys in memory and write them, protected, to a file", run: cardBackup,
			long: "The file holds a primary key and three subkeys, protected by the passphrase, as `gpg\n--import` takes it. It is read back before the command ends."},
		{name: "pin", args: "set|user|admin|unblock|code  --new-pin-file F ..." + where, short: "change, unblock and set PINs", run: cardPIN,
			long: `set      --pin-file F --admin-pin-file F   both, on a card with factory PINs; may be repeated
user     --pin-file OLD --new-pin-file NEW
admin    --admin-pin-file OLD --new-pin-file NEW
unblock  --admin-pin-file F | --code-file F  --new-pin-file NEW   the user PIN
code     --admin-pin-file F [--new-pin-file F]   the reset code; none removes it

` + cardWhere},
		{name: "touch", args: "signature|decryption|authentication off|on|fixed|cached|cached-fixed [--admin-pin-file F]" + where, short: "whether a key wants its button touched", run: cardTouch,
			long: "fixed cannot be undone but by a reset.\n\n" + cardWhere},
		{name: "kdf", args: where[1:], short: "keep its PINs hashed; right after a reset", run: cardKDF, long: cardWhere},
		{name: "sign", args: "--cert F [--pin-file F] [--output F] FILE" + where, short: "sign a file, detached and armoured", run: cardSign,
			long: "FILE may be - for standard input. No PIN is sent unless the card holds the certificate's\nkey.\n\n" + cardWhere},
		{name: "verify", args: "--cert F --signature F [--json] FILE", short: "check a detached signature; needs no card", run: cardVerify},
		{name: "export", args: "--name N --email E [--comment C] [--pin-file F] [--format asc|gpg|kbx] [--output F] [--trustdb F]" + where, short: "make the certificate from the card again", run: cardExport,
			long: "kbx is GnuPG's key ring pubring.kbx; --trustdb writes the trustdb.gpg that goes with it.\n\n" + cardWhere},
	}}
}

const cardWhere = `--reader R   pcsc, pcsc:NAME, usb or usb:BUS-DEV
--serial S   as status shows it
--card C     how to reach cards: auto, usb, pcsc or pcsc:SOCKET
--last-try   send a PIN although one mistake would block it`

// cardFlags are the flags that choose a card, and what several commands share.
type cardFlags struct {
	*flag.FlagSet
	how      string
	sel      gpgcard.Selector
	lastTry  bool
	json     bool
	confirm  string
	pin      string
	admin    string
	output   string
	id       gpgcard.Identity
	alg      string
	created  string
	certFile string
}

func newCardFlags(name string) *cardFlags {
	f := &cardFlags{FlagSet: newFlags("reown card " + name)}
	f.StringVar(&f.how, "card", "auto", "")
	f.StringVar(&f.sel.Reader, "reader", "", "")
	f.StringVar(&f.sel.Serial, "serial", "", "")
	f.BoolVar(&f.lastTry, "last-try", false, "")
	return f
}

func (f *cardFlags) withConfirm() *cardFlags { f.StringVar(&f.confirm, "confirm", "", ""); return f }
func (f *cardFlags) withJSON() *cardFlags    { f.BoolVar(&f.json, "json", false, ""); return f }
func (f *cardFlags) withOutput() *cardFlags  { f.StringVar(&f.output, "output", "", ""); return f }

func (f *cardFlags) withPINs() *cardFlags {
	f.StringVar(&f.pin, "pin-file", "", "")
	f.StringVar(&f.admin, "admin-pin-file", "", "")
	return f
}

func (f *cardFlags) withIdentity() *cardFlags {
	f.StringVar(&f.id.Name, "name", "", "")
	f.StringVar(&f.id.Email, "email", "", "")
	f.StringVar(&f.id.Comment, "comment", "", "")
	return f
}

func (f *cardFlags) withNewKeys() *cardFlags {
	f.StringVar(&f.alg, "algorithm", "", "")
	f.StringVar(&f.created, "created", "", "")
	return f.withIdentity()
}

// newKeys reads the flags that say what keys to make.
func (f *cardFlags) newKeys() (alg gpgcard.Algorithm, created time.Time, err error) {
	if f.alg == "" {
		return 0, created, usagef("%s: --algorithm is needed", f.Name())
	}
	if alg, err = gpgcard.ParseAlgorithm(f.alg); err != nil {
		return 0, created, usagef("%s: %v", f.Name(), err)
	}
	created = time.Now()
	if f.created != "" {
		if created, err = time.Parse(time.RFC3339, f.created); err != nil {
			return 0, created, usagef("%s: --created takes a time such as 2026-11-22T10:00:00Z", f.Name())
		}
	}
	return alg, created, nil
}

// confirmed refuses a destructive command without its word.
func (f *cardFlags) confirmed() error {
	if f.confirm != "card" {
		return usagef("%s destroys keys on the card; say --confirm card", f.Name())
	}
	return nil
}

// with opens the chosen card for f.
func (f *cardFlags) with(ctx context.Context, e *env, use func(*gpgcard.Card) error) error {
	buses, err := cardBuses(f.how)
	if err != nil {
		return err
	}
	c, err := gpgcard.Open(ctx, f.sel, buses...)
	if err != nil {
		return err
	}
	c.AllowLastTry = f.lastTry
	waiting := false
	c.OnWait(func(touch bool) {
		if touch && !waiting {
			fmt.Fprintln(e.stderr, "reown: touch the security key now")
		}
		waiting = touch
	})
	return errors.Join(use(c), c.Close())
}

// optionalSecret reads a secret's file, or returns nil without a name, which
// stands for the factory PIN.
func optionalSecret(e *env, file string) (*secret.Buffer, error) {
	if file == "" {
		return nil, nil
	}
	return readSecretFile(e, file)
}

// neededSecret reads the secret a flag names; the flag must be given.
func (f *cardFlags) neededSecret(e *env, flag, file string) (*secret.Buffer, error) {
	if file == "" {
		return nil, usagef("%s: --%s is needed", f.Name(), flag)
	}
	return readSecretFile(e, file)
}

// writeResult puts a result into a file, or on standard output.
func writeResult(e *env, file string, data []byte, mode os.FileMode) error {
	if file == "" || file == "-" {
		_, err := e.stdout.Write(data)
		return err
	}
	write := atomicfile.WriteFile
	if fi, err := os.Lstat(file); err == nil && !fi.Mode().IsRegular() {
		write = os.WriteFile // a link such as /dev/stdout, or a pipe
	}
	if err := write(file, data, mode); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

func cardStatus(ctx context.Context, e *env, args []string) error {
	f := newCardFlags("status").withJSON()
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	buses, err := cardBuses(f.how)
	if err != nil {
		return err
	}
	found, err := gpgcard.List(ctx, buses...)
	if err != nil {
		return err
	}
	type failure struct {
		Reader string `json:"reader"`
		Error  string `json:"error"`
	}
	cards, failed := []gpgcard.Info{}, []failure{}
	for _, x := range found {
		if x.Err != nil {
			failed = append(failed, failure{x.Reader.String(), x.Err.Error()})
			continue
		}
		if !f.sel.Matches(x) {
			continue
		}
		// Exactly this reader, whatever its name contains.
		sel := gpgcard.Selector{Reader: x.Reader.String()}
		if !x.Terminated {
			sel.Serial = x.Serial.String()
		}
		c, err := gpgcard.Open(ctx, sel, buses...)
		if err != nil {
			return err
		}
		info, err := c.Info(ctx)
		if err := errors.Join(err, c.Close()); err != nil {
			return err
		}
		cards = append(cards, info)
	}
	if f.json {
		return printJSON(e, struct {
			Cards    []gpgcard.Info `json:"cards"`
			Failures []failure      `json:"failures"`
		}{cards, failed})
	}
	for _, x := range failed {
		fmt.Fprintf(e.stderr, "reown: %s: %s\n", x.Reader, x.Error)
	}
	if len(cards) == 0 {
		return gpgcard.ErrNoCard
	}
	for i, info := range cards {
		if i > 0 {
			fmt.Fprintln(e.stdout)
		}
		printCard(e.stdout, info)
	}
	return nil
}

func printCard(w io.Writer, i gpgcard.Info) {
	line := func(what, format string, a ...any) {
		fmt.Fprintf(w, "  %-18s "+format+"\n", append([]any{what}, a...)...)
	}
	if i.Terminated {
		fmt.Fprintf(w, "OpenPGP card in %s\n  a reset was begun and not ended; finish it with: reown card reset\n", i.ReaderName)
		return
	}
	fmt.Fprintf(w, "OpenPGP card %v (%s, version %s) in %s\n", i.Serial, i.Manufacturer, i.Version, i.ReaderName)
	line("holder", "%s", orNone(i.Name))
	line("login", "%s", orNone(i.Login))
	line("user PIN", "%d tries left, %d to %d characters", i.User.Left, i.User.MinLen, i.User.MaxLen)
	line("admin PIN", "%d tries left, %d to %d characters", i.Admin.Left, i.Admin.MinLen, i.Admin.MaxLen)
	line("PIN each signature", "%s", yesOrNo(i.PINOnce))
	line("PINs hashed", "%s", yesOrNo(i.KDF))
	line("can be reset", "%s", yesOrNo(i.Resettable))
	line("signatures made", "%d", i.Signatures)
	for _, k := range i.Keys {
		switch {
		case !k.Present:
			line(k.Slot.String(), "%s, no key", k.Algorithm)
		case !k.Consistent:
			line(k.Slot.String(), "%s, half made: its fingerprint is not stored", k.Algorithm)
		default:
			line(k.Slot.String(), "%s %s of %s", k.Algorithm, k.Fingerprint, k.Created.Format("2006-01-02"))
		}
		if k.Touch != "" && k.Touch != gpgcard.TouchOff.String() {
			line("", "touch: %s", k.Touch)
		}
	}
	var names []string
	for _, a := range i.Algorithms {
		names = append(names, a.String())
	}
	line("offers", "%v", names)
	for _, q := range i.Quirks {
		line(q, "%s", gpgcard.QuirkText(q))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func cardReset(ctx context.Context, e *env, args []string) error {
	f := newCardFlags("reset").withConfirm()
	f.StringVar(&f.admin, "admin-pin-file", "", "")
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if err := f.confirmed(); err != nil {
		return err
	}
	admin, err := optionalSecret(e, f.admin)
	if err != nil {
		return err
	}
	defer admin.Wipe()
	return f.with(ctx, e, func(c *gpgcard.Card) error {
		if err := c.Reset(ctx, gpgcard.ResetOptions{Admin: admin}); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "card %v is as new: user PIN 123456, admin PIN 12345678\n", c.Serial())
		return nil
	})
}

func cardGenerate(ctx context.Context, e *env, args []string) error {
	f := newCardFlags("generate").withConfirm().withPINs().withNewKeys().withOutput()
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
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
	user, err := optionalSecret(e, f.pin)
	if err != nil {
		return err
	}
	defer user.Wipe()
	admin, err := optionalSecret(e, f.admin)
	if err != nil {
		return err
	}
	defer admin.Wipe()
	return f.with(ctx, e, func(c *gpgcard.Card) error {
		err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: alg, Created: created, Admin: admin, Progress: cardProgress(e, "keys made")})
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
		return writeResult(e, f.output, cert.Armored(), 0o644)
	})
}

func cardProgress(e *env, what string) func(done, total int64) {
	return func(done, total int64) { fmt.Fprintf(e.stderr, "reown: %d of %d %s\n", done, total, what) }
}

func cardBackup(ctx context.Context, e *env, args []string) error {
	f := newCardFlags("backup").withNewKeys().withOutput()
	var pass, revocation string
	f.StringVar(&pass, "passphrase-file", "", "")
	f.StringVar(&f.certFile, "cert", "", "")
	f.StringVar(&revocation, "revocation", "", "")
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	alg, created, err := f.newKeys()
	if err != nil {
		return err
	}
	if f.output == "" || f.output == "-" {
		return usagef("%s: --output is needed: the secret keys go to a file", f.Name())
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
	if err := writeResult(e, f.output, out, 0o600); err != nil {
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
		if err := writeResult(e, revocation, r, 0o600); err != nil {
			return err
		}
	}
	return writeResult(e, f.certFile, set.Cert().Armored(), 0o644)
}

func cardImport(ctx context.Context, e *env, args []string) error {
	f := newCardFlags("import").withConfirm()
	var key, pass string
	f.StringVar(&key, "key", "", "")
	f.StringVar(&pass, "passphrase-file", "", "")
	f.StringVar(&f.admin, "admin-pin-file", "", "")
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if key == "" {
		return usagef("%s: --key is needed", f.Name())
	}
	if err := f.confirmed(); err != nil {
		return err
	}
	p, err := optionalSecret(e, pass)
	if err != nil {
		return err
	}
	defer p.Wipe()
	admin, err := optionalSecret(e, f.admin)
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

// maxInput bounds the files these commands read, in bytes.
const maxInput = 16 << 20

// readInput reads a file, or standard input for "-".
func readInput(e *env, name string) ([]byte, error) {
	r := e.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		r = file
	}
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(b) > maxInput {
		err = fmt.Errorf("%s is larger than %d MiB", name, maxInput>>20)
	}
	return b, err
}

func cardPIN(ctx context.Context, e *env, args []string) error {
	f := newCardFlags("pin").withPINs()
	var newFile, codeFile string
	f.StringVar(&newFile, "new-pin-file", "", "")
	f.StringVar(&codeFile, "code-file", "", "")
	ops, err := parse(f.FlagSet, args, 1, 1)
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
		return usagef("%s: set, user, admin, unblock or code, not %q", f.Name(), ops[0])
	}
	if need[1] == "" {
		return usagef("%s %s: --%s is needed", f.Name(), ops[0], need[0])
	}
	if ops[0] == "set" && f.admin == "" {
		return usagef("%s set: --admin-pin-file is needed", f.Name())
	}
	var user, admin, fresh, code *secret.Buffer
	for _, s := range []struct {
		file string
		to   **secret.Buffer
	}{{f.pin, &user}, {f.admin, &admin}, {newFile, &fresh}, {codeFile, &code}} {
		if *s.to, err = optionalSecret(e, s.file); err != nil {
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

func cardTouch(ctx context.Context, e *env, args []string) error {
	f := newCardFlags("touch")
	f.StringVar(&f.admin, "admin-pin-file", "", "")
	ops, err := parse(f.FlagSet, args, 2, 2)
	if err != nil {
		return err
	}
	slot, err := gpgcard.ParseSlot(ops[0])
	if err != nil {
		return usagef("%s: %v", f.Name(), err)
	}
	policy, err := gpgcard.ParseTouchPolicy(ops[1])
	if err != nil {
		return usagef("%s: %v", f.Name(), err)
	}
	admin, err := optionalSecret(e, f.admin)
	if err != nil {
		return err
	}
	defer admin.Wipe()
	return f.with(ctx, e, func(c *gpgcard.Card) error { return c.SetTouch(ctx, admin, slot, policy) })
}

func cardKDF(ctx context.Context, e *env, args []string) error {
	f := newCardFlags("kdf")
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	return f.with(ctx, e, func(c *gpgcard.Card) error { return c.EnableKDF(ctx) })
}

func cardSign(ctx context.Context, e *env, args []string) error {
	f := newCardFlags("sign").withOutput()
	f.StringVar(&f.pin, "pin-file", "", "")
	f.StringVar(&f.certFile, "cert", "", "")
	ops, err := parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	cert, err := f.cert(e)
	if err != nil {
		return err
	}
	data, err := readInput(e, ops[0])
	if err != nil {
		return err
	}
	user, err := optionalSecret(e, f.pin)
	if err != nil {
		return err
	}
	defer user.Wipe()
	return f.with(ctx, e, func(c *gpgcard.Card) error {
		sig, err := c.SignDetached(ctx, cert, user, data)
		if err != nil {
			return err
		}
		return writeResult(e, f.output, sig, 0o644)
	})
}

// cert reads the certificate that --cert names.
func (f *cardFlags) cert(e *env) (*gpgcard.Cert, error) {
	if f.certFile == "" {
		return nil, usagef("%s: --cert is needed", f.Name())
	}
	b, err := readInput(e, f.certFile)
	if err != nil {
		return nil, err
	}
	return gpgcard.ParseCert(b)
}

func cardVerify(_ context.Context, e *env, args []string) error {
	f := newCardFlags("verify").withJSON()
	var sigFile string
	f.StringVar(&f.certFile, "cert", "", "")
	f.StringVar(&sigFile, "signature", "", "")
	ops, err := parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	if sigFile == "" {
		return usagef("%s: --signature is needed", f.Name())
	}
	cert, err := f.cert(e)
	if err != nil {
		return err
	}
	sig, err := readInput(e, sigFile)
	if err != nil {
		return err
	}
	data, err := readInput(e, ops[0])
	if err != nil {
		return err
	}
	info, err := gpgcard.VerifyDetached(cert, sig, data)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(e, info)
	}
	fmt.Fprintf(e.stdout, "good signature by %s, made %s\n", info.Fingerprint, info.Created.Format(time.RFC3339))
	return nil
}

func cardExport(ctx context.Context, e *env, args []string) error {
	f := newCardFlags("export").withIdentity().withOutput()
	var format, trustdb string
	f.StringVar(&f.pin, "pin-file", "", "")
	f.StringVar(&format, "format", "asc", "")
	f.StringVar(&trustdb, "trustdb", "", "")
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if format != "asc" && format != "gpg" && format != "kbx" {
		return usagef("%s: --format takes asc, gpg or kbx, not %q", f.Name(), format)
	}
	user, err := optionalSecret(e, f.pin)
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
		if err := writeResult(e, trustdb, t, 0o600); err != nil {
			return err
		}
	}
	return writeResult(e, f.output, out, 0o644)
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
