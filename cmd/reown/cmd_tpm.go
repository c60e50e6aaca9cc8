package main

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

	"reown/internal/rom"
	"reown/internal/secret"
	"reown/tpm"
)

func tpmCommand() *command {
	return &command{name: "tpm", short: "the TPM: state, reset, seal, unseal, counter", sub: []*command{
		{name: "status", args: "[--device PATH] [--json]", short: "what state the TPM is in; changes nothing", run: tpmStatus},
		{name: "reset", args: "--owner-file FILE --confirm tpm [--primary rsa|ecc] [--device PATH] [--json]", short: "clear the TPM and set it up as Heads does", run: tpmReset,
			long: "Everything sealed in the TPM, every counter and the old owner passphrase are gone\nafterwards. It works only before an operating system was started. It can be run again\nafter an interruption. The primary key must be of the kind that the board's Heads makes."},
		{name: "seal", args: "--owner-file FILE --secret-file FILE [--duk --passphrase-file FILE] [--image ROM] [--pcr N=HEX]... [--device PATH] [--json]", short: "seal the TOTP/HOTP secret, or the disk unlock key", run: tpmSeal,
			long: "The secret is taken to the byte. It is sealed to the present measurements, except those\ngiven with --pcr. With --image it is sealed to what the registers will be at the next\nstart with that firmware image."},
		{name: "unseal", args: "--output FILE [--duk --passphrase-file FILE] [--device PATH] [--json]", short: "get a sealed secret back", run: tpmUnseal,
			long: "The secret is written to a new file that only its owner can read, or to standard output\nfor \"-\"."},
		{name: "counter", args: "create --owner-file FILE | increment ID | read ID  [--device PATH] [--json]", short: "the rollback counter of /boot", run: tpmCounter},
		{name: "pcr", args: "[N]... [--extend N --file FILE] [--device PATH] [--json]", short: "read measurements, or extend one by a file's hash", run: tpmPCR},
		{name: "eventlog", args: "[FILE] [--device PATH] [--json]", short: "what the firmware says it measured, and whether that is so", run: tpmEventLog},
		{name: "predict", args: "--image ROM [--log FILE] [--device PATH] [--json]", short: "the measurements after the next start with another firmware image", run: tpmPredict},
	}}
}

// tpmFlags are the flags that every command of the group has.
type tpmFlags struct {
	*flag.FlagSet
	device string
	json   bool
}

func newTPMFlags(name string) *tpmFlags {
	f := &tpmFlags{FlagSet: newFlags("reown tpm " + name)}
	f.StringVar(&f.device, "device", "", "")
	f.BoolVar(&f.json, "json", false, "")
	return f
}

func (f *tpmFlags) open() (*tpm.TPM, error) { return tpm.Open(f.device) }

// secret reads the secret that a flag names; the flag must be given.
func (f *tpmFlags) secret(e *env, flag, file string) (*secret.Buffer, error) {
	if file == "" {
		return nil, usagef("%s: --%s is needed", f.Name(), flag)
	}
	return readSecretFile(e, file)
}

func tpmStatus(ctx context.Context, e *env, args []string) error {
	f := newTPMFlags("status")
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	t, err := f.open()
	if err != nil {
		return err
	}
	i, err := t.Info(ctx)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(e, i)
	}
	fmt.Fprintf(e.stdout, "TPM %s (%s)\n", i.Family, i.Manufacturer)
	yesNo := map[bool]string{true: "yes", false: "no"}
	for _, l := range []struct {
		what string
		is   bool
	}{{"owner passphrase set", i.Owned}, {"set up to the end", i.SetUp}, {"can be reset now", i.CanReset}, {"TOTP secret sealed", i.HasOTP}, {"disk unlock key sealed", i.HasDUK}} {
		fmt.Fprintf(e.stdout, "  %-24s %s\n", l.what, yesNo[l.is])
	}
	if i.PrimaryName != "" {
		fmt.Fprintf(e.stdout, "  %-24s %s %s\n", "primary key", i.PrimaryAlg, i.PrimaryName)
	}
	fmt.Fprintf(e.stdout, "  %-24s %d of %d, one forgiven in %d s\n", "wrong tries", i.Lockout.Tries, i.Lockout.Max, i.Lockout.Interval)
	if i.Lockout.Locked {
		fmt.Fprintf(e.stdout, "  locked against guessing\n")
	}
	fmt.Fprintf(e.stdout, "  %-24s %s %x\n", "mark of a run (anchor)", i.Anchor.State, []byte(i.Anchor.Digest))
	fmt.Fprintf(e.stdout, "  %-24s %s\n", "counters", strings.Join(i.Counters, " "))
	printTPMPCRs(e.stdout, i.PCRs)
	return nil
}

