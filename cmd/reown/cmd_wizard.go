package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
	"reown/internal/escape"
	"reown/internal/laptop"
	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/prepare"
	"reown/wizard/ui"
)

func statusCommand() *cli.Command {
	return &cli.Command{Name: "status", Args: "[--json] [devices]", Short: "what the machine is in; writes nothing",
		Run: runStatus, Shared: onDevices, Long: `
Measures the card, the disk headers, the TPM, the flash chip and /boot, and prints one
line for each step of a run. Nothing is remembered and nothing is written.
The fields of --json are described in docs/wizard.md.
`}
}

func planCommand() *cli.Command {
	return &cli.Command{Name: "plan", Args: "[--json] [devices]", Short: "what would be done; writes nothing",
		Run: runPlan, Shared: onDevices, Long: `
Prints what a run would do on this machine, step by step, what of it cannot be undone,
and what stands in its way.
`}
}

func stepCommand() *cli.Command {
	return &cli.Command{Name: "step", Args: "NAME --confirm XXXX [secrets] [devices]", Short: "do one step", Run: runStep,
		Shared: onDevices, Long: `
Does one step of a run and checks that the machine then shows it as done. A step that
is done does nothing. Steps: preflight, card, disk, tpm, seal, duk, boot, firmware, commit.
`}
}

func logCommand() *cli.Command {
	return &cli.Command{Name: "log", Args: "[--export] [--json] [devices]", Short: "the log, with nothing secret in it",
		Run: runLog, Shared: onDevices, Long: `
Prints the journal of the run: what was attempted, and when. It is a help for people;
no decision is taken from it, and nothing in it is secret, so that it can be sent to
the shop.
`}
}

// withLaptop parses a command's flags and opens the laptop for f.
func withLaptop(ctx context.Context, fs *flag.FlagSet, args []string, min, max int,
	f func(l *laptop.Laptop, d *devices, operands []string) error) error {
	var d devices
	d.bind(fs)
	operands, err := cli.Parse(fs, args, min, max)
	if err != nil {
		return err
	}
	l, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	return f(l, &d, operands)
}

func runStatus(ctx context.Context, e *cli.Env, args []string) error {
	fs := cli.NewFlags("reown status")
	asJSON := fs.Bool("json", false, "report as one JSON document")
	return withLaptop(ctx, fs, args, 0, 0, func(l *laptop.Laptop, d *devices, _ []string) error {
		r, err := wizard.Status(ctx, l.Buyer())
		if err != nil {
			return err
		}
		if *asJSON {
			return e.JSON(r)
		}
		d.hintMount(e)
		printStatus(e, &r)
		return nil
	})
}

func printStatus(e *cli.Env, r *wizard.Report) {
	line := func(name, status, detail string) {
		fmt.Fprintln(e.Stdout, strings.TrimRight(fmt.Sprintf("%-10s  %-12s  %s", name, status, escape.Text(detail)), " "))
	}
	phase := string(r.Phase)
	if r.Certificate != nil {
		phase = "finished"
	}
	line("machine", phase, r.Board)
	if r.Why != "" {
		line("", "", r.Why)
	}
	if c := r.Certificate; c != nil {
		line("owner", "", c.Name)
		line("", "", "key "+prepare.Grouped(c.Owner))
		line("", "", "certificate "+c.Reference+" of "+c.Date)
	}
	area, count := r.Anchors.Words()
	line("anchors", r.Anchors.TPM, area)
	line("", r.Anchors.Card, count)
	seller := "no signed hand-over file"
	if r.Handover.Signer != "" {
		seller = "order " + r.Handover.Order + ", signed by " + r.Handover.Signer
	}
	line("hand-over", "", seller)
	for _, s := range r.Steps {
		detail := s.Detail
		if s.Total > 0 {
			detail = fmt.Sprintf("%d of %d MiB  %s", s.Done>>20, s.Total>>20, detail)
		}
		line(s.ID, s.Status, detail)
	}
	for _, p := range r.Problems {
		line("problem", p.ID, p.What+" - "+p.Remedy)
	}
	if r.Next != "" {
		line("next", "", r.Next+"   (reown wizard, or reown step "+r.Next+")")
	}
}

