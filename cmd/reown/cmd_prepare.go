package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"reown/cmd/reown/internal/cli"
	"reown/cmd/reown/internal/plumbing"
	"reown/gpgcard"
	"reown/internal/escape"
	"reown/internal/handover"
	"reown/internal/laptop"
	"reown/wizard"
	"reown/wizard/prepare"
	"reown/wizard/ui/answers"
)

func prepareCommand() *cli.Command {
	return &cli.Command{Name: "prepare", Args: "--order FILE --secrets-out FILE [flags] [devices]",
		Short: "the seller's side: make the laptop ready to ship", Run: runPrepare, Shared: onDevices, Long: `
Makes a laptop ready to ship, without asking anything: random secrets of its own, new
keys on the security key, the disk's passphrase, the TPM, the key in the firmware,
/boot with the trigger /boot/oem under its signature, and the signed hand-over file.
Then it reads everything again and compares. It erases the security key and clears
the TPM. Prints a label and exits 0, or DO NOT SHIP with the step and exits 1, or NOT
READY with what is missing, a restart or the shop's signature, and exits 5. A laptop
that is ready to ship is left alone without --again, and the exit code is 6. After an
interruption or a restart, run the same command again. Do not start it in the firmware's
recovery shell: that start's measurements are spoilt and nothing could be sealed.
`}
}

// preparation are the flags of the command.
type preparation struct {
	devices
	order, secretsIn, secretsOut, mailOut, record, buyer, algorithm string
	shopCert, shopPIN, shopSerial, shopCard                         string
	shopSignature, signer, cardTail                                 string
	shopLater, reencrypt, battery, restart, json                    bool
	anew                                                            bool
	table                                                           *os.File // --record
	// restarts the laptop; nil: the worker does
	again func() error
}

func runPrepare(ctx context.Context, e *cli.Env, args []string) error {
	p := preparation{}
	fs := cli.NewFlags("reown prepare")
	p.devices.bind(fs)
	fs.StringVar(&p.order, "order", "", "FILE the order: a JSON object with order, name and email, and if wanted "+
		"buyer (fingerprint), card (serial number) and language (of the letter); docs/oem.md")
	fs.StringVar(&p.secretsIn, "secrets-in", "", "FILE secret.current, the passphrase of the disk image; JSON, "+
		"/dev/fd/N works")
	fs.StringVar(&p.secretsOut, "secrets-out", "", "FILE where the laptop's secrets are written, before they are "+
		"used anywhere; mode 0600. One that a cut run has left is read and used again")
	fs.StringVar(&p.mailOut, "mail-out", "",
		"DIR what to send: the hand-over file, its signature, the key, a letter and a label")
	fs.StringVar(&p.record, "record", "", "FILE a line of JSON is added to it for each laptop that is finished, what "+
		"--json prints: the shop's table")
	fs.StringVar(&p.buyer, "buyer", "", "CERT the buyer's OpenPGP certificate; --mail-out then holds secrets.asc")
	fs.StringVar(&p.shopCert, "shop-cert", "", "CERT the shop's own OpenPGP certificate: its key then signs the "+
		"hand-over file and secrets.asc, beside the laptop's; a laptop that was handed to this key gets the "+
		"next statement of its chain")
	fs.StringVar(&p.shopPIN, "shop-pin-file", "", "FILE the PIN of the shop's key")
	fs.StringVar(&p.shopSerial, "shop-serial", "", "S the serial number of the shop's security key")
	fs.StringVar(&p.shopCard, "shop-card", "", "BUS where the shop's security key is; without it, as --card")
	fs.BoolVar(&p.shopLater, "shop-later", false, "the shop's key is elsewhere: leave the hand-over file in "+
		"--mail-out to be signed there (gpg --detach-sign --armor), and exit 5")
	fs.StringVar(&p.shopSignature, "shop-signature", "", "FILE then, in the place of --shop-later: add that "+
		"signature, after the laptop was compared once more with what was signed")
	fs.StringVar(&p.cardTail, "erase-card", "", "TAIL the last four characters of the security key's serial "+
		"number, if it holds keys of something else and its number does not stand in the order")
	fs.StringVar(&p.signer, "signer", "", "FPR fingerprint of who sold the laptop to you: its chain is continued")
	fs.BoolVar(&p.restart, "restart", false, "restart the laptop if its TPM asks for that (TPM 1.2); else exit 5")
	fs.StringVar(&p.algorithm, "algorithm", "", "A for the keys on the card: rsa2048, rsa3072, rsa4096, p256, "+
		"p384, 25519")
	fs.BoolVar(&p.reencrypt, "reencrypt", false, "give the disk a volume key of its own: all laptops that were "+
		"written from one image share one")
	fs.BoolVar(&p.anew, "again", false, "prepare a laptop once more that is finished")
	fs.BoolVar(&p.battery, "battery", false, "run without mains power")
	fs.BoolVar(&p.json, "json", false, "one line of JSON instead of the label")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	closeTable, err := p.openTable()
	if err != nil {
		return err
	}
	defer closeTable()
	start := time.Now()
	label := label{}
	err = p.run(ctx, e, &label)
	label.Seconds = int64(time.Since(start).Seconds())
	code := exitFailed
	switch {
	case errors.Is(err, prepare.ErrUnsigned):
		code, label.Wants = exitStopped, wantsSignature
	case errors.Is(err, prepare.ErrRestart):
		label.fail(err)
		code, label.Wants = exitStopped, wantsRestart
	case errors.As(err, new(*prepare.FinishedError)):
		label.fail(err)
		code, label.Wants = exitRefused, wantsAgain
	case err != nil:
		label.fail(err)
	}
	err = errors.Join(err, p.print(e, &label), p.recordLine(&label))
	if label.Wants == wantsRestart && p.again != nil {
		err = errors.Join(err, p.again())
	}
	return cli.WithExit(code, err)
}

