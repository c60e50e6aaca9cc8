package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"reown/gpgcard"
	"reown/internal/escape"
	"reown/internal/handover"
	"reown/internal/rom"
	"reown/wizard"
	"reown/wizard/prepare"
	"reown/wizard/ui/answers"
)

const prepareHelp = `
  --order FILE        the order: a JSON object with order, name and email, and if wanted
                      buyer (fingerprint) and card (serial number); docs/oem.md
  --secrets-in FILE   secret.current, the passphrase of the disk image; JSON, /dev/fd/N works
  --secrets-out FILE  where the laptop's secrets are written, before they are used
                      anywhere; mode 0600. One that a cut run has left is read and used again.
  --mail-out DIR      what to send: the hand-over file, its signature, the key
  --buyer CERT        the buyer's OpenPGP certificate; --mail-out then holds secrets.asc
  --shop-cert CERT    the shop's own OpenPGP certificate: its key then signs the hand-over
                      file and secrets.asc, beside the laptop's; a laptop that was handed
                      to this key gets the next statement of its chain
  --shop-pin-file F   the PIN of the shop's key; --shop-serial S its security key's serial
                      number, --shop-card BUS where it is (default: as --card)
  --algorithm A       for the keys on the card: rsa2048, rsa3072, rsa4096, p256, p384, 25519
  --reencrypt         give the disk a volume key of its own: all laptops that were written
                      from one image share one
  --battery           run without mains power
  --json              one line of JSON instead of the label
` + deviceHelp

func prepareCommand() *command {
	return &command{name: "prepare", args: "--order FILE --secrets-out FILE [flags] [devices]", short: "the seller's side: make the laptop ready to ship", run: runPrepare, long: `
Makes a laptop ready to ship, without asking anything: random secrets of its own, new
keys on the security key, the disk's passphrase, the TPM, the key in the firmware,
/boot with the trigger /boot/oem under its signature, and the signed hand-over file.
Then it reads everything again and compares. It erases the security key and clears
the TPM. Prints a label and exits 0, or prints DO NOT SHIP with the step and exits 1.
After an interruption, run the same command again. Do not start it in the firmware's
recovery shell: that start's measurements are spoilt and nothing could be sealed.
` + prepareHelp}
}

// preparation are the flags of the command.
type preparation struct {
	devices
	order, secretsIn, secretsOut, mailOut, buyer, algorithm string
	shopCert, shopPIN, shopSerial, shopCard                 string
	reencrypt, battery, json                                bool
}

func runPrepare(ctx context.Context, e *env, args []string) error {
	p := preparation{}
	fs := newFlags("reown prepare")
	p.devices.bind(fs)
	fs.StringVar(&p.order, "order", "", "")
	fs.StringVar(&p.secretsIn, "secrets-in", "", "")
	fs.StringVar(&p.secretsOut, "secrets-out", "", "")
	fs.StringVar(&p.mailOut, "mail-out", "", "")
	fs.StringVar(&p.buyer, "buyer", "", "")
	fs.StringVar(&p.shopCert, "shop-cert", "", "")
	fs.StringVar(&p.shopPIN, "shop-pin-file", "", "")
	fs.StringVar(&p.shopSerial, "shop-serial", "", "")
	fs.StringVar(&p.shopCard, "shop-card", "", "")
	fs.StringVar(&p.algorithm, "algorithm", "", "")
	fs.BoolVar(&p.reencrypt, "reencrypt", false, "")
	fs.BoolVar(&p.battery, "battery", false, "")
	fs.BoolVar(&p.json, "json", false, "")
	if _, err := parse(fs, args, 0, 0); err != nil {
		return err
	}
	switch {
	case p.order == "" || p.secretsOut == "":
		return usagef("reown prepare needs --order and --secrets-out")
	case p.buyer != "" && p.mailOut == "":
		return usagef("reown prepare: --buyer needs --mail-out, where its message goes")
	case (p.shopCert == "") != (p.shopPIN == "") || p.shopCert == "" && p.shopSerial+p.shopCard != "":
		return usagef("reown prepare: --shop-cert and --shop-pin-file belong together")
	}
	start := time.Now()
	label := label{}
	err := p.run(ctx, e, &label)
	label.Seconds = int64(time.Since(start).Seconds())
	if err != nil {
		label.fail(err)
	}
	if err := errors.Join(err, p.print(e, &label)); err != nil {
		return withExit(exitFailed, err)
	}
	return nil
}

