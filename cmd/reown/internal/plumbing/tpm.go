package plumbing

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"reown/cmd/reown/internal/cli"
	"reown/internal/escape"
	"reown/internal/secret"
	"reown/tpm"
)

func tpmCommand() *cli.Command {
	return &cli.Command{Name: "tpm", Short: "the TPM: state, reset, seal, unseal, counter", Sub: []*cli.Command{
		{Name: "status", Args: "[--device PATH] [--json]", Short: "what state the TPM is in; changes nothing",
			Run: tpmStatus},
		{Name: "reset", Args: "--owner-file FILE --confirm tpm [--primary rsa|ecc] [--device PATH] [--json]",
			Short: "clear the TPM and set it up as Heads does", Run: tpmReset,
			Long: "Everything sealed in the TPM, every counter and the old owner passphrase are gone\nafterwards. It works only before an operating system was started. It can be run again\nafter an interruption. The primary key must be of the kind that the board's Heads makes."},
		{Name: "seal", Args: "--owner-file FILE --secret-file FILE [--duk --passphrase-file FILE] [--image ROM] [--pcr N=HEX]... [--device PATH] [--json]", Short: "seal the TOTP/HOTP secret, or the disk unlock key", Run: tpmSeal,
			Long: "The secret is taken to the byte. It is sealed to the present measurements, except those\ngiven with --pcr. With --image it is sealed to what the registers will be at the next\nstart with that firmware image."},
		{Name: "unseal", Args: "--output FILE [--duk --passphrase-file FILE] [--device PATH] [--json]",
			Short: "get a sealed secret back", Run: tpmUnseal,
			Long: "The secret is written to a new file that only its owner can read, or to standard output\nfor \"-\"."},
		{Name: "counter", Args: "create --owner-file FILE | increment ID | read ID  [--device PATH] [--json]",
			Short: "the rollback counter of /boot", Run: tpmCounter},
		{Name: "pcr", Args: "[N]... [--extend N --file FILE] [--device PATH] [--json]",
			Short: "read measurements, or extend one by a file's hash", Run: tpmPCR},
		{Name: "eventlog", Args: "[FILE] [--device PATH] [--json]",
			Short: "what the firmware says it measured, and whether that is so", Run: tpmEventLog},
		{Name: "predict", Args: "--image ROM [--log FILE] [--device PATH] [--json]",
			Short: "the measurements after the next start with another firmware image", Run: tpmPredict},
	}}
}

// tpmFlags are the flags that every command of the group has.
type tpmFlags struct {
	*flag.FlagSet
	device string
	json   bool
}

func newTPMFlags(name string) *tpmFlags {
	f := &tpmFlags{FlagSet: cli.NewFlags("reown tpm " + name)}
	f.StringVar(&f.device, "device", "", "PATH /dev/tpmrm0, /dev/tpm0 or a socket; without it what this machine "+
		"has")
	f.BoolVar(&f.json, "json", false, "report as one JSON document")
	return f
}

func (f *tpmFlags) open(ctx context.Context) (*tpm.TPM, error) { return tpm.OpenContext(ctx, f.device) }

// secret reads the secret that a flag names; the flag must be given.
func (f *tpmFlags) secret(e *cli.Env, flag, file string) (*secret.Buffer, error) {
	if file == "" {
		return nil, cli.Usagef("%s: --%s is needed", f.Name(), flag)
	}
	return e.Secret(file)
}

