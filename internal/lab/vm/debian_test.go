package vm

import (
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/internal/lab"
)

// installDebian gives the laptop the initrd that Debian itself makes for an encrypted disk
// without LVM (initramfs-tools, cryptsetup-initramfs), and a grub.cfg that names the opened
// disk as Debian's installer does. A script of initramfs-tools lists the files of the root
// in the place of starting its init, which the laptop does not have.
func installDebian(ctx context.Context, l *lab.Laptop, version, uuid string) error {
	work, err := os.MkdirTemp("", "initramfs")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	const makeInitrd = `set -e
cp -r /etc/initramfs-tools "$1/conf"
sed -i 's/^MODULES=.*/MODULES=list/' "$1/conf/initramfs.conf"
printf '%s\n' nvme ahci sd_mod virtio_pci virtio_blk ext4 dm_crypt xts ecb aesni_intel >>"$1/conf/modules"
mkdir -p "$1/conf/scripts/init-bottom"
cat >"$1/conf/scripts/init-bottom/zz-lab" <<'END'
#!/bin/sh
[ "$1" != prereqs ] || exit 0
cd "${rootmnt}" && find . -xdev -type f | while read -r f; do sha256sum "$f"; done
echo OS-DONE
poweroff -f
END
chmod 755 "$1/conf/scripts/init-bottom/zz-lab"
echo "sda3_crypt UUID=$3 none luks,discard,initramfs" >"$1/crypttab"
mount --bind "$1/crypttab" /etc/crypttab
mkinitramfs -d "$1/conf" -o "$1/initrd" "$2"`
	if _, err := run(ctx, nil, "unshare", "--mount", "sh", "-c", makeInitrd, "sh", work, version, uuid); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(work, "initrd"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(l.BootDir(), "initrd.img-"+version), data, 0o644); err != nil {
		return err
	}
	name := filepath.Join(l.BootDir(), "grub/grub.cfg")
	cfg, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, []byte(strings.ReplaceAll(string(cfg), "root=LABEL=root", "root=/dev/mapper/sda3_crypt")),
		0o644); err != nil {
		return err
	}
	defer l.GPG.Kill()
	return l.Sign(ctx)
}

// headsInsertsKey is kexec-insert-key.sh: the key, and the crypttab that takes it, in one more
// archive behind the initrd.
const headsInsertsKey = `
mkdir -p /tmp/secret/initrd; cd /tmp/secret/initrd
echo KEY | base64 -d >secret.key
[ ! -r /boot/kexec_initrd_crypttab_overrides.txt ] || OVERRIDE
dd if=/boot/initrd.img-VERSION of=/tmp/initrd bs=512 conv=sync
find . -type f | cpio -H newc -o >>/tmp/initrd
labd kexec /boot/vmlinuz-VERSION /tmp/initrd 'root=/dev/mapper/sda3_crypt ro quiet loglevel=1 console=ttyS0'
`

const headsOverridesCrypttab = `cat /boot/kexec_initrd_crypttab_overrides.txt | while read line; do
	crypttab_file=$(echo "$line" | awk -F ':' {'print $1'})
	crypttab_entry=$(echo "$line" | awk -F ':' {'print $NF'})
	mkdir -p "./$(dirname $crypttab_file)"
	echo "$crypttab_entry" | tee -a "./$crypttab_file" >/dev/null
done`