// label is what is printed for one laptop; nothing in it is secret.
type label struct {
	OK          bool     `json:"ok"`
	Order       string   `json:"order"`
	Words       string   `json:"words"`
	Fingerprint string   `json:"fingerprint"`
	Seller      string   `json:"seller"`   // fingerprint that the buyer must know: who signed first in the chain
	Handover    int      `json:"handover"` // number of the statement in its chain, from 0
	Card        string   `json:"card"`
	Volumes     []string `json:"volumes"`
	ROM         string   `json:"rom"`       // SHA-256 of the flash chip
	Aligned     bool     `json:"aligned"`   // the owner's files lie on erase blocks of their own
	Statement   string   `json:"statement"` // SHA-256 of the hand-over file
	Seconds     int64    `json:"seconds"`
	Step        string   `json:"step"`  // that failed
	Error       string   `json:"error"` // of it
}

func (l *label) fail(err error) {
	*l = label{Order: l.Order, Seconds: l.Seconds, Step: "start", Error: err.Error()}
	var step *wizard.StepError
	if errors.As(err, &step) {
		l.Step, l.Error = step.Step, step.Err.Error()
	}
}

func (p *preparation) print(e *env, l *label) error {
	if p.json {
		return json.NewEncoder(e.stdout).Encode(l)
	}
	if !l.OK {
		_, err := fmt.Fprintf(e.stdout, "DO NOT SHIP\norder         %s\nfailed step   %s\n", orNone(l.Order), l.Step)
		return err
	}
	_, err := fmt.Fprintf(e.stdout, `order         %s
words         %s
seller's key  %s
laptop's key  %s
security key  %s

laptop parcel   the laptop
key parcel      the security key
e-mail          the words, the seller's key, and what --mail-out holds
`, l.Order, l.Words, grouped(l.Seller), grouped(l.Fingerprint), l.Card)
	return err
}

// grouped is a fingerprint as gpg prints it.
func grouped(fpr string) string {
	var out []string
	for i := 0; i+4 <= len(fpr); i += 4 {
		out = append(out, fpr[i:i+4])
	}
	return strings.Join(out, " ")
}

