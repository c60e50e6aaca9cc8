package laptop

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"reown/internal/secret"
	"reown/luks"
	"reown/tpm"
	"reown/wizard"
)

// The keyslots that Heads gives the disk unlock key (kexec-seal-key.sh).
const (
	dukSlotLUKS2 = 31
	dukSlotLUKS1 = 7
)

func dukSlot(i *luks.Info) int {
	if i.Version == 1 {
		return dukSlotLUKS1
	}
	return dukSlotLUKS2
}

// hasDUK says whether the disk unlock key's keyslot is in use, beside another one: the
// only way into a volume is nobody's disk unlock key, whatever its number.
func hasDUK(i *luks.Info) bool {
	slot, others := false, false
	for _, k := range i.Keyslots {
		if k.Type == "reencrypt" {
			continue
		}
		slot, others = slot || k.ID == dukSlot(i), others || k.ID != dukSlot(i)
	}
	return slot && others
}

// diskUnlock is Heads' disk unlock key, seen by the wizard: keyslots of the disks and an
// object of the TPM that belong together.
type diskUnlock struct {
	tpm   *tpmAdapter
	disks []*disk
	heads map[string]string // Heads' configuration
	root  string            // the initrd's root directory
	sysfs string
	tabs  *crypttabs
}

// newDiskUnlock returns the disk unlock key, nil where Heads would not offer it.
func newDiskUnlock(t *tpmAdapter, heads map[string]string, disks []*disk, tabs *crypttabs) *diskUnlock {
	if t == nil || heads["CONFIG_TPM_NO_LUKS_DISK_UNLOCK"] == "y" || heads["CONFIG_BASIC"] == "y" {
		return nil
	}
	return &diskUnlock{tpm: t, disks: disks, heads: heads, root: "/", sysfs: "/sys", tabs: tabs}
}

func (k *diskUnlock) Possible(ctx context.Context) error {
	if _, _, err := k.names(k.disks); err != nil {
		return err
	}
	var uuids []string
	for _, d := range k.disks {
		i, err := d.Info(ctx)
		if err != nil {
			return err
		}
		uuids = append(uuids, i.UUID)
	}
	if _, err := k.tabs.overrides(ctx, -1, uuids); err != nil {
		return err
	}
	otp, log, err := k.tpm.otpPCRs(ctx, anyPCR7)
	if err != nil {
		return err
	}
	_, err = k.pcr5(ctx, log, len(otp[7]))
	return err
}

