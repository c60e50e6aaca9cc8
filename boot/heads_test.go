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
)

// headsVerify is what Heads does with /boot, written down from the documented
// commands: check_config (the signature over sha256sum's output for kexec*.txt),
// verify_checksums (sha256sum -c, and the tree by find | sort -z | cmp).
const headsVerify = `
set -u -o pipefail
cd "$1" || exit 90
names=()
for f in kexec*.txt; do [ -e "$f" ] && names+=("$f"); done
[ ${#names[@]} -gt 0 ] || exit 91
[ -r kexec.sig ] || exit 92
sha256sum "${names[@]}" >"$2/signed" || exit 93
if [ -n "$3" ]; then gpgv --keyring "$3" kexec.sig "$2/signed" 2>"$2/gpgv" || exit 94; fi
sha256sum -c kexec_hashes.txt >"$2/hash_output" 2>&1 || exit 95
busybox sha256sum -c kexec_hashes.txt >/dev/null 2>&1 || exit 96
busybox find ./ ! -path './kexec*' -print0 | busybox sort -z >"$2/tree" || exit 97
cmp -s kexec_tree.txt "$2/tree" || exit 98
if [ -e kexec_default_hashes.txt ]; then sha256sum -c kexec_default_hashes.txt >/dev/null 2>&1 || exit 99; fi
exit 0
`

// needPeers skips a test when a foreign tool is absent, or fails it in CI.
func needPeers(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatalf("%s is required and not installed", tool)
			}
			t.Skipf("%s is not installed", tool)
		}
	}
}

// heads runs headsVerify and returns its exit code and the bytes it would give gpg.
func heads(t testing.TB, dir, keyring string) (code int, signed []byte) {
	t.Helper()
	needPeers(t, "bash", "busybox", "sha256sum", "cmp", "gpgv")
	tmp := t.TempDir()
	cmd := exec.Command("bash", "-c", headsVerify, "heads", dir, tmp, keyring)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + tmp}
	out, err := cmd.CombinedOutput()
	if err != nil {
		var xe *exec.ExitError
		if !errors.As(err, &xe) {
			t.Fatal(err)
		}
		code = xe.ExitCode()
	}
	if len(out) > 0 {
		t.Logf("heads: %s", out)
	}
	signed, _ = os.ReadFile(filepath.Join(tmp, "signed"))
	return code, signed
}

