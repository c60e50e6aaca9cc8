package vm

import (
	"encoding/base64"
	"fmt"
	"os"
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
	uuid := hostMode(t, ctx, l)
	key, _ := takeWithKey(t, ctx, l, uuid)
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
	if err := lab.SameFiles(listed(m.Console()), l.Files); err != nil {
		t.Errorf("the files that the installed system sees: %v", err)
	}
}
