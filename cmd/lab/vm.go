package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/term"

	"reown/internal/lab"
	"reown/internal/lab/vm"
)

const vmUsage = `
  lab vm DIR [flags]   boot it in QEMU, its console in this terminal; Ctrl-] cuts the power
       --disk KIND     nvme, sata or virtio
       --screen        the console is the laptop's screen; see it with the orders below
       --text          ... a video card in text mode, 80x25
  lab do DIR ORDER     to a laptop that "lab vm" has switched on: plug, unplug, cut,
                       screen [FILE.png], type TEXT, keys NAME..., sh COMMAND
`

// wizardScript is what the virtual laptop's firmware starts.
const wizardScript = "reown wizard " + vm.Flags + `
echo
echo "reown ended with exit code $?. This is the firmware's shell; poweroff -f ends."
exec sh
`

// escape is the key that leaves: Ctrl-].
const escape = 0x1d

// runVM switches the laptop on with the user's terminal as its console, and lets
// foreign tools judge it when it is off.
func runVM(ctx context.Context, l *lab.Laptop, args []string) error {
	o := vm.Options{Script: wizardScript}
	fs := flag.NewFlagSet("lab vm", flag.ContinueOnError)
	fs.StringVar(&o.Disk, "disk", "nvme", "")
	screen := fs.Bool("screen", false, "")
	text := fs.Bool("text", false, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *screen {
		o.Display = vm.Screen
	}
	if *text {
		o.Display = vm.VGAText
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	work := filepath.Join(l.Dir, "firmware")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	if o.Firmware, err = vm.NewFirmware(ctx, work, filepath.Join(filepath.Dir(self), "reown"), self); err != nil {
		return err
	}
	if err := vm.Install(ctx, l); err != nil {
		return err
	}
	if err := console(ctx, l, o); err != nil {
		return err
	}
	if err := vm.Collect(ctx, l); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(l.BootDir(), "oem")); err == nil {
		fmt.Println("\nThe laptop is still the seller's: /boot/oem is there. The next \"lab vm\" goes on.")
		return nil
	}
	if err := l.Start(ctx); err != nil {
		return err
	}
	defer l.Stop()
	return judge(ctx, l)
}

// console connects the terminal with the laptop until that is off.
func console(ctx context.Context, l *lab.Laptop, o vm.Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o.Output = func(p []byte) { _, _ = os.Stdout.Write(p) }
	fmt.Println("The laptop starts; this takes some seconds. Ctrl-] cuts its power.")
	m, err := vm.Start(ctx, l, o)
	if err != nil {
		return err
	}
	defer m.Cut()
	go func() {
		if err := m.Serve(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
		}
	}()
	fd := int(os.Stdin.Fd())
	if term.IsTerminal(fd) {
		old, err := term.MakeRaw(fd)
		if err != nil {
			return err
		}
		defer func() { _ = term.Restore(fd, old) }()
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
	go func() {
		buf := make([]byte, 256)
		for {
			n, err := os.Stdin.Read(buf)
			for _, b := range buf[:n] {
				if b == escape {
					cancel()
				}
			}
			if n > 0 {
				_ = m.WriteConsole(buf[:n])
			}
			if errors.Is(err, io.EOF) {
				return // a run without a terminal
			}
			if err != nil {
				cancel()
				return
			}
		}
	}()
	<-m.Off()
	return nil
}

// fit tells the guest the terminal's size; a serial line cannot.
func fit(ctx context.Context, m *vm.Machine) {
	if w, h, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		_, _ = m.Sh(ctx, fmt.Sprintf("stty -F /dev/ttyS0 rows %d cols %d", h, w))
	}
}

// order gives an order to a laptop that is on.
func order(l *lab.Laptop, words []string) error {
	if len(words) >= 2 && words[0] == "screen" {
		file, err := filepath.Abs(words[1])
		if err != nil {
			return err
		}
		words[1] = file
	}
	out, err := vm.Order(l, strings.Join(words, " "))
	if out != "" {
		fmt.Println(out)
	}
	return err
}
