package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"reown/cmd/reown/internal/cli"
	"reown/internal/atomicfile"
	"reown/internal/keymap"
	"reown/internal/laptop"
	"reown/internal/secret"
	"reown/internal/ttyinput"
	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/ui"
	"reown/wizard/ui/answers"
	"reown/wizard/ui/line"
	"reown/wizard/ui/tui"
)

func wizardCommand() *cli.Command {
	return &cli.Command{Name: "wizard", Args: "[flags] [devices]", Short: "take ownership, or continue an interrupted run",
		Run: runWizard, Shared: onDevices, Long: `
Walks through making this computer yours: checks the hand-over, asks all questions,
shows every secret and has it typed back, lists what cannot be undone, and then does
it. Interrupted anywhere, the same command goes on.
`}
}

func resumeCommand() *cli.Command {
	return &cli.Command{Name: "resume", Args: "[flags] [devices]", Short: "finish an interrupted run", Run: runResume,
		Shared: onDevices, Long: `
Goes on with a run that was interrupted, and refuses to begin one. It asks only for
the secrets that the remaining steps need.
`}
}

// runFlags are the flags of a run.
type runFlags struct {
	devices
	ui, language, algorithm         string
	signer, me                      string
	answers, secretsIn, secretsOut  string
	noInput, battery, onlyContinued bool
	lostKey, check                  bool
}

func (r *runFlags) bind(fs *flag.FlagSet) {
	r.devices.bind(fs)
	fs.StringVar(&r.ui, "ui", "auto", "KIND auto, tui (a whole screen) or line (numbered questions, for serial "+
		"lines and braille)")
	fs.StringVar(&r.language, "language", "", "L of the pages, such as en or de; without it, asks")
	fs.StringVar(&r.algorithm, "algorithm", "", "A for the keys on the card: rsa2048, rsa3072, rsa4096, p256, "+
		"p384, 25519")
	fs.StringVar(&r.signer, "signer", "", "FPR the fingerprint of the seller, or of another who handed the "+
		"computer on, as you know it from elsewhere")
	fs.StringVar(&r.me, "me", "", "FPR your own key's fingerprint, if you gave one when you ordered")
	fs.StringVar(&r.answers, "answers", "", "FILE take the answers from a JSON file instead of asking "+
		"(docs/wizard.md)")
	fs.StringVar(&r.secretsIn, "secrets-in", "", "FILE secrets that exist already: secret.current, and after an "+
		"interruption the owner's own; JSON, /dev/fd/N works")
	fs.StringVar(&r.secretsOut, "secrets-out", "", "FILE where the secrets that are made are written for their "+
		"owner, before they are used anywhere; mode 0600")
	fs.BoolVar(&r.lostKey, "lost-key", false, "your security key is lost, and there is no backup: begin anew "+
		"with another one. It needs the disk's passphrase; your files stay")
	fs.BoolVar(&r.check, "check", false, "only say whether there is something to do, and touch nothing: exit "+
		"code 7 if there is, 0 if not; for the firmware, at every start")
	fs.BoolVar(&r.noInput, "no-input", false, "never ask; an answer that is missing is exit code 4 with its name")
	fs.BoolVar(&r.battery, "battery", false, "run on the battery without asking again")
}

func runWizard(ctx context.Context, e *cli.Env, args []string) error {
	var r runFlags
	fs := cli.NewFlags("reown wizard")
	r.bind(fs)
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	if !r.check {
		return r.run(ctx, e)
	}
	if !r.due(ctx) {
		return nil
	}
	fmt.Fprintln(e.Stdout, "there is something to do: a hand-over that waits, or a run that is open")
	return errDue
}

// mayBeDue looks at two names in /boot and at no device. A name that cannot be read counts as there.
func (r *runFlags) mayBeDue() bool { return r.there("oem") || r.there("kexec_reown.receipt") }

// due says whether a start has something to do. No driver for USB is needed, so that a receipt alone,
// which anybody can put into /boot, does not change what the firmware measures. What cannot be told counts.
func (r *runFlags) due(ctx context.Context) bool {
	if r.there("oem") || !r.mayBeDue() {
		return r.there("oem")
	}
	l, err := r.open(ctx)
	if err != nil {
		return true
	}
	defer l.Close()
	due, err := wizard.Detect(ctx, l.Buyer())
	return due || err != nil
}

// there says whether a name is in /boot, or might be.
func (r *runFlags) there(name string) bool {
	_, err := os.Lstat(filepath.Join(r.Boot, name))
	return !errors.Is(err, os.ErrNotExist)
}

// errDue is `reown wizard --check` where there is something to do.
var errDue = errors.New("there is something to do")

func runResume(ctx context.Context, e *cli.Env, args []string) error {
	r := runFlags{onlyContinued: true}
	fs := cli.NewFlags("reown resume")
	r.bind(fs)
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	return r.run(ctx, e)
}

// runInit is `reown` alone, what the firmware's init calls. Without /boot/oem it
// touches nothing. Whatever happens, init goes on with its own menu.
func runInit(ctx context.Context, e *cli.Env) error {
	var r runFlags
	fs := cli.NewFlags("reown")
	r.bind(fs)
	if _, err := cli.Parse(fs, nil, 0, 0); err != nil {
		return err
	}
	// A run that is open is shown without the trigger, too.
	if !r.mayBeDue() {
		return nil
	}
	return r.run(ctx, e)
}

