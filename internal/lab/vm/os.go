package vm

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"reown/internal/lab"
	"reown/internal/lab/initrd"
)

// InstallOS puts an operating system's start files into the laptop's boot
// directory: Debian's kernel as it is there, with an initrd that does what Debian's
// does for an encrypted disk. The directory must be signed again afterwards (lab.Laptop.Sign).
func InstallOS(ctx context.Context, l *lab.Laptop) error {
	kernels, err := filepath.Glob(filepath.Join(l.BootDir(), "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return fmt.Errorf("%d kernels in %s, want 1", len(kernels), l.BootDir())
	}
	version := strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-")
	a := initrd.NewArchive()
	if err := a.Copy("bin/busybox", "/bin/busybox"); err != nil {
		return err
	}
	a.Link("bin/sh", "busybox")
	a.Add("init", 0o755, []byte(osInit))
	if err := a.AddProgram(ctx, "sbin/cryptsetup", "/usr/sbin/cryptsetup"); err != nil {
		return err
	}
	if err := a.AddModules(version, "nvme", "ahci", "sd_mod", "virtio_pci", "virtio_blk", "ext4", "dm_crypt", "xts", "ecb",
		"af_alg", "algif_skcipher", "aesni_intel"); err != nil {
		return err
	}
	return a.Save(filepath.Join(l.BootDir(), "initrd.img-"+version))
}

// StartOS is what a boot script does to start the installed system as Heads does after
// its checks, on the same console and with a shell for the user.
const StartOS = `labd kexec /boot/vmlinuz-* /boot/initrd.img-* "$(grep -o 'console=[^ ]*' /proc/cmdline | tail -n 1) quiet lab.shell"`

// osInit unlocks the disk with /secret.key, which Heads adds when there is a disk
// unlock key, or asks; through dm-crypt. Then it prints the digest of every file, for a
// test, or is a shell, for a person.
const osInit = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mkdir -p /run/cryptsetup
for m in $(cat /etc/modules); do insmod $m 2>/dev/null; done
exec <>/dev/console >&0 2>&1
disk=
n=0
while [ -z "$disk" ] && [ $n -lt 100 ]; do
	for d in /dev/nvme0n1p2 /dev/sda2 /dev/vda2; do [ -b $d ] && disk=$d; done
	sleep 0.1; n=$((n+1))
done
echo "OS-UP on $disk"
if [ -e /secret.key ]; then
	cryptsetup open --key-file /secret.key $disk root && echo "OS-UNLOCKED by the key"
else
	until printf 'Please unlock the disk: ' && read -r p && printf %s "$p" | cryptsetup open --key-file - $disk root; do :; done
	echo "OS-UNLOCKED by the passphrase"
fi
mount -o ro /dev/mapper/root /mnt && cd /mnt
if grep -q lab.shell /proc/cmdline; then
	echo; cat etc/motd
	echo "$(find . -type f | wc -l) files, in $PWD. This is a shell; poweroff -f ends."
	setsid cttyhack sh
else
	find . -type f | while read -r f; do sha256sum "$f"; done
	echo OS-DONE
fi
poweroff -f
`
