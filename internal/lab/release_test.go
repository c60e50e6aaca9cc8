package lab

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// releaseArgs give the laptop up with its present owner's card.
func (l *Laptop) releaseArgs(t *testing.T, more ...string) []string {
	t.Helper()
	pin := l.path("pin")
	if err := os.WriteFile(pin, []byte(l.Seller.UserPIN), 0o600); err != nil {
		t.Fatal(err)
	}
	uuid, _, err := l.luksDigest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"release", "--to-nobody", "--pin-file", pin, "--confirm", uuid[len(uuid)-4:]}, more...)
}

// released asks foreign tools whether anything of the owner's is left.
func (l *Laptop) released(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	offset, size := l.Window()
	v, err := CopyVolume(l.Disk(), offset, size, l.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(v.Path)
	if open, err := v.Opens(ctx, l.Seller.Disk); open || err == nil {
		t.Errorf("cryptsetup with the owner's passphrase: %v %v", open, err)
	}
	if dump, err := v.Dump(ctx); err != nil || strings.Contains(dump, "Cipher key:") ||
		strings.Contains(dump, "PBKDF:      argon2") {
		t.Errorf("cryptsetup luksDump: %v\n%s", err, dump)
	}
	clean := l.path("clean.bin")
	if err := makeROM(ctx, clean, l.Dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tool(ctx, nil, "cmp", clean, l.ROM()); err != nil {
		t.Errorf("the chip is not what coreboot's tools make without an owner: %v", err)
	}
	for _, what := range []string{"handles-persistent", "handles-nv-index"} {
		if out, err := l.Heads.sh(ctx, "tpm2_getcap "+what); err != nil || len(bytes.TrimSpace(out)) != 0 {
			t.Errorf("tpm2_getcap %s: %v\n%s", what, err, out)
		}
	}
	if out, err := l.Heads.sh(ctx, "tpm2_getcap properties-variable"); err != nil ||
		!strings.Contains(string(out), "ownerAuthSet:              0") {
		t.Errorf("tpm2_getcap: %v\n%s", err, out)
	}
	l.GPG.Kill()
	out, err := l.gpg("", "--card-status", "--with-colons")
	if err != nil || strings.Contains(string(out), l.Seller.Fingerprint) || !strings.Contains(string(out), "\nfpr::::") {
		t.Errorf("gpg --card-status: %v\n%s", err, out)
	}
	list, err := os.ReadDir(l.BootDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if n := e.Name(); n == "oem" || strings.HasPrefix(n, "kexec") && !strings.HasPrefix(n, "kexec_release.") {
			t.Errorf("/boot/%s is left", n)
		}
	}
	if _, err := os.Stat(filepath.Join(l.BootDir(), "grub/grub.cfg")); err != nil {
		t.Error(err) // the rest of /boot is nobody's secret
	}
	l.GPG.Kill() // scdaemon would keep the card to itself
}

// TestReleased gives up a laptop that Heads' commands, gpg and cryptsetup made
// somebody's, and asks them again.
func TestReleased(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64})
	before := l.fingerprint(t)
	wrong := l.path("wrong")
	if err := os.WriteFile(wrong, []byte("not the PIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := l.releaseArgs(t)
	for name, a := range map[string][]string{
		"wrong PIN":    {"release", "--to-nobody", "--pin-file", wrong, "--confirm", args[len(args)-1]},
		"wrong serial": {"release", "--to-nobody", "--pin-file", args[3], "--confirm", "zzzz"},
		"no recipient": {"release", "--pin-file", args[3], "--confirm", args[len(args)-1]},
	} {
		code, out := l.run(t, a...)
		if code == 0 || strings.Contains(out, "\ndisk") {
			t.Errorf("%s: exit code %d\n%s", name, code, out)
		}
	}
	// The card counts the wrong try.
	if now := l.fingerprint(t); now[strings.Index(now, "kexec.sig"):] != before[strings.Index(before, "kexec.sig"):] ||
		now[:30] != before[:30] {
		t.Errorf("something was changed: %s, was %s", now, before)
	}
	code, out := l.run(t, l.releaseArgs(t, "--record", l.path("record"))...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	l.released(t)
	home := t.TempDir()
	ring := filepath.Join(home, "owner.kbx")
	if _, err := tool(t.Context(), nil, "gpg", "--homedir", home, "--no-default-keyring", "--keyring", ring, "--import",
		l.path("record/kexec_release.key.asc")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{l.path("record"), l.BootDir()} {
		if _, err := tool(t.Context(), nil, "gpgv", "--keyring", ring, filepath.Join(dir, "kexec_release.json.asc"),
			filepath.Join(dir, "kexec_release.json")); err != nil {
			t.Errorf("gpgv on the record: %v", err)
		}
	}
	if code, out := l.run(t, l.releaseArgs(t)...); code != 0 {
		t.Errorf("once more: exit code %d\n%s", code, out)
	}
}

// TestReleaseWithoutCard: a lost card must not make scrap of the laptop.
func TestReleaseWithoutCard(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64})
	l.Card.SetSerial(0x4e4b9999) // not looked at
	args := l.releaseArgs(t)
	if code, out := l.run(t, "release", "--to-nobody", "--lost-card", "--confirm", args[len(args)-1]); code != 0 ||
		!strings.Contains(out, "it keeps its keys") {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	if _, err := os.Stat(filepath.Join(l.BootDir(), "kexec_release.json.asc")); err == nil {
		t.Error("a signature without a card")
	}
	if out, err := l.gpg("", "--card-status", "--with-colons"); err != nil ||
		!strings.Contains(string(out), l.Seller.Fingerprint) {
		t.Errorf("the card was touched: %v\n%s", err, out)
	}
}

// TestReleaseKilled kills the program in each step in turn, with a power cut for the
// TPM, and lets the same command finish.
func TestReleaseKilled(t *testing.T) {
	long(t, "wizard/release, cut at each write")
	l := newLaptop(t, Options{DataMiB: 64})
	args := append(l.releaseArgs(t), l.Flags()...)
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 5))
	kills := 0
	for _, step := range []string{"disk", "tpm", "firmware", "boot", "record", "card", "measure"} {
		cmd := exec.Command(reownBinary(t), args...)
		r, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		for sc := bufio.NewScanner(r); sc.Scan(); {
			log.WriteString(sc.Text() + "\n")
			if sc.Text() == step {
				time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		switch cmd.ProcessState.ExitCode() {
		case -1:
			kills++
		case 0:
		default:
			t.Fatalf("killed in %s: exit code %d\n%s", step, cmd.ProcessState.ExitCode(), &log)
		}
		if err := l.PowerCycle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("killed %d times", kills)
	if kills < 4 {
		t.Error("the kills came too late to prove anything")
	}
	if code, out := l.run(t, l.releaseArgs(t)...); code != 0 {
		t.Fatalf("the last time: exit code %d\n%s", code, out)
	}
	l.released(t)
}
