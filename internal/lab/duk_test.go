package lab

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base32"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/tpm/tpmtest"
)

// also is wizardArgs with more answers.
func (l *Laptop) also(t *testing.T, answers map[string]string) []string {
	t.Helper()
	uuid, _, err := l.luksDigest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"language": "en", "verify": "match", "confirm": uuid[len(uuid)-4:],
		"unproven-serial": uuid[len(uuid)-4:],
		"signer":          l.Seller.Fingerprint}
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
	long(t, "TestReownedWithTPM12, which has one; tpm's TestReaderAndTheBus listens on the bus")
	l := newLaptop(t, Options{DataMiB: 64})
	tap, err := tpmtest.Tap(l.TPM)
	if err != nil {
		t.Fatal(err)
	}
	args := append(l.also(t, map[string]string{"duk": "yes"}), l.Flags()...)
	printed, err := exec.Command(reownBinary(t), append(args, "--tpm", tap.Socket)...).CombinedOutput()
	out, trace := string(printed), tap.Trace()
	tap.Close()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b := l.buyer(t)
	if b.DUK == "" {
		t.Fatal("no passphrase was made for it")
	}
	// Nothing that the buyer wrote down crossed the TPM's bus, in clear or as a hash.
	totp, err := base32.StdEncoding.DecodeString(b.TOTP)
	if err != nil || len(trace) < 20000 {
		t.Fatalf("%v; %d bytes were recorded", err, len(trace))
	}
	for what, s := range map[string]string{"the TPM passphrase": b.Owner, "the start passphrase": b.DUK,
		"the disk passphrase": b.Disk, "the TOTP secret": string(totp)} {
		h1, h2 := sha1.Sum([]byte(s)), sha256.Sum256([]byte(s))
		for _, form := range [][]byte{[]byte(s), h1[:], h2[:]} {
			if bytes.Contains(trace, form) {
				t.Errorf("%s crossed the bus", what)
			}
		}
	}
	l.mustBeBuyers(t, b)
	l.noSecretLeft(t, b, out)
}

// TestSealedAfterTheRestart begins in the recovery shell, where nothing can be sealed:
// all the rest is done, the computer restarts, and the next start does what is left.
func TestSealedAfterTheRestart(t *testing.T) {
	long(t, "TestReownedWithTPM12, which restarts too")
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
	// Killed once in the middle of the key's step, wherever that is on this machine.
	killed, _ := l.killAt(t, "Disk unlocking: In progress", time.Duration(rand.IntN(400))*time.Millisecond)
	t.Logf("killed while the disk unlock key was made: %v", killed)
	l.remember(t)
	if err := l.PowerCycle(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.finish(t)
	if b := l.buyer(t); b.DUK == "" {
		t.Error("no disk unlock key")
	}
}

// TestReownedWithTPM12 is a laptop with a TPM 1.2: the seller prepares it, the buyer takes
// it over with a disk unlock key, and commands judge that package tpm has no part in. In
// between the chip is deactivated, as a clearing that was cut leaves it: the run asks for
// a restart and goes on.
func TestReownedWithTPM12(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64, TPM: "1.2"})
	old := l.Seller
	exit, line, log := l.prepare(t, l.prepareArgs(t,
		map[string]string{"order": "2026-1147", "name": "Example Shop", "email": "shop@example.com"})...)
	if exit != 0 || !line.OK {
		t.Fatalf("prepare: exit code %d\n%s", exit, log)
	}
	l.shippedDevices(t, old)
	l.fromShop(t, line.Fingerprint)
	if _, err := gpg(t.Context(), t.TempDir(), "", "--dearmor", "-o", l.path("seller.gpg"),
		l.path("mail/key.asc")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shop.json", "mail"} { // the shop's own
		if err := os.RemoveAll(l.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if code, out := l.run(t, "verify"); code != 0 {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
	if err := l.Heads.v1().deactivate(); err != nil {
		t.Fatal(err)
	}
	if err := l.PowerCycle(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Nothing can be measured on that chip, so the seller's fingerprint is typed.
	code, first := l.run(t, l.also(t, map[string]string{"duk": "yes", "verify": "unproven"})...)
	if code != 5 || !strings.Contains(first, "page restart") {
		t.Fatalf("exit code %d\n%s", code, first)
	}
	l.remember(t)
	if err := l.PowerCycle(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.finish(t)
	b := l.buyer(t)
	if b.DUK == "" {
		t.Error("no disk unlock key")
	}
	l.noSecretLeft(t, b, first)
}
