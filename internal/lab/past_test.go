package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unproven are a run's arguments where nothing proves what the laptop is.
func (l *Laptop) unproven(t *testing.T, more ...string) []string {
	t.Helper()
	args := append(l.wizardArgs(t), more...)
	uuid, _, err := l.luksDigest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.answer(t, "verify", "unproven")
	l.answer(t, "unproven-serial", uuid[len(uuid)-4:])
	l.answer(t, "names-serial", uuid[len(uuid)-4:])
	l.answer(t, "names", "continue")
	return args
}

// trusted is the firmware's keyring.
func (l *Laptop) trusted(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(l.ring(t))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestLostKey: the owner has lost his security key and has no backup. With another key and
// the passphrase of his disk he begins anew; the laptop is his again, and the lost key is
// nobody's any more. Without his command it stays a laptop that has an owner.
func TestLostKey(t *testing.T) {
	long(t, "TestTouchedAfterSigning")
	l := newLaptop(t, Options{DataMiB: 16})
	if code, out := l.run(t, l.wizardArgs(t)...); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	first := l.buyer(t)
	ring := l.trusted(t)
	l.Seller.Disk = first.Disk // what must open nothing afterwards
	l.Stop()
	for _, name := range []string{"card.json", "known.json", "made.json"} {
		if err := os.Remove(l.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Card.SetSerial(0x4e4b7777)
	saved, err := l.Card.Save()
	if err == nil {
		err = os.WriteFile(l.path("card.json"), saved, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	before := l.fingerprint(t)
	if err := os.WriteFile(filepath.Join(l.BootDir(), "oem"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out := l.run(t, l.unproven(t)...); code != 3 || !strings.Contains(out, "tampering") {
		t.Fatalf("a /boot/oem alone: exit code %d\n%s", code, out)
	}
	if err := os.Remove(filepath.Join(l.BootDir(), "oem")); err != nil {
		t.Fatal(err)
	}
	if after := l.fingerprint(t); after != before {
		t.Fatalf("something was changed: %s, was %s", after, before)
	}
	// Somebody took away the signature: all files are shown then, and nothing else is possible without a word.
	if err := os.Remove(filepath.Join(l.BootDir(), "kexec.sig")); err != nil {
		t.Fatal(err)
	}
	// The command is given in the recovery shell, where nothing can be sealed: the start
	// after it, without any command, does the rest.
	if err := l.Heads.MarkRecovery(t.Context()); err != nil {
		t.Fatal(err)
	}
	code, out := l.run(t, l.unproven(t, "--lost-key")...)
	if code != 5 || !strings.Contains(out, "page restart") || !strings.Contains(out, "page names") {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	l.remember(t)
	if err := l.PowerCycle(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.finish(t)
	if now := l.trusted(t); now == ring {
		t.Error("the firmware still trusts the lost key")
	}
	l.noSecretLeft(t, l.buyer(t), out)
}

// TestTouchedAfterSigning: a seller without a hand-over file who added /boot/oem after
// signing. Nothing tells his laptop from that of an owner of many years but the fingerprint
// that the buyer knows.
func TestTouchedAfterSigning(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 16})
	for _, pattern := range []string{"oem", "kexec_handover*"} {
		names, err := filepath.Glob(filepath.Join(l.BootDir(), pattern))
		if err != nil || len(names) == 0 {
			t.Fatal(err, pattern)
		}
		for _, n := range names {
			if err := os.Remove(n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := headsHash(t.Context(), l.BootDir()); err != nil {
		t.Fatal(err)
	}
	if err := l.signBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.GPG.Kill()
	if err := os.WriteFile(filepath.Join(l.BootDir(), "oem"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	before := l.fingerprint(t)
	for _, more := range [][]string{nil, {"--signer", strings.Repeat("E", 40)}} {
		// On the screen the fingerprint is asked for; a file without it leads no further.
		if code, out := l.run(t, l.unproven(t, more...)...); code != 4 || strings.Contains(out, "page check") {
			t.Errorf("%q: exit code %d\n%s", more, code, out)
		}
	}
	if after := l.fingerprint(t); after != before {
		t.Fatalf("something was changed: %s, was %s", after, before)
	}
	if !soak() { // a whole run more
		return
	}
	l.unproven(t)
	l.answer(t, "signer", l.Seller.Fingerprint)
	code, out := l.run(t, "wizard", "--no-input", "--answers", l.path("answers.json"), "--secrets-in",
		l.path("known.json"), "--secrets-out", l.path("made.json"))
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	l.mustBeBuyers(t, l.buyer(t))
}
