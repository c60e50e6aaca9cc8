package stick

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree is a machine with an internal disk, a stick with two partitions, a stick
// without a partition table, a stick that is mounted, a card reader without a card
// and a USB disk that holds an encrypted volume.
func tree(t *testing.T) *System {
	t.Helper()
	root := t.TempDir()
	put := func(name, text string) {
		p := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	image := func(name, fs string) {
		b := make([]byte, 4096)
		switch fs {
		case "ext4":
			b[1080], b[1081] = 0x53, 0xef
		case "vfat":
			copy(b[82:], "FAT32   ")
			b[510], b[511] = 0x55, 0xaa
		case "exfat":
			copy(b[3:], "EXFAT   ")
		}
		put("dev/"+name, string(b))
	}
	disk := func(place, name, number, model string, parts map[string]string) {
		at := "sys/devices/" + place + "/block/" + name
		put(at+"/dev", number+":0\n")
		put(at+"/size", "62500000\n")
		put(at+"/ro", "0\n")
		put(at+"/device/vendor", "SanDisk \n")
		put(at+"/device/model", model+" \n")
		link := func(n, to string) {
			if err := errors.Join(os.MkdirAll(filepath.Join(root, "sys/class/block"), 0o755),
				os.Symlink(filepath.Join(root, to), filepath.Join(root, "sys/class/block", n))); err != nil {
				t.Fatal(err)
			}
		}
		link(name, at)
		for p, fs := range parts {
			if p == name {
				image(name, fs)
				continue
			}
			put(at+"/"+p+"/partition", "1\n")
			put(at+"/"+p+"/dev", number+":1\n")
			put(at+"/"+p+"/size", "62498816\n")
			link(p, at+"/"+p)
			image(p, fs)
		}
	}
	disk("pci0000:00/ata1/host0", "sda", "8", "Samsung 980", map[string]string{"sda1": "ext4", "sda3": "ext4"})
	disk("pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host1", "sdb", "9", "Cruzer Blade",
		map[string]string{"sdb1": "vfat", "sdb2": "ntfs", "sdb3": "exfat"})
	put("sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/idVendor", "0781\n")
	put("sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/serial", "4C530001\n")
	disk("pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0/host2", "sdc", "10", "Ultra", map[string]string{"sdc": "ext4"})
	disk("pci0000:00/0000:00:14.0/usb1/1-4/1-4:1.0/host3", "sdd", "11", "Mounted",
		map[string]string{"sdd1": "ext4", "sdd2": "ext4"})
	disk("pci0000:00/0000:00:14.0/usb1/1-5/1-5:1.0/host4", "sde", "12", "Reader", map[string]string{"sde": "vfat"})
	put("sys/devices/pci0000:00/0000:00:14.0/usb1/1-5/1-5:1.0/host4/block/sde/size", "0\n")
	disk("pci0000:00/0000:00:14.0/usb1/1-6/1-6:1.0/host5", "sdf", "13", "Portable",
		map[string]string{"sdf1": "vfat", "sdf2": "luks"})
	disk("pci0000:00/0000:00:14.0/usb1/1-7/1-7:1.0/host6", "sdg", "14", "Held", map[string]string{"sdg1": "ext4"})
	put("sys/devices/pci0000:00/0000:00:14.0/usb1/1-7/1-7:1.0/host6/block/sdg/sdg1/holders/dm-0/x", "")
	disk("pci0000:00/0000:00:14.0/usb1/1-8/1-8:1.0/host7", "sdh", "15", "Protected", map[string]string{"sdh": "ext4"})
	put("sys/devices/pci0000:00/0000:00:14.0/usb1/1-8/1-8:1.0/host7/block/sdh/ro", "1\n")
	put("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 11:1 / /media rw - ext4 /dev/sdd2 rw\n")
	put("proc/filesystems", "nodev\tsysfs\n\text4\n\tvfat\n")
	return &System{Sysfs: filepath.Join(root, "sys"), Dev: filepath.Join(root, "dev"), Proc: filepath.Join(root, "proc"),
		Exclude: []string{filepath.Join(root, "dev/sdf2")}}
}

// Only sticks that nobody uses are offered: not the machine's disks, on whatever bus,
// and no part of a stick that is in use.
func TestList(t *testing.T) {
	got, err := tree(t).List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Volume{
		{Name: "sdb1", Vendor: "SanDisk", Model: "Cruzer Blade", Serial: "4C530001", Size: 62498816 * 512, FS: "vfat"},
		{Name: "sdc", Vendor: "SanDisk", Model: "Ultra", Size: 62500000 * 512, FS: "ext4"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v\nwant %v", got, want)
	}
}

// The file systems that real tools make are told apart.
func TestSuperblock(t *testing.T) {
	for _, c := range []struct{ tool, want string }{
		{"mkfs.vfat -F 32", "vfat"}, {"mkfs.vfat -F 16", "vfat"}, {"mkfs.ext4 -q -F", "ext4"}, {"mkfs.ext2 -q -F", "ext4"},
		{"mkfs.exfat", "exfat"}, {"mkswap", ""},
	} {
		words := strings.Fields(c.tool)
		if _, err := exec.LookPath(words[0]); err != nil {
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatal(err)
			}
			t.Logf("%s is not installed", words[0])
			continue
		}
		p := filepath.Join(t.TempDir(), "img")
		if err := errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 64<<20)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(words[0], append(words[1:], p)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c.tool, err, out)
		}
		if got := filesystem(p); got != c.want {
			t.Errorf("%s: %q, want %q", c.tool, got, c.want)
		}
	}
}

