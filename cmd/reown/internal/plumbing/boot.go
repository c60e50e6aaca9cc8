package plumbing

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"reown/boot"
	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
	"reown/internal/escape"
	"reown/internal/laptop"
)

func bootCommand() *cli.Command {
	return &cli.Command{Name: "boot", Short: "/boot: hash, sign, verify, entries", Sub: []*cli.Command{
		{Name: "hash", Args: "[--entry N] [--json] DIR", Short: "the hashes, names and bytes to sign", Run: bootHash,
			Long: bootHashHelp},
		{Name: "sign", Args: "[flags] DIR", Short: "sign and replace the signed set", Run: bootSign, Long: bootSignHelp},
		{Name: "verify", Args: "[--cert FILE] [--json] DIR", Short: "check as Heads checks before it starts a system",
			Run: bootVerify, Long: bootVerifyHelp},
		{Name: "entries", Args: "[--json] DIR", Short: "the systems that can be started, with Heads's numbers",
			Run: bootEntries, Long: bootEntriesHelp},
	}}
}

const bootHashHelp = `
Prints the bytes that a signature of DIR must cover: one line of sha256sum for each
kexec*.txt file that 'reown boot sign' with the same flags would write. Writes nothing.
Sign them with 'gpg --detach-sign -a --digest-algo SHA256' or 'reown card sign', and
give the signature to 'reown boot sign --sig'.`

const bootSignHelp = `
Makes the set anew, signs it, writes it beside the old one, checks it by Heads's rules,
renames it into place with the signature last, and removes /boot/oem at the very end
(not with --keep-oem). Cut at any moment, the same command finishes it.`

const bootVerifyHelp = `
Checks the signature, every hash, the list of names and the default entry. Exit code 3
if anything is not as signed. Without --cert the signature is not checked, the report
says so, and the exit code is 3 even if all else matches.`

const bootEntriesHelp = `
Lists what Heads finds in grub.cfg, or else in loader/entries, with the numbers it gives
them: the number is part of the signed default. The entry marked * is the one to suggest.`

// setFlags are the flags that say what a set holds.
type setFlags struct {
	entry          int
	extra          []string
	fresh, keepOEM bool
	form           string
}

func (s *setFlags) register(fs *flag.FlagSet) {
	fs.IntVar(&s.entry, "entry", 0, "N make entry N the default ('reown boot entries')")
	fs.BoolVar(&s.fresh, "fresh", false, "drop the other kexec*.txt files there are now (they are kept)")
	fs.BoolVar(&s.keepOEM, "keep-oem", false, "include /boot/oem: the seller's side")
	fs.StringVar(&s.form, "heads-form", "auto", "FORM how the firmware names the files in what is signed: names "+
		"(Heads since April 2026), paths (before), or auto: as the firmware's own scripts verify, where reown "+
		"runs beside them, else names")
	fs.Func("extra", "NAME=FILE another file of the set, such as kexec_rollback.txt; repeatable",
		func(v string) error { s.extra = append(s.extra, v); return nil })
}

