package plumbing

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
	"reown/internal/escape"
	"reown/internal/laptop"
	"reown/internal/secret"
)

func cardCommand() *cli.Command {
	const where = " [--reader R] [--serial S]"
	return &cli.Command{Name: "card", Short: "the OpenPGP card: state, reset, keys, PINs, signatures", Sub: []*cli.Command{
		{Name: "status", Args: "[--json]" + where, Short: "every security key that is plugged in; changes nothing",
			Run: cardStatus, Shared: onCard},
		{Name: "reset", Args: "--confirm card [--admin-pin-file F]" + where,
			Short: "destroy its keys and set the factory PINs", Run: cardReset, Shared: onCard,
			Long: "Keys, names and PINs of the OpenPGP application are gone afterwards; PINs are 123456 and\n12345678. Without the admin PIN both PINs are blocked on the way, as gpg does. Other\nfunctions of a token (HOTP slots, passwords) stay. An interrupted reset is finished by\nthe next one."},
		{Name: "generate", Args: "--algorithm A --name N --email E [--comment C] [--output F] [--created T] [--admin-pin-file F] [--pin-file F] --confirm card" + where, Short: "make three keys on it and a certificate of them", Run: cardGenerate, Shared: onCard,
			Long: "Algorithms: rsa2048, rsa3072, rsa4096, p256, p384, p521, 25519. Keys that are there are\noverwritten. PINs that are not given are the factory's. The certificate is written to the\nfile or to standard output; it can be made again later with export."},
		{Name: "import", Args: "--key F [--passphrase-file F] [--admin-pin-file F] --confirm card" + where,
			Short: "copy the keys of a backup to it", Run: cardImport, Shared: onCard,
			Long: "The file is what `gpg --export-secret-keys` or `reown card backup` writes. It may be\nrepeated with a second card."},
		{Name: "backup", Args: "--algorithm A --name N --email E [--comment C] [--created T] --passphrase-file F --output F [--cert F] [--revocation F]", Short: "make keys in memory and write them, protected, to a file", Run: cardBackup,
			Long: "The file holds a primary key and three subkeys, protected by the passphrase, as `gpg\n--import` takes it. It is read back before the command ends."},
		{Name: "pin", Args: "set|user|admin|unblock|code  --new-pin-file F ..." + where,
			Short: "change, unblock and set PINs", Run: cardPIN, Shared: onCard,
			Long: `set      --pin-file F --admin-pin-file F   both, on a card with factory PINs; may be repeated
user     --pin-file OLD --new-pin-file NEW
admin    --admin-pin-file OLD --new-pin-file NEW
unblock  --admin-pin-file F | --code-file F  --new-pin-file NEW   the user PIN
code     --admin-pin-file F [--new-pin-file F]   the reset code; none removes it`},
		{Name: "touch", Args: "signature|decryption|authentication off|on|fixed|cached|cached-fixed [--admin-pin-file F]" +
			where, Short: "whether a key wants its button touched", Run: cardTouch, Shared: onCard,
			Long: "fixed cannot be undone but by a reset."},
		{Name: "kdf", Args: where[1:], Short: "keep its PINs hashed; right after a reset", Run: cardKDF, Shared: onCard},
		{Name: "sign", Args: "--cert F [--pin-file F] [--output F] FILE" + where, Short: "sign a file, detached and armoured",
			Run: cardSign, Shared: onCard,
			Long: "FILE may be - for standard input. No PIN is sent unless the card holds the certificate's\nkey."},
		{Name: "verify", Args: "--cert F --signature F [--json] FILE", Short: "check a detached signature; needs no card",
			Run: cardVerify},
		{Name: "export", Args: "--name N --email E [--comment C] [--pin-file F] [--format asc|gpg|kbx] [--output F] [--trustdb F]" + where, Short: "make the certificate from the card again", Run: cardExport, Shared: onCard,
			Long: "kbx is GnuPG's key ring pubring.kbx; --trustdb writes the trustdb.gpg that goes with it."},
	}}
}

