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

func TestSellerSignsBoot(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	home := filepath.Join(dir, "gnupg")
	fpr, err := makeSellerKey(ctx, home)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := gpg(ctx, home, "", "--export", fpr)
	if err != nil {
		t.Fatal(err)
	}
	kbx, trustdb, err := romKeyring(ctx, cert, fpr, dir)
	if err != nil || len(kbx) == 0 || len(trustdb)%40 != 0 || len(trustdb) == 0 {
		t.Fatalf("%v: keybox %d bytes, trustdb %d", err, len(kbx), len(trustdb))
	}
	bootDir := filepath.Join(dir, "boot")
	if err := makeBootDir(bootDir); err != nil {
		t.Fatal(err)
	}
	if err := headsHash(ctx, bootDir); err != nil {
		t.Fatal(err)
	}
	if err := signBoot(ctx, bootDir, home, fpr); err != nil {
		t.Fatal(err)
	}
	ring := filepath.Join(dir, "ring.kbx")
	if err := os.WriteFile(ring, kbx, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := HeadsVerify(ctx, bootDir, ring); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bootDir, "evil"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := HeadsVerify(ctx, bootDir, ring); err == nil {
		t.Fatal("an added file was not noticed")
	}
}
