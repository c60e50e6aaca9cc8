package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"reown/internal/atomicfile"
	"reown/internal/secret"
)

// maxSecretFile bounds a passphrase or PIN file, in bytes.
const maxSecretFile = 4096

// Secret reads a secret from a file, or from standard input for "-". One
// trailing newline is dropped, because editors and echo add it; a key file that
// must be taken to the byte is read with Key.
func (e *Env) Secret(name string) (*secret.Buffer, error) {
	b, err := e.Key(name)
	if err != nil {
		return nil, err
	}
	if n := b.Len(); n > 0 && b.Bytes()[n-1] == '\n' {
		b.SetLen(n - 1)
	}
	return b, nil
}

// Key reads a secret from a file, or standard input for "-", to the byte. At
// a terminal "-" asks for one line and does not show it.
func (e *Env) Key(name string) (*secret.Buffer, error) {
	r := e.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("opening a secret's file: %w", err)
		}
		defer f.Close()
		r = f
	} else if f, ok := r.(*os.File); ok && IsTerminal(f) {
		return e.readHidden(f)
	}
	b, err := secret.Read(io.LimitReader(r, maxSecretFile+1), maxSecretFile)
	if err != nil {
		return nil, fmt.Errorf("reading the secret in %s: %w", name, err)
	}
	return b, nil
}

// readHidden asks at a terminal for one line that is not shown.
func (e *Env) readHidden(tty *os.File) (*secret.Buffer, error) {
	fd := int(tty.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("hiding what is typed: %w", err)
	}
	quiet := *old
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ICANON | unix.ECHONL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &quiet); err != nil {
		return nil, fmt.Errorf("hiding what is typed: %w", err)
	}
	defer func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, old) }()
	fmt.Fprint(e.Stderr, "The secret (it is not shown): ")
	b := secret.New(maxSecretFile)
	n := 0
	for n < b.Cap() {
		if _, err := tty.Read(b.Bytes()[n : n+1]); err != nil {
			b.Wipe()
			return nil, fmt.Errorf("reading what is typed: %w", err)
		}
		if b.Bytes()[n] == '\n' {
			b.SetLen(n)
			return b, nil
		}
		n++
	}
	b.Wipe()
	return nil, secret.ErrTooLong
}

// JSON writes one indented JSON document.
func (e *Env) JSON(v any) error {
	enc := json.NewEncoder(e.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// OptionalSecret reads a secret's file, or returns nil without a name, which
// stands for the factory PIN.
func (e *Env) OptionalSecret(file string) (*secret.Buffer, error) {
	if file == "" {
		return nil, nil
	}
	return e.Secret(file)
}

// Read reads a file, or standard input for "-": at most max bytes, and one more where there
// are more.
func (e *Env) Read(name string, max int64) ([]byte, error) {
	in := e.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, max+1))
}

// WriteResult puts a result into a file, or on standard output.
func (e *Env) WriteResult(file string, data []byte, mode os.FileMode) error {
	if file == "" || file == "-" {
		_, err := e.Stdout.Write(data)
		return err
	}
	write := atomicfile.WriteFile
	if Special(file) {
		write = os.WriteFile
	}
	if err := write(file, data, mode); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// IsTerminal says whether a person sits there.
func IsTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	st, err := file.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// OrNone is s, or the word for there being none.
func OrNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Special reports an output that is written to and not replaced: a pipe, a device, a
// descriptor such as /dev/stdout. Any other link is replaced.
func Special(name string) bool {
	st, err := os.Stat(name)
	return err == nil && !st.Mode().IsRegular() || strings.HasPrefix(name, "/dev/") || strings.HasPrefix(name, "/proc/")
}
