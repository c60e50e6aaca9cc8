package line

import (
	"context"
	"io"

	"golang.org/x/sys/unix"

	"reown/internal/secret"
	"reown/wizard/ui"
)

// maxLine bounds a typed line, in bytes.
const maxLine = 1024

// typed is a line, and when it was begun and ended, by the count of UI.asked.
type typed struct {
	*secret.Buffer
	from, to int64
}

// read reads lines for ever, each into a Buffer of its own.
func (u *UI) read() {
	defer close(u.lines)
	var one [1]byte
	defer secret.Zero(one[:])
	for {
		b := secret.New(maxLine)
		n := 0
		var from int64
		for {
			if _, err := io.ReadFull(u.in, one[:]); err != nil {
				b.Wipe()
				u.err = err
				return
			}
			if n == 0 {
				from = u.asked.Load()
			}
			if one[0] == '\n' || one[0] == '\r' {
				break
			}
			if n < maxLine {
				b.Bytes()[n] = one[0]
				n++
			}
		}
		b.SetLen(n)
		u.lines <- typed{b, from, u.asked.Load()}
	}
}

// forget drops what was typed on a terminal before the page at hand. A pipe is no person.
func (u *UI) forget() {
	if u.fd >= 0 {
		u.asked.Add(1)
		_ = unix.IoctlSetInt(u.fd, unix.TCFLSH, unix.TCIFLUSH)
	}
}

// line returns the next line that is typed; the caller wipes it.
func (u *UI) line(ctx context.Context) (*secret.Buffer, error) {
	u.start.Do(func() { go u.read() })
	for {
		select {
		case b, ok := <-u.lines:
			if !ok {
				return nil, ui.Ended(u.err)
			}
			switch u.asked.Load() {
			case b.from:
				return b.Buffer, nil
			case b.to: // half of it was typed before: asked again
				b.Wipe()
				b.SetLen(0)
				return b.Buffer, nil
			}
			b.Wipe()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// hidden is line without echo.
func (u *UI) hidden(ctx context.Context) (*secret.Buffer, error) {
	restore := u.echo(false)
	defer func() {
		restore()
		u.say("")
	}()
	return u.line(ctx)
}

// echo switches the terminal's echo and returns what puts it back.
func (u *UI) echo(on bool) func() {
	if u.fd < 0 {
		return func() {}
	}
	old, err := unix.IoctlGetTermios(u.fd, unix.TCGETS)
	if err != nil {
		return func() {}
	}
	t := *old
	if t.Lflag &^= unix.ECHO; on {
		t.Lflag |= unix.ECHO
	}
	_ = unix.IoctlSetTermios(u.fd, unix.TCSETS, &t)
	return func() { _ = unix.IoctlSetTermios(u.fd, unix.TCSETS, old) }
}
