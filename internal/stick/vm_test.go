package stick

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"reown/gpgcard/cardtest/usbdev/guest"
)

func TestMain(m *testing.M) {
	guest.Main(inGuest)
	os.Exit(m.Run())
}

// inGuest is what the program does in a firmware: the driver is a module that nobody
// has loaded, the stick has a partition with FAT.
func inGuest() {
	guest.Must(os.MkdirAll("/tmp", 0o755))
	s := Kernel()
	var found []Volume
	for end := time.Now().Add(30 * time.Second); len(found) == 0 && time.Now().Before(end); {
		var err error
		found, err = s.List(context.Background())
		guest.Must(err)
	}
	guest.Check(len(found) == 1 && found[0].Name == "sda1" && found[0].FS == "vfat", "found %+v", found)
	fmt.Printf("STICK %+v\n", found[0])
	guest.Must(s.Write(context.Background(), "sda1", nil))
	guest.Must(s.Write(context.Background(), "sda1", files))
	guest.Check(errors.Is(s.Write(context.Background(), "sda", files), ErrGone),
		"the disk of a partition is a stick of its own")
	// A stick of which a part is in use is none.
	guest.Must(os.MkdirAll("/mnt", 0o755))
	guest.Must(mount("/dev/sda1", "/mnt", "vfat", true))
	found, err := s.List(context.Background())
	guest.Must(err)
	guest.Check(len(found) == 0, "mounted, and still offered: %+v", found)
	guest.Must(umount("/mnt"))
	found, err = Kernel("/dev/sda1").List(context.Background())
	guest.Must(err)
	guest.Check(len(found) == 0, "excluded, and still offered: %+v", found)
}

// A stick behind the kernel's own USB stack, with FAT on a partition.
func TestStickInAMachine(t *testing.T) {
	for _, x := range []string{"mkfs.vfat", "fsck.vfat", "sfdisk"} {
		if _, err := exec.LookPath(x); err != nil {
			guest.Missing(t, x+" is missing")
		}
	}
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		if name == "sfdisk" {
			cmd.Stdin = bytes.NewReader([]byte("2048,,c\n"))
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	dir := t.TempDir()
	img, part := filepath.Join(dir, "stick.img"), filepath.Join(dir, "part.img")
	if err := errors.Join(os.WriteFile(img, nil, 0o600), os.Truncate(img, 33<<20), os.WriteFile(part, nil, 0o600),
		os.Truncate(part, 32<<20)); err != nil {
		t.Fatal(err)
	}
	run("sfdisk", "-q", img)
	run("mkfs.vfat", part)
	b, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(img, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 1<<20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	guest.BootStick(t, img, func(string) {})
	whole, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(part, whole[1<<20:], 0o600); err != nil {
		t.Fatal(err)
	}
	run("fsck.vfat", "-n", part)
	for _, x := range files {
		if !bytes.Contains(whole, x.Data) {
			t.Errorf("%s is not on the stick", x.Name)
		}
	}
}