func tpmStatus(ctx context.Context, e *cli.Env, args []string) error {
	f := newTPMFlags("status")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	t, err := f.open(ctx)
	if err != nil {
		return err
	}
	i, err := t.Info(ctx)
	if err != nil {
		return err
	}
	if f.json {
		return e.JSON(i)
	}
	fmt.Fprintf(e.Stdout, "TPM %s (%s)\n", i.Family, escape.Text(i.Manufacturer))
	yesNo := map[bool]string{true: "yes", false: "no"}
	for _, l := range []struct {
		what string
		is   bool
	}{{"owner passphrase set", i.Owned}, {"set up to the end", i.SetUp}, {"can be reset now", i.CanReset},
		{"TOTP secret sealed", i.HasOTP}, {"disk unlock key sealed", i.HasDUK}} {
		fmt.Fprintf(e.Stdout, "  %-24s %s\n", l.what, yesNo[l.is])
	}
	if i.PrimaryName != "" {
		fmt.Fprintf(e.Stdout, "  %-24s %s %s\n", "primary key", i.PrimaryAlg, i.PrimaryName)
	}
	for _, m := range i.Missing {
		fmt.Fprintf(e.Stdout, "  %-24s %s\n", "missing", m)
	}
	fmt.Fprintf(e.Stdout, "  %-24s %d of %d, one forgiven in %d s\n", "wrong tries", i.Lockout.Tries, i.Lockout.Max,
		i.Lockout.Interval)
	if i.Lockout.Locked {
		fmt.Fprintf(e.Stdout, "  locked against guessing\n")
	}
	fmt.Fprintf(e.Stdout, "  %-24s %s %x\n", "mark of a run (anchor)", i.Anchor.State, []byte(i.Anchor.Digest))
	fmt.Fprintf(e.Stdout, "  %-24s %s\n", "counters", strings.Join(i.Counters, " "))
	printTPMPCRs(e.Stdout, i.PCRs)
	return nil
}

func printTPMPCRs(w io.Writer, v tpm.PCRValues) {
	for i := range 24 {
		if val, ok := v[i]; ok {
			fmt.Fprintf(w, "  PCR %-2d %x\n", i, val)
		}
	}
}

func tpmReset(ctx context.Context, e *cli.Env, args []string) error {
	f := newTPMFlags("reset")
	ownerFile, confirm, alg := f.String("owner-file", "", "FILE the owner passphrase"),
		f.String("confirm", "", "tpm says that you mean it"), f.String("primary", "rsa", "KIND "+
			"the kind of primary key that the board's Heads makes: rsa or ecc")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if *alg != string(tpm.RSA) && *alg != string(tpm.ECC) {
		return cli.Usagef("reown tpm reset: --primary is rsa or ecc, not %q", *alg)
	}
	if *confirm != "tpm" {
		return cli.Usagef("reown tpm reset: this clears the TPM for good; say so with --confirm tpm")
	}
	owner, err := f.secret(e, "owner-file", *ownerFile)
	if err != nil {
		return err
	}
	defer owner.Wipe()
	t, err := f.open(ctx)
	if err != nil {
		return err
	}
	if err := t.Reset(ctx, owner, tpm.ResetOptions{PrimaryAlg: tpm.PrimaryAlg(*alg)}); err != nil {
		return err
	}
	i, err := t.Info(ctx)
	if err != nil {
		return err
	}
	if f.json {
		return e.JSON(i)
	}
	for _, m := range i.Missing {
		fmt.Fprintf(e.Stdout, "set up, but %s\n", m)
	}
	return nil
}

// sealed is what `seal --json` and `unseal --json` tell: never the secret.
type sealed struct {
	Object string        `json:"object"` // "otp" or "duk"
	Bytes  int           `json:"bytes"`
	PCRs   tpm.PCRValues `json:"pcrs,omitempty"`   // what it is sealed to
	Output string        `json:"output,omitempty"` // where it was written
}

// dukFlags say whether the disk unlock key is meant, and its passphrase's file.
type dukFlags struct {
	duk  *bool
	file *string
}

func newDUKFlags(f *tpmFlags) dukFlags {
	return dukFlags{f.Bool("duk", false, "the disk unlock key is meant"),
		f.String("passphrase-file", "", "FILE the disk unlock key's passphrase")}
}

