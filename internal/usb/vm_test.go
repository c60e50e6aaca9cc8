package usb_test

// usbfs is only true behind a real kernel: this test boots Debian's in QEMU (without
// KVM), plugs an emulated Nitrokey Pro in through usb-redir, and lets this very test
// binary be the guest's init.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reown/gpgcard/cardtest/usbdev"
	"reown/gpgcard/cardtest/usbdev/usbredir"
	"reown/internal/ccid"
	"reown/internal/usb"
)

func TestMain(m *testing.M) {
	if os.Getpid() == 1 {
		guest()
	}
	os.Exit(m.Run())
}

// modules are what the guest needs, in the order of loading, below kernel/drivers.
var modules = []string{"usb/common/usb-common", "usb/core/usbcore", "usb/host/xhci-hcd", "usb/host/xhci-pci", "hid/hid", "hid/usbhid/usbhid", "hid/hid-generic"}

// vmCard echoes commands, and thinks when told to.
type vmCard struct{}

func (vmCard) ATR() []byte {
	return []byte{0x3b, 0xda, 0x18, 0xff, 0x81, 0xb1, 0xfe, 0x75, 0x1f, 0x03, 0x00, 0x31, 0xf5, 0x73, 0xc0, 0x01, 0x60, 0x00, 0x90, 0x00, 0x1c}
}

func (vmCard) Transmit(apdu []byte) []byte {
	if len(apdu) > 1 && apdu[1] == 0x47 {
		time.Sleep(500 * time.Millisecond) // a key generation, in miniature
	}
	return append(bytes.Clone(apdu), 0x90, 0x00)
}

// vmReport answers each report with its complement.
type vmReport struct {
	mu sync.Mutex
	b  [64]byte
}

func (r *vmReport) SetReport(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range min(len(p), 64) {
		r.b[i] = ^p[i]
	}
}

func (r *vmReport) GetReport() []byte { r.mu.Lock(); defer r.mu.Unlock(); return bytes.Clone(r.b[:]) }

func TestUSBFS(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a virtual machine: skipped by -short")
	}
	missing := func(what string) {
		t.Helper()
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(what)
		}
		t.Skip(what)
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		missing("no qemu-system-x86_64")
	}
	kernels, _ := filepath.Glob("/boot/vmlinuz-*")
	if len(kernels) == 0 {
		missing("no kernel in /boot")
	}
	kernel := kernels[len(kernels)-1]
	drivers := filepath.Join("/lib/modules", strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-"), "kernel/drivers")
	var img archive
	for _, m := range modules {
		b, err := os.ReadFile(filepath.Join(drivers, m+".ko"))
		if err != nil {
			missing(err.Error())
		}
		img.file(filepath.Base(m)+".ko", 0o644, b)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("/lib64/ld-linux")) { // built with CGO_ENABLED=1
		static := filepath.Join(t.TempDir(), "init")
		build := exec.Command("go", "test", "-c", "-o", static, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building a static init: %v\n%s", err, out)
		}
		if b, err = os.ReadFile(static); err != nil {
			t.Fatal(err)
		}
	}
	img.file("init", 0o755, b)
	dir := t.TempDir()
	initrd := filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, img.end(), 0o644); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	sock := filepath.Join(dir, "usb")
	vm := exec.CommandContext(ctx, qemu, "-accel", "tcg", "-machine", "q35", "-m", "256", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio",
		"-device", "qemu-xhci,id=usb", "-chardev", "socket,id=tok,path="+sock+",server=on,wait=off", "-device", "usb-redir,chardev=tok,bus=usb.0")
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
	defer func() { _ = vm.Wait() }()
	defer cancel()
	conn, err := usbredir.Dial(ctx, sock)
	if err != nil {
		t.Fatal(err)
	}
	token := usbdev.New(usbdev.Pro, vmCard{}, &vmReport{})
	bus := usbdev.NewBus(token)
	go usbredir.Serve(ctx, conn, func() (usb.Device, error) {
		all, err := bus.Devices()
		if err != nil || len(all) == 0 {
			return nil, usb.ErrGone
		}
		return bus.Open(all[0])
	})
	var log bytes.Buffer
	done := false
	for sc := bufio.NewScanner(out); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		fmt.Fprintln(&log, line)
		switch {
		case line == "UNPLUG":
			token.Unplug()
		case line == "PLUG":
			token.Plug()
		case line == "SLOW":
			token.Slow(2 * time.Second)
			io.WriteString(in, "ok\n")
		case line == "FAST":
			token.Slow(0)
			io.WriteString(in, "ok\n")
		case strings.HasPrefix(line, "FAIL"):
			t.Error(line)
		case line == "GUEST-DONE":
			done = true
		}
	}
	t.Logf("the guest's console:\n%s", log.String())
	if !done {
		t.Error("the guest did not come to its end")
	}
}

// archive is a newc cpio archive (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct{ bytes.Buffer }

func (a *archive) file(name string, mode uint32, b []byte) {
	fmt.Fprintf(a, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1, mode|unix.S_IFREG, 0, 0, 1, 0, len(b), 0, 0, 0, 0, len(name)+1, 0)
	a.WriteString(name + "\x00")
	a.pad()
	a.Write(b)
	a.pad()
}

func (a *archive) pad() { a.Write(make([]byte, -a.Len()&3)) }

func (a *archive) end() []byte {
	a.file("TRAILER!!!", 0, nil)
	return a.Bytes()
}

