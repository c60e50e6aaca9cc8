package vm

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/hotpkey/hotptest"
	"reown/internal/lab"
	"reown/internal/lab/initrd"
)

// A Display is what is plugged into the laptop.
type Display int

// The displays.
const (
	Serial  Display = iota // none: the console is the serial line
	Screen                 // a framebuffer, 1024x768 unless Options say otherwise
	VGAText                // 80 columns and 25 lines, in the video card's text mode
)

// Options choose how a laptop is switched on.
type Options struct {
	Firmware *Firmware
	// Script is what the firmware starts once everything is there, with the console
	// as its terminal and BOOT_DEV, LUKS_DEV and TPM_DEV set. Reown is the command that finds
	// the laptop's devices.
	Script  string
	Display Display
	Width   int // of the framebuffer, pixels
	Height  int
	Disk    string // "nvme", "sata" or "virtio"; "": nvme
	Log     string // file for a log of every write to the disk; "": none
	CPU     string // QEMU's model; "": max
	Kernel  string // more kernel parameters
	NoToken bool   // the token is not plugged in at the start
	// NoPS2 leaves out the built-in keyboard: keys come only through PlugKeyboard.
	NoPS2 bool
	// HoldAtReset stops the machine where it would restart, with all of its memory;
	// Held waits for that.
	HoldAtReset bool
	Output      func(p []byte) // gets what the guest writes to its serial console
}

// memory is the laptop's RAM in bytes.
const memory = 768 << 20

// bases are the names of partitions without their numbers, by the kind of disk.
var bases = map[string]string{"": "/dev/nvme0n1p", "nvme": "/dev/nvme0n1p", "sata": "/dev/sda", "virtio": "/dev/vda"}

// Flags tell reown where the devices are in the guest.
const Flags = "--boot /boot --disk $LUKS_DEV --flash file:/flash/chip --card usb --tpm $TPM_DEV"

// A Machine is a laptop that is switched on. One goroutine uses it at a time, but
// Cut may be called from any.
type Machine struct {
	QMP   *QMP
	Token *usbdev.Device
	Card  *cardtest.Card
	HOTP  *hotptest.Secrets // the token's other application

	laptop  *lab.Laptop
	dir     string
	display Display
	lock    *os.File
	ctx     context.Context // ends with the power
	qemu    *exec.Cmd
	swtpm   *exec.Cmd
	off     chan struct{}
	stop    context.CancelFunc
	console net.Conn
	agent   net.Conn
	log     lockedLog
	term    *vt // the text on the serial console

	mu      sync.Mutex
	nextID  int
	waiting map[int]chan answer
	ready   chan struct{}
	second  *usbdev.Device // the stranger, once it was plugged in
}

// lockedLog keeps what the guest wrote to its serial console.
type lockedLog struct {
	mu  sync.Mutex
	buf []byte
	out func([]byte)
}

func (l *lockedLog) write(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if l.out != nil {
		l.out(p)
	}
}

func (l *lockedLog) text() string { l.mu.Lock(); defer l.mu.Unlock(); return string(l.buf) }

// Start switches a laptop on. The laptop itself must be stopped, and installed
// (Install). It returns as soon as QEMU runs; Ready waits for the guest.
func Start(ctx context.Context, l *lab.Laptop, o Options) (_ *Machine, err error) {
	m := &Machine{laptop: l, dir: filepath.Join(l.Dir, "vm"), display: o.Display, term: newVT(), off: make(chan struct{}),
		waiting: map[int]chan answer{}, ready: make(chan struct{})}
	m.log.out = o.Output
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		return nil, fmt.Errorf("qemu-system-x86_64: %w", initrd.ErrMissing)
	}
	ctx, m.stop = context.WithCancel(ctx)
	m.ctx = ctx
	defer func() {
		if err != nil {
			m.Cut()
		}
	}()
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return nil, err
	}
	if m.lock, err = lockFile(l); err != nil {
		return nil, err
	}
	if err := m.share(); err != nil {
		return nil, err
	}
	if err := m.settings(ctx, o); err != nil {
		return nil, err
	}
	if err := m.startTPM(); err != nil {
		return nil, err
	}
	// From here on the disk has what counts of /boot; see Collect.
	if err := os.WriteFile(onDisk(l), nil, 0o600); err != nil {
		return nil, err
	}
	if err := m.startQEMU(ctx, o); err != nil {
		return nil, err
	}
	return m, m.plugToken(ctx, o)
}

func (m *Machine) path(name string) string { return filepath.Join(m.dir, name) }

// share makes the directory that the guest sees as /flash: it holds the ROM.
func (m *Machine) share() error {
	if err := os.MkdirAll(m.path("flash"), 0o700); err != nil {
		return err
	}
	chip := m.path("flash/chip")
	if err := os.Remove(chip); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Link(m.laptop.ROM(), chip)
}

