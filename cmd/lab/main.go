// Lab is a laptop that anyone can have: real firmware, disk, TPM and card
// formats, no hardware. It is for `make demo`, for tests and for screenshots, and
// is never shipped.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"reown/internal/lab"
	"reown/internal/lab/vm/labd"
)

const usage = `lab - a virtual laptop in the seller's state

  lab demo             build one and start the wizard in this terminal
  lab new DIR          build one in DIR
  lab run DIR ARGS...  switch it on and run reown with ARGS and its device flags
  lab check DIR        let foreign tools judge it
  lab secrets DIR      what the seller knows

DIR's path must be short: sockets lie in it. The binary is bin/reown.
`

func main() {
	if filepath.Base(os.Args[0]) == "labd" { // inside the virtual machine
		os.Exit(labd.Main(os.Args[1:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	// The terminal's interrupt is for the wizard, not for the lab around it.
	signal.Ignore(syscall.SIGINT)
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
		fmt.Fprint(os.Stderr, usage, vmUsage)
		os.Exit(2)
	}
	verb, args := args[0], args[1:]
	if verb == "demo" && len(args) == 0 {
		return demo(ctx)
	}
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage, vmUsage)
		os.Exit(2)
	}
	dir, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	if verb == "new" {
		l, err := lab.New(ctx, lab.Options{Dir: dir})
		if err != nil {
			return err
		}
		l.Stop()
		return nil
	}
	l, err := lab.Load(dir)
	if err != nil {
		return err
	}
	switch verb {
	case "secrets":
		printSecrets(l)
		return nil
	case "vm":
		return runVM(ctx, l, args[1:])
	case "do":
		return order(l, args[1:])
	case "run", "check":
		if err := l.Start(ctx); err != nil {
			return err
		}
		defer l.Stop()
		if verb == "check" {
			return judge(ctx, l)
		}
		return reown(ctx, l, args[1:]...)
	}
	fmt.Fprint(os.Stderr, usage, vmUsage)
	os.Exit(2)
	return nil
}

// demo builds a laptop in a temporary directory, runs the wizard on it until it
// is finished or left, and lets foreign tools judge the result.
func demo(ctx context.Context) error {
	dir, err := os.MkdirTemp("/tmp", "reown-lab")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Println("Building a virtual laptop as a seller ships it (about 15 seconds) ...")
	l, err := lab.New(ctx, lab.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer l.Stop()
	printSecrets(l)
	fmt.Print("\nYou are the buyer. Press Enter to switch the laptop on. ")
	_, _ = fmt.Scanln()
	var exit *exec.ExitError
	if err := reown(ctx, l, "wizard"); errors.As(err, &exit) {
		fmt.Printf("\nThe wizard ended with exit code %d; `lab run` and `lab new` start it again.\n", exit.ExitCode())
		return nil
	} else if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(l.BootDir(), "oem")); err == nil {
		fmt.Println("\nThe laptop is still the seller's: /boot/oem is there.")
		return nil
	}
	return judge(ctx, l)
}

// reown runs the shipped binary with this laptop's devices.
func reown(ctx context.Context, l *lab.Laptop, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(self), "reown"), append(args, l.Flags()...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

func printSecrets(l *lab.Laptop) {
	s := l.Seller
	fmt.Printf(`
What the seller sent with this laptop, and knows:
  disk passphrase   %s
  card PINs         %s (user), %s (admin)
  TPM owner         %s
  TOTP secret       %s
  signing key       %s

Your phone shows what this command prints:  oathtool --totp -b %[5]s
`, s.Disk, s.UserPIN, s.AdminPIN, s.Owner, s.TOTP, s.Fingerprint)
}

func judge(ctx context.Context, l *lab.Laptop) error {
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
			fmt.Printf("       %v\n", v.Err)
		}
	}
	return lab.Failed(list)
}
