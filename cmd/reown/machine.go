package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"reown/boot"
	"reown/gpgcard"
	"reown/gpgcard/keybox"
	"reown/internal/rom/flash"
	"reown/internal/usb"
	"reown/tpm"
	"reown/wizard"
)

// machine puts the devices together. A device that is not there becomes an adapter
// whose Info says so, or nil where the wizard allows it: status must be able to
// report a machine that lacks something. The returned function releases what is held.
func (d *devices) machine(ctx context.Context) (*wizard.Machine, func(), error) {
	if err := d.resolve(); err != nil {
		return nil, nil, err
	}
	dir, err := boot.Open(d.boot)
	if err != nil {
		return nil, nil, fmt.Errorf("opening %s: %w", d.boot, err)
	}
	buses, err := cardBuses(d.card)
	if err != nil {
		return nil, nil, err
	}
	m := &wizard.Machine{PGP: openPGP{}, Card: &card{sel: gpgcard.Selector{Serial: d.serial}, buses: buses}}
	laptop := &platform{board: d.board(), sysfs: "/sys", secretDir: d.secretDir(), noRestart: d.noRestart}
	m.Platform = laptop

	var tpmDevice *tpmAdapter
	if d.tpm != "none" {
		t, err := tpm.Open(d.tpm)
		if err != nil {
			return nil, nil, fmt.Errorf("opening the TPM %s: %w", d.tpm, err)
		}
		tpmDevice = &tpmAdapter{t: t, alg: tpm.PrimaryAlg(d.heads["CONFIG_PRIMARY_KEY_TYPE"])}
		if strings.HasPrefix(d.tpm, "/dev/") { // the running kernel's
			tpmDevice.log = tpm.ReadEventLog
		}
		m.TPM = tpmDevice
		laptop.shutdown = t.Shutdown
	}
	specs := d.disks
	if len(specs) == 0 {
		if specs, err = findLUKS("/sys", "/dev"); err != nil {
			return nil, nil, err
		}
	}
	for _, s := range specs {
		m.Disks = append(m.Disks, &disk{spec: s, sysfs: "/sys"})
	}
	tabs := &crypttabs{dir: dir}
	m.DUK = d.diskUnlock(tpmDevice, m.Disks, tabs)
	m.Sticks = newSticks(d, specs)
	backend, closeFlash, err := d.flashBackend()
	if err != nil {
		return nil, nil, err
	}
	if kind, _, _ := strings.Cut(d.card, ":"); kind != "pcsc" {
		m.Token = &hotpToken{bus: usb.System()}
	}
	b := &bootAdapter{dir: dir, verify: m.PGP.Verify, crypttab: tabs.overrides}
	fw := &firmware{backend: backend, board: d.board(), boot: b, keyring: keyring, certs: certsIn, mine: ofTheCard(m)}
	if tpmDevice != nil {
		tpmDevice.whole = fw.whole
	}
	h := &handoverReader{dir: dir, firmware: fw, card: m.Card, tpm: tpmDevice, disks: m.Disks, verify: m.PGP.Verify}
	b.hand = h.read
	m.Boot, m.Firmware = b, fw
	return m, closeFlash, nil
}

// ofTheCard says whether the card that is plugged in has signed a document: cert's keys
// are the card's, and its signature holds.
func ofTheCard(m *wizard.Machine) func(ctx context.Context, cert, doc, sig []byte) bool {
	return func(ctx context.Context, cert, doc, sig []byte) bool {
		fprs, err := m.PGP.Fingerprints(cert)
		if err != nil || m.PGP.Verify(cert, doc, sig) != nil {
			return false
		}
		c, err := m.Card.Info(ctx)
		return err == nil && !c.Terminated && fprs[0] != "" && fprs == c.Fingerprints
	}
}

// secretDir is where Heads keeps secrets at run time: beside its configuration.
func (d *devices) secretDir() string {
	if d.config != headsConfig {
		return ""
	}
	return filepath.Join(filepath.Dir(headsConfig), "secret")
}

// flashBackend opens the chip that --flash names; a nil backend means that there
// is none to write.
func (d *devices) flashBackend() (flash.Backend, func(), error) {
	none := func() {}
	kind, path, _ := strings.Cut(d.flash, ":")
	var nor *flash.NOR
	var err error
	switch {
	case d.flash == "none":
		return nil, none, nil
	case kind == "file":
		nor, err = flash.OpenFile(path)
	case kind == "mtd":
		nor, err = flash.OpenMTD(path)
	default:
		p, err := flash.NewProgram(d.flash)
		if err != nil {
			return nil, nil, err
		}
		return p, none, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("opening the flash chip: %w", err)
	}
	release := none
	if c, ok := nor.Device.(interface{ Close() error }); ok {
		release = func() { _ = c.Close() }
	}
	return nor, release, nil
}

// lock keeps a second console out while a run is going on. The lock is on the
// /boot directory itself, so it needs no file, and the kernel drops it when the
// process ends.
func (d *devices) lock() (func(), error) {
	f, err := os.Open(d.boot)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, wizard.ErrLocked
		}
		return nil, fmt.Errorf("locking %s: %w", d.boot, err)
	}
	return func() { f.Close() }, nil
}

// keyring makes the two files of the ROM for one certificate.
func keyring(cert []byte) (kbx, trustdb []byte, err error) {
	c, err := gpgcard.ParseCert(cert)
	if err != nil {
		return nil, nil, err
	}
	// The key's own time, so that the same certificate always gives the same image.
	if kbx, err = keybox.Write(c.Created(), c); err != nil {
		return nil, nil, err
	}
	trustdb, err = keybox.WriteTrustDB(c.Created(), c)
	return kbx, trustdb, err
}

// certsIn returns the certificates in a GnuPG keybox or a plain keyring, by
// primary fingerprint.
func certsIn(data []byte) (map[string][]byte, error) {
	parse := gpgcard.ParseCerts
	if len(data) > 12 && slices.Equal(data[8:12], []byte("KBXf")) {
		parse = keybox.Read
	}
	certs, err := parse(data)
	if err != nil {
		return nil, err
	}
	m := map[string][]byte{}
	for _, c := range certs {
		m[c.Fingerprint()] = c.Bytes()
	}
	return m, nil
}