func printTPMPCRs(w io.Writer, v tpm.PCRValues) {
	for i := range 24 {
		if val, ok := v[i]; ok {
			fmt.Fprintf(w, "  PCR %-2d %x\n", i, val)
		}
	}
}

func tpmReset(ctx context.Context, e *env, args []string) error {
	f := newTPMFlags("reset")
	ownerFile, confirm, alg := f.String("owner-file", "", ""), f.String("confirm", "", ""), f.String("primary", "rsa", "")
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if *alg != string(tpm.RSA) && *alg != string(tpm.ECC) {
		return usagef("reown tpm reset: --primary is rsa or ecc, not %q", *alg)
	}
	if *confirm != "tpm" {
		return usagef("reown tpm reset: this clears the TPM for good; say so with --confirm tpm")
	}
	owner, err := f.secret(e, "owner-file", *ownerFile)
	if err != nil {
		return err
	}
	defer owner.Wipe()
	t, err := f.open()
	if err != nil {
		return err
	}
	if err := t.Reset(ctx, owner, tpm.ResetOptions{PrimaryAlg: tpm.PrimaryAlg(*alg)}); err != nil || !f.json {
		return err
	}
	i, err := t.Info(ctx)
	if err != nil {
		return err
	}
	return printJSON(e, i)
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
	return dukFlags{f.Bool("duk", false, ""), f.String("passphrase-file", "", "")}
}

func tpmSeal(ctx context.Context, e *env, args []string) error {
	f := newTPMFlags("seal")
	ownerFile, secretFile, image := f.String("owner-file", "", ""), f.String("secret-file", "", ""), f.String("image", "", "")
	duk := newDUKFlags(f)
	given := tpm.PCRValues{}
	f.Func("pcr", "", func(s string) error {
		n, value, ok := strings.Cut(s, "=")
		pcr, err := strconv.Atoi(n)
		b, herr := hex.DecodeString(value)
		if !ok || err != nil || herr != nil {
			return errors.New("must be N=HEX")
		}
		given[pcr] = b
		return nil
	})
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if *duk.duk && *image != "" {
		return usagef("reown tpm seal: --image cannot know what the disk unlock key is sealed to; give --pcr")
	}
	owner, err := f.secret(e, "owner-file", *ownerFile)
	if err != nil {
		return err
	}
	defer owner.Wipe()
	if *secretFile == "" {
		return usagef("reown tpm seal: --secret-file is needed")
	}
	data, err := readKeyFile(e, *secretFile)
	if err != nil {
		return err
	}
	defer data.Wipe()
	t, err := f.open()
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
	return printJSON(e, sealed{Object: object, Bytes: data.Len(), PCRs: values.Only(pcrs)})
}

func tpmUnseal(ctx context.Context, e *env, args []string) error {
	f := newTPMFlags("unseal")
	output := f.String("output", "", "")
	duk := newDUKFlags(f)
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if *output == "" {
		return usagef("reown tpm unseal: --output is needed; \"-\" is standard output")
	}
	if *output == "-" && f.json {
		return usagef("reown tpm unseal: with --json the secret needs a file of its own")
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
	t, err := f.open()
	if err != nil {
		return err
	}
	data, err := unseal(t)
	if err != nil {
		return err
	}
	defer data.Wipe()
	if *output == "-" {
		_, err = e.stdout.Write(data.Bytes())
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
	return printJSON(e, sealed{Object: object, Bytes: data.Len(), Output: *output})
}

func tpmCounter(ctx context.Context, e *env, args []string) error {
	f := newTPMFlags("counter")
	ownerFile := f.String("owner-file", "", "")
	ops, err := parse(f.FlagSet, args, 1, 2)
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
		return usagef("reown tpm counter: one of create, increment ID, read ID")
	}
	t, err := f.open()
	if err != nil {
		return err
	}
	n, err := do(t)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(e, n)
	}
	fmt.Fprintln(e.stdout, n.Line)
	return nil
}

