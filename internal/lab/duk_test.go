package lab

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// also is wizardArgs with more answers.
func (l *Laptop) also(t *testing.T, answers map[string]string) []string {
	t.Helper()
	uuid, _, err := l.luksDigest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"language": "en", "verify": "match", "confirm": uuid[len(uuid)-4:], "unproven-serial": uuid[len(uuid)-4:]}
	maps.Copy(all, answers)
	args := l.wizardArgs(t)
	for i := range args {
		if args[i] == "--answers" {
			args[i+1] = writeJSON(t, l.path("also.json"), all)
		}
	}
	return args
}

// TestDiskUnlockKey is a whole run with a disk unlock key, judged by Heads' own commands
// and cryptsetup.
func TestDiskUnlockKey(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64})
	code, out := l.run(t, l.also(t, map[string]string{"duk": "yes"})...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	b := l.buyer(t)
	if b.DUK == "" {
		t.Fatal("no passphrase was made for it")
	}
	l.mustBeBuyers(t, b)
	l.noSecretLeft(t, b, out)
}

// TestSealedAfterTheRestart begins in the recovery shell, where nothing can be sealed:
// all the rest is done, the computer restarts, and the next start does what is left.
func TestSealedAfterTheRestart(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64})
	if err := l.Heads.MarkRecovery(t.Context()); err != nil {
		t.Fatal(err)
	}
	code, out := l.run(t, l.also(t, map[string]string{"duk": "yes", "verify": "unproven"})...)
	if code != 5 || !strings.Contains(out, "page restart") {
		t.Fatalf("the first start: exit code %d\n%s", code, out)
	}
	if _, err := os.Stat(filepath.Join(l.BootDir(), "oem")); err != nil {
		t.Fatalf("the hand-over is closed already: %v", err)
	}
	l.remember(t)
	// But for /boot/oem it is as Heads wants it, should the wizard not run.
	oem := filepath.Join(l.BootDir(), "oem")
	if err := os.Rename(oem, l.path("oem")); err != nil {
		t.Fatal(err)
	}
	if err := HeadsVerify(t.Context(), l.BootDir(), l.ring(t)); err != nil {
		t.Errorf("between the starts Heads would not accept /boot: %v", err)
	}
	if err := os.Rename(l.path("oem"), oem); err != nil {
		t.Fatal(err)
	}
	if err := l.PowerCycle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, out := l.run(t, "status"); code != 0 || !strings.Contains(out, "interrupted") {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
	l.finish(t)
}

// TestReownedWithTPM12 is a whole run on a laptop with a TPM 1.2, with a disk unlock key,
// judged by commands that package tpm has no part in.
func TestReownedWithTPM12(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64, TPM: "1.2"})
	if code, out := l.run(t, "verify"); code != 0 {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
	code, out := l.run(t, l.also(t, map[string]string{"duk": "yes"})...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	b := l.buyer(t)
	l.mustBeBuyers(t, b)
	l.noSecretLeft(t, b, out)
}
