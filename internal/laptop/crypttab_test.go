package laptop

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reown/boot"
	"reown/wizard"
)

// tabsOf is a /boot with entries "name|/initrd|kernel options" and initrds: a crypttab of
// Debian's for each; one with the content "-" is no initrd, and one without content has no
// crypttab.
func tabsOf(t *testing.T, initrds map[string]string, entries ...string) *crypttabs {
	t.Helper()
	dir := t.TempDir()
	var menu strings.Builder
	for _, e := range entries {
		f := strings.SplitN(e, "|", 3)
		fmt.Fprintf(&menu, "menuentry '%s' {\n\tlinux /vmlinuz %s\n\tinitrd %s\n}\n", f[0], f[2], f[1])
		if initrds[f[1]] == "" {
			put(t, dir, f[1], "", 0o644)
		}
	}
	put(t, dir, "vmlinuz", "kernel", 0o644)
	put(t, dir, "grub/grub.cfg", menu.String(), 0o644)
	for name, text := range initrds {
		if text == "-" {
			put(t, dir, name, "BZh9", 0o644)
			continue
		}
		root := t.TempDir()
		put(t, root, "init", "#!/bin/sh", 0o755)
		if text != "" {
			put(t, root, "cryptroot/crypttab", text, 0o644)
		}
		cmd := exec.Command("sh", "-ec", "find . | cpio -o -H newc --quiet | gzip >"+filepath.Join(dir, name))
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	d, err := boot.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &crypttabs{dir: d}
}

// Each system finds its root under the name that its disk is opened with, or the key is
// left to Heads' menu.
func TestSystemsFindTheirRoot(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	const (
		debian    = "Debian|/initrd.img-6.1|root=/dev/mapper/sda3_crypt ro quiet"
		lvm       = "Debian|/initrd.img-6.1|root=/dev/mapper/debian--vg-root ro quiet"
		overrides = "/cryptroot/crypttab:sda3_crypt UUID=u1 /secret.key luks,discard\n"
		tab       = "sda3_crypt UUID=u1 none luks,discard\n"
		left      = "left"
	)
	one := func(tab string) map[string]string { return map[string]string{"/initrd.img-6.1": tab} }
	for _, c := range []struct {
		what    string
		entries []string
		initrds map[string]string
		chosen  int
		want    string
	}{
		{"Debian without LVM", []string{debian}, one(tab), 0, overrides},
		{"before an entry is chosen", []string{debian}, one(tab), -1, overrides},
		{"by-uuid", []string{debian}, one("sda3_crypt /dev/disk/by-uuid/U1 none"), 0,
			"/cryptroot/crypttab:sda3_crypt /dev/disk/by-uuid/U1 /secret.key\n"},
		{"Debian with LVM keeps its name", []string{lvm}, one(tab), 0, overrides},
		{"no crypttab, another name", []string{debian}, one(""), 0, left},
		{"no crypttab, LVM", []string{lvm}, one(""), 0, ""},
		{"Heads' own name", []string{"Fedora|/initramfs-6.img|root=/dev/mapper/luks-u1"}, nil, 0, ""},
		{"another volume's name", []string{"Fedora|/initramfs-6.img|root=/dev/mapper/luks-6f0b8a2e-93f1-4d1c-8f6d-2a7d7c1b5e90"}, nil, 0, left},
		{"a root that has no such name", []string{"Fedora|/initramfs-6.img|root=UUID=1234 rd.luks.uuid=luks-u1"}, nil, 0, ""},
		{"a crypttab with another name", []string{debian}, one("other UUID=u1 none luks\n"), 0, left},
		{"a crypttab that is not read", []string{"Arch|/initramfs-linux.img|cryptdevice=UUID=u1:root root=UUID=1234"}, nil, 0,
			left},
		{"an unreadable initrd", []string{debian}, one("-"), 0, left},
		{"an unreadable initrd, LVM, as ever", []string{lvm}, one("-"), 0, ""},
		{"a second disk that is not the owner's", []string{debian}, one(tab + "data UUID=u9 none luks\n"), 0, left},
		{"a second disk, LVM, as ever", []string{lvm}, one(tab + "data UUID=u9 none luks\n"), 0, ""},
		{"swap with a key of its own", []string{debian}, one(tab + "swap /dev/sda4 /dev/urandom swap\n"), 0, overrides +
			"/cryptroot/crypttab:swap /dev/sda4 /dev/urandom swap\n"},
		{"the chosen one's", []string{lvm, "Debian|/initrd.img-5|root=UUID=1"},
			map[string]string{"/initrd.img-6.1": tab, "/initrd.img-5": "old UUID=u1 none\n"}, 1,
			"/cryptroot/crypttab:old UUID=u1 /secret.key\n"},
		{"the suggested one's, where the chosen one has none that fits", []string{debian, "Debian|/initrd.img-5|root=UUID=1"},
			map[string]string{"/initrd.img-6.1": tab, "/initrd.img-5": "old UUID=u9 none\n"}, 1, overrides},
		{"a second system that it does not fit",
			[]string{debian, "Other|/initrd-x|root=/dev/mapper/luks-6f0b8a2e-93f1-4d1c-8f6d-2a7d7c1b5e90"}, one(tab), 0, left},
	} {
		c2 := tabsOf(t, c.initrds, c.entries...)
		for range 2 { // and again, from memory
			got, err := c2.overrides(t.Context(), c.chosen, []string{"u1"})
			if errors.Is(err, wizard.ErrLeftToFirmware) && errors.Is(err, wizard.ErrOwnName) {
				got, err = []byte(left), nil
			}
			if err != nil || string(got) != c.want {
				t.Errorf("%s: %q, %v; want %q", c.what, got, err, c.want)
			}
		}
	}
	// All volumes, or none.
	c := tabsOf(t, one(tab), debian)
	if got, err := c.overrides(t.Context(), 0, []string{"u1", "u2"}); !errors.Is(err, wizard.ErrLeftToFirmware) {
		t.Errorf("two volumes: %q, %v", got, err)
	}
	// Another initrd in its place is read.
	put(t, c.dir.Path(), "initrd.img-6.1", "BZh9", 0o644)
	if got, err := c.overrides(t.Context(), 0, []string{"u1"}); !errors.Is(err, wizard.ErrLeftToFirmware) {
		t.Errorf("after it was replaced: %q, %v", got, err)
	}
}

// What the run signs has the overrides beside the rest of the disk unlock key's files.
func TestOverridesAreStaged(t *testing.T) {
	c := tabsOf(t, map[string]string{"/initrd.img-6.1": "sda3_crypt UUID=u1 none luks\n"},
		"Debian|/initrd.img-6.1|root=/dev/mapper/sda3_crypt")
	a := &bootAdapter{dir: c.dir, crypttab: c.overrides}
	var signed string
	sign := func(b []byte) ([]byte, error) { signed = string(b); return []byte("signature"), nil }
	spec := wizard.BootSpec{DUK: map[string][]byte{"kexec_key_devices.txt": []byte("/dev/sda3 u1\n")}}
	if err := a.Stage(t.Context(), spec, sign, nil); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(c.dir.Path(), "kexec_reown.stage", boot.CrypttabFile))
	if err != nil || string(b) != "/cryptroot/crypttab:sda3_crypt UUID=u1 /secret.key luks\n" ||
		!strings.Contains(signed, boot.CrypttabFile) {
		t.Errorf("%q, %v\n%s", b, err, signed)
	}
	spec.DUK = nil // without the key no crypttab is replaced
	if err := a.Stage(t.Context(), spec, sign, nil); err != nil || strings.Contains(signed, boot.CrypttabFile) {
		t.Errorf("%v\n%s", err, signed)
	}
}
