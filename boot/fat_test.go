package boot

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onFAT is set in the guest: where the FAT is mounted, read-only.
const onFAT = "REOWN_TEST_FAT"

// fatInit is the init of a virtual machine: it mounts the FAT and runs the test below
// on it.
const fatInit = `#!/busybox sh
b=/busybox
$b mkdir -p /proc /sys /dev /tmp /boot /bin
for a in sh sha256sum find sort cmp xargs; do $b ln -s /busybox /bin/$a; done
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
for m in $($b cat /modules); do $b insmod /$m; done
PATH=/bin REOWN_TEST_FAT=/boot REOWN_SOAK=$($b cat /soak) /boot.test -test.run '^TestOnFAT$' -test.v
$b umount /boot
$b poweroff -f
`

// TestOnFAT makes the whole replacement on a real vfat, behind the kernel's own driver
// in a virtual machine: the kernel here need not have one.
func TestOnFAT(t *testing.T) {
	if dir := os.Getenv(onFAT); dir != "" {
		checkOnFAT(t, dir)
		return
	}
	if testing.Short() {
		t.Skip("boots a virtual machine: skipped by -short")
	}
	needPeers(t, "qemu-system-x86_64", "mkfs.vfat", "fsck.vfat", "busybox", "cpio", "modprobe")
	kernels, _ := filepath.Glob("/boot/vmlinuz-*")
	if len(kernels) == 0 {
		lacking(t, "no kernel in /boot")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) []byte {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return out
	}
	disk := filepath.Join(dir, "disk")
	if err := errors.Join(os.WriteFile(disk, nil, 0o644), os.Truncate(disk, 48<<20)); err != nil {
		t.Fatal(err)
	}
	run("mkfs.vfat", "-F", "32", "-s", "1", disk)
	initrd := packFAT(t, kernels[len(kernels)-1], filepath.Join(dir, "root"), run)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "512",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", kernels[len(kernels)-1], "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio",
		"-drive", "if=none,id=d,format=raw,file="+disk, "-device", "virtio-blk-pci,drive=d").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestOnFAT")) || bytes.Contains(out, []byte("SKIP")) {
		t.Fatalf("%v\n%s", err, out)
	}
	run("fsck.vfat", "-n", disk)
}

// packFAT makes the initrd: busybox, the modules, and this test binary.
func packFAT(t *testing.T, kernel, root string, run func(string, ...string) []byte) string {
	t.Helper()
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(root, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	version := strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-")
	var modules []string
	for l := range strings.Lines(string(run("modprobe", "-S", version, "-a", "--show-depends", "virtio_blk", "virtio_pci",
		"vfat", "nls_cp437", "nls_ascii", "nls_utf8"))) {
		f := strings.Fields(l)
		if len(f) < 2 || f[0] != "insmod" {
			continue // built into the kernel
		}
		name := filepath.Base(f[1])
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			put(name, read(f[1]))
			modules = append(modules, name)
		}
	}
	put("modules", []byte(strings.Join(modules, "\n")))
	put("init", []byte(fatInit))
	put("soak", []byte(os.Getenv("REOWN_SOAK")))
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	put("busybox", read(busybox))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	put("boot.test", read(self))
	if bytes.Contains(read(filepath.Join(root, "boot.test")), []byte("/lib64/ld-linux")) ||
		bytes.Contains(read(busybox), []byte("/lib64/ld-linux")) {
		lacking(t, "the test binary or busybox is not static (CGO_ENABLED=0, busybox-static)")
	}
	initrd := root + ".cpio"
	run("sh", "-c", `cd "$1" && find . | cpio --quiet -o -H newc >"$2"`, "pack", root, initrd)
	return initrd
}

// headsBusybox is headsVerify, but for the signature, with nothing but busybox.
const headsBusybox = `cd "$1" && sha256sum -c kexec_hashes.txt >/dev/null && sha256sum -c kexec_default_hashes.txt >/dev/null && find ./ ! -path './kexec*' -print0 | sort -z | cmp - kexec_tree.txt`

// checkOnFAT runs in the guest: the seller ships, a write of the owner's run fails, and
// the run ends all the same; for one write after the other.
func checkOnFAT(t *testing.T, dir string) {
	if err := unix.Mount("/dev/vda", dir, "vfat", unix.MS_NOSUID, "codepage=437,iocharset=ascii,utf8"); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for n, c := range debian() {
		if !strings.HasPrefix(c, "-> ") && !strings.HasPrefix(n, "kexec") {
			files[n] = c
		}
	}
	writeTree(t, dir, files)
	if err := os.Symlink("x", filepath.Join(dir, "link")); err == nil {
		t.Fatal("this file system has links: it is no FAT")
	}
	sellerSign, seller := fakeKey("seller")
	ownerSign, owner := fakeKey("owner")
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_NOSUID|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	step := 5 // a sample: the guest is slow, and every write is cut elsewhere
	if os.Getenv("REOWN_SOAK") == "1" {
		step = 1
	}
	for n := 0; ; n += step {
		ship(t, dir, sellerSign, seller)
		remount(unix.MS_RDONLY)
		rec := &recorder{quickFS: quickFS{osFS{dir}}, failAt: n}
		d, err := OpenFS(dir, slowFS{rec})
		if err != nil {
			t.Fatal(err)
		}
		restore, err := d.Writable()
		if err != nil {
			t.Fatal(err)
		}
		err = takeOver(d, ownerSign, owner)
		over := len(rec.writes) <= n
		if over != (err == nil) || err != nil && !errors.Is(err, errCut) {
			t.Fatalf("write %d: %v", n, err)
		}
		cutState(t, dir, seller, owner)
		if d, err = Open(dir); err != nil {
			t.Fatal(err)
		}
		if err := takeOver(d, ownerSign, owner); err != nil {
			t.Fatalf("again after write %d: %v", n, err)
		}
		if err := errors.Join(d.WriteHint("certificate.json.asc", []byte("x")), d.RemoveHint("certificate.json.asc"),
			publish(d)); err != nil {
			t.Fatal(err)
		}
		if err := restore(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); !errors.Is(err, unix.EROFS) {
			t.Fatalf("/boot is not read-only again: %v", err)
		}
		if r, err := d.Verify(owner); err != nil || r.Err() != nil {
			t.Fatalf("after write %d: %+v %v", n, r, err)
		}
		if out, err := exec.Command("sh", "-c", headsBusybox, "heads", dir).CombinedOutput(); err != nil {
			t.Fatalf("Heads's commands: %v\n%s", err, out)
		}
		remount(0)
		if over {
			t.Logf("%d writes", n)
			return
		}
	}
}

// slowFS is a recorder that syncs, as the real thing does.
type slowFS struct{ *recorder }

func (f slowFS) WriteFile(op, name string, data []byte) error {
	if err := f.note(write{kind: "write", op: op, name: name}); err != nil {
		return err
	}
	return f.osFS.WriteFile(op, name, data)
}

func (f slowFS) SyncDir(op, name string) error {
	if err := f.note(write{kind: "sync", op: op, name: name}); err != nil {
		return err
	}
	return f.osFS.SyncDir(op, name)
}

// lacking skips the test, or fails it where everything must be there.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}
