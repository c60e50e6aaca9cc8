// Lab is a laptop that anyone can have: real firmware, disk, TPM and card
// formats, no hardware. It is for `make demo`, for tests and for screenshots, and
// is never shipped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"reown/internal/handover"
	"reown/internal/lab"
	"reown/internal/lab/vm"
	"reown/internal/lab/vm/labd"
	"reown/internal/words"
)

// A verb is one of the lab's commands.
type verb struct {
	name, args, short string
	min, max          int // number of arguments; max -1: any
	f                 func(ctx context.Context, args []string) error
}

// verbs is a function, for the usage that some of them print.
func verbs() []verb {
	return []verb{
		{"demo", "[--new] [DIR]", "a laptop in QEMU, its console in this terminal", 0, 2, demo},
		{"demo-host", "", "quick: the wizard on this computer with a laptop's parts", 0, 0, demoHost},
		{"new", "DIR", "build a laptop in DIR, as a seller ships it", 1, -1, newLaptop},
		{"secrets", "DIR", "what the seller knows", 1, 1,
			withLaptop(func(_ context.Context, l *lab.Laptop, _ []string) error {
				printSecrets(l)
				return nil
			})},
		{"boot", "DIR", "switch it on in QEMU, its console in this terminal", 1, -1, bootVerb},
		{"type", "DIR TEXT", "... and then, from another terminal: at its keyboard", 2, 2, orderVerb("type")},
		{"keys", "DIR NAME...", "keys by QEMU's names: ret, tab, f10, ctrl-c", 2, -1, orderVerb("keys")},
		{"screen", "DIR [PNG]", "the text on its screen, or a picture of it", 1, 2, orderVerb("screen")},
		{"plug", "DIR WHAT", "token, stranger (another token) or keyboard", 2, 2, orderVerb("plug")},
		{"unplug", "DIR WHAT", "", 2, 2, orderVerb("unplug")},
		{"shell", "DIR [COMMAND]", "commands inside, beside the wizard", 1, -1, orderVerb("shell")},
		{"cut", "DIR", "the power", 1, 1, orderVerb("cut")},
		{"check", "DIR", "a second opinion, by foreign tools", 1, 1, withHost(judge)},
		{"run", "DIR ARGS...", "host mode: reown with ARGS and this laptop's parts", 2, -1, withHost(reown)},
	}
}

const bootUsage = `
  --tpm 2.0|1.2                     which TPM it has (new)
  --disk nvme|sata|virtio           what the disk is behind (boot)
  --screen serial|text|WIDTHxHEIGHT what the console is on: a serial line, a video card
                                    in text mode, a framebuffer (boot)

DIR's path must be short: sockets lie in it. The reown beside this program is used.
`

func usage() {
	w := os.Stderr
	fmt.Fprint(w, "lab - a virtual laptop in the seller's state\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  lab %-22s %s\n", v.name+" "+v.args, v.short)
	}
	fmt.Fprint(w, bootUsage)
	os.Exit(2)
}

func main() {
	if filepath.Base(os.Args[0]) == "labd" { // inside the virtual machine
		os.Exit(labd.Main(os.Args[1:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		usage()
	}
	all := verbs()
	i := slices.IndexFunc(all, func(v verb) bool { return v.name == args[0] })
	args = args[1:]
	if i < 0 || len(args) < all[i].min || all[i].max >= 0 && len(args) > all[i].max {
		usage()
	}
	return all[i].f(ctx, args)
}

// withLaptop makes a verb of what is done with the laptop in the first argument.
func withLaptop(f func(ctx context.Context, l *lab.Laptop, args []string) error) func(context.Context, []string) error {
	return func(ctx context.Context, args []string) error {
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return err
		}
		l, err := lab.Load(dir)
		if err != nil {
			return err
		}
		return f(ctx, l, args[1:])
	}
}

// withHost switches the laptop's parts on, on this computer, for a verb.
func withHost(f func(ctx context.Context, l *lab.Laptop, args []string) error) func(context.Context, []string) error {
	return withLaptop(func(ctx context.Context, l *lab.Laptop, args []string) error {
		if err := vm.Collect(ctx, l); err != nil {
			return err
		}
		if err := l.Start(ctx); err != nil {
			return err
		}
		defer l.Stop()
		return f(ctx, l, args)
	})
}

func newLaptop(ctx context.Context, args []string) error {
	dir, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	o := lab.Options{Dir: dir}
	fs := flag.NewFlagSet("lab new", flag.ContinueOnError)
	fs.StringVar(&o.TPM, "tpm", "2.0", "")
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	l, err := build(ctx, o)
	if err == nil {
		l.Stop()
	}
	return err
}

// build builds a laptop with an operating system that can be started, and leaves its
// parts on.
func build(ctx context.Context, o lab.Options) (*lab.Laptop, error) {
	l, err := lab.New(ctx, o)
	if err != nil {
		return nil, err
	}
	if err = vm.InstallOS(ctx, l); err == nil {
		err = l.Sign(ctx)
	}
	if err != nil {
		l.Stop()
	}
	return l, err
}

// reown runs the shipped binary on this computer with this laptop's devices.
func reown(ctx context.Context, l *lab.Laptop, args []string) error {
	program, err := beside("reown")
	if err != nil {
		return err
	}
	// The terminal's interrupt is for the wizard, not for the lab around it.
	signal.Ignore(syscall.SIGINT)
	cmd := exec.CommandContext(ctx, program, append(args, l.Flags()...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

// beside is the path of a program in this program's directory.
func beside(name string) (string, error) {
	self, err := os.Executable()
	return filepath.Join(filepath.Dir(self), name), err
}

func printSecrets(l *lab.Laptop) {
	s := l.Seller
	fmt.Printf(`
What the seller sent with this laptop, and knows:
  disk passphrase   %s
  card PINs         %s (user), %s (admin)
  TPM owner         %s
  signing key       %s
  four words        %[7]s
  code generator    oathtool --totp -b %[6]s
                    prints what your phone would show (in another terminal)
`, s.Disk, s.UserPIN, s.AdminPIN, s.Owner, s.Fingerprint, s.TOTP, sentWords(l))
}

// sentWords are the words of the hand-over file as the seller's letter has them.
func sentWords(l *lab.Laptop) string {
	said := "(none)"
	for seq := 0; ; seq++ {
		statement, err := os.ReadFile(filepath.Join(l.BootDir(), handover.FileName(seq)))
		if err != nil {
			return said
		}
		said = strings.Join(handover.Words(statement, words.Four), "-")
	}
}

// owned says whether the laptop has been taken over, by the hand-over's trigger. The
// boot directory is up to date.
func owned(l *lab.Laptop) bool {
	_, err := os.Stat(filepath.Join(l.BootDir(), "oem"))
	return errors.Is(err, os.ErrNotExist)
}

// judge prints the second opinion. The laptop's parts are on.
func judge(ctx context.Context, l *lab.Laptop, _ []string) error {
	fmt.Println("\nA second opinion, by tools that reown has no part in:")
	list := l.Judge(ctx, nil)
	for _, v := range list {
		mark := "[OK]"
		if v.Err != nil {
			mark = "[? ]"
			if lab.Failed([]lab.Verdict{v}) != nil {
				mark = "[!!]"
			}
		}
		fmt.Printf("  %s %s\n", mark, v.What)
		if mark != "[OK]" {
			fmt.Printf("       %s\n", strings.TrimSpace(v.Err.Error()))
		}
	}
	return lab.Failed(list)
}
