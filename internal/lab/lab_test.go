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
	if last := files[len(files)-1]; last.Name != want.Name || string(last.Data) != string(want.Data) {
		t.Fatalf("got %s %q", last.Name, last.Data)
	}
}

func TestDiskHoldsTheOwnersFiles(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "boot"), 0o755); err != nil {
		t.Fatal(err)
	}
	want, err := makeOwnerFiles(filepath.Join(dir, "root"), 64, 1)
	if err != nil {
		t.Fatal(err)
	}
	pass := filepath.Join(dir, "pass")
	if err := os.WriteFile(pass, []byte("seller"), 0o600); err != nil {
		t.Fatal(err)
	}
	img := filepath.Join(dir, "disk.img")
	if err := makeDisk(ctx, img, filepath.Join(dir, "boot"), filepath.Join(dir, "root"), 64, pass, dir); err != nil {
		t.Fatal(err)
	}
	offset, size := luksWindow(64)
	v, err := CopyVolume(img, offset, size, dir)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := v.Opens(ctx, "buyer"); ok || err != nil {
		t.Fatalf("a wrong passphrase: %v %v", ok, err)
	}
	if ok, err := v.Opens(ctx, "seller"); !ok || err != nil {
		t.Fatalf("the right passphrase: %v %v", ok, err)
	}
	key, err := v.Key(ctx, "seller")
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Files(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := SameFiles(got, want); err != nil {
		t.Fatal(err)
	}
	key[0] ^= 1
	if _, err := v.Files(ctx, key); err == nil {
		t.Fatal("a wrong volume key went unnoticed")
	}
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
	if err := makeBootDir(bootDir, true); err != nil {
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

// makeSellerKey makes the seller's OpenPGP key in memory, in the layout that a
// card's own key generation gives: a P-256 primary key that signs, and an
// encryption subkey. It returns the primary key's fingerprint.
func makeSellerKey(ctx context.Context, home string) (string, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", err
	}
	if _, err := gpg(ctx, home, "", "--quick-gen-key", "OEM Key (OEM-generated key) <oem@example.com>", "nistp256",
		"sign,cert", "0"); err != nil {
		return "", err
	}
	fpr, err := primaryFingerprint(ctx, home)
	if err != nil {
		return "", err
	}
	_, err = gpg(ctx, home, "", "--quick-add-key", fpr, "nistp256", "encr", "0")
	return fpr, err
}

// signBoot signs the kexec*.txt files the way Heads does.
func signBoot(ctx context.Context, dir, home, fpr string) error {
	signed, err := HeadsSignedBytes(ctx, dir)
	if err != nil {
		return err
	}
	sig, err := gpg(ctx, home, string(signed), "--detach-sign", "--local-user", fpr, "--digest-algo", "SHA256", "-a", "-o",
		"-")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "kexec.sig"), sig, 0o644)
}