func (p *preparation) run(ctx context.Context, e *env, l *label) error {
	order, err := p.readOrder(e)
	if err != nil {
		return err
	}
	l.Order = order.ID
	if p.tpm == "auto" {
		if err := p.resolve(); err != nil {
			return err
		}
		if p.tpm == "none" {
			return prepare.ErrNoTPM
		}
	}
	// The restart is the worker's; what this leaves is that the TPM is told of it.
	p.noRestart = true
	unlock, err := p.lock()
	if err != nil {
		return err
	}
	defer unlock()
	m, closeDevices, err := p.machine(ctx)
	if err != nil {
		return err
	}
	defer closeDevices()
	laptop, err := oemMachine(m)
	if err != nil {
		return err
	}
	o := prepare.Options{
		Order: order, Out: secretsFile(p.secretsOut), Algorithm: p.algorithm, Reencrypt: p.reencrypt, Battery: p.battery,
		Report: progressLines(e), Touch: func(n, of int) {
			fmt.Fprintf(e.stderr, "touch the security key when it blinks (touch %d of %d)\n", n, of)
		},
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
	res, err := prepare.Run(ctx, laptop, o)
	if err != nil {
		return err
	}
	if err := p.mail(res); err != nil {
		return fmt.Errorf("writing what is to be sent: %w", err)
	}
	*l = label{
		OK: true, Order: order.ID, Words: strings.Join(handover.Words(res.Statement, fourWords), "-"), Fingerprint: res.Fingerprint,
		Seller: res.Seller, Handover: res.Seq, Card: res.CardSerial, Volumes: res.Volumes, ROM: res.ROM, Statement: handover.Digest(res.Statement),
	}
	if l.Aligned = aligned(laptop); !l.Aligned {
		fmt.Fprintln(e.stderr, "note: the firmware has no room to keep the key on erase blocks of its own; the buyer's change will rewrite blocks of other files")
	}
	return errors.Join(m.Platform.WipeSecrets(), m.Platform.Restart(ctx))
}

// aligned says whether a later change of the key touches no other file's erase block.
func aligned(m *prepare.Machine) bool {
	fw, ok := m.Firmware.(*firmware)
	if !ok || fw.image == nil {
		return false
	}
	img, err := rom.Parse(fw.image)
	return err == nil && img.Aligned(rom.EraseSize)
}

func (p *preparation) readOrder(e *env) (*prepare.Order, error) {
	data, err := readFile(e, p.order, prepare.MaxOrder)
	if err != nil {
		return nil, fmt.Errorf("reading the order: %w", err)
	}
	return prepare.ParseOrder(data)
}

// maxBuyer bounds the buyer's certificate, in bytes.
const maxBuyer = 1 << 20

func (p *preparation) readBuyer(e *env, now time.Time) (*prepare.Buyer, error) {
	if p.buyer == "" {
		return nil, nil
	}
	data, err := readFile(e, p.buyer, maxBuyer)
	if err != nil {
		return nil, fmt.Errorf("reading the buyer's certificate: %w", err)
	}
	if len(data) > maxBuyer {
		return nil, fmt.Errorf("%w: more than %d bytes", prepare.ErrBuyer, maxBuyer)
	}
	return prepare.ParseBuyer(data, now)
}

// shop is the shop's own key, and what wipes its PIN.
func (p *preparation) shop(e *env) (*prepare.Shop, func(), error) {
	none := func() {}
	if p.shopCert == "" {
		return nil, none, nil
	}
	cert, err := readCert(p.shopCert)
	if err != nil {
		return nil, none, err
	}
	where := p.shopCard
	if where == "" {
		where = p.card
	}
	buses, err := cardBuses(where)
	if err != nil {
		return nil, none, err
	}
	pin, err := readSecretFile(e, p.shopPIN)
	if err != nil {
		return nil, none, err
	}
	k := &card{sel: gpgcard.Selector{Serial: p.shopSerial}, buses: buses}
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
func (p *preparation) known(e *env) (prepare.Known, error) {
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

func readKnown(e *env, name string) (*answers.Secrets, error) {
	doc, err := readSecrets(e, name)
	if err != nil {
		return nil, err
	}
	defer doc.Wipe()
	return answers.ParseSecrets(doc)
}

// mail writes what the seller sends to the buyer.
func (p *preparation) mail(res *prepare.Result) error {
	if p.mailOut == "" {
		return nil
	}
	if err := os.MkdirAll(p.mailOut, 0o755); err != nil {
		return err
	}
	cert, err := gpgcard.ParseCert(res.Certificate)
	if err != nil {
		return err
	}
	keys := cert.Armored()
	if o := p.shopCert; o != "" {
		shop, err := readCert(o)
		if err != nil {
			return err
		}
		keys = append(shop.Armored(), keys...)
	}
	name := handover.FileName(res.Seq)
	for _, f := range []struct {
		name string
		data []byte
	}{{name, res.Statement}, {name + ".asc", res.Signature}, {"key.asc", keys}, {"secrets.asc", res.Message}} {
		if f.data == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(p.mailOut, f.name), f.data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// progressLines reports each step, and every tenth of a long one.
func progressLines(e *env) func(step string, done, total int64) {
	last, tenth := "", int64(-1)
	return func(step string, done, total int64) {
		if step != last {
			fmt.Fprintf(e.stderr, "%s\n", escape.Text(step))
			last, tenth = step, 0
		}
		if total > 0 && done*10/total > tenth {
			tenth = done * 10 / total
			fmt.Fprintf(e.stderr, "%s %d%%\n", escape.Text(step), tenth*10)
		}
	}
}
