package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"reown/internal/lab/initrd"
)

// makeBootDir fills a directory as Debian's installer leaves /boot: the host's
// own kernel and initrd, a grub.cfg with a submenu, and what mke2fs puts there. With lean
// the initrd is a small one.
func makeBootDir(dir string, lean bool) error {
	kernels, err := filepath.Glob("/boot/vmlinuz-*")
	if err != nil || len(kernels) == 0 {
		return fmt.Errorf("no Debian kernel in /boot (package linux-image-amd64)")
	}
	sort.Strings(kernels)
	version := strings.TrimPrefix(filepath.Base(kernels[len(kernels)-1]), "vmlinuz-")
	for name, perm := range map[string]os.FileMode{"grub": 0o755, "lost+found": 0o700} {
		if err := os.MkdirAll(filepath.Join(dir, name), perm); err != nil {
			return err
		}
	}
	names := []string{"vmlinuz-", "config-", "System.map-"}
	if !lean {
		names = append(names, "initrd.img-")
	}
	for _, name := range names {
		if err := copyFile(filepath.Join(dir, name+version), "/boot/"+name+version); err != nil {
			return err
		}
	}
	if lean {
		a := initrd.NewArchive()
		a.Add("init", 0o755, []byte("#!/bin/sh\nexec switch_root /root /sbin/init\n"))
		if err := a.Save(filepath.Join(dir, "initrd.img-"+version)); err != nil {
			return err
		}
	}
	cfg := strings.ReplaceAll(grubCfg, "VERSION", version)
	return os.WriteFile(filepath.Join(dir, "grub/grub.cfg"), []byte(cfg), 0o644)
}

const grubCfg = `### BEGIN /etc/grub.d/10_linux ###
set default="0"
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux --class os $menuentry_id_option 'gnulinux-simple-lab' {
	load_video
	insmod gzio
	insmod part_gpt
	insmod ext2
	echo	'Loading Linux VERSION ...'
	linux	/vmlinuz-VERSION root=LABEL=root ro quiet
	echo	'Loading initial ramdisk ...'
	initrd	/initrd.img-VERSION
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-lab' {
	menuentry 'Debian GNU/Linux, with Linux VERSION (recovery mode)' --class debian $menuentry_id_option 'gnulinux-recovery-lab' {
		linux	/vmlinuz-VERSION root=LABEL=root ro single
		initrd	/initrd.img-VERSION
	}
}
### END /etc/grub.d/10_linux ###
`

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(dst)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// headsHash writes kexec_hashes.txt, kexec_tree.txt and the default entry with
// the commands of Heads' kexec-sign-config.sh and oem-factory-reset.sh.
func headsHash(ctx context.Context, dir string) error {
	const script = `set -e; cd "$1"; export LC_ALL=C
find ./ -type f ! -path './kexec*' -print0 | xargs -0 sha256sum > /tmp/.$$; mv /tmp/.$$ kexec_hashes.txt
find ./ ! -path './kexec*' -print0 | busybox sort -z > kexec_tree.txt`
	_, err := tool(ctx, nil, "bash", "-c", script, "heads", dir)
	return err
}

// HeadsSignedBytes returns what Heads' check_config pipes into gpgv.
func HeadsSignedBytes(ctx context.Context, dir string) ([]byte, error) {
	return tool(ctx, nil, "bash", "-c", `cd "$1" && LC_ALL=C && sha256sum kexec*.txt`, "heads", dir)
}

// HeadsVerify checks /boot as Heads does before it boots: the signature over the
// kexec*.txt files with the given keyring, then the hashes, then the tree.
func HeadsVerify(ctx context.Context, dir, keyring string) error {
	signed, err := HeadsSignedBytes(ctx, dir)
	if err != nil {
		return err
	}
	if _, err := tool(ctx, strings.NewReader(string(signed)), "gpgv", "--keyring", keyring,
		filepath.Join(dir, "kexec.sig"), "-"); err != nil {
		return err
	}
	const script = `set -e; cd "$1"; export LC_ALL=C
sha256sum --quiet -c kexec_hashes.txt
find ./ ! -path './kexec*' -print0 | busybox sort -z | cmp - kexec_tree.txt`
	_, err = tool(ctx, nil, "bash", "-c", script, "heads", dir)
	return err
}