// TestTheKeyOpensDebian takes over a laptop whose system is Debian without LVM, with a disk
// unlock key. Debian's own initrd then opens the disk without asking, because of the
// crypttab that the wizard left for Heads; without that it asks.
func TestTheKeyOpensDebian(t *testing.T) {
	if os.Getenv("REOWN_SOAK") != "1" {
		t.Skip("makes an initrd and starts two virtual machines: REOWN_SOAK=1")
	}
	if _, err := os.Stat("/usr/share/initramfs-tools/hooks/cryptroot"); err != nil || os.Getuid() != 0 {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal("needs root (a mount of its own over /etc/crypttab), and Debian's cryptsetup-initramfs")
		}
		t.Skip("needs root (a mount of its own over /etc/crypttab), and Debian's cryptsetup-initramfs")
	}
	l, fw := newLaptop(t)
	ctx := deadline(t, 25*time.Minute)
	uuid := hostMode(t, ctx, l)
	if err := installDebian(ctx, l, fw.Kernel.Version, uuid); err != nil {
		t.Fatal(err)
	}
	key, made := takeWithKey(t, ctx, l, uuid)
	over, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_initrd_crypttab_overrides.txt"))
	if want := "/cryptroot/crypttab:sda3_crypt UUID=" + uuid + " /secret.key luks,discard,initramfs\n"; err != nil ||
		string(over) != want {
		t.Fatalf("the overrides are %q, want %q (%v)", over, want, err)
	}
	l.Stop()
	if err := Install(ctx, l); err != nil {
		t.Fatal(err)
	}
	for _, overrides := range []bool{true, false} {
		script := strings.NewReplacer("KEY", base64.StdEncoding.EncodeToString(key), "VERSION", fw.Kernel.Version, "OVERRIDE",
			"{ "+headsOverridesCrypttab+"; }").Replace(headsInsertsKey)
		if !overrides {
			script = strings.ReplaceAll(script, "[ ! -r /boot/kexec_initrd_crypttab_overrides.txt ]", "true")
		}
		m := boot(t, ctx, l, Options{Firmware: fw, Script: script})
		if !overrides {
			if err := m.WaitConsole(ctx, "Please unlock disk sda3_crypt"); err != nil {
				t.Fatalf("%v\n%s", err, m.Console())
			}
			if err := m.WriteConsole([]byte(made["secret.disk"] + "\r")); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.WaitConsole(ctx, "OS-DONE"); err != nil {
			t.Fatalf("%v\n%s", err, m.Console())
		}
		if overrides && strings.Contains(m.Console(), "Please unlock") {
			t.Error("a passphrase was asked for")
		}
		if err := lab.SameFiles(listed(m.Console()), l.Files); err != nil {
			t.Errorf("the files that Debian sees: %v\n%s", err, m.Console())
		}
		m.Cut()
	}
}

// takeWithKey takes the laptop over with a disk unlock key, in host mode, and returns what
// Heads' commands unseal at the next start, and the owner's secrets.
func takeWithKey(t *testing.T, ctx context.Context, l *lab.Laptop, uuid string) ([]byte, map[string]string) {
	t.Helper()
	known, made, answers := filepath.Join(l.Dir, "known.json"), filepath.Join(l.Dir, "made.json"),
		filepath.Join(l.Dir, "answers.json")
	writeJSON(t, known, map[string]string{"secret.current": l.Seller.Disk})
	writeJSON(t, answers, map[string]string{"language": "en", "verify": "match", "duk": "yes",
		"confirm": uuid[len(uuid)-4:]})
	out, err := exec.CommandContext(ctx, base.reown,
		append([]string{"wizard", "--no-input", "--answers", answers, "--secrets-in", known, "--secrets-out", made},
			l.Flags()...)...).CombinedOutput()
	if err != nil {
		seen, _ := exec.CommandContext(ctx, base.reown, append([]string{"verify"}, l.Flags()...)...).CombinedOutput()
		t.Fatalf("%v\n%s\n%s", err, out, seen)
	}
	if err := l.PowerCycle(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Heads.MeasureHeaders(ctx, filepath.Join(l.BootDir(), "kexec_lukshdr_hash.txt")); err != nil {
		t.Fatal(err)
	}
	secrets := readJSON(t, made)
	key, err := l.Heads.UnsealDUK(ctx, secrets["secret.duk"])
	if err != nil {
		t.Fatal(err)
	}
	return key, secrets
}

// listed are the digests of files that a started system printed.
func listed(console string) map[string]string {
	got := map[string]string{}
	for line := range strings.Lines(console) {
		if f := strings.Fields(line); len(f) == 2 && len(f[0]) == 64 {
			got[strings.TrimPrefix(f[1], ".")] = f[0]
		}
	}
	return got
}
