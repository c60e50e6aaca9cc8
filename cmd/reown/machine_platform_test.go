package main

import (
	"os"
	"path/filepath"
	"testing"

	"reown/wizard"
)

func TestPower(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  wizard.Power
	}{
		{"none", nil, wizard.Power{Percent: -1}},
		{"mains", map[string]string{"AC/type": "Mains", "AC/online": "1", "BAT0/type": "Battery", "BAT0/capacity": "83", "BAT0/status": "Full"}, wizard.Power{Known: true, Mains: true, Percent: 83}},
		{"battery", map[string]string{"AC/type": "Mains", "AC/online": "0", "BAT0/type": "Battery", "BAT0/capacity": "41", "BAT0/status": "Discharging"}, wizard.Power{Known: true, Percent: 41}},
		{"no AC driver", map[string]string{"BAT0/type": "Battery", "BAT0/capacity": "99", "BAT0/status": "Charging"}, wizard.Power{Known: true, Mains: true, Percent: 99}},
		{"a mouse", map[string]string{"hid/type": "Battery", "hid/scope": "Device", "hid/capacity": "5"}, wizard.Power{Percent: -1}},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			path := filepath.Join(root, "class/power_supply", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := (&platform{sysfs: root}).Power(t.Context()); err != nil || got != c.want {
			t.Errorf("%s: %+v %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestWipeSecretsRemovesTheFirmwaresFiles(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"tpm_owner_passphrase", "gpg_pin"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("12345678"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keep, err := os.Open(filepath.Join(dir, "gpg_pin")) // the pages, as a memory dump would see them
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	if err := (&platform{secretDir: dir}).WipeSecrets(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	var buf [8]byte
	if _, err := keep.Read(buf[:]); err != nil || buf != [8]byte{} {
		t.Errorf("the old content is still there: %q %v", buf, err)
	}
}
