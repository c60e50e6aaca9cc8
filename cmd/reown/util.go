package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

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

// readKeyFile reads a secret from a file, or standard input for "-", to the byte.
func readKeyFile(e *env, name string) (*secret.Buffer, error) {
	r := e.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("opening a secret's file: %w", err)
		}
		defer f.Close()
		r = f
	}
	b, err := secret.Read(io.LimitReader(r, maxSecretFile+1), maxSecretFile)
	if err != nil {
		return nil, fmt.Errorf("reading the secret in %s: %w", name, err)
	}
	return b, nil
}

// printJSON writes one indented JSON document.
func printJSON(e *env, v any) error {
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