// run does a whole run with the front end that the flags choose.
func (r *runFlags) run(ctx context.Context, e *cli.Env) error {
	if r.ui == "auto" && r.answers == "" && !r.noInput && !cli.Asks(e.Stdin) && !terminal() {
		return cli.WithExit(exitNoAnswer, errNoTerminal)
	}
	unlock, err := laptop.Lock(r.Boot)
	if err != nil {
		return ended(err)
	}
	defer unlock()
	l, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	m := l.Buyer()
	var lost func(context.Context) error
	if r.lostKey {
		lost = l.Trigger
	}
	if due, err := wizard.Detect(ctx, m); err != nil {
		return err
	} else if !due && (lost == nil || r.onlyContinued) {
		fmt.Fprintln(e.Stderr, "reown: there is no /boot/oem: nothing to do")
		r.hintMount(e)
		return nil
	}
	if r.onlyContinued {
		status, err := wizard.Status(ctx, m)
		if err != nil {
			return err
		}
		if status.Cause != nil {
			return status.Cause
		}
		if status.Phase != wizard.Interrupted {
			return cli.WithExit(exitRefused, fmt.Errorf("%w: `reown wizard` begins one", errNoRun))
		}
	}
	front, closeUI, err := r.frontEnd(e)
	if err != nil {
		return err
	}
	closeUI = sync.OnceFunc(closeUI)
	defer closeUI() // also when it panics
	l.OnRestart(closeUI)
	keys, closeKeys := keyboard()
	defer closeKeys()
	var spoke msg.Lang
	err = wizard.Run(ctx, m, front, wizard.Options{
		Language: r.language, Algorithm: r.algorithm, Battery: r.battery, Restart: !r.NoRestart, Keyboard: keys,
		Signer: r.signer, Me: r.me, LostKey: lost,
		Explain: explainIn, Spoke: func(l msg.Lang) { spoke = l },
	})
	closeUI()
	if err = ended(err); err != nil && spoke != msg.EN {
		err = &saidError{err, spoke}
	}
	return err
}

// terminal says whether the program has one, whatever its input is.
func terminal() bool {
	f, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// errNoTerminal is a wizard that nobody could answer.
var errNoTerminal = errors.New("there is no terminal here")

// errNoRun is `reown resume` where nothing was begun.
var errNoRun = errors.New("no run was interrupted")

// frontEnd makes the front end that the flags choose; the returned function ends it.
func (r *runFlags) frontEnd(e *cli.Env) (ui.UI, func(), error) {
	if !r.noInput && r.answers == "" {
		return r.console(e)
	}
	u := &answers.UI{Answers: map[string]string{}, Log: e.Stderr}
	if r.answers != "" {
		data, err := e.Read(r.answers, answers.MaxFile)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the answers: %w", err)
		}
		if u.Answers, err = answers.Parse(data); err != nil {
			return nil, nil, cli.WithExit(exitUsage, err)
		}
	}
	if r.secretsIn != "" {
		doc, err := readSecrets(e, r.secretsIn)
		if err != nil {
			return nil, nil, err
		}
		defer doc.Wipe()
		if u.Secrets, err = answers.ParseSecrets(doc); err != nil {
			return nil, nil, cli.WithExit(exitUsage, err)
		}
	}
	if r.secretsOut != "" {
		u.Out = secretsFile(r.secretsOut)
	}
	return u, func() { u.Close(); u.Secrets.Wipe() }, nil
}

func readSecrets(e *cli.Env, name string) (*secret.Buffer, error) {
	in := e.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("opening the secrets file: %w", err)
		}
		defer f.Close()
		in = f
	}
	return secret.Read(in, answers.MaxFile)
}

// secretsFile is where secrets that are made go for their owner. A regular file is
// replaced as a whole and synced; a pipe or descriptor gets each document in turn.
type secretsFile string

func (name secretsFile) Replace(doc *secret.Buffer) error {
	if cli.Special(string(name)) {
		f, err := os.OpenFile(string(name), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(doc.Bytes())
		return errors.Join(err, f.Close())
	}
	return atomicfile.WriteFile(string(name), doc.Bytes(), 0o600)
}

// console is the front end for a person: a whole screen, or numbered questions
// where no screen can be drawn. Failing to draw never ends the program.
func (r *runFlags) console(e *cli.Env) (ui.UI, func(), error) {
	if r.ui == "auto" || r.ui == "tui" {
		screen, err := tui.Open("")
		if err == nil {
			return screen, screen.Close, nil
		}
		if r.ui == "tui" {
			return nil, nil, fmt.Errorf("drawing the screen: %w", err)
		}
	}
	if r.ui != "auto" && r.ui != "line" {
		return nil, nil, cli.Usagef("--ui takes auto, tui or line, not %q", r.ui)
	}
	fd := -1
	if f, ok := e.Stdin.(*os.File); ok {
		fd = int(f.Fd())
	}
	return line.New(e.Stdin, e.Stdout, fd), func() { _ = ttyinput.Forget(fd) }, nil
}

// keyboard is the console's keyboard; nil where there is none whose layout could be
// changed (a serial line, a window).
func keyboard() (wizard.Keyboard, func()) {
	k, err := keymap.Open("")
	if err != nil {
		return nil, func() {}
	}
	return k, func() { _ = k.Close() }
}
