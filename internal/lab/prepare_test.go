package lab

import (
	"bufio"
	"bytes"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// prepareArgs is the seller's worker: an order, a file for the secrets, and a
// directory for what is sent. The lab's laptops are ready to ship, so it says that it means it.
func (l *Laptop) prepareArgs(t *testing.T, order map[string]string, more ...string) []string {
	t.Helper()
	known := writeJSON(t, l.path("image.json"), map[string]string{"secret.current": l.Seller.Disk})
	return append([]string{"prepare", "--json", "--order", writeJSON(t, l.path("order.json"), order),
		"--secrets-in", known, "--secrets-out", l.path("shop.json"), "--mail-out", l.path("mail"), "--again"}, more...)
}

type prepared struct {
	OK, Aligned                                                                 bool
	Seconds, Handover                                                           int
	Wants, Seller, Order, Words, Fingerprint, Card, ROM, Statement, Step, Error string
}

// prepare runs reown prepare, and returns its line of JSON and everything else.
func (l *Laptop) prepare(t *testing.T, args ...string) (code int, line prepared, log string) {
	t.Helper()
	cmd := exec.Command(reownBinary(t), append(args, l.Flags()...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("not one line of JSON: %v\n%s\n%s", err, &out, &errs)
	}
	return cmd.ProcessState.ExitCode(), line, out.String() + errs.String()
}

// shop reads the secrets that prepare handed out.
func (l *Laptop) shop(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(l.path("shop.json"))
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(l.path("shop.json")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the secrets' file: %v %v", st.Mode(), err)
	}
	var m map[string]string
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// fromShop makes the lab know what the seller knows after prepare.
func (l *Laptop) fromShop(t *testing.T, fpr string) {
	t.Helper()
	m := l.shop(t)
	l.Seller = Seller{Disk: m["secret.disk"], UserPIN: m["secret.user"], AdminPIN: m["secret.admin"],
		Owner: m["secret.owner"],
		TOTP:  strings.ReplaceAll(m["totp"], " ", ""), Fingerprint: fpr}
	offset, size := l.Window()
	v, err := CopyVolume(l.Disk(), offset, size, l.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(v.Path)
	key, err := v.Key(t.Context(), l.Seller.Disk)
	if err != nil {
		t.Fatalf("cryptsetup with the new passphrase: %v", err)
	}
	l.VolumeKey = fmt.Sprintf("%x", key)
}

// ring extracts the keyring from the ROM with cbfstool, and exports the one key in
// it for gpgv.
func (l *Laptop) ring(t *testing.T) string {
	t.Helper()
	files, err := ROMFiles(t.Context(), l.ROM())
	if err != nil {
		t.Fatal(err)
	}
	ring := l.path("rom-ring.kbx")
	for _, f := range files {
		if f.Name == "heads/initrd/.gnupg/pubring.kbx" {
			if err := os.WriteFile(ring, f.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return ring
}

// shipped asks foreign tools whether the laptop is fit to be shipped.
func (l *Laptop) shipped(t *testing.T, line prepared, old Seller) {
	t.Helper()
	ctx := t.Context()
	ring := l.ring(t)
	if _, err := os.Stat(filepath.Join(l.BootDir(), "oem")); err != nil {
		t.Error(err)
	}
	if err := HeadsVerify(ctx, l.BootDir(), ring); err != nil {
		t.Errorf("/boot with the key in the ROM, oem being there: %v", err)
	}
	hashes, _ := os.ReadFile(filepath.Join(l.BootDir(), "kexec_hashes.txt"))
	if !strings.Contains(string(hashes), "  ./oem\n") {
		t.Error("kexec_hashes.txt does not cover ./oem")
	}
	statement := filepath.Join(l.BootDir(), "kexec_handover.json")
	if _, err := tool(ctx, nil, "gpgv", "--keyring", ring, statement+".asc", statement); err != nil {
		t.Errorf("gpgv on the hand-over file: %v", err)
	}
	if out, err := tool(ctx, nil, "sha256sum", statement, l.ROM()); err != nil ||
		!strings.Contains(string(out), line.Statement) || !strings.Contains(string(out), line.ROM) {
		t.Errorf("the label's digests: %v\n%s", err, out)
	}
	// The mail: the same bytes, and a key with which gpg verifies them.
	home := t.TempDir()
	if _, err := gpg(ctx, home, "", "--import", l.path("mail/key.asc")); err != nil {
		t.Error(err)
	}
	if fpr, err := primaryFingerprint(ctx, home); err != nil || fpr != line.Fingerprint {
		t.Errorf("the mail's key: %s %v, the label says %s", fpr, err, line.Fingerprint)
	}
	if _, err := gpg(ctx, home, "", "--verify", l.path("mail/kexec_handover.json.asc"),
		l.path("mail/kexec_handover.json")); err != nil {
		t.Errorf("gpg on the mailed hand-over file: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(l.BootDir(), "kexec_reown*"))
	if len(left) > 0 {
		t.Errorf("left in /boot: %q", left)
	}
	l.shippedDevices(t, old)
}

func (l *Laptop) shippedDevices(t *testing.T, old Seller) {
	t.Helper()
	ctx, m := t.Context(), l.shop(t)
	offset, size := l.Window()
	v, err := CopyVolume(l.Disk(), offset, size, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := v.Opens(ctx, m["secret.disk"]); !ok || err != nil {
		t.Errorf("cryptsetup with the new passphrase: %v %v", ok, err)
	}
	if ok, err := v.Opens(ctx, old.Disk); ok || err != nil {
		t.Errorf("cryptsetup with the image's passphrase: %v %v", ok, err)
	}
	for which, p := range map[int]string{1: m["secret.user"], 3: m["secret.admin"]} {
		if ok, _ := l.Card.CheckPIN(which, []byte(p)); !ok {
			t.Errorf("the card refuses the new PW%d", which)
		}
	}
	if err := l.PowerCycle(ctx); err != nil {
		t.Fatal(err)
	}
	secret, err := l.Heads.Unseal(ctx)
	if err != nil {
		t.Fatalf("Heads' unseal at the next start: %v", err)
	}
	if got := base32.StdEncoding.EncodeToString(secret); got != strings.ReplaceAll(m["totp"], " ", "") {
		t.Error("another TOTP secret was unsealed than the one that was handed out")
	}
	rollback, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_rollback.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Heads.CheckRollback(ctx, rollback); err != nil {
		t.Error(err)
	}
	want, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_primhdl_hash.txt"))
	if l.Family == "1.2" && os.IsNotExist(err) {
		return // Heads has none there
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Heads.PrimaryHash(ctx); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the primary key: %q %v, want %q", got, err, want)
	}
}

// makeBuyerKey makes the buyer's OpenPGP key with gpg.
func makeBuyerKey(t *testing.T, kind string) (home, fpr, cert string) {
	t.Helper()
	ctx, home := t.Context(), t.TempDir()
	if _, err := gpg(ctx, home, "", "--quick-gen-key", "Ada Buyer <ada@example.org>", kind, "default", "0"); err != nil {
		t.Fatal(err)
	}
	fpr, err := primaryFingerprint(ctx, home)
	if err != nil {
		t.Fatal(err)
	}
	cert = filepath.Join(home, "ada.asc")
	if _, err := gpg(ctx, home, "", "--armor", "--export", "-o", cert, fpr); err != nil {
		t.Fatal(err)
	}
	return home, fpr, cert
}

// TestPreparedLaptop: the seller prepares, foreign tools look, the buyer verifies and
// takes over.
func TestPreparedLaptop(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64})
	old := l.Seller
	home, buyer, cert := makeBuyerKey(t, "default")
	order := map[string]string{"order": "2026-1147", "name": "Example Shop", "email": "shop@example.com", "buyer": buyer,
		"language": "nl"}
	table := l.path("table.jsonl")
	args := l.prepareArgs(t, order, "--buyer", cert, "--record", table)
	once := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--again" })
	if code, line, log := l.prepare(t, once...); code != 6 || !strings.Contains(line.Error, "finished as ") {
		t.Errorf("the lab's laptop is ready to ship: exit code %d, %+v\n%s", code, line, log)
	}
	code, line, log := l.prepare(t, args...)
	if code != 0 || !line.OK || line.Order != "2026-1147" || strings.Count(line.Words, "-") != 3 {
		t.Fatalf("exit code %d, %+v\n%s", code, line, log)
	}
	t.Logf("prepared in %d s", line.Seconds)
	for name, s := range l.shop(t) {
		if strings.HasPrefix(name, "secret") && strings.Contains(log, s) {
			t.Errorf("%s was printed", name)
		}
	}
	l.shipped(t, line, old)
	if code, again, log := l.prepare(t, once...); code != 6 ||
		!strings.Contains(again.Error, "finished as 2026-1147, words "+line.Words) {
		t.Errorf("a second time: exit code %d, %+v\n%s", code, again, log)
	}
	if rows, err := os.ReadFile(table); err != nil || strings.Count(string(rows), "\n") != 1 ||
		!strings.Contains(string(rows), line.Statement) {
		t.Errorf("the shop's table: %v %s", err, rows)
	}
	if _, err := gpg(t.Context(), home, "", "--import", l.path("mail/key.asc")); err != nil {
		t.Fatal(err)
	}
	plain, err := gpg(t.Context(), home, "", "--decrypt", l.path("mail/secrets.asc"))
	if err != nil {
		t.Fatalf("gpg with the buyer's key: %v", err)
	}
	if status, err := gpg(t.Context(), home, "", "--status-fd", "1", "--decrypt",
		l.path("mail/secrets.asc")); err != nil || !strings.Contains(string(status), "[GNUPG:] VALIDSIG "+line.Fingerprint) {
		t.Errorf("gpg does not show who made secrets.asc: %v\n%s", err, status)
	}
	var mail map[string]string
	if err := json.Unmarshal(plain, &mail); err != nil {
		t.Fatal(err)
	}
	for name, s := range l.shop(t) {
		if mail[name] != s {
			t.Errorf("the buyer's mail has another %s", name)
		}
	}
	if mail["handover"] != line.Statement || !strings.HasPrefix(mail["totp.uri"], "otpauth://totp/") {
		t.Errorf("the mail is about %s, %s", mail["handover"], mail["totp.uri"])
	}
	l.papers(t, line, home, mail["totp.uri"])

	code, out := l.run(t, "verify", "--signer", line.Seller, "--me", buyer)
	if code != 0 || !strings.Contains(out, line.Words) {
		t.Errorf("the buyer's reown verify: exit code %d\n%s", code, out)
	}
	for _, subject := range []string{"tpm-ek", "rom", "boot-tree", "card", "card serial", "pcr 7", "srk", "rom keys"} {
		if !regexp.MustCompile(`(?m)^ +pass +` + subject + ` `).MatchString(out) {
			t.Errorf("%s is not among what was compared:\n%s", subject, out)
		}
	}
	if code, out := l.run(t, "verify", "--me", line.Seller); code != 3 || !strings.Contains(out, "somebody else") {
		t.Errorf("verify by somebody else: exit code %d\n%s", code, out)
	}
	l.fromShop(t, line.Fingerprint)
	seller := l.path("seller.gpg")
	if _, err := gpg(t.Context(), t.TempDir(), "", "--dearmor", "-o", seller, l.path("mail/key.asc")); err != nil {
		t.Fatal(err)
	}
	if !line.Aligned {
		t.Error("the key shares erase blocks with other files of the firmware")
	}
	before, err := os.ReadFile(l.ROM())
	if err != nil {
		t.Fatal(err)
	}
	if !soak() { // TestReownedWithTPM12 takes a prepared laptop over
		return
	}
	if code, out := l.run(t, l.wizardArgs(t)...); code != 0 {
		t.Fatalf("the buyer's run: exit code %d\n%s", code, out)
	}
	l.mustBeBuyers(t, l.buyer(t))
	l.onlyOwnBlocks(t, before)
}

// papers looks at what goes with the laptop: renderers and readers of codes that we did not write.
func (l *Laptop) papers(t *testing.T, line prepared, home, uri string) {
	t.Helper()
	ctx := t.Context()
	for name, wants := range map[string][]string{
		"letter.txt": {"Uw laptop, bestelling 2026-1147\n", line.Words, "gpg --decrypt secrets.asc", "phone.svg.asc"},
		"label.txt":  {"order         2026-1147\n", line.Words, line.Card},
	} {
		text, err := os.ReadFile(l.path("mail/" + name))
		for _, want := range wants {
			if err != nil || !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q: %v\n%s", name, want, err, text)
			}
		}
	}
	phone, err := gpg(ctx, home, "", "--decrypt", l.path("mail/phone.svg.asc"))
	if err != nil {
		t.Fatalf("gpg with the buyer's key: %v", err)
	}
	label, err := os.ReadFile(l.path("mail/label.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		svg  []byte
		want string
	}{
		"phone": {phone, uri},
		"label": {label, "OPENPGP4FPR:" + line.Seller + "#order=2026-1147&words=" + line.Words},
	} {
		picture := filepath.Join(t.TempDir(), what+".png")
		if _, err := tool(ctx, bytes.NewReader(c.svg), "rsvg-convert", "-d", "203", "-p", "203", "-o", picture); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if got, err := tool(ctx, nil, "zbarimg", "-q", "--raw", picture); err != nil ||
			strings.TrimSpace(string(got)) != c.want {
			t.Errorf("%s: zbarimg reads %q (%v), not %q", what, got, err, c.want)
		}
	}
}

// onlyOwnBlocks checks, with cbfstool's listing, that the buyer's change of the chip
// touched no erase block in which bytes of another file or area lie.
func (l *Laptop) onlyOwnBlocks(t *testing.T, before []byte) {
	t.Helper()
	const block, coreboot, size = 4096, 0x471200, 0xb8ee00 // bytes; the lab's flash layout
	after, err := os.ReadFile(l.ROM())
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for at := 0; at < len(after); at += block {
		if bytes.Equal(before[at:at+block], after[at:at+block]) {
			continue
		}
		changed++
		if at < coreboot || at+block > coreboot+size {
			t.Errorf("the changed block at %#x is not in the CBFS", at)
		}
	}
	if changed == 0 || changed > 8 {
		t.Errorf("%d erase blocks were changed", changed)
	}
	out, err := tool(t.Context(), nil, "cbfstool", l.ROM(), "print", "-r", "COREBOOT", "-k")
	if err != nil {
		t.Fatal(err)
	}
	others := 0
	for line := range strings.Lines(string(out)) {
		col := strings.Split(strings.TrimSpace(line), "\t")
		if len(col) < 6 || col[0] == "Name" || col[0] == "(empty)" || strings.HasPrefix(col[0], "heads/") {
			continue
		}
		others++
		var start, length int
		if _, err := fmt.Sscanf(col[1]+" "+col[5], "0x%x 0x%x", &start, &length); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		first, end := (coreboot+start)/block*block, (coreboot+start+length+block-1)/block*block
		if !bytes.Equal(before[first:end], after[first:end]) {
			t.Errorf("an erase block with bytes of %s was changed", col[0])
		}
	}
	if others < 5 {
		t.Errorf("only %d other files in the listing:\n%s", others, out)
	}
}

// TestPrepareKilledAndRepeated kills reown prepare in its steps, with a power cut for
// the TPM each time, and gives the same command again.
func TestPrepareKilledAndRepeated(t *testing.T) {
	long(t, "wizard/prepare, cut at each write")
	l := newLaptop(t, Options{DataMiB: 160})
	old := l.Seller
	oldKey := l.VolumeKey
	order := map[string]string{"order": "2026-1148", "name": "Example Shop", "email": "shop@example.com"}
	args := l.prepareArgs(t, order, "--reencrypt")
	for _, mark := range []string{"card", "disk ", "tpm", "boot", "firmware", "handover"} {
		cmd := exec.Command(reownBinary(t), append(args, l.Flags()...)...)
		r, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killed := false
		for sc := bufio.NewScanner(r); sc.Scan(); {
			if strings.HasPrefix(sc.Text(), mark) {
				killed = cmd.Process.Kill() == nil || killed
			}
		}
		if err := cmd.Wait(); err == nil || !killed {
			t.Fatalf("not killed at %q: %v", mark, err)
		}
		if err := l.PowerCycle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	code, line, log := l.prepare(t, args...)
	if code != 0 || !line.OK {
		t.Fatalf("repeated: exit code %d\n%s", code, log)
	}
	l.shipped(t, line, old)
	l.fromShop(t, line.Fingerprint)
	if l.VolumeKey == oldKey {
		t.Error("the disk still has the image's volume key")
	}
	if code, out := l.run(t, "verify"); code != 0 {
		t.Errorf("the buyer's reown verify: exit code %d\n%s", code, out)
	}
}

// TestDoNotShip: what goes wrong on a bench is said, with exit code 1, and changes
// nothing.
func TestDoNotShip(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64})
	before := l.fingerprint(t)
	good := map[string]string{"order": "2026-1149", "name": "Example Shop", "email": "shop@example.com"}
	with := func(key, value string) map[string]string {
		m := maps.Clone(good)
		m[key] = value
		return m
	}
	otherOrder := map[string]string{"order": "2026-0001", "card": "00000000", "secret.disk": "of another laptop"}
	for _, c := range []struct {
		name, step, says string
		order            map[string]string
		known, shop      map[string]string
		flags            []string
	}{
		{"another passphrase", "preflight", "opening the disk", good, map[string]string{"secret.current": "not this one"},
			nil, nil},
		{"another security key", "preflight", "security key", with("card", "0BADC0DE"), nil, nil, nil},
		{"another laptop's secrets", "secrets", "another order", good, nil, otherOrder, nil},
		{"an order for two", "start", "not a valid order", with("orders", "2"), nil, nil, nil},
		{"no TPM", "start", "TPM", good, nil, nil, []string{"--tpm", l.path("nowhere")}},
		{"no security key", "preflight", "card cannot be used", good, nil, nil,
			[]string{"--card", "pcsc:" + l.path("nowhere")}},
		{"no chip", "preflight", "flash", good, nil, nil, []string{"--flash", "none"}},
	} {
		args := l.prepareArgs(t, c.order)
		if c.known != nil {
			writeJSON(t, l.path("image.json"), c.known)
		}
		if c.shop != nil {
			writeJSON(t, l.path("shop.json"), c.shop)
		}
		all := append(append(args, l.Flags()...), c.flags...)
		cmd := exec.Command(reownBinary(t), all...)
		var out bytes.Buffer
		cmd.Stdout = &out
		_ = cmd.Run()
		var line prepared
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v\n%s", c.name, err, &out)
		}
		if code := cmd.ProcessState.ExitCode(); code != 1 || line.OK || line.Step != c.step ||
			!strings.Contains(line.Error, c.says) {
			t.Errorf("%s: exit code %d, %+v", c.name, code, line)
		}
		if after := l.fingerprint(t); after != before {
			t.Fatalf("%s: something was changed: %s, was %s", c.name, after, before)
		}
		os.Remove(l.path("shop.json"))
	}
	args := slices.DeleteFunc(l.prepareArgs(t, with("card", "0BADC0DE")), func(a string) bool { return a == "--json" })
	if code, out := l.run(t, args...); code != 1 || !strings.HasPrefix(out, "preflight\nDO NOT SHIP\n") ||
		!strings.Contains(out, "2026-1149") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