func runPlan(ctx context.Context, e *cli.Env, args []string) error {
	fs := cli.NewFlags("reown plan")
	asJSON := fs.Bool("json", false, "report as one JSON document")
	return withLaptop(ctx, fs, args, 0, 0, func(l *laptop.Laptop, d *devices, _ []string) error {
		r, err := wizard.Status(ctx, l.Buyer())
		if err != nil {
			return err
		}
		if *asJSON {
			return e.JSON(r)
		}
		d.hintMount(e)
		for i, s := range r.Steps {
			state := "will be done"
			if s.Status == "completed" || s.Status == "not needed" {
				state = s.Status
			}
			fmt.Fprintf(e.Stdout, "%d. %s (%s): %s\n   %s\n", i+1, s.Title, s.ID, state, escape.Text(s.Does))
			if s.Loses != "" {
				fmt.Fprintf(e.Stdout, "   Cannot be undone: %s\n", escape.Text(s.Loses))
			}
		}
		for _, p := range r.Problems {
			fmt.Fprintf(e.Stdout, "First: %s - %s\n", escape.Text(p.What), escape.Text(p.Remedy))
		}
		return nil
	})
}

func runLog(ctx context.Context, e *cli.Env, args []string) error {
	fs := cli.NewFlags("reown log")
	asJSON := fs.Bool("json", false, "report as one JSON document")
	fs.Bool("export", false, "print it as text, as without this flag")
	return withLaptop(ctx, fs, args, 0, 0, func(l *laptop.Laptop, _ *devices, _ []string) error {
		entries, skipped, err := wizard.Log(ctx, l.Buyer())
		if err != nil {
			return err
		}
		if *asJSON {
			return e.JSON(map[string]any{"schema": "reown/log/v1", "entries": entries, "skipped": skipped})
		}
		for _, x := range entries {
			fmt.Fprintf(e.Stdout, "%s  %-10s %-10s %s\n", x.Time, escape.Text(x.Event), escape.Text(x.Step), escape.Text(x.Text))
		}
		if skipped > 0 {
			fmt.Fprintf(e.Stdout, "(%d lines could not be read)\n", skipped)
		}
		return nil
	})
}

func runStep(ctx context.Context, e *cli.Env, args []string) error {
	fs := cli.NewFlags("reown step")
	confirm := fs.String("confirm", "", "XXXX the last four characters of the first disk's serial number, as "+
		"'reown status' shows it")
	files := map[string]*string{}
	for n, what := range map[string]string{
		"disk-file": "new disk passphrase", "old-disk-file": "present disk passphrase", "pin-file": "new user PIN",
		"admin-pin-file": "new admin PIN", "owner-file": "new TPM owner passphrase",
		"totp-file": "20 bytes to seal for TOTP ('reown totp new')", "duk-file": "new passphrase of the disk unlock key",
	} {
		files[n] = fs.String(n, "", "FILE the "+what)
	}
	var choice wizard.Choices
	fs.StringVar(&choice.Identity.Name, "name", "", "NAME the name on the key")
	fs.StringVar(&choice.Identity.Email, "email", "", "ADDRESS the address on the key")
	fs.StringVar(&choice.Algorithm, "algorithm", "", "A for the keys on the card: rsa2048, rsa3072, rsa4096, "+
		"p256, p384, 25519")
	fs.BoolVar(&choice.DUK, "duk", false, "with the card step: a TPM disk unlock key is wanted")
	return withLaptop(ctx, fs, args, 1, 1, func(l *laptop.Laptop, d *devices, operands []string) error {
		if !choice.Identity.Writable() {
			return fmt.Errorf("%w: %q, %q", gpgcard.ErrBadIdentity, choice.Identity.Name, choice.Identity.Email)
		}
		unlock, err := laptop.Lock(d.Boot)
		if err != nil {
			return err
		}
		defer unlock()
		m := l.Buyer()
		if err := confirmed(ctx, m, *confirm); err != nil {
			return err
		}
		keys := &wizard.Keys{Current: map[string]*secret.Buffer{}}
		defer keys.Wipe()
		if err := stepSecrets(ctx, e, m, keys, func(name string) string { return *files[name] }); err != nil {
			return err
		}
		return wizard.RunStep(ctx, m, operands[0], choice, keys, stepProgress(e))
	})
}

