package boot

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

// headsOverrides is what kexec-save-default.sh does with the initrd of the default entry,
// its commands as they are, with unpack_initramfs.sh's for the last part of an initrd
// inlined. $1: /boot; the overrides come out on the standard output.
const headsOverrides = `
set -e -o pipefail
cd "$1"
initrd_decompressed="$2/initrd_extract"
stagedir="$2"
mkdir -p "$initrd_decompressed"
current_default_initrd=$(cat "$stagedir/kexec_default_hashes.txt" | grep initr | awk -F " " {'print $NF'} | sed "s#\./#$1/#g")
case "$(dd if="$current_default_initrd" bs=6 count=1 status=none | xxd -p)" in
	303730373031*|303730373032*) cat "$current_default_initrd" ;;
	1f8b*) gunzip <"$current_default_initrd" ;;
	fd37*) unxz <"$current_default_initrd" ;;
	28b5*) zstd -d <"$current_default_initrd" ;;
esac | (cd "$initrd_decompressed"; busybox cpio -i -d 2>/dev/null || true)
crypttab_files=$(find "$initrd_decompressed" -type f | grep crypttab 2>/dev/null | LC_ALL=C sort) || true
if [ ! -z "$crypttab_files" ]; then
	rm -f "$stagedir/kexec_initrd_crypttab_overrides.txt" || true
	echo "$crypttab_files" | while read crypttab_file; do
		final_initrd_filepath=${crypttab_file#$2/initrd_extract}
		current_crypttab_entries=$(cat "$crypttab_file" | grep -v "^#")
		modified_crypttab_entries=$(echo "$current_crypttab_entries" | sed 's/none/\/secret.key/g')
		echo "$modified_crypttab_entries" | while read modified_crypttab_entry; do
			echo "$final_initrd_filepath:$modified_crypttab_entry" >>"$stagedir/kexec_initrd_crypttab_overrides.txt"
		done
	done
	cat "$stagedir/kexec_initrd_crypttab_overrides.txt"
fi
`

// headsInserts is what kexec-insert-key.sh does with the overrides. $1: /boot.
const headsInserts = `
set -e -o pipefail
bootdir="$1"
INITRD_DIR="$1/insert"
cat "$bootdir/kexec_initrd_crypttab_overrides.txt" | while read line; do
	crypttab_file=$(echo "$line" | awk -F ':' {'print $1'})
	crypttab_entry=$(echo "$line" | awk -F ':' {'print $NF'})
	mkdir -p "$INITRD_DIR/$(dirname $crypttab_file)"
	echo "$crypttab_entry" | tee -a "$INITRD_DIR/$crypttab_file" >/dev/null
done
`

// entries are the lines of a crypttab that are entries, their fields apart.
func entries(text string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		if w := strings.Fields(l); len(w) > 0 && w[0][0] != '#' {
			fmt.Fprintln(&b, w)
		}
	}
	return b.String()
}

// withInitrd makes a /boot of one Debian entry whose initrd has the given files.
func withInitrd(t *testing.T, files map[string]string, pack string) (*Dir, Entry) {
	t.Helper()
	dir, root := t.TempDir(), t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"vmlinuz-6.1": "kernel", "grub/grub.cfg": `menuentry 'Debian GNU/Linux' {
	linux /vmlinuz-6.1 root=/dev/mapper/sda3_crypt ro quiet
	initrd /initrd.img-6.1
}
`} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash", "-ec", "set -o pipefail; find . | LC_ALL=C sort | cpio -o -H newc --quiet | "+pack+" >"+
		filepath.Join(dir, "initrd.img-6.1"))
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	all, err := d.Entries()
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %+v", err, all)
	}
	return d, all[0]
}

