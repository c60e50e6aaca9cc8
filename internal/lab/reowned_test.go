package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"reown/internal/lab/programs"
)

var build sync.Once
var binary, binaryDir string

// reownBinary is the program that is shipped, once for all tests of the package.
func reownBinary(t *testing.T) string {
	t.Helper()
	build.Do(func() {
		dir, err := os.MkdirTemp("", "reown-bin")
		if err != nil {
			t.Fatal(err)
		}
		binaryDir = dir
		if binary, err = programs.Reown(context.Background(), dir); err != nil {
			t.Fatal(err)
		}
	})
	if binary == "" {
		t.Fatal("the program was not built")
	}
	return binary
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binaryDir != "" {
		os.RemoveAll(binaryDir)
	}
	for _, l := range templates {
		os.RemoveAll(l.Dir)
	}
	os.Exit(code)
}

// answers are the buyer's, for a run without questions.
func (l *Laptop) answers(t *testing.T) string {
	t.Helper()
	uuid, _, err := l.luksDigest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return writeJSON(t, l.path("answers.json"), map[string]string{
		"language": "en", "verify": "match", "name": "Ada Buyer", "email": "ada@example.org", "confirm": uuid[len(uuid)-4:],
	})
}

func writeJSON(t *testing.T, name string, v any) string {
	t.Helper()
	js, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, js, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// run runs reown on the laptop and returns its exit code and what it printed.
func (l *Laptop) run(t *testing.T, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(reownBinary(t), append(args, l.Flags()...)...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// wizardArgs is an unattended run: known secrets from one file, made ones to
// another.
func (l *Laptop) wizardArgs(t *testing.T) []string {
	t.Helper()
	known := l.path("known.json")
	if _, err := os.Stat(known); err != nil {
		writeJSON(t, known, map[string]string{"secret.current": l.Seller.Disk})
	}
	return []string{"wizard", "--no-input", "--answers", l.answers(t), "--secrets-in", known, "--secrets-out",
		l.path("made.json")}
}

// buyer reads what the wizard handed to the owner.
func (l *Laptop) buyer(t *testing.T) *Buyer {
	t.Helper()
	data, err := os.ReadFile(l.path("made.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]string
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return &Buyer{Disk: m["secret.disk"], UserPIN: m["secret.user"], AdminPIN: m["secret.admin"], Owner: m["secret.owner"],
		TOTP: strings.ReplaceAll(m["totp"], " ", ""), DUK: m["secret.duk"]}
}

func (l *Laptop) mustBeBuyers(t *testing.T, b *Buyer) {
	t.Helper()
	for _, v := range l.Judge(t.Context(), b) {
		if v.Err != nil {
			t.Errorf("%s: %v", v.What, v.Err)
		}
	}
}

// TestReownedLaptop runs everything unattended and then asks only tools that
// reown has no part in. In the default run the power fails while the disk is re-encrypted,
// and the next start goes on.
func TestReownedLaptop(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64})
	if code, out := l.run(t, "verify"); code != 0 || strings.Contains(out, "not measured") ||
		strings.Count(out, "     pass ") < 9 {
		t.Fatalf("verify: exit code %d\n%s", code, out)
	}
	before := ""
	m := newMaid(t, l)
	if !soak() {
		m.keep(t, l, "delivered", false)
		before = l.cutWhileTheDiskIsDone(t)
		m.keep(t, l, "cut at Disk", true)
	}
	code, out := l.run(t, l.wizardArgs(t)...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	l.remember(t)
	known, err := os.ReadFile(l.path("known.json"))
	if err == nil {
		err = os.WriteFile(l.path("made.json"), known, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	out = before + out
	b := l.buyer(t)
	l.mustBeBuyers(t, b)
	l.sameCodes(t, b)
	l.noSecretLeft(t, b, out)
	l.certified(t)
	if code, out := l.run(t, "wizard", "--no-input"); code != 0 || !strings.Contains(out, "nothing to do") {
		t.Errorf("once more: exit code %d\n%s", code, out)
	}
	if !soak() {
		m.keep(t, l, "finished", false)
		m.sample(t)
	}
}

// certified lets gpg verify the certificate that the run left, and reown compare the
// machine with it.
func (l *Laptop) certified(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	if _, err := gpg(t.Context(), home, "", "--import", filepath.Join(l.BootDir(), "kexec_reown.asc")); err != nil {
		t.Fatal(err)
	}
	fpr, err := primaryFingerprint(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kexec_reown.certificate", "kexec_reown.certificate.json"} {
		text := filepath.Join(l.BootDir(), name)
		out, err := gpg(t.Context(), home, "", "--status-fd", "1", "--verify", text+".asc", text)
		if err != nil || !strings.Contains(string(out), "VALIDSIG "+fpr) {
			t.Errorf("gpg on %s: %v\n%s", name, err, out)
		}
	}
	text, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_reown.certificate"))
	if err != nil || !strings.Contains(string(text), "8 of 10") ||
		!strings.Contains(string(text), l.Seller.Fingerprint[:4]) {
		t.Errorf("the certificate: %v\n%s", err, text)
	}
	if left, _ := filepath.Glob(filepath.Join(l.BootDir(), "kexec_reown.receipt")); left != nil {
		t.Error("the receipt is still there")
	}
	if code, out := l.run(t, "verify"); code != 0 || strings.Count(out, "[OK]") != 4 {
		t.Errorf("verify on the owner's machine: exit code %d\n%s", code, out)
	}
	kernel := filepath.Join(l.BootDir(), "evil")
	if err := os.WriteFile(kernel, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out := l.run(t, "verify"); code != 3 || !strings.Contains(out, "[!!] boot") {
		t.Errorf("verify after a change: exit code %d\n%s", code, out)
	}
	if err := os.Remove(kernel); err != nil {
		t.Fatal(err)
	}
}

// sameCodes compares our six digits with oathtool's.
func (l *Laptop) sameCodes(t *testing.T, b *Buyer) {
	t.Helper()
	secret, err := base32.StdEncoding.DecodeString(b.TOTP)
	if err != nil {
		t.Fatal(err)
	}
	file := l.path("totp.key")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"2026-11-22T17:00:00Z", "2038-01-19T03:14:08Z"} {
		want, err := tool(t.Context(), nil, "oathtool", "--totp", "-b", b.TOTP, "--now",
			strings.NewReplacer("T", " ", "Z", " UTC").Replace(at))
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(reownBinary(t), "totp", "code", "--secret-file", file, "--at", at).Output()
		if err != nil || !strings.Contains(strings.ReplaceAll(string(out), " ", ""), strings.TrimSpace(string(want))) {
			t.Errorf("at %s: %q %v, oathtool says %s", at, out, err, want)
		}
	}
}

// noSecretLeft looks for every secret of the run in what was printed and in every
// file of the laptop but those that are meant for them.
func (l *Laptop) noSecretLeft(t *testing.T, b *Buyer, printed string) {
	t.Helper()
	secrets := map[string]string{
		"the disk passphrase": b.Disk, "the user PIN": b.UserPIN, "the admin PIN": b.AdminPIN, "the TPM passphrase": b.Owner,
		"the TOTP secret": b.TOTP, "the start passphrase": b.DUK,
		"the seller's disk passphrase": l.Seller.Disk,
	}
	if b.DUK == "" {
		delete(secrets, "the start passphrase")
	}
	for what, s := range secrets {
		if strings.Contains(printed, s) {
			t.Errorf("%s was printed", what)
		}
	}
	meant := map[string]bool{"made.json": true, "known.json": true, "laptop.json": true, "card.json": true,
		"totp.key": true}
	err := filepath.WalkDir(l.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (path == l.path("tpm") || path == l.path("heads")) {
			return filepath.SkipDir // the TPM's own memory, and what Heads' commands unsealed
		}
		if !d.Type().IsRegular() || meant[d.Name()] {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for what, s := range secrets {
			if bytes.Contains(data, []byte(s)) {
				t.Errorf("%s stands in %s", what, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// killAt starts the wizard, kills it as by a power cut a moment after it prints a
// line that contains mark, and says whether it came that far.
func (l *Laptop) killAt(t *testing.T, mark string, after time.Duration) (killed bool, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, reownBinary(t), append(l.wizardArgs(t), l.Flags()...)...)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); w.Close(); close(done) }()
	var all strings.Builder
	for sc := bufio.NewScanner(r); sc.Scan(); {
		all.WriteString(sc.Text() + "\n")
		if mark != "" && strings.Contains(sc.Text(), mark) {
			mark = ""
			time.Sleep(after)
			killed = cmd.Process.Kill() == nil
		}
	}
	<-done
	return killed && cmd.ProcessState.ExitCode() == -1, all.String()
}

// remember adds the secrets that were written down to those that the next start
// knows from paper.
func (l *Laptop) remember(t *testing.T) {
	t.Helper()
	known := map[string]string{"secret.current": l.Seller.Disk}
	for _, name := range []string{"known.json", "made.json"} {
		data, err := os.ReadFile(l.path(name))
		if os.IsNotExist(err) {
			continue
		}
		var m map[string]string
		if err == nil {
			err = json.Unmarshal(data, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range m {
			known[k] = v
		}
	}
	writeJSON(t, l.path("known.json"), known)
}

// moments are lines that an unattended run always prints when a step begins, and how
// long after it the power goes: in the middle of the step, also on a fast machine.
var moments = []struct {
	mark     string
	from, to int // milliseconds
}{
	{"Security key: In progress", 0, 40}, {"Disk: In progress", 200, 500}, {"TPM: In progress", 0, 40},
	{"Phone code: In progress", 0, 40},
	{"Start files: In progress", 0, 40}, {"Firmware chip: In progress", 0, 15}, {"Finish: In progress", 0, 15},
}

// cutWhileTheDiskIsDone begins a run and cuts the power in the disk's step.
func (l *Laptop) cutWhileTheDiskIsDone(t *testing.T) string {
	t.Helper()
	killed, out := l.killAt(t, moments[1].mark, time.Duration(rand.IntN(moments[1].to))*time.Millisecond)
	if !killed {
		t.Fatalf("it ended before it was killed:\n%s", out)
	}
	l.remember(t)
	if err := l.PowerCycle(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestKilledAndContinued kills the program in every step of one run, in turn, with
// a power cut for the TPM each time, and lets the next start go on.
func TestKilledAndContinued(t *testing.T) {
	long(t, "TestReownedLaptop, which is killed in the disk's step")
	l := newLaptop(t, Options{DataMiB: 256})
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	for i, m := range moments {
		killed, out := l.killAt(t, m.mark, time.Duration(m.from+rnd.IntN(m.to-m.from))*time.Millisecond)
		t.Logf("killed at %q: %v", m.mark, killed)
		l.remember(t)
		if err := l.PowerCycle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if killed {
			continue
		}
		if !strings.Contains(out, "page done") {
			t.Fatalf("neither killed at %q nor finished:\n%s", m.mark, out)
		}
		// The last two steps can be over before the kill; the others cannot.
		if i < len(moments)-2 {
			t.Fatalf("the run ended before it was killed at %q:\n%s", m.mark, out)
		}
		break
	}
	l.finish(t)
}

// finish lets the next start end the run and judges the laptop.
func (l *Laptop) finish(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(l.BootDir(), "oem")); err == nil {
		if code, out := l.run(t, l.wizardArgs(t)...); code != 0 {
			t.Fatalf("the last start: exit code %d\n%s", code, out)
		}
	}
	l.remember(t)
	known, err := os.ReadFile(l.path("known.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.path("made.json"), known, 0o600); err != nil {
		t.Fatal(err)
	}
	l.mustBeBuyers(t, l.buyer(t))
}

// TestBadInput gives the program what goes wrong for real people; nothing may be
// changed and the exit code must say what to do.
func TestBadInput(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64})
	before := l.fingerprint(t)
	flags := l.Flags()
	without := func(name, value string) []string {
		out := append([]string(nil), flags...)
		for i := range out {
			if out[i] == name {
				out[i+1] = value
			}
		}
		return out
	}
	wrong := writeJSON(t, l.path("wrong.json"), map[string]string{"secret.current": "not this one"})
	args := l.wizardArgs(t)
	wrongPass := append([]string(nil), args...)
	for i := range wrongPass {
		if wrongPass[i] == "--secrets-in" {
			wrongPass[i+1] = wrong
		}
	}
	empty := t.TempDir()
	full := l.path("full.bin")
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no /boot/oem", append([]string{"wizard", "--no-input"}, without("--boot", empty)...), 0, "nothing to do"},
		{"no card", append(args, without("--card", "pcsc:"+l.path("nowhere"))...), 6, "smart card service"},
		{"no TPM there", append(args, without("--tpm", l.path("nowhere"))...), 1, "TPM"},
		{"wrong disk passphrase", append(wrongPass, flags...), 4, "secret.current"},
		{"unreadable disk", append(args, without("--disk", l.path("laptop.json"))...), 1, "LUKS"},
		{"a ROM without CBFS", append(args, without("--flash", "file:"+full)...), 6, "firmware"},
		{"no answers", append([]string{"wizard", "--no-input"}, flags...), 4, "verify"},
		{"wrong word", append([]string{"wizard", "--frobnicate"}, flags...), 2, "frobnicate"},
	} {
		if c.name == "a ROM without CBFS" {
			if err := os.WriteFile(full, make([]byte, 16*mib), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(reownBinary(t), c.args...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: exit code %d, want %d\n%s", c.name, code, c.code, out)
		}
		if after := l.fingerprint(t); after != before {
			t.Errorf("%s: something was changed: %s, was %s", c.name, after, before)
			before = after
		}
	}
}

// TestROMFull fills the CBFS up to less than a keyring needs: the run must be refused
// before its first step, with the reason.
func TestROMFull(t *testing.T) {
	ctx := t.Context()
	l := newLaptop(t, Options{DataMiB: 64})
	rnd := rand.New(rand.NewPCG(3, 3))
	filler := l.path("filler")
	for i, size := 0, 5*mib; size >= 256; size /= 2 {
		data := make([]byte, size)
		for j := range data {
			data[j] = byte(rnd.Uint32())
		}
		if err := os.WriteFile(filler, data, 0o644); err != nil {
			t.Fatal(err)
		}
		for ; ; i++ {
			if _, err := tool(ctx, nil, "cbfstool", l.ROM(), "add", "-r", "COREBOOT", "-f", filler, "-n",
				fmt.Sprint("filler", i), "-t", "raw"); err != nil {
				break
			}
		}
	}
	// Without a hand-over file the changed image is no longer a reason to stop.
	for _, name := range []string{"kexec_handover.json", "kexec_handover.json.asc"} {
		if err := os.Remove(filepath.Join(l.BootDir(), name)); err != nil {
			t.Fatal(err)
		}
	}
	before := l.fingerprint(t)
	code, out := l.run(t, "status")
	if code != 0 || !strings.Contains(out, "problem") || !strings.Contains(out, "firmware") {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
	uuid, _, err := l.luksDigest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	code, out = l.run(t, "step", "preflight", "--confirm", uuid[len(uuid)-4:])
	if code == 0 {
		t.Errorf("preflight: exit code %d\n%s", code, out)
	}
	if after := l.fingerprint(t); after != before {
		t.Errorf("something was changed: %s, was %s", after, before)
	}
}

// TestWrongCard plugs in another card than the one that was shipped.
func TestWrongCard(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64})
	l.Card.SetSerial(0x4e4b9999)
	code, out := l.run(t, "verify")
	if code != 3 || !strings.Contains(out, "[!!] card") {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
	before := l.fingerprint(t)
	if code, out := l.run(t, l.wizardArgs(t)...); code == 0 {
		t.Errorf("wizard: exit code %d\n%s", code, out)
	}
	if after := l.fingerprint(t); after != before {
		t.Errorf("something was changed: %s, was %s", after, before)
	}
}

// fingerprint is a digest of what a run changes: disk, chip, card and signed /boot.
func (l *Laptop) fingerprint(t *testing.T) string {
	t.Helper()
	var out string
	for _, name := range []string{l.Disk(), l.ROM(), l.path("card.json"), filepath.Join(l.BootDir(), "kexec.sig"),
		filepath.Join(l.BootDir(), "kexec_hashes.txt")} {
		sum, err := tool(t.Context(), nil, "sha256sum", name)
		if err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintf("%s=%.8s ", filepath.Base(name), sum)
	}
	return out
}
