// Package guest runs a piece of a test as the init of a virtual machine, so that an
// emulated token is used through the Linux kernel's own USB stack: QEMU without KVM
// boots the kernel in /boot, the token is plugged in through usb-redir, and the test
// binary itself is the guest's init. For tests only. A test that needs a whole laptop
// uses the lab's machine instead.
package guest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reown/gpgcard/cardtest/usbdev"
	"reown/gpgcard/cardtest/usbdev/usbredir"
	"reown/internal/lab/initrd"
	"reown/internal/usb"
)

// modules are what the guest's kernel needs for USB.
var modules = []string{"xhci_pci", "usbhid", "hid_generic"}

// bootTime bounds the life of a guest; it boots in about ten seconds.
const bootTime = 3 * time.Minute

// done is what the guest's last line says.
const done = "GUEST-DONE"

// Main is to be called first in TestMain. In the guest it runs f as init and never
// returns; a panic in f is a failure of the test.
func Main(f func()) {
	if os.Getpid() != 1 {
		return
	}
	defer func() {
		if e := recover(); e != nil {
			fmt.Println("FAIL", e)
		} else {
			fmt.Println(done)
		}
		time.Sleep(200 * time.Millisecond) // for the serial port
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
		select {}
	}()
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		Must(os.MkdirAll(m[1], 0o755))
		Must(unix.Mount(m[0], m[1], m[0], 0, ""))
	}
	list, err := os.ReadFile("/etc/modules")
	Must(err)
	for _, m := range strings.Fields(string(list)) {
		k, err := os.Open(m)
		Must(err)
		if err := unix.FinitModule(int(k.Fd()), "", 0); err != unix.ENODEV { // for another processor
			Must(err)
		}
		k.Close()
	}
	f()
}

// Must fails the test, in the guest.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Check fails the test, in the guest, unless ok.
func Check(ok bool, format string, a ...any) {
	if !ok {
		panic(fmt.Sprintf(format, a...))
	}
}

// Missing skips a test for want of a peer, or fails it where peers are required.
func Missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// Boot runs the guest of this test binary with a token and waits for its end. hear gets
// each line that the guest prints; reply sends a line to its standard input. programs
// are taken along with their libraries.
func Boot(t *testing.T, token *usbdev.Device, programs []string, hear func(line string, reply func(string))) {
	t.Helper()
	boot(t, token, programs, nil, nil, hear)
}

// BootStick runs the guest with an image file as a USB stick. The kernel can mount
// FAT; its driver for sticks lies in /lib/modules and is not loaded.
func BootStick(t *testing.T, image string, hear func(line string)) {
	t.Helper()
	boot(t, nil, nil, []string{"sd_mod", "vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"},
		[]string{"-drive", "if=none,id=stick,format=raw,file=" + image, "-device",
			"usb-storage,drive=stick,bus=usb.0,removable=on"},
		func(line string, _ func(string)) { hear(line) })
}

func boot(t *testing.T, token *usbdev.Device, programs, more, args []string,
	hear func(line string, reply func(string))) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a virtual machine: skipped by -short")
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		Missing(t, "no qemu-system-x86_64")
	}
	kernel, err := initrd.FindKernel(t.Context(), "")
	if err != nil {
		Missing(t, err.Error())
	}
	img := initrd.NewArchive()
	if err := img.AddModules(kernel.Version, append(slices.Clone(modules), more...)...); err != nil {
		Missing(t, err.Error())
	}
	if token == nil {
		storage := filepath.Join("/lib/modules", kernel.Version, "kernel/drivers/usb/storage/usb-storage.ko")
		if err := img.Copy("lib/modules/usb-storage.ko", storage); err != nil {
			Missing(t, err.Error())
		}
	}
	img.Add("init", 0o755, initBinary(t))
	for _, p := range programs {
		if err := img.AddProgram(t.Context(), p, p); err != nil {
			Missing(t, err.Error())
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "initrd")
	if err := img.Save(file); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), bootTime)
	defer cancel()
	sock := filepath.Join(dir, "usb")
	line := []string{"-accel", "tcg", "-machine", "q35", "-m", "512", "-nodefaults", "-no-user-config", "-display", "none",
		"-no-reboot",
		"-kernel", kernel.BzImage, "-initrd", file, "-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio",
		"-device", "qemu-xhci,id=usb"}
	if token != nil {
		line = append(line, "-chardev", "socket,id=tok,path="+sock+",server=on,wait=off", "-device",
			"usb-redir,chardev=tok,bus=usb.0")
	}
	vm := exec.CommandContext(ctx, qemu, append(line, args...)...)
	out, err := vm.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := vm.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	vm.Stderr = os.Stderr
	if err := vm.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = vm.Wait() }() // killed or powered off: both are fine
	defer cancel()
	if token != nil {
		conn, err := usbredir.Dial(ctx, sock)
		if err != nil {
			t.Fatal(err)
		}
		bus := usbdev.NewBus(token)
		go usbredir.Serve(ctx, conn, func() (usb.Device, error) {
			all, err := bus.Devices()
			if err != nil || len(all) == 0 {
				return nil, usb.ErrGone
			}
			return bus.Open(all[0])
		})
	}
	var log bytes.Buffer
	ended := false
	for sc := bufio.NewScanner(out); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		fmt.Fprintln(&log, line)
		switch {
		case strings.HasPrefix(line, "FAIL"):
			t.Error(line)
		case line == done:
			ended = true
		default:
			hear(line, func(s string) { _, _ = io.WriteString(in, s+"\n") })
		}
	}
	t.Logf("the guest's console:\n%s", log.String())
	if !ended {
		t.Error("the guest did not come to its end")
	}
}

// initBinary is this test binary, linked statically.
func initBinary(t *testing.T) []byte {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("/lib64/ld-linux")) {
		return b
	}
	static := filepath.Join(t.TempDir(), "init") // built with CGO_ENABLED=1
	build := exec.Command("go", "test", "-c", "-o", static, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building a static init: %v\n%s", err, out)
	}
	if b, err = os.ReadFile(static); err != nil {
		t.Fatal(err)
	}
	return b
}