// guest is the life of the guest's init.
func guest() {
	defer func() {
		if e := recover(); e != nil {
			fmt.Println("FAIL", e)
		} else {
			fmt.Println("GUEST-DONE")
		}
		time.Sleep(200 * time.Millisecond) // for the serial port
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
		select {}
	}()
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		must(os.MkdirAll(m[1], 0o755))
		must(unix.Mount(m[0], m[1], m[0], 0, ""))
	}
	for _, m := range modules {
		f, err := os.Open("/" + filepath.Base(m) + ".ko")
		must(err)
		must(unix.FinitModule(int(f.Fd()), "", 0))
		f.Close()
	}
	checkGuest()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(ok bool, format string, a ...any) {
	if !ok {
		panic(fmt.Sprintf(format, a...))
	}
}

// await finds the token, other than the one at an old address.
func await(old int) usb.Info {
	for range 300 {
		all, err := ccid.Find(usb.System())
		must(err)
		for _, i := range all {
			if i.Address != old && i.Serial != "" {
				return i
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	panic("no token")
}

func checkGuest() {
	ctx := context.Background()
	tell := func(s string) {
		fmt.Println(s)
		var b [8]byte
		_, err := os.Stdin.Read(b[:])
		must(err)
	}
	info := await(0)
	fmt.Println("found", info, info.Serial)
	check(info.Serial == usbdev.Pro.Serial, "serial %q", info.Serial)

	// APDUs through T=1, in both directions longer than a block, with waiting.
	c, err := ccid.Connect(ctx, usb.System(), info)
	must(err)
	waits := 0
	c.SetWait(func(bool) { waits++ })
	for _, n := range []int{5, 52, 53, 54, 260, 2000} {
		cmd := bytes.Repeat([]byte{7}, n)
		got, err := c.Transmit(ctx, cmd)
		must(err)
		check(bytes.Equal(got, append(cmd, 0x90, 0x00)), "%d bytes came back as %x", n, got)
	}
	_, err = c.Transmit(ctx, []byte{0, 0x47, 0x80, 0})
	must(err)
	check(waits > 5, "%d requests for time in half a second", waits)
	fmt.Println("apdus ok, waits", waits)

	// Another program finds the interface taken.
	_, err = ccid.Connect(ctx, usb.System(), info)
	check(errors.Is(err, usb.ErrBusy), "a second connection: %v", err)

	// A cancelled exchange; the card recovers by power.
	tell("SLOW")
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	_, err = c.Transmit(short, []byte{0, 1, 2, 3})
	cancel()
	check(errors.Is(err, context.DeadlineExceeded), "cancelled: %v", err)
	tell("FAST")
	must(c.PowerCycle(ctx))
	_, err = c.Transmit(ctx, []byte{0, 1, 2, 3})
	must(err)
	must(c.Close())
	fmt.Println("cancel ok")

	// HID feature reports, with the kernel's driver put aside and back.
	driver := func() string {
		l, _ := filepath.Glob("/sys/bus/usb/drivers/usbhid/*:1.0")
		return strings.Join(l, " ")
	}
	for range 100 {
		if driver() != "" {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	check(driver() != "", "usbhid has not bound the interface: the test proves nothing")
	dev, err := usb.System().Open(info)
	must(err)
	must(dev.Claim(0))
	check(driver() == "", "usbhid still has %s", driver())
	report := bytes.Repeat([]byte{0x5a}, 64)
	_, err = dev.Control(ctx, usb.Setup{RequestType: 0x21, Request: 9, Value: 0x0300}, report)
	must(err)
	n, err := dev.Control(ctx, usb.Setup{RequestType: 0xa1, Request: 1, Value: 0x0300}, report)
	must(err)
	check(n == 64 && bytes.Equal(report, bytes.Repeat([]byte{0xa5}, 64)), "report %x", report)
	_, err = dev.Control(ctx, usb.Setup{RequestType: 0xa1, Request: 99}, report)
	check(errors.Is(err, usb.ErrStall), "a request that is refused: %v", err)
	must(dev.Release(0))
	for range 100 {
		if driver() != "" {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	check(driver() != "", "usbhid was not given the interface back")
	must(dev.Reset())
	must(dev.Close())
	check(errors.Is(dev.BulkOut(ctx, 2, nil), usb.ErrGone), "a closed device takes transfers")
	fmt.Println("hid ok")

	// Pulled out while a transfer waits; and back.
	dev, err = usb.System().Open(info)
	must(err)
	must(dev.Claim(1))
	ended := make(chan error)
	go func() {
		_, err := dev.BulkIn(ctx, 0x82, make([]byte, 512))
		ended <- err
	}()
	time.Sleep(100 * time.Millisecond)
	fmt.Println("UNPLUG")
	err = <-ended
	check(errors.Is(err, usb.ErrGone), "unplugged: %v", err)
	_, err = dev.Control(ctx, usb.Setup{RequestType: 0x80, Request: 6, Value: 0x0100}, make([]byte, 18))
	check(errors.Is(err, usb.ErrGone), "after unplugging: %v", err)
	must(dev.Close())
	for range 100 {
		if all, _ := ccid.Find(usb.System()); len(all) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	_, err = usb.System().Open(info)
	check(errors.Is(err, usb.ErrGone), "opened what is not there: %v", err)
	fmt.Println("PLUG")
	c, err = ccid.Connect(ctx, usb.System(), await(info.Address))
	must(err)
	_, err = c.Transmit(ctx, []byte{0, 1, 2, 3})
	must(err)
	must(c.Close())
	fmt.Println("unplug ok")
}
