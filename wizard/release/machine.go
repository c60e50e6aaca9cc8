package release

import (
	"context"
	"reown/wizard"
)

// Machine is the laptop, as it is given up.
type Machine struct {
	Card     wizard.Card
	PGP      wizard.OpenPGP
	Disks    []Disk
	TPM      TPM // nil: none
	Firmware Firmware
	Boot     Boot
	Platform wizard.Platform
	// Promised are the UUIDs of the volumes that somebody has signed whose key the firmware
	// trusts; nil: none.
	Promised func(context.Context) ([]string, error)
	Doubtful []Doubt // devices that look like encrypted disks and cannot be taken for such
	// Whole is the same laptop as a buyer has it, for the rehearsal.
	Whole *wizard.Machine
}

// Disk is one encrypted volume.
type Disk interface {
	Info(ctx context.Context) (wizard.DiskInfo, error)
	// Erase destroys every keyslot, and with them the volume key. It needs no
	// passphrase and may be repeated.
	Erase(ctx context.Context) error
}

// TPM is a TPM of either family.
type TPM interface {
	Info(ctx context.Context) (wizard.TPMInfo, error)
	// Clear removes the owner and all that is sealed. It may be repeated.
	Clear(ctx context.Context) error
}

// Firmware is the flash chip.
type Firmware interface {
	Info(ctx context.Context) (wizard.FirmwareInfo, error)
	// Certificate returns the certificate in the keyring with this primary
	// fingerprint, binary; wizard.ErrNotFound when there is none.
	Certificate(ctx context.Context, fingerprint string) ([]byte, error)
	// Rehearse builds the image that Clean writes, and says whether that could be done.
	Rehearse(ctx context.Context) error
	// Clean writes an image without any file of an owner's and reads it back. A
	// chip that is clean is left alone.
	Clean(ctx context.Context, progress wizard.Progress) error
	// IsClean says whether the chip holds no file of an owner's.
	IsClean(ctx context.Context) (bool, error)
}

// Boot is /boot.
type Boot interface {
	// Clean removes the trigger and all that the firmware and this program keep
	// there, but the files of a release.
	Clean(ctx context.Context) error
	// IsClean says whether Clean would find nothing.
	IsClean(ctx context.Context) (bool, error)
	// Hold is wizard.Boot's.
	Hold() (release func() error)
	// Publish writes one of the files of a release, ReadPublished reads it
	// (wizard.ErrNotFound).
	Publish(ctx context.Context, name string, data []byte) error
	ReadPublished(ctx context.Context, name string) ([]byte, error)
}