// build makes the set that the flags describe.
func (s *setFlags) build(ctx context.Context, e *cli.Env, d *boot.Dir) (*boot.Set, error) {
	form, err := boot.ParseForm(s.form)
	if err != nil {
		return nil, cli.Usagef("--heads-form: %v", err)
	}
	if d.SetForm(form); form == "" {
		d.DetectForm("/")
	}
	if _, known := d.Form(); !known {
		fmt.Fprintln(e.Stderr, "No firmware here to ask: the signature is made for Heads since April 2026. For an older one say --heads-form paths.")
	}
	extra := make(map[string][]byte)
	if !s.fresh {
		st, err := d.State()
		if err != nil {
			return nil, err
		}
		for _, n := range append(st.Listed, "kexec_hotp_counter") {
			if boot.Built(n) {
				continue
			}
			b, err := d.ReadFile(n)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			extra[n] = b
		}
	}
	for _, x := range s.extra {
		name, file, ok := strings.Cut(x, "=")
		if !ok {
			return nil, cli.Usagef("--extra wants NAME=FILE, not %q", x)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		extra[name] = b
	}
	return d.Build(ctx, boot.BuildOptions{Extra: extra, Entry: s.entry, KeepOEM: s.keepOEM,
		Progress: progressLine(e, "hashing /boot")})
}

// progressLine shows percent on a terminal only.
func progressLine(e *cli.Env, what string) func(done, total int64) {
	f, ok := e.Stderr.(*os.File)
	if !ok {
		return nil
	}
	if fi, err := f.Stat(); err != nil || fi.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	last := int64(-1)
	return func(done, total int64) {
		if total == 0 || done*100/total == last {
			return
		}
		last = done * 100 / total
		end := ""
		if done >= total {
			end = "\n"
		}
		fmt.Fprintf(f, "\r%s: %d %%%s", what, last, end)
	}
}

func bootHash(ctx context.Context, e *cli.Env, args []string) error {
	fs := cli.NewFlags("reown boot hash")
	var set setFlags
	set.register(fs)
	asJSON := fs.Bool("json", false, "report as one JSON document")
	dirs, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	d, err := boot.Open(dirs[0])
	if err != nil {
		return err
	}
	s, err := set.build(ctx, e, d)
	if err != nil {
		return err
	}
	if *asJSON {
		type file struct {
			Bytes int    `json:"bytes"`
			Text  string `json:"text,omitempty"`
		}
		out := struct {
			Sign  string          `json:"sign"`
			Files map[string]file `json:"files"`
		}{string(s.SignedBytes()), make(map[string]file)}
		for n, b := range s.Files {
			f := file{Bytes: len(b)}
			if len(b) < 4096 {
				f.Text = string(b)
			}
			out.Files[n] = f
		}
		return e.JSON(out)
	}
	_, err = e.Stdout.Write(s.SignedBytes())
	return err
}

func bootSign(ctx context.Context, e *cli.Env, args []string) error {
	fs := cli.NewFlags("reown boot sign")
	var set setFlags
	set.register(fs)
	sigFile, certFile := fs.String("sig", "",
		"FILE a signature over what 'reown boot hash' printed; - is standard input; without it the card signs"),
		fs.String("cert", "", "FILE "+
			"the public key that the signature must be by")
	cardSpec, serial, pinFile := fs.String("card", "auto", "BUS how to reach the card: auto, usb, pcsc or pcsc:SOCKET"),
		fs.String("serial", "", "S which card, as 'reown card status' shows it"), fs.String("pin-file", "", "FILE "+
			"the card's user PIN")
	dirs, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	if *certFile == "" {
		return cli.Usagef("reown boot sign needs --cert, the public key to check the signature by")
	}
	if *sigFile == "" && *pinFile == "" {
		return cli.Usagef("reown boot sign needs --sig, or --pin-file to sign with the card")
	}
	cert, verify, err := certVerifier(*certFile)
	if err != nil {
		return err
	}
	d, err := boot.Open(dirs[0])
	if err != nil {
		return err
	}
	s, err := set.build(ctx, e, d)
	if err != nil {
		return err
	}
	var sig []byte
	if *sigFile != "" {
		sig, err = readSignature(e, *sigFile)
	} else {
		sig, err = cardSignature(ctx, e, *cardSpec, *serial, *pinFile, cert, s.SignedBytes())
	}
	if err != nil {
		return err
	}
	if err := verify(sig, s.SignedBytes()); err != nil {
		return fmt.Errorf("%w: %w", boot.ErrBadSignature, err)
	}
	restore, err := d.Writable()
	if err != nil {
		return err
	}
	st, err := d.State()
	for _, n := range st.Unknown {
		fmt.Fprintf(e.Stderr, "note: /boot/%s goes; no firmware reads it\n", escape.Text(n))
	}
	if err == nil {
		err = replaceSet(d, s, sig, verify, st.Unknown)
	}
	return errors.Join(err, restore())
}

// replaceSet stages, checks and commits.
func replaceSet(d *boot.Dir, s *boot.Set, sig []byte, verify boot.Verifier, agreed []string) error {
	if err := d.Stage(s, sig); err != nil {
		return err
	}
	if _, err := d.VerifyStaged(verify); err != nil {
		return err
	}
	return d.Commit(verify, agreed...)
}

// maxSignature bounds a detached signature's file, in bytes.
const maxSignature = 64 << 10

func readSignature(e *cli.Env, file string) ([]byte, error) {
	sig, err := e.Read(file, maxSignature)
	if err != nil {
		return nil, fmt.Errorf("reading the signature: %w", err)
	}
	return sig, nil
}

// cardSignature signs with the key on the card that cert describes.
func cardSignature(ctx context.Context, e *cli.Env, spec, serial, pinFile string, cert, data []byte) ([]byte, error) {
	buses, err := CardBuses(spec)
	if err != nil {
		return nil, err
	}
	pin, err := e.Secret(pinFile)
	if err != nil {
		return nil, err
	}
	defer pin.Wipe()
	return laptop.Card(serial, buses...).Sign(ctx, cert, pin, data)
}

// certVerifier checks by the certificate in a file, armoured or binary.
func certVerifier(file string) (cert []byte, verify boot.Verifier, err error) {
	if cert, err = os.ReadFile(file); err != nil {
		return nil, nil, fmt.Errorf("reading the public key: %w", err)
	}
	return cert, func(sig, data []byte) error {
		c, err := gpgcard.ParseCert(cert)
		if err == nil {
			_, err = gpgcard.VerifyDetached(c, sig, data)
		}
		return err
	}, nil
}

func bootVerify(ctx context.Context, e *cli.Env, args []string) error {
	fs := cli.NewFlags("reown boot verify")
	certFile, asJSON := fs.String("cert", "", "FILE the public key that the signature must be by"),
		fs.Bool("json", false, "report "+
			"as one JSON document")
	dirs, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	verify := boot.Verifier(func(sig, data []byte) error { return errNotChecked })
	if *certFile != "" {
		if _, verify, err = certVerifier(*certFile); err != nil {
			return err
		}
	}
	d, err := boot.Open(dirs[0])
	if err != nil {
		return err
	}
	r, err := d.Verify(verify)
	if err != nil {
		return err
	}
	bad := r.Err()
	if *certFile == "" && (bad == nil || errors.Is(bad, errNotChecked)) {
		bad = ErrNoCertificate // neither a pass nor an alarm
	}
	if *asJSON {
		out := struct {
			*boot.Report
			Verified  bool   `json:"verified"`
			Signature string `json:"signature"`
		}{r, bad == nil, signatureWord(r)}
		return cli.WithExit(cli.ExitNotVerified, errors.Join(e.JSON(out), bad))
	}
	printReport(e, r)
	return cli.WithExit(cli.ExitNotVerified, bad)
}

// ErrNoCertificate says that nobody has said whose signature it must be.
var ErrNoCertificate = errors.New("not verified: no certificate was given (--cert FILE)")

// errNotChecked stands for a signature that nobody gave a key for.
var errNotChecked = errors.New("not checked: no --cert was given")

func signatureWord(r *boot.Report) string {
	switch {
	case r.Signature == nil && r.Legacy:
		return "good, over absolute names"
	case r.Signature == nil:
		return "good"
	case errors.Is(r.Signature, errNotChecked):
		return "not checked"
	case errors.Is(r.Signature, boot.ErrNoSignature):
		return "missing"
	}
	return "bad"
}

func printReport(e *cli.Env, r *boot.Report) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "signature      %s\n", signatureWord(r))
	fmt.Fprintf(&b, "covers         %s\n", escape.Text(strings.Join(r.Listed, " ")))
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%-14s %q\n", p.What, p.Path)
	}
	list := func(what string, names []string) {
		for _, n := range names {
			fmt.Fprintf(&b, "%-14s %q\n", what, n)
		}
	}
	list("added", r.Added)
	list("gone", r.Gone)
	list("not covered", r.Unlisted)
	for _, f := range r.Odd {
		fmt.Fprintf(&b, "%-14s %q: %s\n", "odd", f.Name, f.Kind)
	}
	if r.TreeOrder {
		fmt.Fprintf(&b, "list           the names are out of order or listed twice\n")
	}
	fmt.Fprintf(&b, "trigger        %s\n", map[boot.OEMState]string{
		boot.OEMAbsent:  "no /boot/oem",
		boot.OEMCovered: "/boot/oem, covered by the signature",
		boot.OEMAdded:   "/boot/oem, put there after signing",
	}[r.OEM])
	switch {
	case r.Default == 0:
		fmt.Fprintf(&b, "default entry  none\n")
	case r.DefaultOK:
		fmt.Fprintf(&b, "default entry  %d, %q\n", r.Default, r.Entry)
	default:
		fmt.Fprintf(&b, "default entry  %d, which is no longer what was signed\n", r.Default)
	}
	e.Stdout.Write(b.Bytes())
}

