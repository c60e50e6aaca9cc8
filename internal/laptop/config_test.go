package laptop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHeadsConfig(t *testing.T) {
	m, err := parseHeadsConfig(strings.NewReader("# c\nexport CONFIG_BOARD_NAME=\"ThinkPad X230-hotp\"\nCONFIG_TPM=y\nFOO=1\nexport CONFIG_X='a b'\nrm -rf /\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"CONFIG_BOARD_NAME": "ThinkPad X230-hotp", "CONFIG_TPM": "y", "CONFIG_X": "a b"}
	if len(m) != len(want) {
		t.Fatalf("got %v", m)
	}
	for k, v := range want {
		if m[k] != v {
			t.Errorf("%s = %q, want %q", k, m[k], v)
		}
	}
	if _, err := parseHeadsConfig(strings.NewReader(strings.Repeat("x", maxConfig+1))); err == nil {
		t.Error("an oversized file was accepted")
	}
}

func TestFindLUKSSkipsUSB(t *testing.T) {
	root := t.TempDir()
	headers := map[string][]byte{}
	for name, seed := range map[string]string{"sda2": "one.luks1", "sdb1": "one.luks1", "dm-0": "plain.luks2"} {
		b, err := os.ReadFile(filepath.Join("../../testdata/luks", seed))
		if err != nil {
			t.Fatal(err)
		}
		headers[name] = b
	}
	clear(headers["dm-0"][:6]) // the second copy is enough
	for name, where := range map[string]string{"sda2": "pci/ata1/block/sda/sda2", "sdb1": "pci/usb1/block/sdb/sdb1",
		"dm-0": "virtual/block/dm-0", "sda1": "pci/ata1/block/sda/sda1"} {
		dir := filepath.Join(root, "sys/devices", where)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(root, "sys/class/block"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(dir, filepath.Join(root, "sys/class/block", name)); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(root, "dev"), 0o755); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, "dev", name)
		if err := os.WriteFile(path, headers[name], 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 16<<20); err != nil {
			t.Fatal(err)
		}
	}
	found, doubtful, err := findLUKS(filepath.Join(root, "sys"), filepath.Join(root, "dev"))
	if len(doubtful) > 0 {
		t.Errorf("doubtful: %+v", doubtful)
	}
	if err != nil || len(found) != 2 || filepath.Base(found[0].Path) != "dm-0" || filepath.Base(found[1].Path) != "sda2" {
		t.Fatalf("%v %v", found, err)
	}
}
