package vm

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/internal/lab"
	"reown/internal/lab/initrd"
)

// unattended is the boot script of a run without a person. The secrets come from and
// go to the directory that the guest shares with the host: the owner's paper.
const unattended = `reown wizard --no-input --answers /flash/answers.json --secrets-in /flash/known.json --secrets-out /flash/made.json ` + Flags + ` 2>&1
echo "LAB-EXIT $?"
`

// A paper is what the buyer has written down so far, in the file from which the
// next start reads it.
func paper(l *lab.Laptop) string { return filepath.Join(l.Dir, "vm/flash/known.json") }

// prepare writes the files of an unattended run.
func prepare(t *testing.T, l *lab.Laptop) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(paper(l)), 0o700); err != nil {
		t.Fatal(err)
	}
	writeJSON(t, paper(l), map[string]string{"secret.current": l.Seller.Disk})
	writeJSON(t, filepath.Join(filepath.Dir(paper(l)), "answers.json"), map[string]string{
		"language": "en", "verify": "match", "name": "Ada Buyer", "email": "ada@example.org", "confirm": "0001",
	})
}

func writeJSON(t *testing.T, name string, v any) {
	t.Helper()
	js, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(name, js, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readJSON(t *testing.T, name string) map[string]string {
	t.Helper()
	m := map[string]string{}
	js, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return m
	}
	if err == nil {
		err = json.Unmarshal(js, &m)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// remember copies the secrets that were made to the paper that the next start knows.
func remember(t *testing.T, l *lab.Laptop) *lab.Buyer {
	t.Helper()
	known := readJSON(t, paper(l))
	for k, v := range readJSON(t, filepath.Join(filepath.Dir(paper(l)), "made.json")) {
		known[k] = v
	}
	writeJSON(t, paper(l), known)
	return buyerOf(known)
}

// buyerOf takes the buyer's secrets from the file in which a run leaves them.
func buyerOf(known map[string]string) *lab.Buyer {
	return &lab.Buyer{Disk: known["secret.disk"], UserPIN: known["secret.user"], AdminPIN: known["secret.admin"],
		Owner: known["secret.owner"],
		TOTP:  strings.ReplaceAll(known["totp"], " ", ""), DUK: known["secret.duk"]}
}

// mustBeBuyers lets foreign tools judge a laptop that is off.
func mustBeBuyers(t *testing.T, ctx context.Context, l *lab.Laptop, b *lab.Buyer) {
	t.Helper()
	if err := Collect(ctx, l); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	list := l.Judge(ctx, b)
	for _, v := range list {
		if v.Err != nil {
			t.Errorf("%s: %v", v.What, v.Err)
		}
	}
	t.Logf("judged by foreign tools: %d checks", len(list))
}

// TestReownedInVM is a whole unattended run in the virtual machine; then the memory
// is searched for its secrets, foreign tools judge the laptop, the installed system
// starts, and the run's record is played with 300 power cuts.
func TestReownedInVM(t *testing.T) {
	if os.Getenv("REOWN_SOAK") != "1" {
		t.Skip("seven minutes; samples are TestReownedStarts, TestDevices and TestScreens: REOWN_SOAK=1")
	}
	l, fw := newLaptop(t)
	ctx := deadline(t, 8*time.Hour)
	began := time.Now()
	r, m := record(t, ctx, l, fw, 64)
	b := remember(t, l)
	marker(t, ctx, m)
	text, raw := secretsOf(t, ctx, l, b)
	memoryMustBeClean(t, m, text, raw)
	m.Cut()
	t.Logf("%.0f s, %.0f s of processor time", time.Since(began).Seconds(), m.qemu.ProcessState.UserTime().Seconds())
	mustBeBuyers(t, ctx, l, b)
	startOS(t, ctx, l, fw, b, nil)
	t.Run("PowerCuts", func(t *testing.T) { r.replay(t, ctx, 300) })
}

// hostMode switches on what the laptop has of its own, without a virtual machine; it returns its volume's UUID.
func hostMode(t *testing.T, ctx context.Context, l *lab.Laptop) string {
	t.Helper()
	if err := Collect(ctx, l); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	uuid, err := luksUUID(ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	return uuid
}

// TestReownedStarts takes the laptop over in host mode and switches it on: the firmware finds
// nothing to do, and the installed system starts as in TestReownedInVM.
func TestReownedStarts(t *testing.T) {
	l, fw := newLaptop(t)
	ctx := deadline(t, 20*time.Minute)
	uuid := hostMode(t, ctx, l)
	prepare(t, l)
	dir := filepath.Dir(paper(l))
	answers := readJSON(t, filepath.Join(dir, "answers.json"))
	answers["confirm"] = uuid[len(uuid)-4:]
	writeJSON(t, filepath.Join(dir, "answers.json"), answers)
	args := append([]string{"wizard", "--no-input", "--answers", filepath.Join(dir, "answers.json"),
		"--secrets-in", paper(l), "--secrets-out", filepath.Join(dir, "made.json")}, l.Flags()...)
	if out, err := run(ctx, nil, base.reown, args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l.Stop()
	if err := Install(ctx, l); err != nil {
		t.Fatal(err)
	}
	startOS(t, ctx, l, fw, remember(t, l), nil)
}

// grouped is a code as it is shown, in groups of four.
func grouped(code string) string {
	var parts []string
	for ; len(code) > 4; code = code[4:] {
		parts = append(parts, code[:4])
	}
	return strings.Join(append(parts, code), " ")
}

// startOS starts the installed system as Heads does after its checks, and lets the
// kernel's dm-crypt open the disk: with the disk unlock key without asking, else with
// the new passphrase and not with the seller's.
func startOS(t *testing.T, ctx context.Context, l *lab.Laptop, fw *Firmware, b *lab.Buyer, duk []byte) {
	t.Helper()
	first := "/boot/initrd.img-" + fw.Kernel.Version
	start := "labd kexec /boot/vmlinuz-" + fw.Kernel.Version + " "
	if duk == nil {
		start += first
	} else {
		// As kexec-insert-key.sh: one more archive behind the initrd.
		a := initrd.NewArchive()
		a.Add("secret.key", 0o400, duk)
		if err := a.Save(filepath.Join(filepath.Dir(paper(l)), "key.cpio")); err != nil {
			t.Fatal(err)
		}
		start = "cat " + first + " >/tmp/initrd; dd if=/dev/zero bs=1 count=$(( (512 - $(stat -c %s /tmp/initrd) % 512) % 512 )) 2>/dev/null >>/tmp/initrd; cat /flash/key.cpio >>/tmp/initrd\n" +
			start + "/tmp/initrd"
	}
	m := boot(t, ctx, l, Options{Firmware: fw, Script: "reown wizard --no-input " + Flags + "; echo LAB-EXIT $?\n" +
		start + " 'console=ttyS0 quiet'"})
	steps := []struct{ wait, answer string }{{"LAB-EXIT 0", ""}, {"OS-UP", ""}} // nothing to do
	if duk == nil {
		steps = append(steps, []struct{ wait, answer string }{{"Please unlock the disk: ", l.Seller.Disk},
			{"No key available", b.Disk}, {"by the passphrase", ""}}...)
	} else {
		steps = append(steps, struct{ wait, answer string }{"OS-UNLOCKED by the key", ""})
	}
	for _, step := range append(steps, struct{ wait, answer string }{"OS-DONE", ""}) {
		if err := m.WaitConsole(ctx, step.wait); err != nil {
			t.Fatal(err)
		}
		if step.answer != "" {
			if err := m.WriteConsole([]byte(step.answer + "\r")); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := listed(m.Console())
	if err := lab.SameFiles(got, l.Files); err != nil {
		t.Errorf("the files that the installed system sees: %v", err)
	}
	t.Logf("the installed system unlocks the disk and finds %d files unchanged", len(got))
}
