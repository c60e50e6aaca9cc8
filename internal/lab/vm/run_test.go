package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/internal/lab"
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
	return &lab.Buyer{Disk: known["secret.disk"], UserPIN: known["secret.user"], AdminPIN: known["secret.admin"], Owner: known["secret.owner"],
		TOTP: strings.ReplaceAll(known["totp"], " ", "")}
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

// TestReownedInVM is a whole unattended run in the virtual machine.
func TestReownedInVM(t *testing.T) {
	l, fw := newLaptop(t)
	prepare(t, l)
	ctx := deadline(t, 5*time.Minute)
	began := time.Now()
	m := boot(t, ctx, l, Options{Firmware: fw, Script: unattended})
	// The laptop restarts itself when it is done.
	if err := m.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("%.0f s of processor time", m.qemu.ProcessState.UserTime().Seconds())
	t.Logf("run of %.1f s:\n%s", time.Since(began).Seconds(), m.Console())
	if strings.Contains(m.Console(), "LAB-EXIT") {
		t.Fatal("the wizard ended without a restart")
	}
	mustBeBuyers(t, ctx, l, remember(t, l))
	// The next start finds nothing to do.
	m = boot(t, ctx, l, Options{Firmware: fw, Script: fmt.Sprintf("reown wizard --no-input %s; echo LAB-EXIT $?", Flags)})
	if err := m.WaitConsole(ctx, "LAB-EXIT 0"); err != nil {
		t.Error(err)
	}
}
