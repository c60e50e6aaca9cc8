// Package keymap knows the letters on the keys of a few keyboards: to load a layout
// into the Linux console, to tell which one is loaded, and to warn of characters
// that lie elsewhere on another keyboard.
//
// A firmware's kernel types US letters unless told otherwise, and many have no
// loadkeys; the console's own ioctls (console_ioctl(4), KDSKBENT) need none. Only the
// 48 keys of the typewriter part are touched, without, with Shift and with AltGr.
// Dead keys type their accent at once.
package keymap

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Layout is what is printed on the keys, in the order of codes.
type Layout struct {
	Name   string // as loadkeys has it
	Plain  string
	Shift  string
	AltGr  string // spaces for keys that type nothing
	Native string // what its users call it
}

// codes are the kernel's key codes of the 48 keys: the key before 1, the digit row,
// the row of Q, the key after it, the row of A, the key beside left Shift, the row
// of Z.
var codes = []byte{
	41, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 43,
	30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	86, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53,
}

const none = "                                                "

// Layouts are those that this package knows.
var Layouts = []Layout{
	{"us", "`1234567890-=qwertyuiop[]\\asdfghjkl;'<zxcvbnm,./", "~!@#$%^&*()_+QWERTYUIOP{}|ASDFGHJKL:\">ZXCVBNM<>?", none,
		"US"},
	{"uk", "`1234567890-=qwertyuiop[]#asdfghjkl;'\\zxcvbnm,./", "¬!\"£$%^&*()_+QWERTYUIOP{}~ASDFGHJKL:@|ZXCVBNM<>?", none,
		"UK"},
	{"de", "^1234567890ß´qwertzuiopü+#asdfghjklöä<yxcvbnm,.-", "°!\"§$%&/()=?`QWERTZUIOPÜ*'ASDFGHJKLÖÄ>YXCVBNM;:_",
		"  ²³   {[]}\\ @ €        ~            |      µ   ", "Deutsch"},
	{"fr", "²&é\"'(-è_çà)=azertyuiop^$*qsdfghjklmù<wxcvbn,;:!", " 1234567890°+AZERTYUIOP¨£µQSDFGHJKLM%>WXCVBN?./§",
		"  ~#{[|`\\^@]}  €        ¤                       ", "Français"},
}

// ErrUnknown says that a layout's name is not in Layouts.
var ErrUnknown = errors.New("this keyboard layout is not known")

// ErrNoConsole says that the terminal is no Linux console, whose keys could be changed.
var ErrNoConsole = errors.New("this terminal's keyboard layout cannot be changed from here")

// Find returns a layout by its name.
func Find(name string) (*Layout, error) {
	if i := slices.IndexFunc(Layouts, func(l Layout) bool { return l.Name == name }); i >= 0 {
		return &Layouts[i], nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknown, name)
}

// where returns the key and modifier that type a rune; -1 for none.
func (l *Layout) where(r rune) (key, mod int) {
	for mod, table := range []string{l.Plain, l.Shift, l.AltGr} {
		if i := slices.Index([]rune(table), r); i >= 0 && r != ' ' {
			return i, mod
		}
	}
	return -1, 0
}

// Moves says whether a character lies under another key, or nowhere, on one of the
// layouts. The space bar is the same everywhere.
func Moves(r rune) bool {
	if r == ' ' {
		return false
	}
	key, mod := Layouts[0].where(r)
	for i := range Layouts {
		if k, m := Layouts[i].where(r); k != key || m != mod || k < 0 {
			return true
		}
	}
	return false
}

// The ioctls and types of linux/kd.h and linux/keyboard.h.
const (
	kdgkbent = 0x4b46
	kdskbent = 0x4b47

	ktLetter = 11 << 8 // a letter: Caps Lock applies
	unicodeX = 0xf000  // how a rune above 255 is stored
)

type entry struct {
	table, index byte
	value        uint16
}

// value is a rune as the kernel's key tables store it.
func value(r rune) uint16 {
	switch {
	case r > 0xff:
		return uint16(r) ^ unicodeX
	case unicode.IsLetter(r) && r != 'ª' && r != 'º':
		return ktLetter | uint16(r)
	}
	return uint16(r)
}

func ioctl(f *os.File, req uintptr, e *entry) error {
	if _, _, no := unix.Syscall(unix.SYS_IOCTL, f.Fd(), req, uintptr(unsafe.Pointer(e))); no != 0 {
		return no
	}
	return nil
}

// Console is the keyboard of a Linux console. It implements wizard.Keyboard.
type Console struct{ f *os.File }

// Open opens a console's keyboard: the named device's, or, for "", that of the
// controlling terminal or else of the console. ErrNoConsole when it is another kind
// of terminal.
func Open(device string) (*Console, error) {
	if device == "" {
		if c, err := Open("/dev/tty"); err == nil || errors.Is(err, ErrNoConsole) {
			return c, err
		}
		device = "/dev/console"
	}
	f, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the keyboard: %w", err)
	}
	c := &Console{f}
	if err := ioctl(f, kdgkbent, &entry{index: 16}); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w (%s: %w)", ErrNoConsole, device, err)
	}
	return c, nil
}

// Close closes the device; a layout that was loaded stays.
func (c *Console) Close() error { return c.f.Close() }

// Layouts lists the names, the one that is loaded first.
func (c *Console) Layouts() []string {
	best, score := 0, -1
	for i := range Layouts {
		if n := c.agreement(&Layouts[i]); n > score {
			best, score = i, n
		}
	}
	names := []string{Layouts[best].Name}
	for i := range Layouts {
		if i != best {
			names = append(names, Layouts[i].Name)
		}
	}
	return names
}

// agreement counts the keys that type what a layout says, without Shift.
func (c *Console) agreement(l *Layout) (n int) {
	for i, r := range []rune(l.Plain) {
		e := entry{index: codes[i]}
		if ioctl(c.f, kdgkbent, &e) == nil && e.value&0xff == uint16(r)&0xff {
			n++
		}
	}
	return n
}

// Load makes the console type a layout. It needs the right to configure it
// (CAP_SYS_TTY_CONFIG, or being its owner); the first key that the kernel refuses
// is returned as an error, and what was changed stays.
func (c *Console) Load(name string) error {
	l, err := Find(name)
	if err != nil {
		return err
	}
	for table, runes := range []string{l.Plain, l.Shift, l.AltGr} {
		for i, r := range []rune(runes) {
			if r == ' ' {
				continue
			}
			if err := ioctl(c.f, kdskbent, &entry{table: byte(table), index: codes[i], value: value(r)}); err != nil {
				return fmt.Errorf("loading the keyboard layout %s: %w", name, err)
			}
		}
	}
	return nil
}

// Moves implements wizard.Keyboard; see MovesIn.
func (c *Console) Moves(text []byte) bool { return MovesIn(text) }

// MovesIn says whether a character of text lies under another key, or nowhere, on one
// of the layouts. The text may be a secret; it is read in place.
func MovesIn(text []byte) bool {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if Moves(r) {
			return true
		}
		text = text[n:]
	}
	return false
}
