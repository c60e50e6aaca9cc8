package tui

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"

	"github.com/gdamore/tcell/v2"
	"github.com/gdamore/tcell/v2/terminfo"
	"golang.org/x/sys/unix"

	// Descriptions of the terminals, linked in: an initrd has no terminfo files.
	_ "github.com/gdamore/tcell/v2/terminfo/base"
	_ "github.com/gdamore/tcell/v2/terminfo/l/linux"
	_ "github.com/gdamore/tcell/v2/terminfo/s/screen"

	"reown/internal/ttyinput"
)

// Requests of console_ioctl(4) and syslog(2).
const (
	gioUnimap = 0x4b66
	kdGKBLED  = 0x4b64
	kdGKBType = 0x4b33
	capsLock  = 0x04 // LED_CAP of KDGKBLED: the state, not the lamp

	logConsoleOff = 6
	logConsoleOn  = 7
)

// Open draws on a terminal: the named device, or, for "", the controlling terminal
// and else the console. It returns an error where no screen can be drawn (TERM is
// "dumb", or no terminal at all); the caller then talks line by line.
//
// On the Linux console it also enlarges the letters of a fine screen, keeps kernel messages off it and
// makes Ctrl-Alt-Del a signal instead of an immediate restart; Close, and a panic, undo all of it.
func Open(device string) (*UI, error) {
	if device == "" {
		device = "/dev/tty"
		if f, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
			device = "/dev/console"
		} else {
			f.Close()
		}
	}
	name := os.Getenv("TERM")
	if name == "" {
		name = "linux" // what the kernel gives its first process, on serial lines too
	}
	ti, err := tcell.LookupTerminfo(name)
	if err != nil {
		return nil, fmt.Errorf("drawing on a %q terminal: %w", name, err)
	}
	f, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the terminal: %w", err)
	}
	setSize(f)
	console := isConsole(f)
	smaller := func() {}
	if console {
		smaller = enlarge(f) // before the screen asks for its size
	}
	charset(name)
	var screen tcell.Screen
	tty, err := tcell.NewDevTtyFromDev(device)
	if err == nil {
		screen, err = tcell.NewTerminfoScreenFromTtyTerminfo(tty, unpadded(ti))
	}
	if err == nil {
		err = screen.Init()
	}
	if err != nil {
		smaller()
		f.Close()
		return nil, fmt.Errorf("drawing on %s: %w", device, err)
	}
	has := unimap(f)
	if has == nil {
		//lint:ignore SA1019 where the kernel has no map of its font
		has = func(r rune) bool { return screen.CanDisplay(r, false) }
	}
	var caps func() bool
	if console {
		caps = func() bool { return capsOn(f) }
		palette(f, true)
	}
	quiet := console && klog(logConsoleOff)
	restarts := console && ctrlAltDel()
	if restarts {
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)
	}
	u := New(screen, has, caps)
	u.close = sync.OnceFunc(func() {
		if console {
			palette(f, false)
		}
		smaller()
		if restarts {
			_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_ON)
		}
		if quiet {
			klog(logConsoleOn)
		}
		_ = ttyinput.Forget(int(f.Fd())) // without root the machine is not ours to clean
		f.Close()
	})
	return u, nil
}

// setSize gives a serial line that does not know its size the usual one.
func setSize(f *os.File) {
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err == nil && (ws.Col == 0 || ws.Row == 0) {
		_ = unix.IoctlSetWinsize(int(f.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 80, Row: 24})
	}
}

// charset tells tcell that terminals that speak UTF-8 do, where the firmware's init
// has set no locale or the C locale. Real vt100s do not.
func charset(term string) {
	if strings.HasPrefix(term, "vt") || term == "ansi" {
		return
	}
	for _, v := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if l := os.Getenv(v); l == "C" || l == "POSIX" {
			os.Unsetenv(v)
		}
	}
	if os.Getenv("LC_ALL")+os.Getenv("LC_CTYPE")+os.Getenv("LANG") == "" {
		os.Setenv("LANG", "C.UTF-8")
	}
}

// unpadded returns a description without delays: tcell sleeps 5 ms for each cursor
// movement of a vt100, which no terminal of this century needs.
func unpadded(ti *terminfo.Terminfo) *terminfo.Terminfo {
	c := *ti
	c.PadChar = ""
	for _, p := range []*string{&c.Clear, &c.AttrOff, &c.Underline, &c.Bold, &c.Blink, &c.Reverse, &c.Dim, &c.EnterKeypad,
		&c.ExitKeypad,
		&c.SetCursor, &c.EnterAcs, &c.ExitAcs} {
		*p = unpad(*p)
	}
	return &c
}

// unpad removes $<n> from a capability.
func unpad(s string) string {
	for {
		i := strings.Index(s, "$<")
		if i < 0 {
			return s
		}
		j := strings.IndexByte(s[i:], '>')
		if j < 0 {
			return s
		}
		s = s[:i] + s[i+j+1:]
	}
}

func isConsole(f *os.File) bool {
	_, err := unix.IoctlGetInt(int(f.Fd()), kdGKBType)
	return err == nil
}

// ctrlAltDel says whether the three keys restart the computer at once; where that
// cannot be told, they do.
func ctrlAltDel() bool {
	b, err := os.ReadFile("/proc/sys/kernel/ctrl-alt-del")
	return err != nil || strings.TrimSpace(string(b)) != "0"
}

func capsOn(f *os.File) bool {
	var b byte
	_, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), kdGKBLED, uintptr(unsafe.Pointer(&b)))
	return e == 0 && b&capsLock != 0
}

func klog(action int) bool {
	_, err := unix.Klogctl(action, nil)
	return err == nil
}

// palette gives the Linux console colours that can be read: its own yellow is
// brown, its white grey, its blue unreadable.
func palette(f *os.File, ours bool) {
	if !ours {
		// A framebuffer keeps the old colours where nothing is drawn again.
		fmt.Fprint(f, "\x1b]R\x1b[H\x1b[2J")
		return
	}
	for i, c := range []string{"101418", "e05050", "40c060", "f0c040", "6090ff", "c060c0", "40b0c0", "e8e8e8",
		"808890", "ff7070", "70e090", "ffe080", "90b0ff", "ff90ff", "80e0f0", "ffffff"} {
		fmt.Fprintf(f, "\x1b]P%x%s", i, c)
	}
}

// unimap asks the kernel which runes the console's font has; nil if the terminal is
// not the Linux console.
func unimap(f *os.File) func(rune) bool {
	entries := make([]struct{ Unicode, Glyph uint16 }, 4096)
	d := struct {
		Count   uint16
		_       [6]byte
		Entries uintptr
	}{Count: uint16(len(entries)), Entries: uintptr(unsafe.Pointer(&entries[0]))}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), gioUnimap, uintptr(unsafe.Pointer(&d))); e != 0 {
		return nil
	}
	m := map[rune]bool{}
	for _, p := range entries[:min(int(d.Count), len(entries))] {
		m[rune(p.Unicode)] = true
	}
	return func(r rune) bool { return m[r] }
}