// settings writes what the guest reads through fw_cfg.
func (m *Machine) settings(ctx context.Context, o Options) error {
	files, err := lab.ROMFiles(ctx, m.laptop.ROM())
	if err != nil {
		return err
	}
	// As lab.HeadsTPM.Measure.
	digest := func(b []byte) []byte { d := sha256.Sum256(b); return d[:] }
	tpm := "/dev/tpmrm0"
	if m.tpm12() {
		digest = func(b []byte) []byte { d := sha1.Sum(b); return d[:] }
		tpm = "/dev/tpm0"
	}
	var list bytes.Buffer
	for _, f := range files {
		if name, ok := strings.CutPrefix(f.Name, "heads/initrd"); ok {
			fmt.Fprintf(&list, "7 %x\n7 %x\n", digest([]byte(name)), digest(f.Data))
		} else if strings.HasPrefix(f.Name, "fallback/") {
			fmt.Fprintf(&list, "2 %x\n", digest(f.Data))
		}
	}
	config, err := os.ReadFile(filepath.Join(m.laptop.Dir, "config"))
	if err != nil {
		return err
	}
	// As a board says how its chip is reached: in the shell reown needs no flag.
	config = fmt.Appendf(config, "export CONFIG_FLASH_OPTIONS=\"file:/flash/chip\"\nexport CONFIG_BOOT_DEV=\"%s1\"\n",
		bases[o.Disk])
	base := bases[o.Disk]
	for name, data := range map[string][]byte{
		"measure": list.Bytes(), "config": config, "script": []byte(o.Script),
		"devices": fmt.Appendf(nil, "export BOOT_DEV=%s1 LUKS_DEV=%s2 TPM_DEV=%s\n", base, base, tpm),
	} {
		if err := os.WriteFile(m.path("cfg-"+name), append(data, '\n'), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tpm12 says that the laptop's TPM is a 1.2, which is behind another interface.
func (m *Machine) tpm12() bool { return m.laptop.Family == "1.2" }

// startTPM switches on the laptop's TPM with a control channel for QEMU.
func (m *Machine) startTPM() error {
	sock := m.path("tpm.sock")
	_ = os.Remove(sock)
	args := []string{"socket", "--tpmstate", "dir=" + filepath.Join(m.laptop.Dir, "tpm/state"),
		"--ctrl", "type=unixio,path=" + sock, "--log", "file=" + m.path("swtpm.log")}
	if !m.tpm12() {
		args = append(args, "--tpm2")
	}
	m.swtpm = exec.Command("swtpm", args...)
	m.swtpm.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.swtpm.Start(); err != nil {
		return fmt.Errorf("swtpm: %w", err)
	}
	return await(func() error { _, err := os.Stat(sock); return err })
}

// await repeats f until it succeeds, for half a minute.
func await(f func() error) error {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := f()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

func (m *Machine) startQEMU(ctx context.Context, o Options) error {
	for _, s := range []string{"qmp", "console", "agent", "token", "second"} {
		_ = os.Remove(m.path(s))
	}
	errs, err := os.Create(m.path("qemu.log"))
	if err != nil {
		return err
	}
	defer errs.Close()
	m.qemu = exec.Command("qemu-system-x86_64", m.args(o)...)
	m.qemu.Stdout, m.qemu.Stderr = errs, errs
	m.qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.qemu.Start(); err != nil {
		return err
	}
	go func() { _ = m.qemu.Wait(); close(m.off) }()
	context.AfterFunc(ctx, m.kill)
	dial := func(name string) (conn net.Conn, err error) {
		err = await(func() error {
			select {
			case <-m.off:
				said, _ := os.ReadFile(m.path("qemu.log"))
				return fmt.Errorf("%w: %s", errGone, bytes.TrimSpace(said))
			default:
			}
			conn, err = net.Dial("unix", m.path(name))
			return err
		})
		return conn, err
	}
	if m.console, err = dial("console"); err != nil {
		return err
	}
	go m.readConsole()
	if m.agent, err = dial("agent"); err != nil {
		return err
	}
	go m.readAgent()
	conn, err := dial("qmp")
	if err != nil {
		return err
	}
	m.QMP, err = newQMP(conn)
	return err
}

// args is QEMU's command line.
func (m *Machine) args(o Options) []string {
	f := o.Firmware
	kernel := "quiet loglevel=3 panic=-1 init_on_free=1 " + o.Kernel
	if o.Display == Serial {
		kernel = "console=tty0 console=ttyS0 " + kernel
	} else {
		kernel = "console=ttyS0 console=tty0 " + kernel
	}
	machine := "q35"
	if o.NoPS2 {
		machine += ",i8042=off"
	}
	a := []string{"-accel", "tcg", "-machine", machine, "-m", fmt.Sprintf("%dM", memory>>20), "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-rtc", "base=utc", "-bios",
		"/usr/share/seabios/bios-microvm.bin"}
	if o.CPU == "" {
		o.CPU = "max"
	}
	a = append(a, "-cpu", o.CPU)
	chardev := func(id string) string {
		return "socket,id=" + id + ",path=" + m.path(id) + ",server=on,wait=off"
	}
	if o.Display == VGAText { // needs the real-mode entry of the packed kernel
		kernel += " lab.text"
		a = append(a, "-kernel", f.Kernel.BzImage, "-initrd", f.Initrd, "-vga", "std")
	} else {
		const where = 0x10000000
		a = append(a, "-kernel", f.Kernel.ELF, "-device",
			fmt.Sprintf("loader,file=%s,addr=%#x,force-raw=on", f.Initrd, where))
		// x86 does not reserve what initrdmem= names, and init_on_free= would clear it:
		// memmap= keeps the kernel away, which then copies the initrd to its own memory.
		kernel += fmt.Sprintf(" initrdmem=%#x,%d memmap=%#x$%#x", where, f.size, (f.size+0xfff)&^0xfff, where)
	}
	if o.Display == Screen {
		w, h := o.Width, o.Height
		if w == 0 {
			w, h = 1024, 768
		}
		a = append(a, "-device", fmt.Sprintf("VGA,xres=%d,yres=%d", w, h))
	}
	tpm := "tpm-crb"
	if m.tpm12() {
		tpm = "tpm-tis"
	}
	a = append(a, "-append", kernel,
		"-chardev", chardev("console"), "-serial", "chardev:console",
		"-chardev", chardev("agent"), "-serial", "chardev:agent",
		"-qmp", "unix:"+m.path("qmp")+",server=on,wait=off",
		"-chardev", "socket,id=tpmsock,path="+m.path("tpm.sock"), "-tpmdev", "emulator,id=tpm0,chardev=tpmsock", "-device",
		tpm+",tpmdev=tpm0",
		"-device", "qemu-xhci,id=usb", "-chardev", chardev("token"), "-device", "usb-redir,chardev=token,bus=usb.0",
		"-chardev", chardev("second"), "-device", "usb-redir,chardev=second,bus=usb.0",
		"-fsdev", "local,id=flash,path="+m.path("flash")+",security_model=none", "-device",
		"virtio-9p-pci,fsdev=flash,mount_tag=flash")
	if o.HoldAtReset {
		a = append(a, "-no-shutdown")
	}
	for _, s := range []string{"measure", "config", "script", "devices"} {
		a = append(a, "-fw_cfg", "name=opt/lab/"+s+",file="+m.path("cfg-"+s))
	}
	// The host's page cache survives this process: nothing that the guest has
	// submitted is lost when it is killed, so flushing would only cost time.
	if o.Log == "" {
		a = append(a, "-drive", "file="+m.laptop.Disk()+",if=none,id=disk,format=raw,cache=unsafe")
	} else {
		a = append(a, "-blockdev", "driver=file,node-name=image,filename="+m.laptop.Disk()+",cache.no-flush=on",
			"-blockdev", "driver=file,node-name=log,filename="+o.Log+",cache.no-flush=on",
			"-blockdev", "driver=blklogwrites,node-name=disk,file=image,log=log,log-sector-size=512,log-super-update-interval=1")
	}
	switch o.Disk {
	case "sata":
		a = append(a, "-device", "ide-hd,drive=disk,bus=ide.0,serial=LAB-0001,model=Lab SATA disk")
	case "virtio":
		a = append(a, "-device", "virtio-blk-pci,drive=disk,serial=LAB-0001")
	default:
		a = append(a, "-device", "nvme,drive=disk,serial=LAB-0001")
	}
	return a
}

func (m *Machine) readConsole() {
	buf := make([]byte, 4096)
	for {
		n, err := m.console.Read(buf)
		m.log.write(buf[:n])
		m.term.write(buf[:n])
		if err != nil {
			return
		}
	}
}

// Wait waits until the laptop switches itself off or restarts.
func (m *Machine) Wait(ctx context.Context) error {
	select {
	case <-m.off:
		m.Cut()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the laptop is still on: %w:\n%s", ctx.Err(), tail(m.log.text()))
	}
}

// Held waits until a machine with HoldAtReset would restart.
func (m *Machine) Held(ctx context.Context) error {
	for {
		var now struct{ Status string }
		if err := m.QMP.Do("query-status", nil, &now); err != nil {
			return err
		}
		if now.Status == "shutdown" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the laptop does not restart: %w:\n%s", ctx.Err(), tail(m.log.text()))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Off is closed when the laptop is off.
func (m *Machine) Off() <-chan struct{} { return m.off }

// Restarted says whether a laptop that is off was about to start again.
func (m *Machine) Restarted() bool { return m.QMP != nil && m.QMP.restart.Load() }

func (m *Machine) kill() { _ = m.qemu.Process.Kill() }

// Cut cuts the power: the machine, its TPM and its token end where they are.
func (m *Machine) Cut() {
	if m.qemu != nil && m.qemu.Process != nil {
		m.kill()
		<-m.off
	}
	if m.swtpm != nil && m.swtpm.Process != nil {
		_ = m.swtpm.Process.Kill()
		_ = m.swtpm.Wait()
	}
	m.stop()
	if m.Token != nil {
		m.Token.Unplug()
	}
	if m.lock != nil {
		m.lock.Close()
	}
}