func bootEntries(_ context.Context, e *cli.Env, args []string) error {
	fs := cli.NewFlags("reown boot entries")
	asJSON := fs.Bool("json", false, "report as one JSON document")
	dirs, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	d, err := boot.Open(dirs[0])
	if err != nil {
		return err
	}
	entries, err := d.Entries()
	if err != nil {
		return err
	}
	best := boot.Suggest(entries)
	if *asJSON {
		return e.JSON(struct {
			Suggested int          `json:"suggested"`
			Entries   []boot.Entry `json:"entries"`
		}{best, entries})
	}
	for _, x := range entries {
		mark := " "
		if x.Index == best {
			mark = "*"
		}
		fmt.Fprintf(e.Stdout, "%s%3d  %q  %s\n", mark, x.Index, x.Name, escape.Text(strings.Join(x.Files, " ")))
		switch {
		case len(x.Gone) > 0:
			fmt.Fprintf(e.Stdout, "      cannot be the default: not in /boot, or not covered by its signature: %q\n", x.Gone)
		case x.Uncertain != "":
			fmt.Fprintf(e.Stdout, "      cannot be the default: %s\n", escape.Text(x.Uncertain))
		case x.Hidden != "":
			fmt.Fprintf(e.Stdout, "      %s\n", escape.Text(x.Hidden))
		}
	}
	return nil
}