// onCard are the flags that choose a card.
var onCard = &cli.Shared{
	Title: "Which card",
	Bind:  func(fs *flag.FlagSet) { new(cardFlags).bind(fs) },
}

// cardFlags are the flags that choose a card, and what several commands share.
type cardFlags struct {
	*flag.FlagSet
	how      string
	sel      gpgcard.Selector
	lastTry  bool
	record   string
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
	f := withoutCard(name)
	f.bind(f.FlagSet)
	return f
}

// withoutCard are those of a command that needs no card.
func withoutCard(name string) *cardFlags {
	return &cardFlags{FlagSet: cli.NewFlags("reown card " + name)}
}

func (f *cardFlags) bind(fs *flag.FlagSet) {
	fs.StringVar(&f.how, "card", "auto", "BUS how to reach cards: auto, usb, pcsc or pcsc:SOCKET")
	fs.StringVar(&f.sel.Reader, "reader", "", "R pcsc, pcsc:NAME, usb or usb:BUS-DEV")
	fs.StringVar(&f.sel.Serial, "serial", "", "S the card's serial number, as status shows it")
	fs.BoolVar(&f.lastTry, "last-try", false, "send a PIN although one mistake would block it")
	fs.StringVar(&f.record, "record", "", "FILE write what the card was told and answered; no PIN and no secret key is in it")
}

func (f *cardFlags) withConfirm() *cardFlags {
	f.StringVar(&f.confirm, "confirm", "", "card says that you mean it")
	return f
}
func (f *cardFlags) withJSON() *cardFlags {
	f.BoolVar(&f.json, "json", false, "report as one JSON document")
	return f
}
func (f *cardFlags) withOutput() *cardFlags {
	f.StringVar(&f.output, "output", "", "FILE write the result there instead of to standard output")
	return f
}

func (f *cardFlags) withPINs() *cardFlags {
	f.StringVar(&f.pin, "pin-file", "", "FILE the user PIN; without it the factory's")
	f.StringVar(&f.admin, "admin-pin-file", "", "FILE the admin PIN; without it the factory's")
	return f
}

func (f *cardFlags) withIdentity() *cardFlags {
	f.StringVar(&f.id.Name, "name", "", "NAME the name on the key")
	f.StringVar(&f.id.Email, "email", "", "ADDRESS the address on the key")
	f.StringVar(&f.id.Comment, "comment", "", "TEXT a comment on the key")
	return f
}

func (f *cardFlags) withNewKeys() *cardFlags {
	f.StringVar(&f.alg, "algorithm", "", "A rsa2048, rsa3072, rsa4096, p256, p384, p521 or 25519")
	f.StringVar(&f.created, "created", "", "TIME when the keys were made, if not now, as 2026-11-22T10:00:00Z")
	return f.withIdentity()
}

// newKeys reads the flags that say what keys to make.
func (f *cardFlags) newKeys() (alg gpgcard.Algorithm, created time.Time, err error) {
	if f.alg == "" {
		return 0, created, cli.Usagef("%s: --algorithm is needed", f.Name())
	}
	if alg, err = gpgcard.ParseAlgorithm(f.alg); err != nil {
		return 0, created, cli.Usagef("%s: %v", f.Name(), err)
	}
	created = time.Now()
	if f.created != "" {
		if created, err = time.Parse(time.RFC3339, f.created); err != nil {
			return 0, created, cli.Usagef("%s: --created takes a time such as 2026-11-22T10:00:00Z", f.Name())
		}
	}
	return alg, created, nil
}

// confirmed refuses a destructive command without its word.
func (f *cardFlags) confirmed() error {
	if f.confirm != "card" {
		return cli.Usagef("%s destroys keys on the card; say --confirm card", f.Name())
	}
	return nil
}