func tpmPCR(ctx context.Context, e *env, args []string) error {
	f := newTPMFlags("pcr")
	extend, file := f.Int("extend", -1, ""), f.String("file", "", "")
	ops, err := parse(f.FlagSet, args, 0, 24)
	if err != nil {
		return err
	}
	pcrs := tpm.DUKPCRs()
	if len(ops) > 0 {
		pcrs = nil
	}
	for _, s := range ops {
		n, err := strconv.Atoi(s)
		if err != nil {
			return usagef("reown tpm pcr: %q is no register", s)
		}
		pcrs = append(pcrs, n)
	}
	if (*extend >= 0) != (*file != "") {
		return usagef("reown tpm pcr: --extend and --file belong together")
	}
	t, err := f.open()
	if err != nil {
		return err
	}
	if *extend >= 0 {
		data, err := readMeasured(*file, maxMeasured)
		if err != nil {
			return err
		}
		if err := t.ExtendPCR(ctx, *extend, data); err != nil {
			return err
		}
	}
	v, err := t.ReadPCRs(ctx, pcrs...)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(e, v)
	}
	printTPMPCRs(e.stdout, v)
	return nil
}

// maxMeasured bounds a file that is measured, in bytes: the largest ROM image.
const maxMeasured = 64 << 20

func readMeasured(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return b, err
}

// readEventLog reads the log from a file, or from the machine for "".
func readEventLog(ctx context.Context, file string) (*tpm.EventLog, error) {
	var b []byte
	var err error
	if file == "" {
		b, err = tpm.ReadEventLog(ctx)
	} else {
		b, err = readMeasured(file, tpm.MaxEventLog)
	}
	if err != nil {
		return nil, err
	}
	return tpm.ParseEventLog(b)
}

func tpmEventLog(ctx context.Context, e *env, args []string) error {
	f := newTPMFlags("eventlog")
	ops, err := parse(f.FlagSet, args, 0, 1)
	if err != nil {
		return err
	}
	l, err := readEventLog(ctx, strings.Join(ops, ""))
	if err != nil {
		return err
	}
	// The values are a service; a log can be read on a machine without the TPM.
	size, now := tpm.V20.PCRSize(), tpm.PCRValues{}
	if t, err := f.open(); err == nil {
		size = t.Family().PCRSize()
		if now, err = t.ReadPCRs(ctx, tpm.DUKPCRs()...); err != nil {
			return err
		}
	}
	replayed := tpm.PCRValues{}
	for _, p := range tpm.DUKPCRs() {
		if v, err := l.Replay(size, p); err == nil {
			replayed[p] = v
		}
	}
	if f.json {
		return printJSON(e, struct {
			Format   string        `json:"format"`
			Events   []tpm.Event   `json:"events"`
			Replayed tpm.PCRValues `json:"replayed"`
			PCRs     tpm.PCRValues `json:"pcrs"`
		}{l.Format, l.Events, replayed, now})
	}
	fmt.Fprintf(e.stdout, "%s log, %d events\n", l.Format, len(l.Events))
	for _, ev := range l.Events {
		fmt.Fprintf(e.stdout, "  PCR %-2d %s\n", ev.PCR, ev.Name)
	}
	for _, p := range tpm.DUKPCRs() {
		v, ok := replayed[p]
		if !ok {
			continue
		}
		note := ""
		if n, ok := now[p]; ok {
			note = map[bool]string{true: "  as in the TPM", false: "  the TPM has more or other measurements"}[string(n) == string(v)]
		}
		fmt.Fprintf(e.stdout, "  replay of PCR %d: %x%s\n", p, v, note)
	}
	return nil
}

// predictOTP computes the registers that TOTP is sealed to for a firmware image.
func predictOTP(ctx context.Context, t *tpm.TPM, image, logFile string) (tpm.PCRValues, error) {
	b, err := readMeasured(image, maxMeasured)
	if err != nil {
		return nil, err
	}
	sha1Bank, sha256Bank, err := rom.PCR7(b)
	if err != nil {
		return nil, err
	}
	pcr7 := sha256Bank[:]
	if t.Family() == tpm.V12 {
		pcr7 = sha1Bank[:]
	}
	l, err := readEventLog(ctx, logFile)
	if err != nil {
		return nil, err
	}
	now, err := t.ReadPCRs(ctx, 0, 1, 2, 3)
	if err != nil {
		return nil, err
	}
	return tpm.PredictOTP(now, l, pcr7)
}

func tpmPredict(ctx context.Context, e *env, args []string) error {
	f := newTPMFlags("predict")
	image, logFile := f.String("image", "", ""), f.String("log", "", "")
	if _, err := parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if *image == "" {
		return usagef("reown tpm predict: --image is needed")
	}
	t, err := f.open()
	if err != nil {
		return err
	}
	v, err := predictOTP(ctx, t, *image, *logFile)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(e, v)
	}
	printTPMPCRs(e.stdout, v)
	return nil
}
