package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reown/cmd/reown/internal/cli"
	"reown/internal/rom"
	"reown/internal/rom/romtest"
)

// call runs one command line and returns its exit code and output.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), &cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}, args)
	return code, out.String(), errs.String()
}

// wants runs a command line that must end with that code.
func wants(t *testing.T, code int, args ...string) (stdout string) {
	t.Helper()
	got, stdout, stderr := call(t, args...)
	if got != code {
		t.Fatalf("reown %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	return stdout
}

func file(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A technician re-owns the image of a board and brings it to the chip.
func TestRomCommands(t *testing.T) {
	dir := t.TempDir()
	old := romtest.Layouts[1].Build()
	img := file(t, dir, "old.rom", old)
	chip := file(t, dir, "chip", old)
	ring, trust := file(t, dir, "pubring", []byte("a keyring")), file(t, dir, "trust", []byte("a trust database"))
	in := func(name string) string { return filepath.Join(dir, name) }

	// The seller's files, added in Heads' way.
	wants(t, exitDone, "rom", "add", img, "heads/initrd/.gnupg/pubring.kbx", ring)
	wants(t, exitDone, "rom", "add", img, "heads/initrd/.gnupg/keys/seller.key", trust)
	wants(t, exitFailed, "rom", "add", img, "heads/initrd/.gnupg/pubring.kbx", ring)
	wants(t, exitDone, "rom", "write", img, "--flash=file:"+chip)

	var plan struct { // what scripts rely on
		Blocks, Removed []string
		Shared          int `json:"shared_blocks"`
		Aligned         bool
		PCR7SHA1        string `json:"pcr7_sha1"`
		PCR7SHA256      string `json:"pcr7_sha256"`
	}
	out := wants(t, exitDone, "rom", "own", "--flash=file:"+chip, "--pubring", ring, "--trustdb", trust, "--set",
		"CONFIG_BOOT_DEV=/dev/sda1", "--out", in("new.rom"), "--json")
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		t.Fatal(err)
	}
	if !plan.Aligned || !slices.Equal(plan.Removed, []string{"heads/initrd/.gnupg/keys/seller.key"}) ||
		len(plan.Blocks) == 0 || plan.Shared == 0 {
		t.Errorf("%+v", plan)
	}
	if out := wants(t, exitDone, "rom", "verify", in("new.rom")); !strings.Contains(out, "/.gnupg/trustdb.gpg") ||
		!strings.Contains(out, "of their own: yes") {
		t.Errorf("verify: %s", out)
	}
	if out := wants(t, exitFailed, "rom", "diff", "flash", in("new.rom"), "--flash=file:"+chip); !strings.Contains(out,
		"-heads/initrd/.gnupg/keys/seller.key\n") {
		t.Errorf("diff: %s", out)
	}
	wants(t, exitDone, "rom", "write", in("new.rom"), "--flash=file:"+chip, "--backup", in("backup"))
	wants(t, exitFailed, "rom", "write", img, "--flash=file:"+chip, "--backup", in("backup")) // exists
	wants(t, exitDone, "rom", "diff", in("new.rom"), chip)
	wants(t, exitDone, "rom", "diff", in("backup"), img)
	wants(t, exitDone, "rom", "verify", "--flash=file:"+chip, "--against", in("new.rom"))
	wants(t, exitFailed, "rom", "verify", "--flash=file:"+chip, "--against", img)

	list := plan
	list.Aligned, list.PCR7SHA1, list.PCR7SHA256 = false, "", ""
	if err := json.Unmarshal([]byte(wants(t, exitDone, "rom", "list", chip, "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if list.PCR7SHA256 != plan.PCR7SHA256 || list.PCR7SHA1 != plan.PCR7SHA1 || !list.Aligned {
		t.Error("the chip will not measure as planned")
	}
	wants(t, exitDone, "rom", "extract", chip, rom.NameConfig, "--out", in("config"))
	if b, _ := os.ReadFile(in("config")); string(b) != "export CONFIG_BOOT_DEV=\"/dev/sda1\"\n" {
		t.Errorf("config.user is %q", b)
	}
	wants(t, exitDone, "rom", "remove", chip, rom.NameConfig, "--out", in("less.rom"))
	wants(t, exitFailed, "rom", "extract", in("less.rom"), rom.NameConfig, "--out", "-")
	wants(t, exitDone, "rom", "align", img, "--out", in("aligned.rom"))
	if out := wants(t, exitDone, "rom", "list", in("aligned.rom")); !strings.Contains(out, "seller.key") {
		t.Errorf("align lost a file: %s", out)
	}
	if cbfstool, err := exec.LookPath("cbfstool"); err == nil {
		b, err := exec.Command(cbfstool, chip, "print").CombinedOutput()
		if err != nil || !bytes.Contains(b, []byte(rom.NamePubring)) || bytes.Contains(b, []byte("seller")) {
			t.Errorf("cbfstool print: %v\n%s", err, b)
		}
	} else if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
		t.Error(err)
	}
}

func TestRomRefuses(t *testing.T) {
	dir := t.TempDir()
	old := romtest.Layouts[1].Build()
	img, chip := file(t, dir, "old.rom", old), file(t, dir, "chip", old)
	other := bytes.Clone(old)
	other[0x123] ^= 1 // the flash descriptor
	wants(t, exitRefused, "rom", "write", file(t, dir, "other.rom", other), "--flash=file:"+chip)
	wants(t, exitRefused, "rom", "list", file(t, dir, "rubbish", bytes.Repeat([]byte{7}, 1<<20)))
	copy(other, old)
	copy(other[len(other)-0x5000:], "\xadMdtHsh\x15")
	wants(t, exitRefused, "rom", "verify", file(t, dir, "verified.rom", other))
	if b, _ := os.ReadFile(chip); !bytes.Equal(b, old) {
		t.Error("the chip was changed")
	}
	for _, args := range [][]string{{"list"}, {"list", img, "--flash"}, {"extract", img, "vbt.bin"}, {"write", img},
		{"add", img, "x"}, {"add", "--flash", img, "x", img}, {"own", img}, {"align", img},
		{"remove", img, "x", "--style", "other"}} {
		wants(t, exitUsage, append([]string{"rom"}, args...)...)
	}
}
