package luks_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/internal/lab/initrd"
	"reown/luks"
	"reown/luks/lukstest"
)

// guest1 is the init of a virtual machine in which cryptsetup re-encrypts disks of
// LUKS1, which needs device mapper. Each line of /cases is a disk, the signal, the
// number of bytes after which it is sent, and options.
const guest1 = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mkdir -p /run/cryptsetup
for m in $(cat /etc/modules); do insmod $m; done
exec >/dev/console 2>&1
while read disk sig after options; do
	mkdir -p /w/$disk; cd /w/$disk
	cryptsetup luksFormat --batch-mode --type luks1 --key-size 256 --pbkdf-force-iterations 1000 --key-file /key /dev/$disk
	cryptsetup open --key-file /key /dev/$disk data
	cp /dev/$disk /dev/null
	cat /plain >/dev/mapper/data; sync
	cryptsetup luksDump --batch-mode --dump-master-key --master-key-file old.key --key-file /key /dev/$disk
	cryptsetup close data
	cryptsetup reencrypt --batch-mode --pbkdf-force-iterations 1000 -B 1 --key-file /key $options /dev/$disk &
	pid=$!
	n=0
	while [ -d /proc/$pid ] && [ ${n:-0} -lt $after ]; do n=$(sed -n 's/^wchar: //p' /proc/$pid/io 2>/dev/null); done
	if [ $sig = CUT ]; then
		kill -STOP $pid
		tar -cf /dev/tape -C /w . && sync -d /dev/tape
		echo GUEST-DONE
		echo b >/proc/sysrq-trigger
	fi
	kill -$sig $pid; wait $pid
	echo "GUEST $disk rc $? after $n"
	for d in /dev/mapper/LUKS-*; do [ -e $d ] && dmsetup remove $(basename $d) 2>/dev/null; done
	sync
