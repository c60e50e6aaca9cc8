package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reown/boot"
)

// gnupg runs gpg with a home of its own.
func gnupg(t *testing.T, home, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("gpg", append([]string{"--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback",
		"--passphrase", ""}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gpg %v: %v\n%s", args, err, errs.String())
	}
	return string(out)
}

// A technician signs /boot with gpg on another computer: hash, sign there, put in
// place here, check.
func TestBootCommands(t *testing.T) {
	if _, err := exec.LookPath("gpg"); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip("gpg is not installed")
	}
	home, err := os.MkdirTemp("", "rc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		os.RemoveAll(home)
	})
	gnupg(t, home, "", "--quick-generate-key", "Owner <o@example.com>", "ed25519", "sign", "never")
	tmp := t.TempDir()
	cert := file(t, tmp, "cert", []byte(gnupg(t, home, "", "--export", "-a")))

	dir := filepath.Join(tmp, "boot")
	if err := os.MkdirAll(filepath.Join(dir, "grub"), 0o755); err != nil {
		t.Fatal(err)
	}
	file(t, dir, "vmlinuz", []byte("kernel"))
	file(t, dir, "initrd", []byte("initrd"))
	file(t, dir, "oem", nil)
	file(t, dir, "kexec_rollback.txt", []byte("kept\n"))
	file(t, filepath.Join(dir, "grub"), "grub.cfg",
		[]byte("menuentry 'One' {\n linux /vmlinuz quiet\n initrd /initrd\n}\nmenuentry 'Bad $(x)' {\n linux /vmlinuz\n}\n"))

	if out := wants(t, exitDone, "boot", "entries", dir); !strings.HasPrefix(out, "*  1  \"One\"  ./vmlinuz ./initrd\n") ||
		!strings.Contains(out, "cannot be the default") {
		t.Errorf("entries: %s", out)
	}
	var list struct {
		Suggested int
		Entries   []boot.Entry
	}
	if err := json.Unmarshal([]byte(wants(t, exitDone, "boot", "entries", "--json", dir)), &list); err != nil ||
		list.Suggested != 1 || len(list.Entries) != 2 {
		t.Errorf("entries --json: %+v, %v", list, err)
	}
	wants(t, exitNotVerified, "boot", "verify", "--cert", cert, dir)
	wants(t, exitUsage, "boot", "sign", dir)
	wants(t, exitUsage, "boot", "sign", "--cert", cert, dir)
	wants(t, exitUsage, "boot", "hash")
	wants(t, exitFailed, "boot", "hash", "--entry", "2", dir)
	wants(t, exitFailed, "boot", "hash", dir+"-none")

	data := wants(t, exitDone, "boot", "hash", "--entry", "1", dir)
	if n := strings.Count(data, "\n"); n != 5 || !strings.Contains(data, "  kexec_rollback.txt\n") {
		t.Errorf("to sign:\n%s", data)
	}
	if out := wants(t, exitDone, "boot", "hash", "--entry", "1", "--fresh", dir); strings.Contains(out, "rollback") {
		t.Errorf("--fresh keeps: %s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "kexec_tree.txt")); err == nil {
		t.Error("hash has written")
	}
	sig := file(t, tmp, "sig", []byte(gnupg(t, home, data, "--detach-sign", "-a", "--digest-algo", "SHA256")))
	other := file(t, tmp, "other", []byte(gnupg(t, home, "something else", "--detach-sign", "-a")))
	wants(t, exitNotVerified, "boot", "sign", "--entry", "1", "--cert", cert, "--sig", other, dir)
	if _, err := os.Stat(filepath.Join(dir, "oem")); err != nil {
		t.Error("a refused signature has removed the trigger")
	}
	wants(t, exitDone, "boot", "sign", "--entry", "1", "--cert", cert, "--sig", sig, dir)
	if out := wants(t, exitDone, "boot", "verify", "--cert", cert, dir); !strings.Contains(out,
		`default entry  1, "One"`) {
		t.Errorf("verify: %s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "oem")); err == nil {
		t.Error("the trigger is still there")
	}

	// Without a key nothing is verified, and the report says so.
	var r struct {
		Verified  bool
		Signature string
		OEM       string
	}
	got := wants(t, exitNotVerified, "boot", "verify", "--json", dir)
	if err := json.Unmarshal([]byte(got), &r); err != nil || r.Verified || r.Signature != "not checked" ||
		r.OEM != "absent" {
		t.Errorf("verify --json: %s", got)
	}
	file(t, dir, "oem", nil)
	got = wants(t, exitNotVerified, "boot", "verify", "--cert", cert, dir)
	if !strings.Contains(got, "/boot/oem, put there after signing") {
		t.Errorf("verify: %s", got)
	}

	// The seller's order: trigger first, then a signature that covers it.
	data = wants(t, exitDone, "boot", "hash", "--keep-oem", "--entry", "1", dir)
	sig = file(t, tmp, "sig", []byte(gnupg(t, home, data, "--detach-sign", "-a", "--digest-algo", "SHA256")))
	wants(t, exitDone, "boot", "sign", "--keep-oem", "--entry", "1", "--cert", cert, "--sig", sig, dir)
	if got = wants(t, exitDone, "boot", "verify", "--cert", cert, dir); !strings.Contains(got,
		"/boot/oem, covered by the signature") {
		t.Errorf("verify: %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "vmlinuz"), []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got = wants(t, exitNotVerified, "boot", "verify", "--cert", cert, dir); !strings.Contains(got,
		`changed        "./vmlinuz"`) {
		t.Errorf("verify: %s", got)
	}
}
