package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"reown/wizard/ui"
)

// A Pager keeps a report until it is whole, and then shows it as the terminal takes it: wrapped at its
// width, one screen at a time.
type Pager struct {
	buf      bytes.Buffer
	out, in  *os.File
	cols, at int // width; lines of a page
}

// Paged is e with a pager, where both its ends are a terminal; nil: there is none, and nothing is kept.
func (e *Env) Paged() (*Env, *Pager) {
	out, in := terminal(e.Stdout), terminal(e.Stdin)
	if out == nil || in == nil {
		return e, nil
	}
	p := &Pager{out: out, in: in}
	p.cols, p.at = size(out)
	return &Env{Stdin: e.Stdin, Stdout: &p.buf, Stderr: e.Stderr}, p
}

// Asks says whether somebody can be asked at f: whether it is a terminal.
func Asks(f any) bool { return terminal(f) != nil }

func terminal(f any) *os.File {
	file, ok := f.(*os.File)
	if !ok {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	return file
}

// size is a terminal's, or that of the smallest one where it does not say.
func size(f *os.File) (cols, lines int) {
	if w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && w.Col > 20 && w.Row > 3 {
		return int(w.Col), int(w.Row)
	}
	return 80, 24
}

// Wrap breaks text at the width of w, if that is a terminal.
func Wrap(w io.Writer, text string) string {
	f := terminal(w)
	if f == nil {
		return text
	}
	cols, _ := size(f)
	return strings.Join(wrap(text, cols), "\n")
}

// wrap keeps lines that fit as they are: their columns mean something.
func wrap(text string, cols int) (lines []string) {
	for l := range strings.SplitSeq(text, "\n") {
		if len(l) <= cols {
			lines = append(lines, l)
			continue
		}
		lines = append(lines, ui.Wrap(l, cols)...)
	}
	return lines
}

// Show shows what was kept; q ends it early. A nil one has nothing.
func (p *Pager) Show() {
	if p == nil {
		return
	}
	lines := wrap(strings.TrimSuffix(p.buf.String(), "\n"), p.cols)
	page := p.at - 1
	for len(lines) > p.at {
		fmt.Fprintln(p.out, strings.Join(lines[:page], "\n"))
		lines = lines[page:]
		switch p.key("-- space: more, Enter: one line, q: end --") {
		case 'q', 'Q', 3, 0:
			return
		case '\r', '\n':
			page = 1
		default:
			page = p.at - 1
		}
	}
	if p.buf.Len() > 0 {
		fmt.Fprintln(p.out, strings.Join(lines, "\n"))
	}
}

// key asks for one key; 0: none will come.
func (p *Pager) key(prompt string) byte {
	fd := int(p.in.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return 0
	}
	raw := *old
	raw.Lflag &^= unix.ICANON | unix.ECHO
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	_ = unix.IoctlSetTermios(fd, unix.TCSETS, &raw)
	defer func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, old) }()
	fmt.Fprint(p.out, prompt)
	var b [1]byte
	if n, err := p.in.Read(b[:]); n == 0 || err != nil {
		b[0] = 0
	}
	fmt.Fprint(p.out, "\r\x1b[K")
	return b[0]
}