// stepSecrets reads the files that the flags of a step name.
func stepSecrets(ctx context.Context, e *cli.Env, m *wizard.Machine, keys *wizard.Keys,
	file func(flag string) string) (err error) {
	for n, dst := range map[string]**secret.Buffer{
		"disk-file": &keys.Disk, "pin-file": &keys.User, "admin-pin-file": &keys.Admin, "owner-file": &keys.Owner,
		"duk-file": &keys.DUK,
	} {
		if file(n) == "" {
			continue
		}
		if *dst, err = e.Secret(file(n)); err != nil {
			return err
		}
	}
	if f := file("totp-file"); f != "" {
		if keys.OTP, err = e.Key(f); err != nil {
			return err
		}
	}
	if file("old-disk-file") == "" {
		return nil
	}
	old, err := e.Secret(file("old-disk-file"))
	if err != nil {
		return err
	}
	defer old.Wipe()
	for _, disk := range m.Disks {
		if i, err := disk.Info(ctx); err == nil {
			keys.Current[i.UUID] = old.Copy()
		}
	}
	return nil
}

// confirmed checks the typed tail of the first disk's serial number: the act
// cannot be undone, and a wrong machine is the likeliest mistake.
func confirmed(ctx context.Context, m *wizard.Machine, typed string) error {
	if len(m.Disks) == 0 {
		return nil
	}
	i, err := m.Disks[0].Info(ctx)
	if err != nil {
		return err
	}
	tail := i.Serial[max(0, len(i.Serial)-4):]
	if !strings.EqualFold(typed, tail) {
		return cli.WithExit(exitRefused, cli.Usagef("this cannot be undone: repeat the command with --confirm %s", tail))
	}
	return nil
}

// stepProgress prints one line to stderr whenever a step moves on.
func stepProgress(e *cli.Env) func(ui.Tasks) {
	last, at := "", time.Time{}
	return func(t ui.Tasks) {
		for _, k := range t.Tasks {
			if k.State != ui.InProgress {
				continue
			}
			line := k.Title + ": " + k.Status
			if k.Total > 0 {
				line += fmt.Sprintf(" %d%%", k.Done*100/k.Total)
			}
			if line != last && time.Since(at) > time.Second {
				fmt.Fprintln(e.Stderr, escape.Text(line))
				last, at = line, time.Now()
			}
		}
	}
}

// ended turns the way a run ended into an exit code.
func ended(err error) error {
	var step *wizard.StepError
	var missing *ui.MissingAnswerError
	var bad *ui.BadAnswerError
	var pre *wizard.PreflightError
	switch {
	case err == nil, errors.Is(err, wizard.ErrNothingToDo):
		return nil
	case errors.Is(err, wizard.ErrTampering), errors.Is(err, wizard.ErrNotVerified):
		return cli.WithExit(exitNotVerified, err)
	case errors.As(err, &missing), errors.As(err, &bad):
		return cli.WithExit(exitNoAnswer, err)
	case errors.Is(err, wizard.ErrPaused), errors.Is(err, wizard.ErrRestart), errors.Is(err, context.Canceled):
		return cli.WithExit(exitStopped, err)
	case errors.As(err, &pre), errors.Is(err, wizard.ErrLocked), errors.Is(err, ui.ErrLeft) &&
		!errors.Is(err, wizard.ErrNoCard):
		return cli.WithExit(exitRefused, err)
	case errors.As(err, &step): // whatever the cause: the next run goes on
		return cli.WithExit(exitStopped, err)
	}
	return err
}
