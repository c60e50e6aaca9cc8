package labd

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// request and answer are lines of JSON; internal/lab/vm has the other end.
type request struct {
	ID  int
	Do  string // "sh", "screen" or "lacking"
	Arg string
}

type answer struct {
	ID   int
	Code int // exit status
	Out  string
}

// agent answers requests on a serial port, each as soon as it is done.
func agent(tty string) error {
	f, err := os.OpenFile(tty, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
		return err
	}
	_, _ = screen() // from now on the kernel keeps the characters, not only their glyphs
	var mu sync.Mutex
	say := func(a answer) {
		js, _ := json.Marshal(a)
		mu.Lock()
		defer mu.Unlock()
		_, _ = f.Write(append(js, '\n'))
	}
	say(answer{Out: "ready"})
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return err
		}
		var q request
		if json.Unmarshal(line, &q) == nil {
			go func() { say(do(q)) }()
		}
	}
}

func do(q request) answer {
	a := answer{ID: q.ID}
	var err error
	switch q.Do {
	case "screen":
		a.Out, err = screen()
	case "lacking":
		a.Out, err = lacking()
	case "sh":
		cmd := exec.Command("/bin/sh", "-c", q.Arg)
		var out []byte
		out, err = cmd.CombinedOutput()
		a.Out = string(out)
	default:
		err = fmt.Errorf("%q?", q.Do)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		a.Code = exit.ExitCode()
	} else if err != nil {
		a.Code, a.Out = -1, a.Out+err.Error()
	}
	return a
}

// lacking returns the characters on the screen for which the console's font has no
// glyph (GIO_UNIMAP of console_ioctl(4)).
func lacking() (string, error) {
	text, err := screen()
	if err != nil {
		return "", err
	}
	tty, err := os.Open("/dev/tty1")
	if err != nil {
		return "", err
	}
	defer tty.Close()
	const gioUnimap = 0x4b66
	pairs := make([]struct{ Rune, Glyph uint16 }, 4096)
	d := struct {
		Count uint16
		_     [6]byte
		Pairs unsafe.Pointer
	}{Count: uint16(len(pairs)), Pairs: unsafe.Pointer(&pairs[0])}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, tty.Fd(), gioUnimap, uintptr(unsafe.Pointer(&d))); e != 0 {
		return "", e
	}
	var b strings.Builder
	for _, r := range text {
		if r > '~' && !slices.ContainsFunc(pairs[:d.Count],
			func(p struct{ Rune, Glyph uint16 }) bool { return rune(p.Rune) == r }) {
			b.WriteRune(r)
		}
	}
	return b.String(), nil
}

// screen returns the text on the first virtual console as the characters that were
// written (vcs(4)).
func screen() (string, error) {
	attr, err := os.Open("/dev/vcsa1")
	if err != nil {
		return "", err
	}
	defer attr.Close()
	var size [2]byte // lines, columns
	if _, err := io.ReadFull(attr, size[:]); err != nil {
		return "", err
	}
	text, err := os.Open("/dev/vcsu1")
	if err != nil {
		return "", err
	}
	defer text.Close()
	lines, columns := int(size[0]), int(size[1])
	buf := make([]byte, lines*columns*4)
	if _, err := io.ReadFull(text, buf); err != nil {
		return "", err
	}
	var b strings.Builder
	for y := range lines {
		var line strings.Builder
		for x := range columns {
			line.WriteRune(rune(binary.NativeEndian.Uint32(buf[(y*columns+x)*4:])))
		}
		b.WriteString(strings.TrimRight(line.String(), " \x00") + "\n")
	}
	return b.String(), nil
}