// check finds what is wrong with the flags alone.
func (p *preparation) check() error {
	elsewhere := p.shopLater || p.shopSignature != ""
	switch {
	case p.order == "" || p.secretsOut == "":
		return cli.Usagef("reown prepare needs --order and --secrets-out")
	case p.buyer != "" && p.mailOut == "":
		return cli.Usagef("reown prepare: --buyer needs --mail-out, where its message goes")
	case p.shopLater && p.shopSignature != "":
		return cli.Usagef("reown prepare: --shop-later comes first, --shop-signature in its place when the signature is there")
	case elsewhere && (p.shopCert == "" || p.mailOut == ""):
		return cli.Usagef("reown prepare: --shop-later and --shop-signature need --shop-cert and --mail-out")
	case elsewhere && p.shopPIN+p.shopSerial+p.shopCard != "":
		return cli.Usagef("reown prepare: --shop-pin-file, --shop-serial and --shop-card are for a security key that is plugged in; with --shop-later it is elsewhere")
	case !elsewhere && (p.shopCert == "") != (p.shopPIN == "") || p.shopCert == "" && p.shopSerial+p.shopCard != "":
		return cli.Usagef("reown prepare: --shop-cert and --shop-pin-file belong together, or --shop-cert and --shop-later")
	case p.restart && p.NoRestart:
		return cli.Usagef("reown prepare: --restart and --no-restart exclude each other")
	}
	return nil
}

func (p *preparation) run(ctx context.Context, e *cli.Env, l *label) error {
	order, err := p.readOrder(e)
	if err != nil {
		return err
	}
	l.Order = order.ID
	if p.TPM == "auto" {
		if err := p.Resolve(); err != nil {
			return err
		}
		if p.TPM == "none" {
			return prepare.ErrNoTPM
		}
	}
	// The restart is the worker's; what this leaves is that the TPM is told of it.
	p.NoRestart = true
	unlock, err := laptop.Lock(p.Boot)
	if err != nil {
		return err
	}
	defer unlock()
	machine, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer machine.Close()
	m := machine.Seller()
	said := progressLines(e)
	defer said.end()
	o := prepare.Options{
		Order: order, Signer: wizard.Fingerprint(p.signer), CardTail: p.cardTail, Out: secretsFile(p.secretsOut),
		Algorithm: p.algorithm,
		Reencrypt: p.reencrypt, Battery: p.battery, Again: p.anew, Report: said.report,
		Touch: func(n, of int) {
			said.end()
			fmt.Fprintf(e.Stderr, "touch the security key when it blinks (touch %d of %d)\n", n, of)
		},
		Removes: func(names []string) {
			said.end()
			for _, n := range names {
				fmt.Fprintf(e.Stderr, "note: /boot/%s goes; no firmware reads it\n", escape.Text(n))
			}
		},
		Deliver: func(res *prepare.Result) error {
			l.finish(order, res, machine.Aligned())
			return p.mail(order, l, res, m.TPM != nil)
		},
	}
	if !cli.Special(p.secretsOut) { // what has no end gets one document
		o.Finished = secretsFile(p.secretsOut)
	}
	if o.Buyer, err = p.readBuyer(e, m.Platform.Now()); err != nil {
		return err
	}
	var done func()
	if o.Shop, done, err = p.shop(e); err != nil {
		return err
	}
	defer done()
	if o.Known, err = p.known(e); err != nil {
		return err
	}
	defer o.Known.Wipe()
	res, err := p.prepare(ctx, e, m, o)
	if errors.Is(err, prepare.ErrRestart) {
		return errors.Join(err, p.beforeRestart(ctx, e, m.Machine, machine.Restart))
	}
	if err != nil {
		return err
	}
	said.end()
	if !l.Aligned {
		fmt.Fprintln(e.Stderr, "note: the firmware has no room to keep the key on erase blocks of its own; the buyer's change will rewrite blocks of other files")
	}
	if err := errors.Join(m.Platform.WipeSecrets(), m.Platform.Restart(ctx)); err != nil || !res.Unsigned {
		return err
	}
	return prepare.ErrUnsigned
}

