package laptop

import (
	"os"
	"path/filepath"
	"testing"

	"reown/internal/rom/flash"
	"reown/wizard"
)

// TestEarlyConfig: a shell that comes before the firmware has combined its configuration reads what that is
// made of, the user's last; what no file says, the environment may.
func TestEarlyConfig(t *testing.T) {
	etc := t.TempDir()
	for name, text := range map[string]string{
		"config":      "export CONFIG_BOARD_NAME=\"x230\"\nexport CONFIG_FLASH_OPTIONS=\"flashprog --programmer internal\"\nexport CONFIG_BOOT_DEV=\"/dev/sda1\"\n",
		"config.user": "export CONFIG_BOOT_DEV=\"/dev/nvme0n1p1\"\n",
	} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := earlyHeads(etc, []string{"CONFIG_BOARD_NAME=other", "CONFIG_TPM2_TOOLS=y", "PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"CONFIG_BOARD_NAME": "x230",
		"CONFIG_FLASH_OPTIONS": "flashprog --programmer internal",
		"CONFIG_BOOT_DEV":      "/dev/nvme0n1p1", "CONFIG_TPM2_TOOLS": "y", "PATH": ""} {
		if m[k] != want {
			t.Errorf("%s is %q, want %q", k, m[k], want)
		}
	}
	if m, err := earlyHeads(filepath.Join(etc, "nowhere"), []string{"CONFIG_BOARD_NAME=env"}); err != nil ||
		m["CONFIG_BOARD_NAME"] != "env" {
		t.Errorf("without files: %v, %v", m, err)
	}

	boot := t.TempDir()
	c := Config{Boot: boot, heads: m}
	if how := c.NotMounted(); how != "mount -o ro /dev/nvme0n1p1 "+boot {
		t.Errorf("an empty directory: %q", how)
	}
	if err := os.WriteFile(filepath.Join(boot, "oem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if how := c.NotMounted(); how != "" {
		t.Errorf("a directory with a file: %q", how)
	}
}

// TestFlashProgramMissing: a program that the configuration names and that is not there is a line of the
// status, and not its end; one that the caller names is an error at once.
func TestFlashProgramMissing(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte("export CONFIG_BOARD_NAME=\"x\"\nexport CONFIG_FLASH_OPTIONS=\"mtd:"+dir+
		"/none\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	boot := filepath.Join(dir, "boot")
	if err := os.Mkdir(boot, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(boot, "oem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(dir, "disk")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Config{Boot: boot, Disks: []DiskSpec{{Path: disk}}, Card: "pcsc:" + dir + "/none", TPM: "none", Flash: "auto",
		Heads: config, Sticks: []string{dir}}
	l, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := wizard.Status(t.Context(), l.Buyer())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, s := range r.Steps {
		found = found || s.ID == "firmware" && s.Status == "problem"
	}
	if len(r.Steps) != len(wizard.Steps()) || !found {
		t.Errorf("%s, %s: %+v", r.Phase, r.Why, r.Steps)
	}
	c.Flash = "mtd:" + dir + "/none"
	if l, err := Open(t.Context(), c); err == nil {
		l.Close()
		t.Error("a chip that was named and is not there is no error")
	}
	if _, err := flash.Open("none"); err == nil {
		t.Error("no program is a program")
	}
}
