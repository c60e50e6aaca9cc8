package laptop

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPlain: every partition that is neither a container of ours nor /boot is named, and a drive
// without partitions; a stick, a drive that has partitions and an empty reader are not.
func TestPlain(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, where := range map[string]string{
		"sda": "pci/ata1/block/sda", "sda1": "pci/ata1/block/sda/sda1", "sda2": "pci/ata1/block/sda/sda2",
		"sda3": "pci/ata1/block/sda/sda3",
		"sdb1": "pci/usb1/block/sdb/sdb1", "sdc": "pci/ata2/block/sdc", "mmcblk0": "pci/mmc/block/mmcblk0",
		"dm-0": "virtual/block/dm-0",
	} {
		dir := filepath.Join("sys/devices", where)
		size := "2048"
		if name == "mmcblk0" {
			size = "0"
		}
		write(filepath.Join(dir, "size"), size+"\n")
		write(filepath.Join(dir, "dev"), "8:"+name+"\n")
		if len(name) == 4 && name != "dm-0" {
			write(filepath.Join(dir, "partition"), "1\n")
		}
		if err := os.MkdirAll(filepath.Join(root, "sys/class/block"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(root, dir), filepath.Join(root, "sys/class/block", name)); err != nil {
			t.Fatal(err)
		}
	}
	swap := make([]byte, 4096)
	copy(swap[4086:], "SWAPSPACE2")
	write("dev/sda2", string(swap))
	dev := filepath.Join(root, "dev")
	disks := []*disk{{spec: DiskSpec{Path: filepath.Join(dev, "sda3")}}}
	all, err := plain(filepath.Join(root, "sys"), dev, root, disks)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"sda1": "unknown", "sda2": "swap", "sdc": "unknown"}
	for _, p := range all {
		if name := filepath.Base(p.Path); want[name] != p.What || p.Size != 1<<20 {
			t.Errorf("%+v", p)
		}
		delete(want, filepath.Base(p.Path))
	}
	if len(want) > 0 {
		t.Errorf("not named: %v", want)
	}
}
