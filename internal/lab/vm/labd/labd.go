// Package labd is the lab's hand inside the virtual machine. It measures as coreboot
// and Heads do at power-on, answers the test on a serial port, and starts the
// installed system as Heads does. The lab's own program, under the name labd, is what
// runs there.
package labd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Main is the program labd; it returns its exit code.
func Main(a []string) int {
	err := fmt.Errorf("usage: labd agent TTY | measure FILE | kexec KERNEL INITRD CMDLINE")
	switch {
	case len(a) == 2 && a[0] == "agent":
		err = agent(a[1])
	case len(a) == 2 && a[0] == "measure":
		err = measure(a[1])
	case len(a) == 4 && a[0] == "kexec":
		err = kexec(a[1], a[2], a[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "labd:", err)
		return 1
	}
	return 0
}

// kexec starts another kernel at once.
func kexec(kernel, initrd, cmdline string) error {
	k, err := os.Open(kernel)
	if err != nil {
		return err
	}
	i, err := os.Open(initrd)
	if err != nil {
		return err
	}
	if err := unix.KexecFileLoad(int(k.Fd()), int(i.Fd()), cmdline, 0); err != nil {
		return fmt.Errorf("kexec_file_load: %w", err)
	}
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_KEXEC)
}