// writeTree makes files below dir; a name ending in "/" is a directory, a content
// beginning with "-> " a link.
func writeTree(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for n, c := range files {
		p := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case strings.HasSuffix(n, "/"):
			err = os.MkdirAll(p, 0o755)
		case strings.HasPrefix(c, "-> "):
			err = os.Symlink(c[3:], p)
		default:
			err = os.WriteFile(p, []byte(c), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// debian is a small /boot as the seller ships it, trigger included.
func debian() map[string]string {
	return map[string]string{
		"vmlinuz-6.1.0-18-amd64":      "kernel 18",
		"vmlinuz-6.1.0-17-amd64":      "kernel 17",
		"initrd.img-6.1.0-18-amd64":   "initrd 18",
		"initrd.img-6.1.0-17-amd64":   "initrd 17",
		"config-6.1.0-18-amd64":       "CONFIG_X=y\n",
		"grub/grub.cfg":               grubDebian,
		"grub/fonts/unicode.pf2":      "font",
		"grub/a name with spaces.mod": "module",
		"grub/i386-pc/empty/":         "",
		"lost+found/":                 "",
		"initrd.img":                  "-> initrd.img-6.1.0-18-amd64",
		"dangling":                    "-> nowhere",
		"grub2/x":                     "sorts after grub/",
		"oem":                         "",
		"kexec_hashes.txt":            "the seller's\n",
		"kexec_lukshdr_hash.txt":      "the seller's\n",
		"kexec_default.3.txt":         "the seller's\n",
		"kexec_hotp_counter":          "17\n",
		"kexec.sig":                   "the seller's\n",
		"kexec_old":                   "nobody knows",
		"kexec_handover.json":         "{}",
		"kexec_handover.json.asc":     "sig",
	}
}

const grubDebian = `set default="0"
function savedefault { true; }
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
	load_video
	insmod gzio
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	search --no-floppy --fs-uuid --set=root 0b4c
	echo	'Loading Linux 6.1.0-18-amd64 ...'
	linux	/vmlinuz-6.1.0-18-amd64 root=/dev/mapper/vg-root ro  quiet
	echo	'Loading initial ramdisk ...'
	initrd	/initrd.img-6.1.0-18-amd64
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1' {
	menuentry 'Debian GNU/Linux, with Linux 6.1.0-18-amd64' --class debian {
		linux	/vmlinuz-6.1.0-18-amd64 root=/dev/mapper/vg-root ro  quiet
		initrd	/initrd.img-6.1.0-18-amd64
	}
	menuentry 'Debian GNU/Linux, with Linux 6.1.0-17-amd64 (recovery mode)' --class debian {
		linux	/vmlinuz-6.1.0-17-amd64 root=/dev/mapper/vg-root ro single
		initrd	/initrd.img-6.1.0-17-amd64
	}
}
menuentry 'UEFI Firmware Settings' {
	fwsetup
}
`

// rollback is a kexec_rollback.txt, whose content /boot knows nothing of.
var rollback = []byte(strings.Repeat("0", 64) + "  /tmp/counter-1234567\n")

// goodSig accepts one signature: "signed:" and the data.
func goodSig(sig, data []byte) error {
	if !bytes.Equal(sig, append([]byte("signed:"), data...)) {
		return errors.New("not that data")
	}
	return nil
}

func sign(data []byte) []byte { return append([]byte("signed:"), data...) }

// TestReplace takes the seller's /boot to the owner's and asks Heads's commands.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, debian())
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := d.Entries()
	if err != nil || len(entries) != 3 {
		t.Fatalf("entries %v, %v", entries, err)
	}
	set, err := d.Build(context.Background(), BuildOptions{
		Extra: map[string][]byte{"kexec_hotp_counter": []byte("2\n"), "kexec_rollback.txt": rollback},
		Entry: Suggest(entries),
	})
	if err != nil {
		t.Fatal(err)
	}
	before, err := d.State()
	if err != nil || !before.OEM || before.Stage != StageNone || len(before.Unlisted) != 1 {
		t.Fatalf("state %+v, %v", before, err)
	}
	if err := d.Commit(goodSig, "kexec_old"); !errors.Is(err, ErrNotStaged) {
		t.Fatalf("commit without stage: %v", err)
	}
	if err := d.Stage(set, sign(set.SignedBytes())); err != nil {
		t.Fatal(err)
	}
	if r, err := d.VerifyStaged(goodSig); err != nil || r.OEM != OEMAdded || !r.OnlyOEM {
		t.Fatalf("staged: %+v, %v", r, err)
	}
	if err := d.Commit(goodSig, "kexec_old"); err != nil {
		t.Fatal(err)
	}
	code, signed := heads(t, dir, "")
	if code != 0 || !bytes.Equal(signed, set.SignedBytes()) {
		t.Fatalf("Heads's commands exit with %d; bytes equal: %v", code, bytes.Equal(signed, set.SignedBytes()))
	}
	r, err := d.Verify(goodSig)
	if err != nil || r.Err() != nil || !r.DefaultOK || r.Default != 1 || r.OEM != OEMAbsent || len(r.Unlisted) != 0 {
		t.Fatalf("report %+v, %v", r, err)
	}
	after, _ := d.State()
	if after.OEM || after.Stage != StageNone || len(after.Hints) != 0 || !after.Handover {
		t.Fatalf("state %+v", after)
	}
	want := "kexec_default.1.txt kexec_default_hashes.txt kexec_hashes.txt kexec_rollback.txt kexec_tree.txt"
	if got := strings.Join(after.Listed, " "); got != want {
		t.Fatalf("listed %s", got)
	}
}