// with opens the chosen card for f.
func (f *cardFlags) with(ctx context.Context, e *cli.Env, use func(*gpgcard.Card) error) error {
	buses, done, err := f.buses()
	if err != nil {
		return err
	}
	return errors.Join(f.open(ctx, e, buses, use), done())
}

// buses are the ways to the cards, written down where that is asked for; done ends that.
func (f *cardFlags) buses() (buses []gpgcard.Bus, done func() error, err error) {
	if buses, err = CardBuses(f.how); err != nil || f.record == "" {
		return buses, func() error { return nil }, err
	}
	out, err := os.OpenFile(f.record, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	w := bufio.NewWriter(out)
	return gpgcard.Record(w, buses...), func() error { return errors.Join(w.Flush(), out.Close()) }, nil
}

func (f *cardFlags) open(ctx context.Context, e *cli.Env, buses []gpgcard.Bus, use func(*gpgcard.Card) error) error {
	c, err := gpgcard.Open(ctx, f.sel, buses...)
	if err != nil {
		return err
	}
	c.AllowLastTry = f.lastTry
	c.OnWait((&patience{e: e}).wait)
	return errors.Join(use(c), c.Close())
}

// patience says why nothing seems to happen.
type patience struct {
	e           *cli.Env
	began, last time.Time // of a wait: first and last sign of it
	said, next  time.Time // last line, and when the next is due
	touch       bool
}

const (
	// newWait is a silence between signs after which they belong to another command.
	newWait = 8 * time.Second
	// touchAgain is how often a touch is asked for, slowAfter when a card is slow.
	touchAgain, slowAfter = 5 * time.Second, 10 * time.Second
)

// wait is for gpgcard.Card.OnWait.
func (p *patience) wait(touch bool) {
	now := time.Now()
	if now.Sub(p.last) > newWait {
		*p = patience{e: p.e, began: now, next: now.Add(slowAfter)}
	}
	p.last = now
	switch {
	case touch && !p.touch:
		fmt.Fprintln(p.e.Stderr, "reown: touch the security key now")
		p.said = now
	case touch && now.Sub(p.said) >= touchAgain:
		fmt.Fprintln(p.e.Stderr, "reown: touch the security key now; it is still waiting")
		p.said = now
	case !touch && now.After(p.next):
		waited := now.Sub(p.began)
		fmt.Fprintf(p.e.Stderr, "reown: the security key is still at work, for %v; Ctrl-C leaves it\n",
			waited.Round(time.Second))
		p.next = now.Add(waited)
	}
	p.touch = touch
}

// neededSecret reads the secret a flag names; the flag must be given.
func (f *cardFlags) neededSecret(e *cli.Env, flag, file string) (*secret.Buffer, error) {
	if file == "" {
		return nil, cli.Usagef("%s: --%s is needed", f.Name(), flag)
	}
	return e.Secret(file)
}

// CardBuses are the ways to a card that a --card flag names; a wrong one is a wrong call.
func CardBuses(spec string) ([]gpgcard.Bus, error) {
	buses, err := laptop.CardBuses(spec)
	if err != nil {
		return nil, cli.Usagef("%v", err)
	}
	return buses, nil
}

func cardStatus(ctx context.Context, e *cli.Env, args []string) error {
	f := newCardFlags("status").withJSON()
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	buses, done, err := f.buses()
	if err != nil {
		return err
	}
	return errors.Join(f.status(ctx, e, buses), done())
}

func (f *cardFlags) status(ctx context.Context, e *cli.Env, buses []gpgcard.Bus) error {
	found, err := gpgcard.List(ctx, buses...)
	if err != nil {
		return err
	}
	type failure struct {
		Reader string `json:"reader"`
		Error  string `json:"error"`
	}
	cards, failed := []gpgcard.Info{}, []failure{}
	var causes []error
	for _, x := range found {
		if x.Err != nil && x.Reader.Bus == "" { // all of a bus
			failed = append(failed, failure{"", x.Err.Error()})
			causes = append(causes, x.Err)
			continue
		}
		if x.Err != nil {
			failed = append(failed, failure{x.Reader.String(), x.Err.Error()})
			causes = append(causes, fmt.Errorf("%v: %w", x.Reader, x.Err))
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
		return e.JSON(struct {
			Cards    []gpgcard.Info `json:"cards"`
			Failures []failure      `json:"failures"`
		}{cards, failed})
	}
	switch {
	case len(cards) == 0 && len(causes) > 0:
		return errors.Join(causes...)
	case len(cards) == 0:
		return gpgcard.ErrNoCard
	}
	for _, x := range causes {
		fmt.Fprintf(e.Stderr, "reown: %v\n", x)
	}
	for i, info := range cards {
		if i > 0 {
			fmt.Fprintln(e.Stdout)
		}
		printCard(e.Stdout, info)
	}
	return nil
}

func printCard(w io.Writer, i gpgcard.Info) {
	line := func(what, format string, a ...any) {
		fmt.Fprintf(w, "  %-18s %s\n", what, escape.Text(fmt.Sprintf(format, a...)))
	}
	if i.Terminated {
		fmt.Fprintf(w, "OpenPGP card in %s\n  a reset was begun and not ended; finish it with: reown card reset\n",
			escape.Text(i.ReaderName))
		return
	}
	fmt.Fprintf(w, "OpenPGP card %v (%s, version %s) in %s\n", i.Serial, escape.Text(i.Manufacturer), i.Version,
		escape.Text(i.ReaderName))
	line("holder", "%s", cli.OrNone(i.Name))
	line("login", "%s", cli.OrNone(i.Login))
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

// maxInput bounds the files these commands read, in bytes.
const maxInput = 16 << 20

// readInput reads a file, or standard input for "-".
func readInput(e *cli.Env, name string) ([]byte, error) {
	b, err := e.Read(name, maxInput)
	if err == nil && len(b) > maxInput {
		err = fmt.Errorf("%s is larger than %d MiB", name, maxInput>>20)
	}
	return b, err
}

func cardSign(ctx context.Context, e *cli.Env, args []string) error {
	f := newCardFlags("sign").withOutput()
	f.StringVar(&f.pin, "pin-file", "", "FILE the user PIN; without it the factory's")
	f.StringVar(&f.certFile, "cert", "", "FILE the certificate of the key")
	ops, err := cli.Parse(f.FlagSet, args, 1, 1)
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
	user, err := e.OptionalSecret(f.pin)
	if err != nil {
		return err
	}
	defer user.Wipe()
	return f.with(ctx, e, func(c *gpgcard.Card) error {
		sig, err := c.SignDetached(ctx, cert, user, data)
		if err != nil {
			return err
		}
		return e.WriteResult(f.output, sig, 0o644)
	})
}

// cert reads the certificate that --cert names.
func (f *cardFlags) cert(e *cli.Env) (*gpgcard.Cert, error) {
	if f.certFile == "" {
		return nil, cli.Usagef("%s: --cert is needed", f.Name())
	}
	b, err := readInput(e, f.certFile)
	if err != nil {
		return nil, err
	}
	return gpgcard.ParseCert(b)
}

func cardVerify(_ context.Context, e *cli.Env, args []string) error {
	f := withoutCard("verify").withJSON()
	var sigFile string
	f.StringVar(&f.certFile, "cert", "", "FILE the certificate of the key")
	f.StringVar(&sigFile, "signature", "", "FILE the signature")
	ops, err := cli.Parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	if sigFile == "" {
		return cli.Usagef("%s: --signature is needed", f.Name())
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
		return e.JSON(info)
	}
	fmt.Fprintf(e.Stdout, "good signature by %s, made %s\n", info.Fingerprint, info.Created.Format(time.RFC3339))
	return nil
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
