package initrd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func needPeers(t testing.TB, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

func sh(t testing.TB, dir, script string) []byte {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	var why bytes.Buffer
	cmd.Stderr = &why
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, &why)
	}
	return out
}

// tree is a directory with what an initrd has.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func crypttab(p string) bool { return strings.Contains(p, "crypttab") }

const line = "sda3_crypt UUID=1 none luks\n"

var system = map[string]string{"cryptroot/crypttab": line, "etc/fstab": "x", "init": "#!/bin/sh\n",
	"bin/big": strings.Repeat("binary", 30000), "usr/lib/crypttab.d/odd": "", "etc/empty": ""}

func check(t *testing.T, what string, b []byte, want ...string) {
	t.Helper()
	found, err := Find(bytes.NewReader(b), crypttab)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%s=%s", f.Path, f.Data))
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// What the tools make is read, as distributions put it together.
func TestRealArchives(t *testing.T) {
	needPeers(t, "cpio", "gzip", "xz", "zstd", "busybox")
	dir := tree(t, system)
	early := tree(t, map[string]string{"kernel/x86/microcode/GenuineIntel.bin": strings.Repeat("\x01\x00\x02", 999)})
	pack := func(dir, how string) []byte { return sh(t, dir, "find . | LC_ALL=C sort | "+how) }
	ucode := pack(early, "cpio -o -H newc --quiet")
	want := []string{"/cryptroot/crypttab=" + line, "/usr/lib/crypttab.d/odd="}
	for _, how := range []string{"cpio -o -H newc --quiet", "cpio -o -H crc --quiet",
		"cpio -o -H newc --quiet --reproducible", "busybox cpio -o -H newc"} {
		for _, z := range []string{"cat", "gzip -9", "xz --check=crc32", "zstd -q -9 -T0",
			"xz --check=crc32 --lzma2=dict=1MiB"} {
			b := pack(dir, how+" | "+z)
			check(t, how+" | "+z, b, want...)
			check(t, "microcode, "+how+" | "+z, append(append(bytes.Clone(ucode), make([]byte, 36)...), b...), want...)
			check(t, "padded, "+how+" | "+z, append(append(bytes.Clone(ucode), b...), make([]byte, 1000)...), want...)
		}
	}
	// Files that are the same are links in dracut's, and only the last has the content.
	linked := tree(t, map[string]string{"etc/crypttab": line})
	sh(t, linked, "ln etc/crypttab a-crypttab; ln etc/crypttab z; ln -s etc/crypttab crypttab-link")
	check(t, "links", pack(linked, "cpio -o -H newc --quiet | gzip"), "/etc/crypttab="+line, "/a-crypttab="+line)
	b := pack(dir, "cpio -o -H newc --quiet")
	check(t, "the same twice", append(bytes.Clone(b), b...), want...)
	check(t, "none", pack(early, "cpio -o -H newc --quiet | gzip"))

	other := pack(tree(t, map[string]string{"cryptroot/crypttab": "x y none\n"}), "cpio -o -H newc --quiet")
	z := pack(dir, "cpio -o -H newc --quiet | gzip")
	for what, b := range map[string][]byte{
		"two that differ":       append(bytes.Clone(b), other...),
		"hidden after the gzip": append(bytes.Clone(z), z...), "hidden, plain": append(bytes.Clone(z), other...),
		"hidden within": sh(t, dir, "(find . | cpio -o -H newc --quiet; find . | cpio -o -H newc --quiet) | gzip"),
		"bzip2":         []byte("BZh91AY&SY"), "lz4": {2, 0x21, 0x4c, 0x18, 0, 0, 0},
		"the old form": pack(dir, "cpio -o -H odc --quiet"),
		"nothing":      nil, "zeros": make([]byte, 999), "text": []byte("an initrd, the laptop says"), "cut": z[:len(z)/2],
		"cut, plain":    b[:len(b)/2],
		"a link beside": append(pack(dir, "cpio -o -H newc --quiet"), pack(linkOnly(t), "cpio -o -H newc --quiet")...),
		"no end":        bytes.Replace(b, []byte("TRAILER!!!"), []byte("TRAILER!!?"), 1),
		"out":           bytes.Replace(b, []byte("etc/fstab"), []byte("../fstab1"), 1),
		"large": pack(tree(t, map[string]string{"crypttab": strings.Repeat("#", maxFile+1)}),
			"cpio -o -H newc --quiet"),
	} {
		if got, err := Find(bytes.NewReader(b), crypttab); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
}

// The initrd that Debian's own program makes here has no crypttab, and is read to its end.
func TestMkinitramfs(t *testing.T) {
	if os.Getenv("REOWN_SOAK") == "" {
		t.Skip("takes minutes: REOWN_SOAK=1")
	}
	needPeers(t, "mkinitramfs", "unmkinitramfs")
	versions, _ := os.ReadDir("/lib/modules")
	if len(versions) == 0 {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal("no kernel modules are installed here")
		}
		t.Skip("no kernel modules are installed here")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	sh(t, dir, "cp -r /etc/initramfs-tools "+conf+"; sed -i 's/^MODULES=.*/MODULES=list/' "+conf+
		"/initramfs.conf; mkdir -p "+conf+"/hooks; printf '#!/bin/sh\\n[ \"$1\" = prereqs ] || { mkdir -p $DESTDIR/cryptroot; echo \""+strings.TrimSpace(line)+"\" >$DESTDIR/cryptroot/crypttab; }\\n' >"+conf+"/hooks/x; chmod +x "+conf+"/hooks/x")
	for _, z := range []string{"gzip", "zstd", "xz"} {
		out := filepath.Join(dir, z)
		sh(t, dir, "mkinitramfs -d "+conf+" -c "+z+" -o "+out+" "+versions[0].Name())
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		sh(t, dir, "rm -rf x; unmkinitramfs "+out+" x")
		for _, p := range strings.Fields(string(sh(t, dir,
			"cd x; [ -d main ] && cd main; find . -type f | grep crypttab | LC_ALL=C sort"))) {
			data := sh(t, dir, "cd x; [ -d main ] && cd main; cat "+p)
			want = append(want, p[1:]+"="+string(data))
		}
		if len(want) == 0 {
			t.Fatal("no crypttab in Debian's initrd")
		}
		check(t, z, b, want...)
	}
}

// linkOnly is a tree where the crypttab of the others is a link.
func linkOnly(t *testing.T) string {
	dir := tree(t, map[string]string{"cryptroot/x": "x"})
	sh(t, dir, "ln -s x cryptroot/crypttab")
	return dir
}

func FuzzFind(f *testing.F) {
	needPeers(f, "cpio", "gzip")
	dir := tree(f, map[string]string{"etc/crypttab": line, "a": "b"})
	for _, z := range []string{"cat", "gzip -9", "xz", "zstd -q"} {
		f.Add(sh(f, dir, "find . | cpio -o -H newc --quiet | "+z))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := Find(bytes.NewReader(b), crypttab)
		if err != nil && !errors.Is(err, ErrUnreadable) {
			t.Errorf("%v", err)
		}
		for _, e := range found {
			if !crypttab(e.Path) || e.Path[0] != '/' || len(e.Data) > maxFile || strings.Contains(e.Path, "/../") {
				t.Errorf("%+v", e)
			}
		}
	})
}
