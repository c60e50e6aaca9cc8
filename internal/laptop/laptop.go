package laptop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"reown/boot"
	"reown/gpgcard"
	"reown/internal/rom"
	"reown/internal/rom/flash"
	"reown/internal/usb"
	"reown/luks"
	"reown/tpm"
	"reown/wizard"
	"reown/wizard/prepare"
	"reown/wizard/release"
)

// Laptop holds the devices of the machine that the program runs on. Buyer, Seller and
// Release show the same devices to those who work on them.
type Laptop struct {
	card     *card
	disks    []*disk
	tpm      *tpmAdapter // nil: none
	duk      *diskUnlock // nil: Heads would not offer it
	chip     *firmware
	boot     *bootAdapter
	handover *handoverReader
	token    *hotpToken // nil: the card is reached through pcscd, which holds the key
	sticks   *sticks
	platform *platform
	doubtful []luks.Finding
	plain    func(context.Context) ([]wizard.Part, error) // nil: only the disks that were named are known
	close    func() error
}

// Open puts the devices together. Each is opened for itself when something is asked of it: a
// device that cannot be reached now says so then, and is no error here. Close it at the end.
func Open(ctx context.Context, c Config) (*Laptop, error) {
	if err := c.Resolve(); err != nil {
		return nil, err
	}
	dir, err := boot.Open(c.Boot)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", c.Boot, err)
	}
	if dir.SetForm(c.Form); c.Form == "" {
		dir.DetectForm("/") // beside Heads' own scripts
	}
	buses, err := CardBuses(c.Card)
	if err != nil {
		return nil, err
	}
	specs := c.Disks
	var doubtful []luks.Finding
	if len(specs) == 0 {
		if specs, doubtful, err = findLUKS("/sys", "/dev"); err != nil {
			return nil, err
		}
	}
	l := &Laptop{
		doubtful: doubtful,
		card:     newCard(gpgcard.Selector{Serial: c.Serial}, buses),
		platform: &platform{board: c.board(), sysfs: "/sys", secretDir: c.secretDir(), noRestart: c.NoRestart},
		close:    func() error { return nil },
	}
	for _, s := range specs {
		l.disks = append(l.disks, &disk{spec: s, sysfs: "/sys", kdf: c.KDF})
	}
	if len(c.Disks) == 0 {
		l.plain = plain("/sys", "/dev", c.Boot, l.disks)
	}
	l.sticks = newSticks(c.Sticks, specs)
	if kind, _, _ := strings.Cut(c.Card, ":"); kind != "pcsc" {
		l.token = &hotpToken{bus: usb.System()}
	}
	if c.TPM != "none" {
		t, err := tpm.OpenContext(ctx, c.TPM)
		if err != nil {
			return nil, fmt.Errorf("opening the TPM %s: %w", c.TPM, err)
		}
		l.tpm = &tpmAdapter{t: t, alg: tpm.PrimaryAlg(c.heads["CONFIG_PRIMARY_KEY_TYPE"])}
		if strings.HasPrefix(c.TPM, "/dev/") { // the running kernel's
			l.tpm.log = tpm.ReadEventLog
			l.sticks.kernel.Measure = func(ctx context.Context, module []byte) error { return t.ExtendPCR(ctx, 5, module) }
		}
		l.platform.shutdown = t.Shutdown
	}
	tabs := &crypttabs{dir: dir}
	l.duk = newDiskUnlock(l.tpm, c.heads, l.disks, tabs)
	l.boot = &bootAdapter{dir: dir, verify: openPGP{}.Verify, crypttab: tabs.overrides}
	l.chip = &firmware{board: c.board(), viaFile: c.heads["CONFIG_CBFS_VIA_FLASHPROG"] == "y", boot: l.boot,
		keyring: keyring, certs: certsIn, mine: signedByCard(l.card)}
	if c.Flash != "none" {
		if l.chip.backend, err = flash.Open(c.Flash); err != nil {
			if l.chip.cause = fmt.Errorf("opening the flash chip: %w", err); !c.lazy {
				return nil, l.chip.cause
			}
		}
		if nor, ok := l.chip.backend.(*flash.NOR); ok {
			if device, ok := nor.Device.(io.Closer); ok {
				l.close = device.Close
			}
		}
	}
	if l.tpm != nil {
		l.tpm.whole = l.chip.whole
	}
	l.handover = &handoverReader{dir: dir, firmware: l.chip, card: l.card, tpm: l.tpm, disks: l.disks,
		verify: openPGP{}.Verify}
	l.boot.hand = l.handover.read
	return l, nil
}

