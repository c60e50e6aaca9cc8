package boot

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMountOf(t *testing.T) {
	const info = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 8:2 / /boot ro,nosuid,noatime shared:9 - ext4 /dev/sda2 ro,errors=remount-ro
41 22 8:3 / /with\040blank rw - ext4 /dev/sda3 ro
42 40 8:4 / /boot/efi rw - vfat /dev/sda4 rw
43 22 8:5 / /twice ro - ext4 /dev/sda5 ro
44 22 8:6 / /twice rw,nodev - tmpfs tmpfs rw
torn line
`
	for path, want := range map[string]uintptr{
		"/": unix.MS_RELATIME, "/boot": unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NOATIME,
		"/with blank": unix.MS_RDONLY, "/boot/efi": 0, "/twice": unix.MS_NODEV,
	} {
		if got, ok := mountOf(info, path); !ok || got != want {
			t.Errorf("%s: %#x, %v; want %#x", path, got, ok, want)
		}
	}
	if _, ok := mountOf(info, "/boo"); ok {
		t.Error("/boo is no mount")
	}
}

// insideNamespace is set when the test runs itself in a mount namespace of its own.
const insideNamespace = "REOWN_TEST_MOUNT"

// TestWritable remounts a real read-only file system and leaves it as it was found.
func TestWritable(t *testing.T) {
	if os.Getenv(insideNamespace) == "" {
		needPeers(t, "unshare")
		cmd := exec.Command("unshare", "-m", os.Args[0], "-test.run", "^TestWritable$", "-test.v")
		cmd.Env = append(os.Environ(), insideNamespace+"=1")
		out, err := cmd.CombinedOutput()
		if strings.Contains(string(out), "Operation not permitted") {
			t.Skip("mounting is not permitted here")
		}
		if err != nil || !strings.Contains(string(out), "--- PASS: TestWritable") {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if err := os.WriteFile(dir+"/vmlinuz", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	flags := func() uintptr {
		t.Helper()
		b, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		f, ok := mountOf(string(b), dir)
		if !ok {
			t.Fatal("not mounted")
		}
		return f
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}

	// Mounted writable: left so.
	before := flags()
	restore, err := d.Writable()
	if err != nil {
		t.Fatal(err)
	}
	if err := restore(); err != nil || flags() != before {
		t.Fatalf("%#x became %#x, %v", before, flags(), err)
	}

	remount(unix.MS_RDONLY)
	before = flags()
	if err := d.WriteHint("x", nil); !errors.Is(err, unix.EROFS) {
		t.Fatalf("writing to a read-only /boot: %v", err)
	}
	if restore, err = d.Writable(); err != nil {
		t.Fatal(err)
	}
	if f := flags(); f != before&^unix.MS_RDONLY {
		t.Errorf("options became %#x, were %#x", f, before)
	}
	if err := d.WriteHint("x", []byte("y")); err != nil {
		t.Error(err)
	}
	// A file that is still open for writing keeps the file system busy: that is said.
	f, err := os.Create(dir + "/busy")
	if err != nil {
		t.Fatal(err)
	}
	if err := restore(); !errors.Is(err, unix.EBUSY) {
		t.Errorf("still writable, and the error is %v", err)
	}
	f.Close()
	if err := restore(); err != nil || flags() != before {
		t.Errorf("%#x became %#x, %v", before, flags(), err)
	}

	// Held, it is remounted once for all writes, and not at all for none.
	if release := d.Hold(); release() != nil || flags() != before {
		t.Error("a hold without a write remounted")
	}
	release := d.Hold()
	for range 3 {
		if restore, err = d.Writable(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.WriteHint("x", []byte("z")), restore()); err != nil {
			t.Error(err)
		}
		if flags() != before&^unix.MS_RDONLY {
			t.Error("remounted between two writes")
		}
	}
	inner := d.Hold()
	if err := inner(); err != nil || flags() == before {
		t.Errorf("the end of the inner hold ended the outer: %v", err)
	}
	if f, err = os.Create(dir + "/busy"); err != nil {
		t.Fatal(err)
	}
	if err := release(); !errors.Is(err, unix.EBUSY) {
		t.Errorf("still writable, and the error is %v", err)
	}
	f.Close()
	if err := release(); err != nil || flags() != before {
		t.Errorf("%#x became %#x, %v", before, flags(), err)
	}
	if err := release(); err != nil || flags() != before {
		t.Errorf("released twice: %v", err)
	}
}
