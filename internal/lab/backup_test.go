package lab

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reown/gpgcard/cardtest"
)

// TestBackupOnAStick takes ownership with a backup on a stick. gpg reads the file
// with the passphrase from paper, and signs with a key that the chip trusts; without
// the passphrase it does not.
func TestBackupOnAStick(t *testing.T) {
	long(t, "wizard TestABackupIsCutAnywhere")
	l := newLaptop(t, Options{DataMiB: 64})
	stick := l.path("stick")
	if err := os.Mkdir(stick, 0o700); err != nil {
		t.Fatal(err)
	}
	args := append(l.wizardArgs(t), "--stick", stick)
	l.answer(t, "backup", "stick")
	code, out := l.run(t, args...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	b := l.buyer(t)
	l.mustBeBuyers(t, b)
	l.noSecretLeft(t, b, out)

	pass := l.made(t)["secret.backup"]
	if len(strings.Fields(pass)) != 7 {
		t.Fatalf("the passphrase of the backup has %d words", len(strings.Fields(pass)))
	}
	files, err := filepath.Glob(filepath.Join(stick, "reown-*-secret-key.asc"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	owner, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_reown.asc"))
	if err != nil {
		t.Fatal(err)
	}
	home := l.path("restored")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(pass, stdin string, args ...string) ([]byte, error) {
		return gpg(t.Context(), home, stdin, append([]string{"--pinentry-mode", "loopback", "--passphrase", pass},
			args...)...)
	}
	defer func() { _, _ = tool(t.Context(), nil, "gpgconf", "--homedir", home, "--kill", "all") }()
	if out, err := run(pass, "", "--import", files[0]); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := run("another passphrase", "text", "--detach-sign", "-o", "-"); err == nil {
		t.Error("it signs with another passphrase")
	}
	_, _ = tool(t.Context(), nil, "gpgconf", "--homedir", home, "--kill", "all") // forgets what it opened
	sig, err := run(pass, "restored\n", "--detach-sign", "-o", "-")
	if err != nil {
		t.Fatal(err)
	}
	mustVerify(t, l, owner, []byte("restored\n"), sig)

	// What was written for the owner before can be read with it.
	secretText, err := run(pass, "the recovery key\n", "--trust-model", "always", "-r", "ada@example.org", "-e", "-o", "-")
	if err != nil {
		t.Fatal(err)
	}
	if back, err := run(pass, string(secretText), "-d"); err != nil || string(back) != "the recovery key\n" {
		t.Errorf("decrypted: %q %v", back, err)
	}
	l.tried(t, b, owner, l.restoreOn(t, files[0], pass, b))
}

// restoreOn puts the backup on a new security key, as the buyer's guide says, and
// returns the key.
func (l *Laptop) restoreOn(t *testing.T, backup, pass string, b *Buyer) *cardtest.Card {
	t.Helper()
	fresh := cardtest.New(cardtest.Nitrokey3)
	fresh.SetSerial(0x66666666)
	fresh.AutoTouch(true)
	l.GPG.Kill() // scdaemon would keep the reader to itself
	l.PCSC.Slots[0].Insert(fresh)
	file := func(name, secret string) string {
		if err := os.WriteFile(l.path(name), []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return l.path(name)
	}
	for _, args := range [][]string{
		{"import", "--key", backup, "--passphrase-file", file("backup.pass", pass), "--confirm", "card"},
		{"pin", "set", "--pin-file", file("user.pin", b.UserPIN), "--admin-pin-file", file("admin.pin", b.AdminPIN)},
	} {
		out, err := exec.Command(reownBinary(t),
			append(append([]string{"card"}, args...), "--card", "pcsc:"+l.PCSC.Socket)...).CombinedOutput()
		if err != nil {
			t.Fatalf("reown card %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return fresh
}

// TestSpareKey takes ownership at the keyboard with a second security key. Both show
// the same keys to gpg --card-status, and a signature by each verifies with the
// certificate that the chip trusts.
func TestSpareKey(t *testing.T) {
	long(t, "wizard TestABackupIsCutAnywhere")
	l := newLaptop(t, Options{DataMiB: 64})
	p := sit(t, l, "linux", "wizard", "--ui", "tui")
	p.spare = cardtest.New(cardtest.Nitrokey3)
	p.spare.SetSerial(0x77777777)
	p.spare.AutoTouch(true)
	b := p.takeOwnership()
	l.mustBeBuyers(t, b)
	owner, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_reown.asc"))
	if err != nil {
		t.Fatal(err)
	}
	first := l.tried(t, b, owner, l.Card)
	second := l.tried(t, b, owner, p.spare)
	if first != second || first == "" {
		t.Errorf("the first shows %q, the second %q", first, second)
	}
	t.Logf("%d pages, %d keystrokes", len(p.pages), p.keys)
}

// tried puts a card into the reader, has gpg sign with it, and returns the
// fingerprints that gpg --card-status shows.
func (l *Laptop) tried(t *testing.T, b *Buyer, owner []byte, card *cardtest.Card) string {
	t.Helper()
	l.GPG.Kill()
	l.PCSC.Slots[0].Insert(card)
	defer l.GPG.Kill()
	out, err := l.gpg("", "--card-status", "--with-colons")
	if err != nil {
		t.Fatal(err)
	}
	var fprs string
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "fpr:"); ok {
			fprs = strings.TrimSpace(rest)
		}
	}
	if _, err := l.gpg(string(owner), "--import"); err != nil {
		t.Fatal(err)
	}
	if out, err := l.gpg("", "--card-status"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sig, err := l.gpg("by a security key\n", "--passphrase", b.UserPIN, "-u", "ada@example.org", "--detach-sign", "-o",
		"-")
	if err != nil {
		t.Fatal(err)
	}
	mustVerify(t, l, owner, []byte("by a security key\n"), sig)
	return fprs
}

// mustVerify checks a signature with gpgv and the certificate in the chip alone.
func mustVerify(t *testing.T, l *Laptop, owner, data, sig []byte) {
	t.Helper()
	ring := l.path("owner.kbx")
	files, err := ROMFiles(t.Context(), l.ROM())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name == "heads/initrd/.gnupg/pubring.kbx" {
			if err := os.WriteFile(ring, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, b := range map[string][]byte{"signed": data, "signed.sig": sig} {
		if err := os.WriteFile(l.path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := tool(t.Context(), nil, "gpgv", "--keyring", ring, l.path("signed.sig"), l.path("signed")); err != nil {
		t.Errorf("gpgv: %v\n%s", err, out)
	}
	if len(bytes.TrimSpace(owner)) == 0 {
		t.Error("there is no certificate of the owner in /boot")
	}
}

// made is every secret that the wizard handed to the owner.
func (l *Laptop) made(t *testing.T) map[string]string { return readJSON(t, l.path("made.json")) }

func readJSON(t *testing.T, name string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(name)
	m := map[string]string{}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}
