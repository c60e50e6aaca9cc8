package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"reown/internal/secret"
)

// maxSecretFile bounds a passphrase or PIN file, in bytes.
const maxSecretFile = 4096

// readSecretFile reads a secret from a file, or from standard input for "-". One
// trailing newline is dropped, because editors and echo add it; a key file that
// must be taken to the byte is read with readKeyFile.
func readSecretFile(e *env, name string) (*secret.Buffer, error) {
	b, err := readKeyFile(e, name)
	if err != nil {
		return nil, err
	}
	if n := b.Len(); n > 0 && b.Bytes()[n-1] == '\n' {
		b.SetLen(n - 1)
	}
	return b, nil
}

// readKeyFile reads a secret from a file, or standard input for "-", to the byte. At
// a terminal "-" asks for one line and does not show it.
func readKeyFile(e *env, name string) (*secret.Buffer, error) {
	r := e.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("opening a secret's file: %w", err)
		}
		defer f.Close()
		r = f
	} else if f, ok := r.(*os.File); ok && isTerminal(f) {
		return readHidden(e, f)
	}
	b, err := secret.Read(io.LimitReader(r, maxSecretFile+1), maxSecretFile)
	if err != nil {
		return nil, fmt.Errorf("reading the secret in %s: %w", name, err)
	}
	return b, nil
}

// readHidden asks at a terminal for one line that is not shown.
func readHidden(e *env, tty *os.File) (*secret.Buffer, error) {
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
	fmt.Fprint(e.stderr, "The secret (it is not shown): ")
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

// printJSON writes one indented JSON document.
func printJSON(e *env, v any) error {
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
