package vm

import (
	"context"
	"debug/elf"
	"os"
	"path/filepath"
	"strings"

	"reown/internal/lab"
)

// InstallOS puts an operating system's start files into the laptop's boot
// directory: Debian's kernel as it is there, with an initrd that does what Debian's
// does for an encrypted disk, and prints the digest of every file it finds. The
// directory must be signed again afterwards (Resign).
func InstallOS(ctx context.Context, l *lab.Laptop, k *Kernel) error {
	a := NewArchive()
	if err := a.Copy("bin/busybox", "/bin/busybox"); err != nil {
		return err
	}
	a.Link("bin/sh", "busybox")
	a.Add("init", 0o755, []byte(osInit))
	if err := a.program(ctx, "sbin/cryptsetup"); err != nil {
		return err
	}
	if err := a.AddModules(k.Version, "nvme", "ahci", "sd_mod", "virtio_pci", "virtio_blk", "ext4", "dm_crypt", "xts", "ecb", "af_alg", "algif_skcipher", "aesni_intel"); err != nil {
		return err
	}
	return a.Save(filepath.Join(l.BootDir(), "initrd.img-"+k.Version))
}

// program adds a dynamic program of this machine with its libraries.
func (a *Archive) program(ctx context.Context, name string) error {
	path := "/usr/" + name
	if err := a.Copy(name, path); err != nil {
		return err
	}
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	out, err := run(ctx, nil, "ldd", path)
	if err != nil {
		return err
	}
	for _, w := range strings.Fields(string(out)) {
		if strings.HasPrefix(w, "/") {
			if _, err := os.Stat(w); err != nil {
				continue
			}
			if err := a.Copy(w, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// osInit unlocks the disk with /secret.key, which Heads adds when there is a disk
// unlock key, or asks; through dm-crypt.
const osInit = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mkdir -p /run/cryptsetup
for m in $(cat /etc/modules); do insmod $m 2>/dev/null; done
exec <>/dev/ttyS0 >&0 2>&1
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
mount -o ro /dev/mapper/root /mnt && cd /mnt && find . -type f | while read -r f; do sha256sum "$f"; done
echo OS-DONE
poweroff -f
`