// prepare does the part that the flags ask for.
func (p *preparation) prepare(ctx context.Context, e *cli.Env, m *prepare.Machine, o prepare.Options) (*prepare.Result,
	error) {
	if p.shopSignature == "" {
		return prepare.Run(ctx, m, o)
	}
	sigs, err := e.Read(p.shopSignature, handover.MaxStatement)
	if err != nil {
		return nil, fmt.Errorf("reading the shop's signature: %w", err)
	}
	return prepare.Sign(ctx, m, o, sigs)
}

const (
	restartsHint = "kexec_reown.restarts"
	maxRestarts  = 3
)

// beforeRestart gets the laptop ready to be restarted by the worker, or by --restart with
// again: not again and again, should the TPM never be content.
func (p *preparation) beforeRestart(ctx context.Context, e *cli.Env, m *wizard.Machine,
	again func(context.Context) error) error {
	if err := errors.Join(m.Platform.WipeSecrets(), m.Platform.Restart(ctx)); err != nil || !p.restart {
		return err
	}
	n, err := m.Boot.ReadHint(ctx, restartsHint)
	if err != nil && !errors.Is(err, wizard.ErrNotFound) {
		return err
	}
	if len(n) >= maxRestarts {
		fmt.Fprintf(e.Stderr, "note: %d restarts did not help; not restarted once more\n", maxRestarts)
		return nil
	}
	if err := m.Boot.AppendHint(ctx, restartsHint, []byte(".")); err != nil {
		return err
	}
	p.again = func() error { return again(ctx) }
	return nil
}

func (p *preparation) readOrder(e *cli.Env) (*prepare.Order, error) {
	data, err := e.Read(p.order, prepare.MaxOrder)
	if err != nil {
		return nil, fmt.Errorf("reading the order: %w", err)
	}
	return prepare.ParseOrder(data)
}

// maxBuyer bounds the buyer's certificate, in bytes.
const maxBuyer = 1 << 20

func (p *preparation) readBuyer(e *cli.Env, now time.Time) (*prepare.Buyer, error) {
	if p.buyer == "" {
		return nil, nil
	}
	data, err := e.Read(p.buyer, maxBuyer)
	if err != nil {
		return nil, fmt.Errorf("reading the buyer's certificate: %w", err)
	}
	if len(data) > maxBuyer {
		return nil, fmt.Errorf("%w: more than %d bytes", prepare.ErrBuyer, maxBuyer)
	}
	return prepare.ParseBuyer(data, now)
}

// shop is the shop's own key, and what wipes its PIN.
func (p *preparation) shop(e *cli.Env) (*prepare.Shop, func(), error) {
	none := func() {}
	if p.shopCert == "" {
		return nil, none, nil
	}
	cert, err := readCert(p.shopCert)
	if err != nil {
		return nil, none, err
	}
	if p.shopPIN == "" {
		return &prepare.Shop{Cert: cert.Bytes(), Fingerprint: cert.Fingerprint()}, none, nil
	}
	where := p.shopCard
	if where == "" {
		where = p.Card
	}
	buses, err := plumbing.CardBuses(where)
	if err != nil {
		return nil, none, err
	}
	pin, err := e.Secret(p.shopPIN)
	if err != nil {
		return nil, none, err
	}
	k := laptop.Card(p.shopSerial, buses...)
	sign := func(ctx context.Context, data []byte) ([]byte, error) { return k.Sign(ctx, cert.Bytes(), pin, data) }
	return &prepare.Shop{Cert: cert.Bytes(), Fingerprint: cert.Fingerprint(), Sign: sign}, pin.Wipe, nil
}

// readCert reads one OpenPGP certificate, armoured or binary.
func readCert(name string) (*gpgcard.Cert, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	cert, err := gpgcard.ParseCert(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return cert, nil
}

// known are the secrets that a cut run has left where this one will write, and those
// from --secrets-in.
func (p *preparation) known(e *cli.Env) (prepare.Known, error) {
	var names []string
	if st, err := os.Stat(p.secretsOut); err == nil && st.Mode().IsRegular() && st.Size() > 0 {
		names = append(names, p.secretsOut)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if p.secretsIn != "" {
		names = append(names, p.secretsIn)
	}
	var all prepare.Known
	for _, name := range names {
		some, err := readKnown(e, name)
		if err != nil {
			all.Wipe()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, some)
	}
	return all, nil
}

func readKnown(e *cli.Env, name string) (*answers.Secrets, error) {
	doc, err := readSecrets(e, name)
	if err != nil {
		return nil, err
	}
	defer doc.Wipe()
	return answers.ParseSecrets(doc)
}