// The overrides are to the byte what Heads' own commands make of the same initrd.
func TestCrypttabAsHeadsWritesIt(t *testing.T) {
	needPeers(t, "bash", "cpio", "busybox", "gzip", "xz", "zstd", "xxd", "awk", "sed")
	base := map[string]string{"init": "#!/bin/sh\n", "etc/fstab": "", "conf/conf.d/none": "none\n"}
	for name, c := range map[string]struct {
		files map[string]string
		pack  string
		takes string // the lines that take the key
	}{
		"Debian": {map[string]string{"cryptroot/crypttab": "sda3_crypt UUID=abc none luks,discard\n"}, "zstd -q -9",
			"[[{sda3_crypt UUID=abc}]]"},
		"Debian, gzip": {map[string]string{"cryptroot/crypttab": "sda3_crypt UUID=abc none luks,discard"}, "gzip",
			"[[{sda3_crypt UUID=abc}]]"},
		"Fedora": {map[string]string{"etc/crypttab": "# comment, none\nluks-abc UUID=abc none discard\n\n  # inner\n\tluks-d\tUUID=d\tnone\n\n\n"}, "xz --check=crc32", "[[{luks-abc UUID=abc} {luks-d UUID=d}]]"},
		"two files": {map[string]string{"etc/crypttab": "a UUID=1 none\n",
			"cryptroot/crypttab": "\n\na UUID=1 none luks \n"}, "cat", "[[{a UUID=1}] [{a UUID=1}]]"},
		"a key file":  {map[string]string{"cryptroot/crypttab": "a UUID=1 /cryptroot/keyfiles/a.key luks\nb UUID=2 -\nc UUID=3\n"}, "gzip", "[[]]"},
		"without one": {nil, "gzip", "[]"},
	} {
		files := map[string]string{}
		for _, m := range []map[string]string{base, c.files} {
			for n, text := range m {
				files[n] = text
			}
		}
		d, e := withInitrd(t, files, c.pack)
		got, err := d.Crypttab(t.Context(), e)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s := fmt.Sprint(got.Tables); s != c.takes {
			t.Errorf("%s: the key is taken by %s, want %s", name, s, c.takes)
		}
		set, err := d.Build(t.Context(), BuildOptions{Entry: 1})
		if err != nil {
			t.Fatal(err)
		}
		work := t.TempDir()
		if err := os.WriteFile(filepath.Join(work, "kexec_default_hashes.txt"), set.Files["kexec_default_hashes.txt"],
			0o644); err != nil {
			t.Fatal(err)
		}
		want, err := exec.Command("bash", "-c", headsOverrides, "heads", d.Path(), work).Output()
		if err != nil {
			t.Errorf("%s: Heads' commands: %v", name, err)
		}
		if !bytes.Equal(got.Overrides, want) {
			t.Errorf("%s:\n%s\nHeads:\n%s", name, got.Overrides, want)
		}
		// What Heads lays beside the initrd is the same file with the key in it.
		if got.Overrides != nil {
			if err := os.WriteFile(filepath.Join(work, CrypttabFile), got.Overrides, 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("bash", "-c", headsInserts, "heads", work).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", name, err, out)
			}
			for f, text := range c.files {
				b, err := os.ReadFile(filepath.Join(work, "insert", f))
				if got, want := entries(string(b)), entries(strings.ReplaceAll(text, "none", "/secret.key")); err != nil ||
					got != want {
					t.Errorf("%s: %v: %s is laid there as\n%s\nwant\n%s", name, err, f, got, want)
				}
			}
		}
		// It can be signed with the rest.
		set, err = d.Build(t.Context(), BuildOptions{Entry: 1, Extra: map[string][]byte{CrypttabFile: got.Overrides}})
		if err != nil || !strings.Contains(string(set.SignedBytes()), "  "+CrypttabFile+"\n") {
			t.Errorf("%s: %v: it is not signed:\n%s", name, err, set.SignedBytes())
		}
	}
}

// What Heads would write down as something else is not written down.
func TestCrypttabThatHeadsWouldGarble(t *testing.T) {
	needPeers(t, "bash", "cpio", "gzip")
	for what, files := range map[string]map[string]string{
		"none in a name":    {"etc/crypttab": "nonesuch UUID=1 none luks\n"},
		"none in an option": {"etc/crypttab": "a UUID=1 none luks,x-none\n"},
		"none elsewhere":    {"etc/crypttab": "none UUID=1 /key luks\n"},
		"a colon":           {"etc/crypttab": "a /dev/disk/by-path/pci-0:1 none luks\n"},
		"a backslash":       {"etc/crypttab": `a\040b UUID=1 none luks`}, "no text": {"etc/crypttab": "a UUID=1 none\x00\n"},
		"umlaut": {"etc/crypttab": "ä UUID=1 none\n"},
		"a word": {"etc/crypttab": "a\n"}, "a script": {"etc/crypttab": "a UUID=1 none luks,keyscript=decrypt_keyctl\n"},
		"swap":   {"etc/crypttab": "a UUID=1 none swap\n"},
		"a name": {"etc/my crypttab": "a UUID=1 none\n"}, "a name with a colon": {"etc/crypttab:1": "a UUID=1 none\n"},
	} {
		d, e := withInitrd(t, files, "gzip")
		if c, err := d.Crypttab(t.Context(), e); !errors.Is(err, ErrCrypttab) {
			t.Errorf("%s: %v, %+v", what, err, c)
		}
	}
	// Files without an entry open nothing, and no initrd, or an unknown one among two, is none.
	d, e := withInitrd(t, map[string]string{"etc/crypttab": "# none\n\n"}, "gzip")
	if c, err := d.Crypttab(t.Context(), e); err != nil || c.Overrides != nil || c.Tables != nil {
		t.Errorf("comments: %v, %+v", err, c)
	}
	e.Files = []string{"./vmlinuz-6.1", "./initrd.img-6.1", "./initramfs"}
	if c, err := d.Crypttab(t.Context(), e); err != nil || c.Overrides != nil {
		t.Errorf("two initrds: %v, %+v", err, c)
	}
	e.Files = []string{"./vmlinuz-6.1", "./initrd.none"}
	if _, err := d.Crypttab(t.Context(), e); !errors.Is(err, ErrCrypttab) {
		t.Errorf("missing: %v", err)
	}
	d, e = withInitrd(t, nil, "bzip2")
	if _, err := d.Crypttab(t.Context(), e); !errors.Is(err, ErrCrypttab) {
		t.Errorf("bzip2: %v", err)
	}
}
