package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reown/cmd/reown/internal/cli"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/pcscdtest"
)

// TestCardCommands runs a card's life through the command line and a real pcscd,
// and asks gpg and gpgv what they think of the results.
func TestCardCommands(t *testing.T) {
	if err := pcscdtest.Available(); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("/tmp", "cc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	first, second := cardtest.New(cardtest.ZeitControl), cardtest.New(cardtest.Nitrokey3)
	d, err := pcscdtest.Start(dir, first, second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	p := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{
		"user": "correct horse\n", "admin": "battery staple\n", "new": "another horse\n", "wrong": "no such PIN\n",
		"factory-admin": "12345678", "pass": "a passphrase\n", "data": "kexec hashes",
	} {
		if err := os.WriteFile(p(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// reown runs one command line and checks its exit code.
	reown := func(code int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		args = append([]string{"card"}, args...)
		if args[1] != "verify" && args[1] != "backup" {
			args = append(args, "--card", "pcsc:"+d.Socket)
		}
		if got := run(context.Background(), &cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs},
			args); got != code {
			t.Fatalf("reown %v: exit %d, want %d\n%s%s", args, got, code, &out, &errs)
		}
		for _, s := range []string{"correct horse", "battery staple", "another horse", "no such PIN", "a passphrase"} {
			if strings.Contains(out.String()+errs.String(), s) {
				t.Fatalf("reown %v prints a secret", args)
			}
		}
		return out.String() + errs.String()
	}
	zc := []string{"--serial", "0005:0000A1B2"}
	on := func(args ...string) []string { return append(args, zc...) }

	if out := reown(0, "status"); !strings.Contains(out, "0005:0000A1B2") || !strings.Contains(out, "000F:4E4B3301") {
		t.Fatalf("status:\n%s", out)
	}
	reown(exitUsage, on("reset")...)
	if rec, err := os.ReadFile(p("rec")); err == nil || rec != nil {
		t.Fatal("a recording that nobody asked for")
	}
	reown(0, on("status", "--record", p("rec"))...)
	if rec, err := os.ReadFile(p("rec")); err != nil || !strings.Contains(string(rec), "\n> 00ca006e00\n< ") {
		t.Fatalf("recorded %q, %v", rec, err)
	}
	reown(exitFailed, on("status", "--record", p("rec"))...) // it is there already
	reown(exitRefused, "reset", "--confirm", "card")         // two cards, none chosen
	reown(0, on("reset", "--confirm", "card")...)
	reown(0, on("generate", "--algorithm", "rsa2048", "--name", "Jane Doe", "--email", "jane@example.org", "--created",
		"2026-11-20T10:00:00Z", "--output", p("cert.asc"), "--confirm", "card")...)
	for range 2 {
		reown(0, on("pin", "set", "--pin-file", p("user"), "--admin-pin-file", p("admin"))...)
	}
	reown(0, on("sign", "--cert", p("cert.asc"), "--pin-file", p("user"), "--output", p("sig"), p("data"))...)
	reown(0, "verify", "--cert", p("cert.asc"), "--signature", p("sig"), p("data"))
	reown(exitNotVerified, "verify", "--cert", p("cert.asc"), "--signature", p("sig"), p("user"))
	reown(0, on("export", "--name", "Jane Doe", "--email", "jane@example.org", "--pin-file", p("user"), "--format", "kbx",
		"--output", p("pubring.kbx"), "--trustdb", p("trustdb.gpg"))...)
	if out, err := exec.Command("gpgv", "--keyring", p("pubring.kbx"), p("sig"), p("data")).CombinedOutput(); err != nil {
		t.Fatalf("gpgv: %v\n%s", err, out)
	}
	releaseSums(t, p("cert.asc"), p("pubring.kbx"),
		strings.Join(on("--pin-file", p("user"), "--card", "pcsc:"+d.Socket), " "))

	reown(exitFailed, on("sign", "--cert", p("cert.asc"), "--pin-file", p("wrong"), p("data"))...)
	if out := reown(exitFailed, on("pin", "user", "--pin-file", p("wrong"), "--new-pin-file",
		p("new"))...); !strings.Contains(out, "one try left") {
		t.Fatalf("tries left:\n%s", out)
	}
	reown(exitRefused, on("sign", "--cert", p("cert.asc"), "--pin-file", p("user"), p("data"))...) // one try left
	reown(0, on("pin", "unblock", "--admin-pin-file", p("admin"), "--new-pin-file", p("new"))...)
	reown(0, on("sign", "--cert", p("cert.asc"), "--pin-file", p("new"), "--output", p("sig"), p("data"))...)

	// The other card gets keys with a backup.
	nk := []string{"--reader", "pcsc:00 01"}
	reown(0, "backup", "--algorithm", "25519", "--name", "Jane Doe", "--email", "jane@example.org", "--passphrase-file",
		p("pass"), "--output", p("backup"), "--cert", p("two.asc"), "--revocation", p("rev.asc"))
	reown(exitFailed, append([]string{"import", "--key", p("backup"), "--passphrase-file", p("wrong"), "--confirm",
		"card"}, nk...)...)
	reown(0, append([]string{"import", "--key", p("backup"), "--passphrase-file", p("pass"), "--confirm", "card"},
		nk...)...)
	reown(0, append([]string{"touch", "decryption", "on", "--admin-pin-file", p("factory-admin")}, nk...)...)
	reown(0, append([]string{"sign", "--cert", p("two.asc"), "--output", p("sig2"), p("data")}, nk...)...)
	reown(0, "verify", "--cert", p("two.asc"), "--signature", p("sig2"), p("data"))
	// Its key is not the first card's: told without sending a PIN.
	reown(exitFailed, on("sign", "--cert", p("two.asc"), "--pin-file", p("wrong"), p("data"))...)
	if left, _ := first.Tries(); left != 3 {
		t.Fatalf("%d tries left", left)
	}

	var status struct {
		Cards []struct {
			Serial string
			Keys   []struct {
				Fingerprint string
				Consistent  bool
				Touch       string
			}
		}
	}
	out := reown(0, "status", "--json")
	if err := json.Unmarshal([]byte(out), &status); err != nil || len(status.Cards) != 2 {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, c := range status.Cards {
		for _, k := range c.Keys {
			if !k.Consistent || len(k.Fingerprint) != 40 {
				t.Fatalf("%s", out)
			}
		}
	}
	if status.Cards[1].Keys[1].Touch != "on" {
		t.Fatalf("touch policy:\n%s", out)
	}

	second.Terminate()
	if out := reown(0, append([]string{"status"}, nk...)...); !strings.Contains(out, "reown card reset") {
		t.Fatalf("terminated:\n%s", out)
	}
	reown(exitFailed, append([]string{"sign", "--cert", p("two.asc"), p("data")}, nk...)...)
	reown(0, append([]string{"reset", "--confirm", "card"}, nk...)...)
}

// releaseSums has a release's sums signed by a card, and sha256sum and gpgv check them.
func releaseSums(t *testing.T, cert, ring, flags string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"reown-1.tar.gz", "reown-1-linux-amd64"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sums := func(env ...string) string {
		t.Helper()
		cmd := exec.Command("../../scripts/sums", dir, os.Args[0]+" "+asReown)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("scripts/sums: %v\n%s", err, out)
		}
		return string(out)
	}
	if out := sums("REOWN_RELEASE_CERT="); !strings.Contains(out, "is not signed") {
		t.Errorf("without a key: %s", out)
	}
	check := func(name string, args ...string) error {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		t.Logf("%s: %s", name, out)
		return err
	}
	verify := func() error { return check("gpgv", "--keyring", ring, "SHA256SUMS.sig", "SHA256SUMS") }
	if check("sha256sum", "--check", "--strict", "SHA256SUMS") != nil || verify() == nil {
		t.Error("without a signature")
	}
	sums("REOWN_RELEASE_CERT="+cert, "REOWN_RELEASE_SIGN="+flags)
	if err := verify(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte("another"), 0o644); err != nil {
		t.Fatal(err)
	}
	if verify() == nil {
		t.Error("gpgv accepts other sums")
	}
}
