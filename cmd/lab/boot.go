package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/term"

	"reown/internal/lab"
	"reown/internal/lab/vm"
)

// bootScript is what the virtual laptop's firmware starts: what Heads' init would, with
// the installed system instead of Heads' menu.
const bootScript = "reown wizard " + vm.Flags + `
code=$?
if [ $code = 0 ] && [ ! -e /boot/oem ]; then
	echo; echo "The firmware starts the installed system ..."
	` + vm.StartOS + `
fi
echo
echo "reown ended with exit code $code. This is the firmware's shell; exit switches off."
sh
poweroff -f
`

// escape is the key that leaves: Ctrl-].
const escape = 0x1d

// bootVerb is "lab boot".
func bootVerb(ctx context.Context, args []string) error {
	var o vm.Options
	fs := flag.NewFlagSet("lab boot", flag.ContinueOnError)
	fs.StringVar(&o.Disk, "disk", "nvme", "")
	screen := fs.String("screen", "serial", "")
	fs.Usage = usage
	if err := fs.Parse(args[1:]); err != nil || fs.NArg() > 0 {
		usage()
	}
	switch *screen {
	case "serial":
	case "text":
		o.Display = vm.VGAText
	default:
		o.Display = vm.Screen
		if n, err := fmt.Sscanf(*screen, "%dx%d", &o.Width, &o.Height); n != 2 || err != nil {
			usage()
		}
	}
	return withLaptop(func(ctx context.Context, l *lab.Laptop, _ []string) error {
		for {
			if restarted, err := boot(ctx, l, o); err != nil || !restarted {
				return err
			}
		}
	})(ctx, args)
}

// boot switches the laptop on with the user's terminal as its console, until it is off.
// restarted says that it was about to start again.
func boot(ctx context.Context, l *lab.Laptop, o vm.Options) (restarted bool, err error) {
	if o.Firmware, err = firmware(ctx, l); err != nil {
		return false, err
	}
	if err := vm.Install(ctx, l); err != nil {
		return false, err
	}
	o.Script = bootScript
	return console(ctx, l, o)
}

// firmware makes the kernel and the initrd around the reown beside this program.
func firmware(ctx context.Context, l *lab.Laptop) (*vm.Firmware, error) {
	work := filepath.Join(l.Dir, "firmware")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return nil, err
	}
	reown, err := beside("reown")
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return vm.NewFirmware(ctx, work, reown, self)
}

// console connects the terminal with the laptop until that is off.
func console(ctx context.Context, l *lab.Laptop, o vm.Options) (restarted bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o.Output = func(p []byte) { _, _ = os.Stdout.Write(p) }
	fmt.Println("\nThe laptop starts (about 10 s: its processor is software). Ctrl-] cuts its power.")
	m, err := vm.Start(ctx, l, o)
	if err != nil {
		return false, err
	}
	defer m.Cut()
	go func() {
		if err := m.Serve(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
		}
	}()
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		old, err := term.MakeRaw(fd)
		if err != nil {
			return false, err
		}
		// The guest may end in the middle of a page: what follows comes below it, with
		// the cursor, in the terminal's own colours.
		defer func() {
			fmt.Print("\x1b[?1049l\x1b[?25h\x1b[0m\x1b[?1l\x1b>\x1b[999;1H\r\n")
			_ = term.Restore(fd, old)
		}()
		resized := make(chan os.Signal, 1)
		signal.Notify(resized, syscall.SIGWINCH)
		defer signal.Stop(resized)
		go func() {
			for range resized {
				fit(ctx, m)
			}
		}()
		go fit(ctx, m)
	}
	keys.to(func(p []byte) {
		for i, b := range p {
			if b == escape {
				_ = m.WriteConsole(p[:i])
				cancel()
				return
			}
		}
		_ = m.WriteConsole(p)
	})
	defer keys.to(nil)
	go func() { // nobody sits there any more
		select {
		case <-keys.eof:
			cancel()
		case <-ctx.Done():
		}
	}()
	<-m.Off()
	return m.Restarted(), nil
}

// fit tells the guest the terminal's size.
func fit(ctx context.Context, m *vm.Machine) {
	if w, h, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		_ = m.Resize(ctx, w, h)
	}
}
