package vm

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/internal/lab"
)

// TestTheKeyOpensTheDisk takes a laptop over with a disk unlock key, in host mode; Heads'
// commands unseal it as at a start; and the installed system, given the key in its initrd
// as Heads does, opens the disk through dm-crypt without asking.
func TestTheKeyOpensTheDisk(t *testing.T) {
	if os.Getenv("REOWN_SOAK") != "1" {
		t.Skip("one more start of a virtual machine: REOWN_SOAK=1")
	}
	l, fw := newLaptop(t)
	ctx := deadline(t, 15*time.Minute)
	if err := Collect(ctx, l); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	offset, size := l.Window()
	v, err := lab.CopyVolume(l.Disk(), offset, size, l.Dir)
	if err != nil {
		t.Fatal(err)
	}
	uuid, err := run(ctx, nil, "cryptsetup", "luksUUID", v.Path)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(v.Path)
	known, made, answers := filepath.Join(l.Dir, "known.json"), filepath.Join(l.Dir, "made.json"), filepath.Join(l.Dir, "answers.json")
	id := strings.TrimSpace(string(uuid))
	writeJSON(t, known, map[string]string{"secret.current": l.Seller.Disk})
	writeJSON(t, answers, map[string]string{"language": "en", "verify": "match", "duk": "yes", "confirm": id[len(id)-4:]})
	out, err := exec.Command(base.reown, append([]string{"wizard", "--no-input", "--answers", answers, "--secrets-in", known, "--secrets-out", made}, l.Flags()...)...).CombinedOutput()
	if err != nil {
		seen, _ := exec.Command(base.reown, append([]string{"verify"}, l.Flags()...)...).CombinedOutput()
		t.Fatalf("%v\n%s\n%s", err, out, seen)
	}
	if err := l.PowerCycle(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Heads.MeasureHeaders(ctx, filepath.Join(l.BootDir(), "kexec_lukshdr_hash.txt")); err != nil {
		t.Fatal(err)
	}
	key, err := l.Heads.UnsealDUK(ctx, readJSON(t, made)["secret.duk"])
	if err != nil {
		t.Fatal(err)
	}
	l.Stop()
	if err := Install(ctx, l); err != nil {
		t.Fatal(err)
	}
	m := boot(t, ctx, l, Options{Firmware: fw, Script: fmt.Sprintf(`mkdir /tmp/key; cd /tmp/key; echo %s | base64 -d >secret.key
dd if=/boot/initrd.img-%s of=/tmp/initrd bs=512 conv=sync; echo secret.key | cpio -H newc -o >>/tmp/initrd
labd kexec /boot/vmlinuz-%s /tmp/initrd 'console=ttyS0 quiet'`, base64.StdEncoding.EncodeToString(key), fw.Kernel.Version, fw.Kernel.Version)})
	for _, wait := range []string{"OS-UP", "OS-UNLOCKED by the key", "OS-DONE"} {
		if err := m.WaitConsole(ctx, wait); err != nil {
			t.Fatalf("%v\n%s", err, m.Console())
		}
	}
	if strings.Contains(m.Console(), "Please unlock") {
		t.Error("a passphrase was asked for")
	}
	got := map[string]string{}
	for line := range strings.Lines(m.Console()) {
		if f := strings.Fields(line); len(f) == 2 && len(f[0]) == 64 {
			got[strings.TrimPrefix(f[1], ".")] = f[0]
		}
	}
	if err := lab.SameFiles(got, l.Files); err != nil {
		t.Errorf("the files that the installed system sees: %v", err)
	}
}
