package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"reown/internal/lab"
	"reown/internal/lab/vm"
)

// demoDir is where the demo's laptop lies between its starts: in a directory of the
// user's own.
func demoDir(dir string) (string, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); !fi.IsDir() || !ok || int(st.Uid) != os.Getuid() ||
		fi.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s is not a private directory of yours", dir)
	}
	return filepath.Join(dir, "l"), nil
}

// demo is a whole laptop in QEMU: built once, switched on as often as wanted.
func demo(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("lab demo", flag.ContinueOnError)
	fs.Usage = usage
	another := fs.Bool("new", false, "")
	if err := fs.Parse(args); err != nil || fs.NArg() > 1 {
		usage()
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGHUP, syscall.SIGTERM) // a closed window, too
	defer stop()
	parent, err := filepath.Abs(cmp.Or(fs.Arg(0), fmt.Sprintf("/tmp/reown-lab-%d", os.Getuid())))
	if err != nil {
		return err
	}
	dir, err := demoDir(parent)
	if err != nil {
		return err
	}
	if *another {
		if l, err := lab.Load(dir); err == nil {
			if err := vm.Collect(ctx, l); err != nil { // ErrOn: another terminal has it
				return err
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	l, err := lab.Load(dir)
	if err == nil {
		fmt.Printf("This is the laptop of the last time; \"make demo NEW=1\" builds another.\n")
	} else if l, err = demoNew(ctx, dir); err != nil {
		return err
	}
	printSecrets(l)
	fmt.Printf(`
You are the buyer. This terminal is the laptop's console: QEMU, no hardware.
Ctrl-] cuts its power, at any moment; "make demo" goes on with the same disk,
TPM, chip and security key. From another terminal:
  bin/lab unplug %s token    (and: plug)
  bin/lab shell %[1]s
Press Enter to switch it on. `, dir)
	for keys.enter(ctx) {
		restarted := true
		for restarted {
			if restarted, err = boot(ctx, l, vm.Options{}); err != nil {
				return err
			}
			if err := secondOpinion(ctx, l); err != nil {
				return err
			}
			if restarted && owned(l) {
				break
			}
		}
		switch {
		case !owned(l):
			fmt.Println("\nThe laptop is not yours yet: /boot/oem is there. \"make demo\" goes on.")
			return nil
		case !restarted:
			return nil
		}
		fmt.Print("\nEnter switches it on again: your system asks for your disk passphrase. Ctrl-C ends. ")
	}
	return nil
}

// demoNew builds the demo's laptop; what a start that was interrupted left is removed.
func demoNew(ctx context.Context, dir string) (*lab.Laptop, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	fmt.Println("Building a laptop as a seller ships it (about 15 seconds) ...")
	began := time.Now()
	l, err := build(ctx, lab.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	l.Stop()
	fmt.Printf("Built in %.0f s: %d files behind LUKS, a chip, a TPM, a security key.\n", time.Since(began).Seconds(),
		len(l.Files))
	return l, nil
}

// secondOpinion takes the laptop's parts out and lets foreign tools look at them, when
// it is its buyer's.
func secondOpinion(ctx context.Context, l *lab.Laptop) error {
	fmt.Println("The laptop is off.")
	if err := vm.Collect(ctx, l); err != nil || !owned(l) {
		return err
	}
	if err := l.Start(ctx); err != nil {
		return err
	}
	defer l.Stop()
	return judge(ctx, l, nil)
}

// demoHost builds a laptop in a temporary directory, runs the wizard on it until it
// is finished or left, and lets foreign tools judge the result.
func demoHost(ctx context.Context, _ []string) error {
	dir, err := os.MkdirTemp("/tmp", "reown-lab")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Println("Building a laptop as a seller ships it (about 15 seconds) ...")
	l, err := lab.New(ctx, lab.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer l.Stop()
	printSecrets(l)
	fmt.Print("\nYou are the buyer. Press Enter to switch the laptop on. ")
	// The wizard reads the terminal itself: no reader of ours may be left.
	_, _ = fmt.Scanln()
	var exit *exec.ExitError
	if err := reown(ctx, l, []string{"wizard"}); errors.As(err, &exit) {
		fmt.Printf("\nThe wizard ended with exit code %d. A laptop that stays: \"lab new DIR\", \"lab run DIR wizard\".\n",
			exit.ExitCode())
		return nil
	} else if err != nil {
		return err
	}
	if !owned(l) {
		fmt.Println("\nThe laptop is still the seller's: /boot/oem is there.")
		return nil
	}
	return judge(ctx, l, nil)
}
