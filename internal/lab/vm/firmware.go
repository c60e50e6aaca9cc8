package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"reown/internal/lab/initrd"
)

// modules are the drivers of the virtual laptop.
var modules = []string{
	"qemu_fw_cfg", "virtio_pci", "9pnet_virtio", "9p", // the lab's own: settings, and the flash chip as a file
	"nvme", "ahci", "sd_mod", "virtio_blk", "ext4",
	"xhci_pci", "usbhid", "hid_generic",
	"bochs",
}

// Firmware is what stands in for coreboot's payload: a kernel and an initrd.
type Firmware struct {
	Kernel *initrd.Kernel
	Initrd string
	size   int64 // of the initrd, bytes
}

// NewFirmware builds the kernel and initrd in dir around two static binaries: reown,
// and the lab's own program, which is labd in the guest.
func NewFirmware(ctx context.Context, dir, reown, labd string) (*Firmware, error) {
	kernel, err := initrd.FindKernel(ctx, filepath.Join(dir, "vmlinux"))
	if err != nil {
		return nil, err
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, fmt.Errorf("busybox: %w", initrd.ErrMissing)
	}
	if bytes.Contains(busybox, []byte("/lib64/ld-linux")) {
		return nil, fmt.Errorf("a static busybox (package busybox-static): %w", initrd.ErrMissing)
	}
	a := initrd.NewArchive()
	a.Add("bin/busybox", 0o755, busybox)
	a.Link("bin/sh", "busybox")
	a.Add("init", 0o755, []byte(initScript))
	for name, from := range map[string]string{"bin/reown": reown, "bin/labd": labd} {
		if err := a.Copy(name, from); err != nil {
			return nil, err
		}
	}
	if err := a.AddModules(kernel.Version, modules...); err != nil {
		return nil, err
	}
	f := &Firmware{Kernel: kernel, Initrd: filepath.Join(dir, "initrd")}
	if err := a.Save(f.Initrd); err != nil {
		return nil, err
	}
	st, err := os.Stat(f.Initrd)
	if err != nil {
		return nil, err
	}
	f.size = st.Size()
	return f, nil
}

// initScript does what Heads' /init does as far as reown can tell the difference:
// mounts, measures, loads drivers, mounts /boot read-only and starts the boot script
// with the console as its controlling terminal. The lab's settings come through
// QEMU's fw_cfg: what to measure, Heads' configuration, and the boot script.
const initScript = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin
unset LANG LC_ALL
mkdir /dev/pts; mount -t devpts devpts /dev/pts
mkdir -p /tmp/secret /media
for m in $(cat /etc/modules); do
	case $m in */bochs.ko) grep -q lab.text /proc/cmdline && continue;; esac # it would leave the text mode
	insmod $m 2>/dev/null || echo "lab: no $m" >/dev/kmsg
done
# On a busy host the driver may give up before the emulated TPM has answered.
n=0
while [ ! -c /dev/tpm0 ] && [ $n -lt 20 ]; do
	for d in /sys/bus/acpi/devices/MSFT0101:*; do echo ${d##*/} >/sys/bus/acpi/drivers/tpm_crb/bind; done 2>/dev/null
	for d in /sys/bus/pnp/devices/*; do grep -q PNP0C31 $d/id && echo ${d##*/} >/sys/bus/pnp/drivers/tpm_tis/bind; done 2>/dev/null
	n=$((n+1)); sleep 0.2
done
[ $n = 0 ] || echo "the TPM came at attempt $n" >/dev/kmsg
labd agent /dev/ttyS1 &
lab=/sys/firmware/qemu_fw_cfg/by_name/opt/lab
labd measure $lab/measure/raw || echo "lab: not measured" >/dev/ttyS0
cat $lab/config/raw >/tmp/config
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=none flash /flash
cat $lab/devices/raw >/tmp/lab-devices
. /tmp/lab-devices
n=0
while [ ! -b "$LUKS_DEV" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
mount -o ro $BOOT_DEV /boot
cat $lab/script/raw >/tmp/script
read -r up _ </proc/uptime; echo "LAB-UP $up" >/dev/ttyS0
setsid cttyhack sh /tmp/script
while :; do sleep 1000; done
`
