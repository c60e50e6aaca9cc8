package laptop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"reown/boot"
	"reown/internal/rom"
	"reown/internal/rom/flash"
	"reown/luks"
	"reown/wizard"
	"reown/wizard/release"
)

// The devices as their owner gives them up.

type releaseDisk struct{ *disk }

func (d releaseDisk) Erase(ctx context.Context) error {
	return d.with(ctx, false, func(v *luks.Volume) error { return v.Erase(ctx) })
}

type releaseTPM struct{ *tpmAdapter }

func (a releaseTPM) Clear(ctx context.Context) error { return a.t.Clear(ctx) }

type releaseFirmware struct{ *firmware }

func (f releaseFirmware) Certificate(ctx context.Context, fingerprint string) ([]byte, error) {
	certs, err := f.ring(ctx)
	if err != nil {
		return nil, err
	}
	if c := certs[fingerprint]; c != nil {
		return c, nil
	}
	return nil, wizard.ErrNotFound
}

// clean plans the image without any file of an owner's; it has no blocks to write
// when the chip holds that image.
func (f releaseFirmware) clean(ctx context.Context) (*rom.Plan, error) {
	img, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	return rom.Clean(img, 0)
}

// Rehearse implements release.Firmware.
func (f releaseFirmware) Rehearse(ctx context.Context) error {
	p, err := f.clean(ctx)
	if err == nil {
		err = flash.CheckWritable(f.backend, p)
	}
	return refused(err)
}

func (f releaseFirmware) Clean(ctx context.Context, progress wizard.Progress) error {
	p, err := f.clean(ctx)
	if err != nil {
		return err
	}
	if len(p.Blocks) == 0 && f.before == nil {
		return nil
	}
	if err := flash.CheckWritable(f.backend, p); err != nil {
		return err
	}
	return f.Write(ctx, &wizard.FirmwarePlan{Private: p}, nil, nil, progress)
}

func (f releaseFirmware) IsClean(ctx context.Context) (bool, error) {
	fresh := *f.firmware
	fresh.forget()
	p, err := releaseFirmware{&fresh}.clean(ctx)
	return err == nil && fresh.before == nil && len(p.Blocks) == 0, err
}

type releaseBoot struct{ *bootAdapter }

// owners reports what a release removes from /boot.
func (releaseBoot) owners(name string) bool {
	return name == "oem" || strings.HasPrefix(name, "kexec") && name != release.RecordName &&
		name != release.SignatureName && name != release.KeyName
}

func (b releaseBoot) Clean(context.Context) error {
	return b.writing(func() error { return b.dir.Remove("release", b.owners) })
}

func (b releaseBoot) IsClean(context.Context) (bool, error) {
	list, err := os.ReadDir(b.dir.Path())
	if err != nil {
		return false, err
	}
	for _, e := range list {
		if b.owners(e.Name()) {
			return false, nil
		}
	}
	return true, nil
}

func (b releaseBoot) Publish(_ context.Context, name string, data []byte) error {
	return b.writing(func() error { return b.dir.WriteKept(name, data) })
}

func (b releaseBoot) ReadPublished(_ context.Context, name string) ([]byte, error) {
	data, err := b.dir.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wizard.ErrNotFound
	}
	if err == nil && len(data) > maxHint {
		return nil, fmt.Errorf("%s: %w", name, boot.ErrTooLarge)
	}
	return data, err
}
