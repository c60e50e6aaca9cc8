package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/cmd/reown/internal/cli"
)

// TestCardCommandsAreLeft: every command that waits for a card is left by Ctrl-C (main makes
// the end of its context of the signal), here with a pcscd that takes questions and does not
// answer.
func TestCardCommandsAreLeft(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "left")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.Listen("unix", p("s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	came := make(chan net.Conn, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			came <- c
		}
	}()
	write := func(name, text string) {
		if err := os.WriteFile(p(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("pin", "correct horse")
	write("new", "battery staple")
	var out bytes.Buffer
	quiet := &cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}
	if got := run(t.Context(), quiet, []string{"card", "backup", "--algorithm", "25519", "--name", "Jane", "--email",
		"j@example.org", "--passphrase-file", p("pin"), "--output", p("key"), "--cert", p("cert")}); got != 0 {
		t.Fatalf("exit %d\n%s", got, &out)
	}
	commands := []string{
		"status", "status --json", "reset --confirm card",
		"generate --algorithm p256 --name J --email j@example.org --confirm card",
		"import --key KEY --passphrase-file PIN --confirm card",
		"pin set --pin-file PIN --admin-pin-file NEW", "pin user --pin-file PIN --new-pin-file NEW",
		"pin admin --admin-pin-file PIN --new-pin-file NEW", "pin unblock --admin-pin-file PIN --new-pin-file NEW",
		"pin unblock --code-file PIN --new-pin-file NEW", "pin code --admin-pin-file PIN --new-pin-file NEW",
		"touch signature on", "kdf", "sign --cert CERT KEY", "export --name J --email j@example.org",
	}
	files := strings.NewReplacer("PIN", p("pin"), "NEW", p("new"), "KEY", p("key"), "CERT", p("cert"))
	for _, line := range commands {
		args := append([]string{"card"}, strings.Fields(files.Replace(line))...)
		args = append(args, "--card", "pcsc:"+p("s"))
		ctx, interrupt := context.WithCancel(t.Context())
		var out bytes.Buffer
		done := make(chan int, 1)
		go func() {
			done <- run(ctx, &cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}, args)
		}()
		select {
		case <-came:
		case got := <-done:
			t.Fatalf("%s: exit %d without asking\n%s", line, got, &out)
		}
		interrupt()
		select {
		case got := <-done:
			if got != exitStopped {
				t.Errorf("%s: exit %d, want %d\n%s", line, got, exitStopped, &out)
			}
		case <-time.After(15 * time.Second): // less than the time that a daemon has
			t.Fatalf("%s cannot be left", line)
		}
	}
	covered(t, commands)
}

// covered fails for a card command that is not among those.
func covered(t *testing.T, lines []string) {
	t.Helper()
	for _, c := range root().Sub {
		if c.Name != "card" {
			continue
		}
		for _, s := range c.Sub {
			found := s.Name == "verify" || s.Name == "backup" // they need no card
			for _, line := range lines {
				found = found || strings.Fields(line)[0] == s.Name
			}
			if !found {
				t.Errorf("card %s is not tried", s.Name)
			}
		}
	}
}