// Close releases what is held.
func (l *Laptop) Close() error { return l.close() }

// Buyer is the laptop as who makes it his own needs it.
func (l *Laptop) Buyer() *wizard.Machine {
	m := &wizard.Machine{Card: l.card, PGP: openPGP{}, Firmware: l.chip, Boot: l.boot, Sticks: l.sticks,
		Platform: l.platform}
	for _, d := range l.disks {
		m.Disks = append(m.Disks, d)
	}
	for _, f := range l.doubtful {
		m.Doubtful = append(m.Doubtful, wizard.Doubt{Path: f.Path, Err: f.Err})
	}
	m.Plain = l.plain
	// A nil pointer in an interface would not be nil.
	if l.tpm != nil {
		m.TPM = l.tpm
	}
	if l.duk != nil {
		m.DUK = l.duk
	}
	if l.token != nil {
		m.Token = l.token
	}
	return m
}

// Seller is the laptop as who makes it ready to ship needs it.
func (l *Laptop) Seller() *prepare.Machine {
	h := l.handover
	return &prepare.Machine{Machine: l.Buyer(), OEM: oemBoot{l.boot}, Measure: h.measureAll, Handed: h.handed,
		Reads: h.reads, Key: h.key}
}

// Release is the laptop as an owner who gives it up needs it. From now on what a cut write of
// the chip has left in /boot is believed no matter who signed it: whom the chip trusted before does
// not matter any more, and the card may be lost.
func (l *Laptop) Release() *release.Machine {
	l.chip.mine = nil
	m := &release.Machine{Card: l.card, PGP: openPGP{}, Firmware: releaseFirmware{l.chip}, Boot: releaseBoot{l.boot},
		Platform: l.platform, Whole: l.Buyer()}
	m.Promised = func(ctx context.Context) ([]string, error) { return wizard.Promised(ctx, l.Buyer()) }
	for _, d := range l.disks {
		m.Disks = append(m.Disks, releaseDisk{d})
	}
	for _, f := range l.doubtful {
		m.Doubtful = append(m.Doubtful, release.Doubt{Path: f.Path, Err: f.Err})
	}
	if l.tpm != nil {
		m.TPM = releaseTPM{l.tpm}
	}
	return m
}

// HasTPM says whether there is a TPM.
func (l *Laptop) HasTPM() bool { return l.tpm != nil }

// Trigger writes /boot/oem, which asks for the laptop to be made somebody's.
func (l *Laptop) Trigger(ctx context.Context) error { return oemBoot{l.boot}.Trigger(ctx) }

// OnRestart has f called before the laptop restarts, once nothing else is to be done.
func (l *Laptop) OnRestart(f func()) { l.platform.leave = f }

// Restart restarts the laptop, Config.NoRestart or not. It returns only on failure.
func (l *Laptop) Restart(ctx context.Context) error {
	l.platform.noRestart = false
	return l.platform.Restart(ctx)
}

// Aligned says whether a later change of the key in the chip touches no erase block that
// holds another file. It goes by the image that was read or written last; without one, no.
func (l *Laptop) Aligned() bool {
	if l.chip.chip == nil {
		return false
	}
	img, err := rom.Parse(l.chip.chip)
	return err == nil && img.Aligned(rom.EraseSize)
}

// Accept adds the signature of who receives the laptop to that of who gives it, in /boot.
// digest is of the statement that he was shown: another one is not signed. Errors are
// handover's.
func (l *Laptop) Accept(ctx context.Context, cert *gpgcard.Cert, digest string,
	sign func([]byte) ([]byte, error)) error {
	ring, err := l.chip.ring(ctx)
	if err != nil {
		return err
	}
	return l.handover.accept(l.boot, ring, cert, digest, sign)
}

// Lock keeps a second console out while a run is going on, or returns wizard.ErrLocked. The
// lock is on the directory /boot itself, so it needs no file, and the kernel drops it when
// the process ends.
func Lock(bootDir string) (unlock func(), err error) {
	f, err := os.Open(bootDir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, wizard.ErrLocked
		}
		return nil, fmt.Errorf("locking %s: %w", bootDir, err)
	}
	return func() { f.Close() }, nil
}
