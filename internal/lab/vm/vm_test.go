package vm

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"reown/gpgcard/cardtest/pcscdtest"
	"reown/internal/lab"
	"reown/internal/lab/initrd"
	"reown/internal/lab/programs"
	"reown/tpm/tpmtest"
)

// The firmware and a seller's laptop are made once; each test gets a copy of the
// laptop. Socket paths must be short, so all lies below /tmp.
var base struct {
	once     sync.Once
	dir      string
	firmware *Firmware
	reown    string // the shipped binary
	err      error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if base.dir != "" {
		os.RemoveAll(base.dir)
	}
	os.Exit(code)
}

func makeBase() error {
	dir, err := os.MkdirTemp("/tmp", "vm")
	if err != nil {
		return err
	}
	base.dir = dir
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	reown, err := programs.Reown(ctx, dir)
	if err != nil {
		return err
	}
	base.reown = reown
	program, err := programs.Lab(ctx, dir)
	if err != nil {
		return err
	}
	if base.firmware, err = NewFirmware(ctx, dir, reown, program); err != nil {
		return err
	}
	l, err := lab.New(ctx, lab.Options{Dir: filepath.Join(dir, "l"), DataMiB: 16})
	if err != nil {
		return err
	}
	defer l.Stop()
	if err := prepareBase(ctx, l); err != nil {
		return err
	}
	return Install(ctx, l)
}

// prepareBase gives the laptop an operating system that can be started, and a cheap key
// derivation, which spares the emulated processor. Host mode has the real cost.
func prepareBase(ctx context.Context, l *lab.Laptop) error {
	if err := InstallOS(ctx, l); err != nil {
		return err
	}
	if err := l.Sign(ctx); err != nil {
		return err
	}
	offset, size := l.Window()
	v, err := lab.CopyVolume(l.Disk(), offset, size, l.Dir)
	if err != nil {
		return err
	}
	defer os.Remove(v.Path)
	if _, err := run(ctx, []byte(l.Seller.Disk), "cryptsetup", "luksConvertKey", "--disable-locks", "--batch-mode",
		"--key-file", "-",
		"--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "256", "--pbkdf-parallel", "1",
		v.Path); err != nil {
		return err
	}
	return copyRange(l.Disk(), offset, v.Path, 0, size)
}

// newLaptop returns a copy of the seller's laptop, switched off, and the firmware.
func newLaptop(t *testing.T) (*lab.Laptop, *Firmware) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a virtual machine: skipped by -short")
	}
	base.once.Do(func() { base.err = makeBase() })
	if err := base.err; errors.Is(err, initrd.ErrMissing) || errors.Is(err, pcscdtest.ErrMissing) ||
		errors.Is(err, tpmtest.ErrNoSwtpm) {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(base.dir, "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return copyLaptop(t, filepath.Join(base.dir, "l"), filepath.Join(dir, "l")), base.firmware
}

func copyLaptop(t *testing.T, from, to string) *lab.Laptop {
	t.Helper()
	if _, err := run(t.Context(), nil, "cp", "-a", "--sparse=always", from, to); err != nil {
		t.Fatal(err)
	}
	l, err := lab.Load(to)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// deadline bounds a test that waits for the guest; the machine may be busy.
func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// start switches a laptop on, and off at the end of the test.
func start(t *testing.T, l *lab.Laptop, o Options) *Machine {
	t.Helper()
	m, err := Start(t.Context(), l, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Cut)
	return m
}

// boot switches a laptop on and waits until its script runs.
func boot(t *testing.T, ctx context.Context, l *lab.Laptop, o Options) *Machine {
	t.Helper()
	began := time.Now()
	m := start(t, l, o)
	if err := m.WaitConsole(ctx, "LAB-UP"); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(m.Console(), "lab:") {
		t.Fatalf("the guest's init complains:\n%s", m.Console())
	}
	t.Logf("up after %.1f s", time.Since(began).Seconds())
	return m
}

// TestDevices boots the laptop and lets the shipped binary's plumbing talk to each
// device through the guest's kernel. Then a run that stops at its last question must leave
// nothing in memory.
func TestDevices(t *testing.T) {
	l, fw := newLaptop(t)
	ctx := deadline(t, 20*time.Minute)
	m := boot(t, ctx, l, Options{Firmware: fw})
	sh := func(command string, want ...string) {
		t.Helper()
		out, err := m.Sh(ctx, command)
		if err != nil {
			t.Errorf("%s: %v", command, err)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: want %q in\n%s", command, w, out)
			}
		}
	}
	hand, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_handover.json"))
	if err != nil {
		t.Fatal(err)
	}
	var statement struct {
		Predicate struct {
			Reference struct{ PCRs map[string]string }
		}
	}
	if err := json.Unmarshal(hand, &statement); err != nil {
		t.Fatal(err)
	}
	sh("cat /proc/cmdline", "init_on_free=1")
	sh("mount", "/dev/nvme0n1p1 on /boot type ext4 (ro")
	// What labd measured is what the seller saw.
	sh("reown tpm status --device /dev/tpmrm0", "TPM 2.0", "PCR 2  "+statement.Predicate.Reference.PCRs["2"], "PCR 7  "+
		statement.Predicate.Reference.PCRs["7"])
	sh("reown luks info $(ls /dev/nvme0n1p2)", "LUKS2", "argon2id")
	sh("reown rom list /flash/chip", "heads/initrd/.gnupg/pubring.kbx")
	sh("reown card status --reader usb", l.Seller.Fingerprint)
	m.Token.Unplug()
	if out, err := m.Sh(ctx, "sleep 1; reown card status --reader usb"); err == nil {
		t.Errorf("the token is out, and it says %s", out)
	}
	m.Token.Plug()
	sh("sleep 1; reown card status --reader usb", l.Seller.Fingerprint)
	nothingLeft(t, ctx, l, m)
}

// TestInstallAndCollect brings the boot directory to the disk and back.
func TestInstallAndCollect(t *testing.T) {
	l, _ := newLaptop(t)
	before, err := run(t.Context(), nil, "sh", "-c",
		"cd $0 && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum", l.BootDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(l.BootDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(l.BootDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Collect(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	after, err := run(t.Context(), nil, "sh", "-c",
		"cd $0 && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum", l.BootDir())
	if err != nil || string(before) != string(after) || len(before) == 0 {
		t.Fatalf("%v\n%s\n%s", err, before, after)
	}
}
