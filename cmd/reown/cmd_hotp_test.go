package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/cmd/reown/internal/cli"
	"reown/cmd/reown/internal/plumbing"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/hotpkey"
	"reown/internal/hotpkey/hotptest"
	"reown/internal/usb"
)

// hotpRun runs one hotp command line on a bus.
func hotpRun(t *testing.T, bus usb.Bus, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	e := &cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}
	cmd, rest, err := plumbing.HOTP(bus).Find(args)
	if err != nil {
		return finish(e, err), out.String(), errs.String()
	}
	code = finish(e, cmd.Run(context.Background(), e, rest))
	return code, out.String(), errs.String()
}

func TestHotpCommand(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pin, wrong := file("pin", "sesame-77\n"), file("wrong", "sesame-78\n")
	key, letters := file("key", "12345678901234567890"), file("letters", "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ\n")
	counter := filepath.Join(dir, "counter")

	card := cardtest.New(cardtest.Nitrokey3)
	app := hotptest.NewSecrets()
	card.AddApplet(app)
	card.AddApplet(hotptest.Admin{Version: [3]int{1, 8, 3}})
	nk3 := usbdev.New(usbdev.NK3, card, nil)
	bus := usbdev.NewBus(nk3)

	want := func(code int, needles string, args ...string) string {
		t.Helper()
		got, out, errs := hotpRun(t, bus, args...)
		if got != code {
			t.Fatalf("hotp %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs)
		}
		for _, n := range strings.Split(needles, "|") {
			if !strings.Contains(out+errs, n) {
				t.Fatalf("hotp %s: %q is missing in\n%s%s", strings.Join(args, " "), n, out, errs)
			}
		}
		return out
	}
	var i hotpkey.Info
	if err := json.Unmarshal([]byte(want(exitDone, "", "info", "--json")), &i); err != nil || i.Serial != "4E4B3301" ||
		i.PINSet {
		t.Fatalf("%+v %v", i, err)
	}
	want(exitDone, "no secrets PIN has been set", "info")
	want(exitFailed, "--new-pin", "set", "--pin-file", pin, "--secret-file", key)
	want(exitDone, "next counter is 2|touch 1 of 1", "set", "--pin-file", pin, "--secret-file", key, "--new-pin",
		"--counter-file", counter)
	if b, err := os.ReadFile(counter); err != nil || string(b) != "2\n" {
		t.Fatalf("counter file %q %v", b, err)
	}
	want(exitFailed, "Tries left for the secrets PIN: 8|wrong secrets PIN, 7 tries left", "set", "--pin-file", wrong,
		"--secret-file", key)
	want(exitDone, "The code is right|next counter is 3", "check", "--secret-file", letters, "--base32", "--counter-file",
		counter)
	want(exitDone, "The code is right", "check", "969429") // RFC 4226, counter 3
	want(exitFailed, "shows red", "check", "969429")       // and never again
	want(exitFailed, "six-digit", "check", "96942")        // no code
	want(exitUsage, "CODE", "check")                       // nothing to show
	want(exitUsage, "CODE", "check", "--secret-file", key) // which counter?
	want(exitUsage, "", "set", "--pin-file", pin)          // which secret?
	want(exitDone, "", "check", "--secret-file", key, "--counter", "4", "--json")

	// Thirty starts without the key, as Heads counts them.
	file("counter", "35\n")
	want(exitFailed, "shows red", "check", "--secret-file", key, "--counter-file", counter)
	if b, _ := os.ReadFile(counter); string(b) != "35\n" {
		t.Fatalf("the counter moved on after a failure: %q", b)
	}
	want(exitDone, "drifted apart by -30|next counter is 6", "check", "--resync", "--secret-file", key, "--counter-file",
		counter)
	if b, _ := os.ReadFile(counter); string(b) != "6\n" {
		t.Fatalf("counter file %q", b)
	}
	file("counter", "six\n")
	want(exitFailed, "counts the codes", "check", "--secret-file", key, "--counter-file", counter)

	want(exitDone, "", "regenerate", "--pin-file", pin)
	want(exitRefused, "--confirm 4E4B3301", "reset")
	want(exitDone, "is gone", "reset", "--confirm", "4E4B3301")
	want(exitFailed, "no secret of this computer", "check", "000000")

	// No secret is ever printed.
	_, out, errs := hotpRun(t, bus, "set", "--pin-file", pin, "--secret-file", key, "--new-pin", "--json")
	if strings.Contains(out+errs, "sesame") || strings.Contains(out+errs, "1234567890") {
		t.Fatalf("a secret was printed: %s%s", out, errs)
	}
	nk3.Unplug()
	want(exitFailed, "No security key", "info")
}
