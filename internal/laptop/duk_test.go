package laptop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"reown/luks"
	"reown/tpm"
	"reown/tpm/tpmtest"
	"reown/wizard"
)

func TestTheTPMsRestartIsTheWizards(t *testing.T) {
	for _, err := range []error{tpm.ErrRestartNeeded, tpm.ErrCounterBusy} {
		if got := restart(fmt.Errorf("resetting: %w", err)); !errors.Is(got, wizard.ErrRestart) || !errors.Is(got, err) {
			t.Errorf("%v", got)
		}
	}
	if got := restart(tpm.ErrNVFull); errors.Is(got, wizard.ErrRestart) {
		t.Errorf("%v", got)
	}
}

func TestSplitLVM(t *testing.T) {
	for name, want := range map[string][2]string{
		"qubes_dom0-root": {"qubes_dom0", "root"}, "my--group-a--volume": {"my-group", "a-volume"}, "vg--x-y": {"vg-x", "y"},
	} {
		if vg, lv, ok := splitLVM(name); !ok || vg != want[0] || lv != want[1] {
			t.Errorf("%s: %q %q %v", name, vg, lv, ok)
		}
	}
	for _, name := range []string{"", "luks", "a--b", "-x", "x-", "luks-6f0b8a2e-93f1-4d1c-8f6d-2a7d7c1b5e90"} {
		if vg, lv, ok := splitLVM(name); ok {
			t.Errorf("%s: %q %q", name, vg, lv)
		}
	}
}

// The only way into a volume is not taken for the disk unlock key, whatever its number.
func TestHasDUK(t *testing.T) {
	slots := func(ids ...int) *luks.Info {
		i := &luks.Info{Version: 2}
		for _, n := range ids {
			i.Keyslots = append(i.Keyslots, luks.KeyslotInfo{ID: n, Type: "luks2"})
		}
		return i
	}
	for _, c := range []struct {
		i    *luks.Info
		want bool
	}{{slots(0), false}, {slots(31), false}, {slots(0, 31), true}, {slots(0, 1), false}, {slots(), false}} {
		if got := hasDUK(c.i); got != c.want {
			t.Errorf("%+v: %v", c.i.Keyslots, got)
		}
	}
}

// unlockOn is a disk unlock key on a TPM with a storage root, below a root directory of
// its own, and without disks.
func unlockOn(t *testing.T, heads map[string]string) (*diskUnlock, *tpm.TPM) {
	t.Helper()
	dir, err := os.MkdirTemp("", "duk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := tpmtest.Start(dir)
	if err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(s.Stop)
	p, err := tpm.Open(s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	return &diskUnlock{tpm: &tpmAdapter{t: p}, heads: heads, root: t.TempDir(), sysfs: t.TempDir(),
		tabs: tabsOf(t, nil, "Fedora|/initramfs|root=UUID=1")}, p
}

func put(t *testing.T, root, name, text string, mode os.FileMode) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// PCR 5 is known where the firmware loads nothing, or where this start has measured
// exactly what each start loads; otherwise the key is left to Heads.
func TestPCR5IsKnownOrLeftToHeads(t *testing.T) {
	ctx := context.Background()
	k, p := unlockOn(t, map[string]string{})
	extend := func(text string) {
		t.Helper()
		if err := p.ExtendPCR(ctx, 5, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	value := func() ([]byte, error) { return k.pcr5(ctx, &tpm.EventLog{}, 32) }
	extend("usb-storage") // for the wizard's own sake; it is not there at the next start
	if v, err := value(); err != nil || string(v) != string(make([]byte, 32)) {
		t.Fatalf("a board that loads nothing: %x %v", v, err)
	}
	// A board with a keyboard on USB loads drivers first.
	k.heads["CONFIG_USB_KEYBOARD_REQUIRED"] = "y"
	if _, err := value(); !errors.Is(err, wizard.ErrLeftToFirmware) {
		t.Errorf("without the modules' files: %v", err)
	}
	for _, m := range append(usbModules, "usbhid") {
		put(t, k.root, "lib/modules/"+m+".ko", m, 0o644)
	}
	if _, err := value(); !errors.Is(err, wizard.ErrLeftToFirmware) {
		t.Errorf("after something else was loaded: %v", err)
	}
	if err := k.Possible(ctx); !errors.Is(err, wizard.ErrLeftToFirmware) {
		t.Errorf("possible: %v", err)
	}
	k, p = unlockOn(t, k.heads)
	for _, m := range append(usbModules, "usbhid") {
		put(t, k.root, "lib/modules/"+m+".ko", m, 0o644)
		extend(m)
	}
	now, err := p.ReadPCRs(ctx, 5)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := value(); err != nil || string(v) != string(now[5]) {
		t.Errorf("exactly the keyboard's drivers: %x %v, now %x", v, err, now[5])
	}
	if err := k.Possible(ctx); err != nil {
		t.Errorf("possible: %v", err)
	}
	// The driver for sticks is of this start only.
	put(t, k.root, "lib/modules/usb-storage.ko", "sticks", 0o644)
	extend("sticks")
	if v, err := value(); err != nil || string(v) != string(now[5]) {
		t.Errorf("with the driver for sticks: %x %v, want %x", v, err, now[5])
	}
	// A board for a token that shows a light loads the same but for the keyboard's.
	delete(k.heads, "CONFIG_USB_KEYBOARD_REQUIRED")
	put(t, k.root, "bin/hotp_verification", "", 0o755)
	if _, err := value(); !errors.Is(err, wizard.ErrLeftToFirmware) {
		t.Errorf("a driver more than each start loads: %v", err)
	}
	// The recovery shell is a matter of this start, not of the board.
	k.heads["CONFIG_USB_KEYBOARD_REQUIRED"] = "y"
	if err := p.ExtendPCR(ctx, 4, []byte("recovery")); err != nil {
		t.Fatal(err)
	}
	if err := k.Possible(ctx); !errors.Is(err, wizard.ErrSealImpossible) {
		t.Errorf("in the recovery shell: %v", err)
	}
}
