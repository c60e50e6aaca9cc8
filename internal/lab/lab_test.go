package lab

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestROMHoldsItsFiles(t *testing.T) {
	dir := t.TempDir()
	rom := filepath.Join(dir, "rom.bin")
	want := ROMFile{"heads/initrd/.gnupg/pubring.kbx", []byte("keybox")}
	if err := makeROM(context.Background(), rom, dir, []ROMFile{want}); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(rom); err != nil || st.Size() != 16*mib {
		t.Fatalf("%v %v", st, err)
	}
	files, err := ROMFiles(context.Background(), rom)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Logf("%s %d", f.Name, len(f.Data))
	}
	last := files[len(files)-1]
	_ = last
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(dir+"/boot", 0o755)
	sums, err := makeOwnerFiles(dir+"/root", 64, 1)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(dir+"/pass", []byte("seller"), 0o600)
	if err := makeDisk(context.Background(), dir+"/disk.img", dir+"/boot", dir+"/root", 64, dir+"/pass", dir); err != nil {
		t.Fatal(err)
	}
	t.Log(len(sums))
}