done </cases
`

// A left1 is what cryptsetup's re-encryption of a LUKS1 disk left.
type left1 struct {
	disk string
	dir  map[string][]byte // the files beside which it ran
}

// reencrypted1 runs the cases in a virtual machine.
func reencrypted1(t *testing.T, p *lukstest.Peer, plain []byte, cases []string) []left1 {
	t.Helper()
	for _, tool := range []string{"qemu-system-x86_64", "busybox", "cryptsetup", "dmsetup"} {
		lukstest.Need(t, tool)
	}
	kernels, _ := filepath.Glob("/boot/vmlinuz-*")
	if len(kernels) == 0 {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal("no kernel in /boot")
		}
		t.Skip("no kernel in /boot")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	a := initrd.NewArchive()
	err = errors.Join(a.Copy("bin/busybox", busybox), a.AddProgram(ctx, "sbin/cryptsetup", "/usr/sbin/cryptsetup"),
		a.AddProgram(ctx, "sbin/dmsetup", "/usr/sbin/dmsetup"),
		a.AddModules(strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-"), "virtio_pci", "virtio_blk", "dm_crypt", "xts",
			"ecb", "af_alg", "algif_skcipher", "algif_hash", "aesni_intel"))
	if err != nil {
		t.Fatal(err)
	}
	a.Link("bin/sh", "busybox")
	a.Add("key", 0o600, []byte("first"))
	a.Add("plain", 0o600, plain)
	a.Add("cases", 0o600, []byte(strings.Join(cases, "\n")+"\n"))
	script := strings.ReplaceAll(guest1, "/dev/tape", fmt.Sprintf("/dev/vd%c", 'a'+len(cases)))
	a.Add("init", 0o755, []byte(script))
	rd := p.Path("initrd")
	if err := a.Save(rd); err != nil {
		t.Fatal(err)
	}
	args := []string{"-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", "512", "-nodefaults", "-no-user-config",
		"-display", "none", "-no-reboot",
		"-kernel", kernels[0], "-initrd", rd, "-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio"}
	var out []left1
	for i := range len(cases) + 1 {
		name := p.Write(fmt.Sprintf("vd%c", 'a'+i), nil)
		size := int64(len(plain)) + 2<<20
		if i == len(cases) {
			size = int64(4 << 20 * (len(cases) + 1)) // the tape
		}
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-drive", fmt.Sprintf("if=none,id=d%d,format=raw,file=%s", i, name), "-device",
			fmt.Sprintf("virtio-blk-pci,drive=d%d", i))
		if i < len(cases) {
			out = append(out, left1{name, map[string][]byte{}})
		}
	}
	text, err := exec.CommandContext(ctx, "qemu-system-x86_64", args...).CombinedOutput()
	t.Logf("%s", text)
	if err != nil || !bytes.Contains(text, []byte("GUEST-DONE")) {
		t.Fatal(err)
	}
	tape := tar.NewReader(bytes.NewReader(p.Read(fmt.Sprintf("vd%c", 'a'+len(cases)))))
	for {
		h, err := tape.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		dir, name := filepath.Split(filepath.Clean(h.Name))
		for i := range out {
			if filepath.Base(out[i].disk) == filepath.Base(dir) && h.Typeflag == tar.TypeReg {
				b, err := io.ReadAll(tape)
				if err != nil {
					t.Fatal(err)
				}
				out[i].dir[name] = b
			}
		}
	}
}

// What cryptsetup leaves of a LUKS1 disk when a signal or a power failure ends it, made
// by the real one behind the kernel's dm-crypt, is finished with the files that it wrote.
func TestRescueWithLUKS1Files(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a virtual machine: skipped by -short")
	}
	ctx := context.Background()
	p := lukstest.NewPeer(t)
	plain := prose(8 << 20)
	cases := []string{"vda KILL 8000000 --write-log", "vdb CUT 8500000"}
	if lukstest.Soak() {
		cases = append(cases, "vdc KILL 5500000", "vdd TERM 6500000")
	}
	resume := func(d *lukstest.Disk, dir string, o luks.RescueOptions) (luks.Rescue, error) {
		o.LogDir = dir
		v, err := luks.OpenAside(d)
		if err != nil {
			return luks.Rescue{}, err
		}
		found, err := v.Rescue(ctx, pass("first"), o)
		if err == nil && !o.DryRun {
			err = v.Resume(ctx, pass("first"), luks.ReencryptOptions{})
		}
		return found, err
	}
	for i, l := range reencrypted1(t, p, plain, cases) {
		dir := t.TempDir()
		log := ""
		for n, b := range l.dir {
			if err := os.WriteFile(filepath.Join(dir, n), b, 0o600); err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(n, ".log") {
				log = filepath.Join(dir, n)
			}
		}
		img, err := os.ReadFile(l.disk)
		if err != nil {
			t.Fatal(err)
		}
		base := strings.TrimSuffix(log, ".log")
		vk, err := p.VolumeKey(base+".new", p.Write("key", []byte("first")))
		if err != nil {
			t.Fatal(err)
		}
		const data = 2 << 20
		judge := func(b []byte) error {
			p.Write("img", b)
			if out, err := p.Try("luksDump", p.Path("img")); err != nil || strings.Contains(out, "reencrypt") {
				return fmt.Errorf("not finished: %v", err)
			}
			now, err := p.VolumeKey(p.Path("img"), p.Path("key"))
			if err != nil {
				return err
			}
			if !bytes.Equal(now, vk) || !bytes.Equal(lukstest.XTS(vk, b[data:], 512, false), plain) {
				return errors.New("LOST: the data differs")
			}
			return nil
		}
		same := func(name string, want error, dir string, img []byte, o luks.RescueOptions) {
			t.Helper()
			d := lukstest.NewDisk(bytes.Clone(img), 512)
			if _, err := resume(d, dir, o); !errors.Is(err, want) || want == nil && err != nil || !bytes.Equal(d.Bytes(), img) {
				t.Errorf("%s, %s: %v; changed: %v", cases[i], name, err, !bytes.Equal(d.Bytes(), img))
			}
		}
		o := luks.RescueOptions{InOrder: !strings.Contains(cases[i], "CUT")}
		d := lukstest.NewDisk(bytes.Clone(img), 512)
		d.Record()
		found, err := resume(d, dir, o)
		if err == nil {
			err = judge(d.Bytes())
		}
		t.Logf("%s: %+v, %v", cases[i], found, err)
		if err != nil {
			t.Errorf("%s: %v", cases[i], err)
			continue
		}
		o.DryRun = true
		same("dry run", nil, dir, img, o)
		o.DryRun = false
		if i > 1 || i > 0 && !lukstest.Soak() {
			continue
		}
		// Interrupted itself, at any write, and started again: with the same files.
		ops := d.Log()
		step := 1
		if !lukstest.Soak() {
			step = 1 + len(ops)/12
		}
		points := 0
		r := rand.New(rand.NewPCG(2, uint64(i)))
		for k := 0; k <= len(ops); k += step {
			left := lukstest.NewDisk(lukstest.Replay(img, lukstest.PowerLoss(ops, k, 512, 0.5, r)), 512)
			points++
			v, err := luks.OpenAside(left)
			if err == nil && len(v.Info().Requirements) == 0 && v.Info().Version == 2 {
				err = v.Scrub(ctx) // finished
			} else if err == nil {
				_, err = resume(left, dir, o)
			}
			if err == nil && !bytes.Equal(lukstest.XTS(vk, left.Bytes()[data:], 512, false), plain) {
				err = errors.New("LOST: the data differs")
			}
			if err != nil {
				t.Errorf("%s, power fails after %d of %d operations of the rescue: %v", cases[i], k, len(ops), err)
			}
		}
		t.Logf("%s: %d power failures in the rescue", cases[i], points)
		// cryptsetup can go on from the header that the rescue writes.
		half := lukstest.NewDisk(bytes.Clone(img), 512)
		v, err := luks.OpenAside(half)
		if err != nil {
			t.Fatal(err)
		}
		o.LogDir = dir
		if _, err := v.Rescue(ctx, pass("first"), o); err != nil {
			t.Fatal(err)
		}
		p.Write("img", half.Bytes())
		p.Run("reencrypt", "--resume-only", "--force-offline-reencrypt", "--batch-mode", "--key-file", p.Path("key"),
			p.Path("img"))
		if err := judge(p.Read("img")); err != nil {
			t.Errorf("%s, finished by cryptsetup: %v", cases[i], err)
		}

		text := p.ReadPath(log)
		again := func(ext string, b []byte) string {
			t.Helper()
			other := t.TempDir()
			for n, was := range l.dir {
				if strings.HasSuffix(n, ext) {
					was = b
				}
				if was != nil {
					if err := os.WriteFile(filepath.Join(other, n), was, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			return other
		}
		same("no new header", luks.ErrLUKS1Files, again(".new", nil), img, o)
		same("new header torn", luks.ErrLUKS1Files, again(".new", []byte("LUKS")), img, o)
		same("old header in place of the new", luks.ErrWrongPassphrase, again(".new", wrongKey(p, base+".new")), img, o)
		same("another volume's log", luks.ErrLUKS1Files,
			again(".log", bytes.Replace(text, []byte("UUID = "), []byte("UUID = 0"), 1)[:512]), img, o)
		// Nothing is known of the data where it stopped.
		at := found.Position
		unclear := bytes.Clone(img)
		copy(unclear[data+at:], lukstest.Random(8192, 9))
		same("random at the position", luks.ErrUnproven1, dir, unclear, o)
		unclear = bytes.Clone(img)
		copy(unclear[data+at/2:], lukstest.Random(512, 9))
		same("random before the position, power lost", luks.ErrUnproven1, dir, unclear, luks.RescueOptions{})
		if off := bytes.Index(text, []byte("offset = ")); off > 0 {
			beyond := bytes.Clone(text)
			copy(beyond[off:], fmt.Sprintf("offset = %d\nshift = 0\n# EOF\n\x00\x00\x00\x00\x00\x00\x00\x00", at+4096))
			clear(beyond[off+len(fmt.Sprintf("offset = %d\nshift = 0\n# EOF\n", at+4096)):])
			same("a log ahead of the data", luks.ErrUnproven1, again(".log", beyond), img, luks.RescueOptions{InOrder: true})
		}
	}
}

// wrongKey is a header of which the passphrase opens no keyslot.
func wrongKey(p *lukstest.Peer, header string) []byte {
	b := p.ReadPath(header)
	clear(b[4096 : 4096+128<<10])
	return b
}