func tpmSeal(ctx context.Context, e *cli.Env, args []string) error {
	f := newTPMFlags("seal")
	ownerFile, secretFile, image := f.String("owner-file", "", "FILE the owner passphrase"),
		f.String("secret-file", "", "FILE the secret, taken to the byte"), f.String("image", "", "ROM "+
			"seal to what the registers will be at the next start with this firmware image")
	duk := newDUKFlags(f)
	given := tpm.PCRValues{}
	f.Func("pcr", "N=HEX seal to this value of a register; repeatable", func(s string) error {
		n, value, ok := strings.Cut(s, "=")
		pcr, err := strconv.Atoi(n)
		b, herr := hex.DecodeString(value)
		if !ok || err != nil || herr != nil {
			return errors.New("must be N=HEX")
		}
		given[pcr] = b
		return nil
	})
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if *duk.duk && *image != "" {
		return cli.Usagef("reown tpm seal: --image cannot know what the disk unlock key is sealed to; give --pcr")
	}
	owner, err := f.secret(e, "owner-file", *ownerFile)
	if err != nil {
		return err
	}
	defer owner.Wipe()
	if *secretFile == "" {
		return cli.Usagef("reown tpm seal: --secret-file is needed")
	}
	data, err := e.Key(*secretFile)
	if err != nil {
		return err
	}
	defer data.Wipe()
	t, err := f.open(ctx)
	if err != nil {
		return err
	}
	var values tpm.PCRValues
	if *image != "" {
		values, err = predictOTP(ctx, t, *image, "")
	} else {
		values, err = t.ReadPCRs(ctx, tpm.DUKPCRs()...)
	}
	if err != nil {
		return err
	}
	for pcr, v := range given {
		values[pcr] = v
	}
	object, pcrs := "otp", tpm.OTPPCRs()
	if *duk.duk {
		object, pcrs = "duk", tpm.DUKPCRs()
		pass, err := f.secret(e, "passphrase-file", *duk.file)
		if err != nil {
			return err
		}
		defer pass.Wipe()
		err = t.SealDUK(ctx, owner, data, pass, values)
		if err != nil {
			return err
		}
	} else if err := t.SealOTP(ctx, owner, data, values); err != nil {
		return err
	}
	if !f.json {
		return nil
	}
	return e.JSON(sealed{Object: object, Bytes: data.Len(), PCRs: values.Only(pcrs)})
}

func tpmUnseal(ctx context.Context, e *cli.Env, args []string) error {
	f := newTPMFlags("unseal")
	output := f.String("output", "", "FILE a new file for the secret, or - for standard output")
	duk := newDUKFlags(f)
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if *output == "" {
		return cli.Usagef("reown tpm unseal: --output is needed; \"-\" is standard output")
	}
	if *output == "-" && f.json {
		return cli.Usagef("reown tpm unseal: with --json the secret needs a file of its own")
	}
	object := "otp"
	unseal := func(t *tpm.TPM) (*secret.Buffer, error) { return t.UnsealOTP(ctx) }
	if *duk.duk {
		pass, err := f.secret(e, "passphrase-file", *duk.file)
		if err != nil {
			return err
		}
		defer pass.Wipe()
		object = "duk"
		unseal = func(t *tpm.TPM) (*secret.Buffer, error) { return t.UnsealDUK(ctx, pass) }
	}
	t, err := f.open(ctx)
	if err != nil {
		return err
	}
	data, err := unseal(t)
	if err != nil {
		return err
	}
	defer data.Wipe()
	if *output == "-" {
		_, err = e.Stdout.Write(data.Bytes())
		return err
	}
	w, err := os.OpenFile(*output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("making the secret's file: %w", err)
	}
	_, err = w.Write(data.Bytes())
	if err := errors.Join(err, w.Close()); err != nil || !f.json {
		return err
	}
	return e.JSON(sealed{Object: object, Bytes: data.Len(), Output: *output})
}

func tpmCounter(ctx context.Context, e *cli.Env, args []string) error {
	f := newTPMFlags("counter")
	ownerFile := f.String("owner-file", "", "FILE the owner passphrase")
	ops, err := cli.Parse(f.FlagSet, args, 1, 2)
	if err != nil {
		return err
	}
	var do func(*tpm.TPM) (tpm.Counter, error)
	switch {
	case ops[0] == "create" && len(ops) == 1:
		owner, err := f.secret(e, "owner-file", *ownerFile)
		if err != nil {
			return err
		}
		defer owner.Wipe()
		do = func(t *tpm.TPM) (tpm.Counter, error) { return t.CreateCounter(ctx, owner) }
	case ops[0] == "increment" && len(ops) == 2:
		do = func(t *tpm.TPM) (tpm.Counter, error) { return t.IncrementCounter(ctx, ops[1]) }
	case ops[0] == "read" && len(ops) == 2:
		do = func(t *tpm.TPM) (tpm.Counter, error) { return t.ReadCounter(ctx, ops[1]) }
	default:
		return cli.Usagef("reown tpm counter: one of create, increment ID, read ID")
	}
	t, err := f.open(ctx)
	if err != nil {
		return err
	}
	n, err := do(t)
	if err != nil {
		return err
	}
	if f.json {
		return e.JSON(n)
	}
	fmt.Fprintln(e.Stdout, n.Line)
	return nil
}
