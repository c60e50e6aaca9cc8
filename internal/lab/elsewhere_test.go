package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShopSignsElsewhere: the shop's key is gpg's, on another computer. The laptop is not
// ready before its signature has come back, and is compared once more then.
func TestShopSignsElsewhere(t *testing.T) {
	ctx := t.Context()
	l := newLaptop(t, Options{DataMiB: 64})
	shop := t.TempDir()
	if _, err := gpg(ctx, shop, "", "--quick-gen-key", "Example Shop <shop@example.com>", "default", "default",
		"0"); err != nil {
		t.Fatal(err)
	}
	fpr, err := primaryFingerprint(ctx, shop)
	if err != nil {
		t.Fatal(err)
	}
	shopCert := l.path("shop.asc")
	if _, err := gpg(ctx, shop, "", "--armor", "--export", "-o", shopCert, fpr); err != nil {
		t.Fatal(err)
	}
	home, buyer, cert := makeBuyerKey(t, "default")
	order := map[string]string{"order": "2026-1150", "name": "Example Shop", "email": "shop@example.com", "buyer": buyer}
	args := l.prepareArgs(t, order, "--buyer", cert, "--shop-cert", shopCert)
	later := append(args[:len(args):len(args)], "--shop-later")
	mail, statement := l.path("mail"), filepath.Join(l.BootDir(), "kexec_handover.json")
	if err := os.Mkdir(mail, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"secrets.asc", "kexec_handover.json.asc"} { // of a former run
		if err := os.WriteFile(filepath.Join(mail, n), []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	code, line, log := l.prepare(t, later...)
	if code != 5 || line.OK || line.Wants != "signature" || line.Error != "" || line.Seller != fpr ||
		len(line.Statement) != 64 {
		t.Fatalf("exit code %d, %+v\n%s", code, line, log)
	}
	toSign, err := os.ReadFile(filepath.Join(mail, "kexec_handover.json"))
	inBoot, err2 := os.ReadFile(statement)
	if err != nil || err2 != nil || !bytes.Equal(toSign, inBoot) {
		t.Fatalf("what is to be signed is not what lies in /boot: %v %v", err, err2)
	}
	if names, _ := filepath.Glob(filepath.Join(mail, "*")); len(names) != 1 {
		t.Errorf("there is more to send than what is to be signed: %q", names)
	}
	if err := l.PowerCycle(ctx); err != nil {
		t.Fatal(err)
	}
	for _, signer := range []string{fpr, line.Fingerprint} {
		if code, out := l.run(t, "verify", "--signer", signer); code != 3 {
			t.Fatalf("it verifies without the shop's signature: exit code %d\n%s", code, out)
		}
	}
	if code, out := l.run(t, "verify"); code != 3 {
		t.Fatalf("it verifies without the shop's signature: exit code %d\n%s", code, out)
	}

	// On the other computer.
	sign := func(file string) string {
		t.Helper()
		if _, err := gpg(ctx, shop, "", "--detach-sign", "--armor", file); err != nil {
			t.Fatal(err)
		}
		return file + ".asc"
	}
	other := l.path("other.json")
	if err := os.WriteFile(other, bytes.Replace(toSign, []byte(buyer), []byte(fpr), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	wrong := sign(other)
	good := sign(filepath.Join(mail, "kexec_handover.json"))

	add := func(file string) []string { return append(args[:len(args):len(args)], "--shop-signature", file) }
	asc, err := os.ReadFile(statement + ".asc")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file string
		step string
	}{"over another file": {wrong, "signature"}, "of the laptop alone": {statement + ".asc", "signature"},
		"none": {l.path("order.json"), "signature"}, "not there": {l.path("nothing"), "start"}} {
		if code, line, log := l.prepare(t, add(c.file)...); code != 1 || line.OK || line.Step != c.step || line.Wants != "" {
			t.Errorf("a signature %s: exit code %d, %+v\n%s", name, code, line, log)
		}
	}
	// Somebody was at the laptop meanwhile.
	kernels, err := filepath.Glob(filepath.Join(l.BootDir(), "vmlinuz*"))
	if err != nil || len(kernels) == 0 {
		t.Fatalf("no kernel in /boot: %v", err)
	}
	kernel, err := os.ReadFile(kernels[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{append([]byte("evil"), kernel...), kernel} {
		if now, err := os.ReadFile(statement + ".asc"); err != nil || !bytes.Equal(now, asc) {
			t.Fatalf("the signatures have changed: %v\n%s", err, now)
		}
		if err := os.WriteFile(kernels[0], data, 0o644); err != nil {
			t.Fatal(err)
		}
		if len(data) > len(kernel) {
			if code, line, log := l.prepare(t, add(good)...); code != 1 || line.Step != "measure" {
				t.Errorf("with another kernel: exit code %d, %+v\n%s", code, line, log)
			}
		}
	}
	for range 2 { // the second time with the file that the first has left in --mail-out
		code, line, log = l.prepare(t, add(good)...)
		if code != 0 || !line.OK || line.Wants != "" || line.Seller != fpr || line.Order != "2026-1150" {
			t.Fatalf("exit code %d, %+v\n%s", code, line, log)
		}
		l.signedByBoth(t, "kexec_handover.json", fpr, line.Fingerprint)
	}
	for _, n := range []string{"kexec_handover.json", "kexec_handover.json.asc"} {
		a, err := os.ReadFile(filepath.Join(mail, n))
		b, err2 := os.ReadFile(filepath.Join(l.BootDir(), n))
		if err != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s in --mail-out is not that in /boot: %v %v", n, err, err2)
		}
	}
	// The laptop's key has signed the secrets: the statement, which the shop's key has
	// signed, names it.
	if _, err := gpg(ctx, home, "", "--import", filepath.Join(mail, "key.asc")); err != nil {
		t.Fatal(err)
	}
	out, err := gpg(ctx, home, "", "--status-fd", "1", "--decrypt", filepath.Join(mail, "secrets.asc"))
	if err != nil || !strings.Contains(string(out), "[GNUPG:] VALIDSIG "+line.Fingerprint) ||
		!strings.Contains(string(out), line.Statement) {
		t.Errorf("secrets.asc: %v\n%s", err, out)
	}
	if !bytes.Contains(inBoot, []byte(`"`+line.Fingerprint+`"`)) {
		t.Error("the statement does not name the laptop's key")
	}
	if code, out := l.run(t, "verify", "--signer", fpr, "--me", buyer); code != 0 || !strings.Contains(out, line.Words) {
		t.Errorf("the buyer's reown verify: exit code %d\n%s", code, out)
	}
}

// TestPrepareAfterRestart: a TPM 1.2 that was cleared and lost its power is deactivated
// until it was started once more. The worker is told so, and the same command goes on.
func TestPrepareAfterRestart(t *testing.T) {
	ctx := t.Context()
	l := newLaptop(t, Options{DataMiB: 64, TPM: "1.2"})
	old := l.Seller
	chip := &tpm12{l.TPM.Socket}
	for _, c := range []struct {
		ordinal uint32
		body    []byte
	}{{0x4000000a, []byte{0, 0x20}}, {0x4000000a, []byte{0, 0x08}},
		{0x5d, nil}} { // presence may be shown by a command; present; TPM_ForceClear
		if _, err := chip.send(0xc1, c.ordinal, c.body); err != nil {
			t.Fatalf("%#x: %v", c.ordinal, err)
		}
	}
	if err := l.PowerCycle(ctx); err != nil {
		t.Fatal(err)
	}
	args := l.prepareArgs(t, map[string]string{"order": "2026-1151", "name": "Example Shop", "email": "shop@example.com"})
	code, line, log := l.prepare(t, args...)
	if code != 5 || line.OK || line.Wants != "restart" || line.Step != "tpm" || !strings.Contains(log, "--restart") {
		t.Fatalf("exit code %d, %+v\n%s", code, line, log)
	}
	made := l.shop(t)
	if err := l.PowerCycle(ctx); err != nil {
		t.Fatal(err)
	}
	code, line, log = l.prepare(t, args...)
	if code != 0 || !line.OK || line.Wants != "" {
		t.Fatalf("after the restart: exit code %d, %+v\n%s", code, line, log)
	}
	for name, s := range l.shop(t) {
		if name == "totp.uri" || name == "handover" { // come with the finished statement
			continue
		}
		if made[name] != s {
			t.Errorf("%s is another one after the restart", name)
		}
	}
	l.shipped(t, line, old)
}
