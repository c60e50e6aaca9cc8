package main

import (
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTotpCommands(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	out := wants(t, exitDone, "totp", "new", "--board", "Thinkpad X230-hotp", "--out", secret)
	raw, err := os.ReadFile(secret)
	if err != nil || len(raw) != 20 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	letters := base32.StdEncoding.EncodeToString(raw)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if got := strings.ReplaceAll(lines[len(lines)-1], " ", ""); got != letters {
		t.Errorf("letters %q, the file has %q", got, letters)
	}
	if len(lines) > 24 {
		t.Errorf("%d lines do not fit the screen", len(lines))
	}
	wants(t, exitFailed, "totp", "new", "--board", "x", "--out", secret) // never over an old one
	if out := wants(t, exitDone, "totp", "new", "--board", "x", "--out", secret+"2", "--no-qr"); strings.Contains(out,
		"█") {
		t.Errorf("block characters after --no-qr: %s", out)
	}

	at := time.Date(2026, 11, 22, 20, 0, 7, 0, time.UTC)
	var code struct {
		Code    string `json:"code"`
		Seconds int    `json:"seconds_left"`
	}
	if err := json.Unmarshal([]byte(wants(t, exitDone, "totp", "code", "--secret-file", secret, "--at",
		at.Format(time.RFC3339), "--json")), &code); err != nil {
		t.Fatal(err)
	}
	if code.Seconds != 23 {
		t.Errorf("%d seconds left", code.Seconds)
	}
	if oathtool, err := exec.LookPath("oathtool"); err == nil {
		b, err := exec.Command(oathtool, "--totp", "--now="+at.Format("2006-01-02 15:04:05 UTC"),
			hex.EncodeToString(raw)).Output()
		if want := strings.TrimSpace(string(b)); err != nil || want != code.Code {
			t.Errorf("oathtool says %s (%v), we say %s", want, err, code.Code)
		}
	} else if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
		t.Error(err)
	}

	b32 := file(t, dir, "b32", []byte(strings.ToLower(letters)+"\n"))
	wants(t, exitDone, "totp", "verify", "--secret-file", b32, "--base32", "--at", at.Format(time.RFC3339), code.Code)
	late := at.Add(60 * time.Second).Format(time.RFC3339)
	wants(t, exitFailed, "totp", "verify", "--secret-file", secret, "--at", late, code.Code)
	if out := wants(t, exitDone, "totp", "verify", "--secret-file", secret, "--at", late, "--window", "5", code.Code[:3],
		code.Code[3:]); !strings.Contains(out, "-60 s") {
		t.Errorf("a slow phone: %s", out)
	}
	for _, args := range [][]string{{"new", "--board", "x"}, {"code"}, {"verify", "--secret-file", secret},
		{"code", "--secret-file", secret, "--at", "noon"}, {"new", "--board", "x", "--out", secret + "3", "--ink", "red"}} {
		wants(t, exitUsage, append([]string{"totp"}, args...)...)
	}
	wants(t, exitFailed, "totp", "verify", "--secret-file", secret, "12345")
	wants(t, exitFailed, "totp", "code", "--secret-file", file(t, dir, "short", []byte("short")))
}