var files = []File{{"reown-5F11A2C0-secret-key.asc", bytes.Repeat([]byte("secret"), 500)},
	{"reown-5F11A2C0-public-key.gpg", []byte("public")}}

// memory is a directory in which each named write can fail, before or after it takes
// effect; what is not synced is lost when it does.
type memory struct {
	durable, cached map[string]string
	ops             []string
	fail            int // index of the write that fails, counted from 1; 0: none
	after           bool
	room            int64
}

var errCut = errors.New("cut")

func (m *memory) at(op string, change func()) error {
	m.ops = append(m.ops, op)
	if m.fail != 0 && len(m.ops) > m.fail {
		return errCut // nothing works after a cut
	}
	if len(m.ops) == m.fail {
		if m.after {
			change()
		}
		return errCut
	}
	change()
	return nil
}

func (m *memory) Free() (int64, error) { return m.room, nil }
func (m *memory) Create(name string, data []byte) error {
	return m.at("create "+name, func() { m.cached[name] = string(data) })
}
func (m *memory) Rename(from, to string) error {
	return m.at("rename "+to, func() { m.cached[to] = m.cached[from]; delete(m.cached, from) })
}
func (m *memory) Remove(name string) error {
	return m.at("remove "+name, func() { delete(m.cached, name) })
}
func (m *memory) Sync() error { return m.at("sync", func() { m.durable = maps.Clone(m.cached) }) }
func (m *memory) Read(name string, _ int64) ([]byte, error) {
	b, ok := m.cached[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return []byte(b), nil
}

// Cut at each write, before and after it takes effect, with and without what was in
// the cache: each file is the old one or the new one, the others on the stick are
// as they were, and writing once more leaves nothing else behind.
func TestCutAnywhere(t *testing.T) {
	old := map[string]string{"holiday.jpg": "jpeg", files[0].Name: "older backup"}
	fresh := func() *memory {
		return &memory{durable: maps.Clone(old), cached: maps.Clone(old), room: 1 << 30}
	}
	whole := fresh()
	if err := Put(whole, files); err != nil {
		t.Fatal(err)
	}
	for n := range 2 * len(whole.ops) {
		m := fresh()
		m.fail, m.after = n/2+1, n%2 == 1
		if err := Put(m, files); !errors.Is(err, errCut) {
			t.Fatalf("write %d: %v", m.fail, err)
		}
		for _, left := range []map[string]string{m.durable, m.cached} {
			for i, f := range files {
				if got, ok := left[f.Name]; got != string(f.Data) && (i == 0 && got != "older backup" || i == 1 && ok) {
					t.Errorf("cut at %s: %s holds %q", m.ops[m.fail-1], f.Name, got)
				}
			}
			again := &memory{cached: maps.Clone(left), room: 1 << 30}
			if err := errors.Join(Put(again, files), Compare(again, files)); err != nil {
				t.Error(err)
			}
			if len(again.durable) != 3 || again.durable["holiday.jpg"] != "jpeg" {
				t.Errorf("cut at %s, then repeated: %v", m.ops[m.fail-1], again.durable)
			}
		}
	}
	t.Logf("%d writes", len(whole.ops))
}

func TestPutRefuses(t *testing.T) {
	m := &memory{cached: map[string]string{}, room: 100 << 10}
	if err := Put(m, files); !errors.Is(err, ErrFull) {
		t.Errorf("no room: %v", err)
	}
	m.room = 1 << 30
	for _, name := range []string{"", "../x", "a/b", ".hidden", "a b", "ü", strings.Repeat("x", 65), "a\x00"} {
		if err := Put(m, []File{{Name: name}}); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := Put(m, []File{{"big", make([]byte, MaxFile+1)}}); !errors.Is(err, ErrFull) {
		t.Errorf("a large file: %v", err)
	}
	if len(m.ops) != 0 {
		t.Errorf("%v", m.ops)
	}
	if err := Compare(m, files); !errors.Is(err, ErrNotWritten) {
		t.Errorf("nothing there: %v", err)
	}
	m.cached[files[0].Name] = "other"
	if err := Compare(m, files[:1]); !errors.Is(err, ErrNotWritten) {
		t.Errorf("something else there: %v", err)
	}
}

// A real file system on a real block device: mounted, written, mounted again,
// compared, unmounted; the file is there for another program, and nothing else was
// touched.
func TestRealFilesystem(t *testing.T) {
	for _, x := range []string{"losetup", "mkfs.ext4", "debugfs"} {
		if _, err := exec.LookPath(x); err != nil || os.Getuid() != 0 {
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatalf("%s, and root, are needed: %v", x, err)
			}
			t.Skipf("%s, and root, are needed", x)
		}
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	img := filepath.Join(t.TempDir(), "img")
	if err := errors.Join(os.WriteFile(img, nil, 0o600), os.Truncate(img, 16<<20)); err != nil {
		t.Fatal(err)
	}
	run("mkfs.ext4", "-q", "-F", img)
	out, err := exec.Command("losetup", "--find", "--show", img).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device here: %s", out)
	}
	loop := strings.TrimSpace(string(out))
	t.Cleanup(func() { run("losetup", "-d", loop) })

	s := tree(t)
	dev := filepath.Join(s.Dev, "sdc")
	if err := errors.Join(os.Remove(dev), os.Symlink(loop, dev)); err != nil {
		t.Fatal(err)
	}
	s.mount, s.unmount = mount, umount
	if err := s.Write(t.Context(), "sdc", nil); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	if err := s.Write(t.Context(), "sdc", files); err != nil {
		t.Fatal(err)
	}
	var flags []uintptr
	s.mount = func(source, target, fs string, ro bool) error {
		err := mount(source, target, fs, ro)
		var st unix.Statfs_t
		if err := unix.Statfs(target, &st); err == nil {
			flags = append(flags, uintptr(st.Flags)&
				(unix.ST_NOSUID|unix.ST_NODEV|unix.ST_NOEXEC|unix.ST_SYNCHRONOUS|unix.ST_RDONLY))
		}
		return err
	}
	if err := s.Write(t.Context(), "sdc", files); err != nil {
		t.Fatal(err)
	}
	const safe = unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC | unix.ST_SYNCHRONOUS
	if len(flags) != 2 || flags[0] != safe || flags[1] != safe|unix.ST_RDONLY {
		t.Errorf("mounted with %x", flags)
	}
	run("e2fsck", "-fn", loop)
	for _, f := range files {
		if got, err := exec.Command("debugfs", "-R", "cat /"+f.Name, loop).Output(); err != nil || !bytes.Equal(got, f.Data) {
			t.Errorf("%s: %v, %d bytes", f.Name, err, len(got))
		}
	}
	if ls := run("debugfs", "-R", "ls -p /", loop); strings.Contains(ls, ".new") {
		t.Errorf("something is left behind:\n%s", ls)
	}
	// Pulled out, protected, and not what it says.
	if err := s.Write(t.Context(), "sdx", files); !errors.Is(err, ErrGone) {
		t.Errorf("another stick: %v", err)
	}
	if err := s.Write(t.Context(), "sda1", files); !errors.Is(err, ErrGone) {
		t.Errorf("a disk of the machine: %v", err)
	}
	run("blockdev", "--setro", loop)
	if err := s.Write(t.Context(), "sdc", files); !errors.Is(err, ErrReadOnly) {
		t.Errorf("protected: %v", err)
	}
	run("blockdev", "--setrw", loop)
	if err := os.WriteFile(filepath.Join(s.Dev, "sdb1"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.mount = func(string, string, string, bool) error { return fmt.Errorf("%w: test", ErrFilesystem) }
	if err := s.Write(t.Context(), "sdc", files); !errors.Is(err, ErrFilesystem) {
		t.Errorf("damaged: %v", err)
	}
}

func TestNothingPluggedIn(t *testing.T) {
	s := tree(t)
	s.Sysfs = t.TempDir()
	got, err := s.List(context.Background())
	if err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzSuperblock(f *testing.F) {
	f.Add(make([]byte, 2048))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		switch superblock(b) {
		case "", "vfat", "exfat", "ext4":
		default:
			t.Error("another type")
		}
	})
}