// chosen are the disks that carry the given volumes.
func (k *diskUnlock) chosen(ctx context.Context, uuids []string) (all []*disk, infos []*luks.Info, err error) {
	for _, d := range k.disks {
		err := d.with(ctx, true, func(v *luks.Volume) error {
			if i := v.Info(); slices.Contains(uuids, i.UUID) {
				all, infos = append(all, d), append(infos, &i)
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	if len(all) != len(uuids) {
		return nil, nil, fmt.Errorf("%d of %d volumes are there", len(all), len(uuids))
	}
	return all, infos, nil
}

// names are the disks' device names as Heads will see them, and the LVM volume group that
// it must activate first, if any.
func (k *diskUnlock) names(disks []*disk) (paths []string, group string, err error) {
	for _, d := range disks {
		path := d.spec.Path
		base := filepath.Base(path)
		switch {
		case strings.HasPrefix(base, "dm-"):
			dm := filepath.Join(k.sysfs, "class/block", base, "dm")
			vg, lv, ok := splitLVM(readLine(filepath.Join(dm, "name")))
			if !ok || !strings.HasPrefix(readLine(filepath.Join(dm, "uuid")), "LVM-") || group != "" && group != vg {
				return nil, "", fmt.Errorf("%w: %s is not in the one volume group that it could activate", wizard.ErrLeftToFirmware,
					path)
			}
			path, group = "/dev/"+vg+"/"+lv, vg
		case strings.HasPrefix(base, "md"):
			return nil, "", fmt.Errorf("%w: it does not assemble %s", wizard.ErrLeftToFirmware, path)
		}
		if strings.ContainsAny(path, " \t\n\\") {
			return nil, "", fmt.Errorf("%w: it cannot write down the name %q", wizard.ErrLeftToFirmware, path)
		}
		paths = append(paths, path)
	}
	return paths, group, nil
}

// splitLVM splits a device-mapper name into volume group and volume: one hyphen is
// between them, two stand for one. A name with more single ones, such as luks-UUID, is
// not LVM's.
func splitLVM(name string) (vg, lv string, ok bool) {
	const hyphen = "\x00"
	parts := strings.Split(strings.ReplaceAll(name, "--", hyphen), "-")
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return "", "", false
	}
	return strings.ReplaceAll(parts[0], hyphen, "-"), strings.ReplaceAll(parts[1], hyphen, "-"), true
}

// devices describes the disks as /boot does, with the hashes of their headers as they
// are now.
func (k *diskUnlock) devices(ctx context.Context, disks []*disk, infos []*luks.Info) (devs []tpm.DUKDevice,
	group string, err error) {
	paths, group, err := k.names(disks)
	if err != nil {
		return nil, "", err
	}
	for n, d := range disks {
		h := sha256.New()
		if err := d.with(ctx, true, func(v *luks.Volume) error { return v.Backup(ctx, h) }); err != nil {
			return nil, "", fmt.Errorf("reading the header of %s: %w", d.spec.Path, err)
		}
		devs = append(devs, tpm.DUKDevice{Path: paths[n], UUID: infos[n].UUID, HeaderSHA256: [32]byte(h.Sum(nil))})
	}
	return devs, group, nil
}

func (k *diskUnlock) State(ctx context.Context, uuids []string, pcr7 wizard.Measurement) (s wizard.DUKState,
	err error) {
	t, err := k.tpm.t.Info(ctx)
	if err != nil {
		return s, err
	}
	disks, infos, err := k.chosen(ctx, uuids)
	if err != nil {
		return s, err
	}
	s.Present, s.Rests = t.HasDUK, t.HasDUK
	for _, i := range infos {
		has := hasDUK(i)
		s.Present, s.Rests = s.Present && has, s.Rests || has
	}
	var v tpm.PCRValues
	devs, _, err := k.devices(ctx, disks, infos)
	if err == nil {
		_, err = k.tabs.overrides(ctx, -1, uuids)
	}
	if errors.Is(err, luks.ErrReencrypting) {
		return s, nil // nothing is sealed to a header that moves
	}
	if err == nil {
		v, err = k.values(ctx, pcr7, devs)
	}
	if errors.Is(err, wizard.ErrSealImpossible) || errors.Is(err, wizard.ErrLeftToFirmware) {
		s.Unknown = err
		return s, nil
	} else if err != nil {
		return s, err
	}
	if s.Present {
		s.Sealed, err = k.tpm.t.DUKSealedTo(ctx, v)
	}
	return s, err
}

// Set replaces the keyslots first and seals last, to the headers as they then are: what
// is sealed to them belongs to the key in them.
func (k *diskUnlock) Set(ctx context.Context, uuids []string, diskPass, owner, pass *secret.Buffer,
	pcr7 wizard.Measurement) error {
	disks, infos, err := k.chosen(ctx, uuids)
	if err != nil {
		return err
	}
	// Before anything is written: can it be sealed at all?
	if _, err := k.values(ctx, pcr7, nil); err != nil {
		return err
	}
	key := secret.Random(tpm.DUKSize)
	defer key.Wipe()
	for n, d := range disks {
		slot := dukSlot(infos[n])
		err := d.with(ctx, false, func(v *luks.Volume) error {
			if err := freeSlot(ctx, v, slot, diskPass); err != nil {
				return err
			}
			_, err := v.AddKeyslot(ctx, diskPass, key, slot)
			return err
		})
		if err != nil {
			return fmt.Errorf("giving %s the key: %w", d.spec.Path, err)
		}
	}
	devs, _, err := k.devices(ctx, disks, infos)
	if err != nil {
		return err
	}
	v, err := k.values(ctx, pcr7, devs)
	if err != nil {
		return err
	}
	return k.tpm.t.SealDUK(ctx, owner, key, pass, v)
}

// freeSlot empties the disk unlock key's keyslot. If pass itself lies in it, pass gets
// another one first.
func freeSlot(ctx context.Context, v *luks.Volume, slot int, pass *secret.Buffer) error {
	i := v.Info()
	if !slices.ContainsFunc(i.Keyslots, func(k luks.KeyslotInfo) bool { return k.ID == slot }) {
		return nil
	}
	at, err := v.Unlock(ctx, pass)
	if err != nil {
		return err
	}
	if at == slot {
		if _, err := v.AddKeyslot(ctx, pass, pass, -1); err != nil {
			return err
		}
	}
	return v.KillKeyslot(ctx, slot, pass)
}

func (k *diskUnlock) Remove(ctx context.Context, uuids []string, diskPass, owner *secret.Buffer) error {
	disks, infos, err := k.chosen(ctx, uuids)
	if err != nil {
		return err
	}
	for n, d := range disks {
		if !hasDUK(infos[n]) {
			continue
		}
		if err := d.with(ctx, false, func(v *luks.Volume) error {
			return freeSlot(ctx, v, dukSlot(infos[n]),
				diskPass)
		}); err != nil {
			return fmt.Errorf("taking the key from %s: %w", d.spec.Path, err)
		}
	}
	return k.tpm.t.RemoveDUK(ctx, owner)
}

func (k *diskUnlock) Files(ctx context.Context, uuids []string) (map[string][]byte, error) {
	disks, infos, err := k.chosen(ctx, uuids)
	if err != nil {
		return nil, err
	}
	devs, group, err := k.devices(ctx, disks, infos)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"kexec_key_devices.txt": tpm.KeyDevicesFile(devs),
		"kexec_lukshdr_hash.txt": tpm.LUKSHeaderHashFile(devs)}
	if group != "" {
		files["kexec_key_lvm.txt"] = tpm.KeyLVMFile(group)
	}
	return files, nil
}
