package laptop

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"reown/internal/secret"
	"reown/luks"
	"reown/wizard"
)

// disk shows one LUKS container to the wizard. The container is open only while a
// method runs.
type disk struct {
	spec  DiskSpec
	sysfs string
	kdf   luks.KDFPolicy
	door  func() (*luks.Volume, error) // a test's own way in; nil: the path
}

func (d *disk) open(ctx context.Context, readOnly bool) (*luks.Volume, error) {
	if d.door != nil {
		return d.door()
	}
	return luks.Open(ctx, d.spec.Path, luks.Options{Offset: d.spec.Offset, Size: d.spec.Size, ReadOnly: readOnly,
		KDF: d.kdf})
}

// with runs f on the opened container and gives a wrong passphrase the wizard's name.
func (d *disk) with(ctx context.Context, readOnly bool, f func(*luks.Volume) error) error {
	v, err := d.open(ctx, readOnly)
	if err != nil {
		return err
	}
	defer v.Close()
	err = f(v)
	if errors.Is(err, luks.ErrWrongPassphrase) {
		return fmt.Errorf("%w: %w", wizard.ErrWrongSecret, err)
	}
	return err
}

func (d *disk) Info(ctx context.Context) (wizard.DiskInfo, error) {
	var info wizard.DiskInfo
	err := d.with(ctx, true, func(v *luks.Volume) error {
		i := v.Info()
		info = wizard.DiskInfo{
			Path: d.spec.Path, Size: i.DataSize, UUID: i.UUID, Format: fmt.Sprintf("LUKS%d", i.Version), KeyDigest: i.KeyDigest,
			Reencrypting: i.Reencryption.Active, Done: i.Reencryption.Done, Total: i.Reencryption.Total,
		}
		info.DUK = hasDUK(&i)
		for _, s := range i.Keyslots {
			if s.Type != "reencrypt" && !(info.DUK && s.ID == dukSlot(&i)) {
				info.Keyslots++
				info.KDFMemory = max(info.KDFMemory, s.Memory)
			}
		}
		return nil
	})
	if err != nil {
		return info, err
	}
	info.Model, info.Serial = driveIdentity(d.sysfs, d.spec.Path)
	if info.Serial == "" {
		info.Serial = info.UUID // images and drives without one: still proves that the right header was read
	}
	return info, nil
}

// driveIdentity finds the model and serial number of the drive that a block device
// lies on; both are empty for a file.
func driveIdentity(sysfs, dev string) (model, serial string) {
	target, err := filepath.EvalSymlinks(filepath.Join(sysfs, "class/block", filepath.Base(dev)))
	if err != nil {
		return "", ""
	}
	for dir := target; len(dir) > len(sysfs); dir = filepath.Dir(dir) {
		for _, where := range []string{"device/", ""} {
			if model == "" {
				model = readLine(filepath.Join(dir, where+"model"))
			}
			if serial == "" {
				serial = readLine(filepath.Join(dir, where+"serial"))
			}
		}
		if serial == "" {
			// SATA drives have it in vital product data page 0x80 (SPC-5): four bytes
			// of header, then ASCII.
			if page := readLine(filepath.Join(dir, "device/vpd_pg80")); len(page) > 4 {
				serial = strings.Trim(page[4:], "\x00 ")
			}
		}
		if model != "" && serial != "" {
			break
		}
	}
	return model, serial
}

func (d *disk) ReadRate(ctx context.Context) (rate int64, err error) {
	err = d.with(ctx, true, func(v *luks.Volume) error {
		rate, err = v.ReadRate(ctx)
		return err
	})
	return rate, err
}

func (d *disk) CheckPassphrase(ctx context.Context, pass *secret.Buffer) error {
	return d.with(ctx, true, func(v *luks.Volume) error {
		_, err := v.Unlock(ctx, pass)
		return err
	})
}

func (d *disk) Mark(ctx context.Context, pass *secret.Buffer, salt []byte) (mark string, err error) {
	err = d.with(ctx, true, func(v *luks.Volume) error {
		m, err := v.Mark(ctx, pass, salt)
		mark = m.String()
		return err
	})
	return mark, err
}

func (d *disk) SetPassphrase(ctx context.Context, old, pass *secret.Buffer) error {
	return d.with(ctx, false, func(v *luks.Volume) error { return v.SetPassphrase(ctx, old, pass) })
}

func (d *disk) Survey(ctx context.Context, seen func(wizard.DiskSurvey)) error {
	return d.with(ctx, true, func(v *luks.Volume) error {
		_, err := v.Survey(ctx, func(s luks.Survey) {
			seen(wizard.DiskSurvey{Total: s.Total, Read: s.Read, Written: s.Written, Bad: stretches(s.Bad), Private: &s})
		})
		return err
	})
}

func stretches(rs []luks.Range) (out []wizard.Stretch) {
	for _, r := range rs {
		out = append(out, wizard.Stretch(r))
	}
	return out
}

func (d *disk) Reencrypt(ctx context.Context, pass *secret.Buffer, how wizard.Rekeying) error {
	return d.with(ctx, false, func(v *luks.Volume) error {
		o := luks.ReencryptOptions{Progress: how.Progress, Fill: how.Fill}
		if how.Survey != nil {
			o.Survey, _ = how.Survey.Private.(*luks.Survey)
		}
		var lose []luks.Range
		for _, s := range how.Lose {
			lose = append(lose, luks.Range(s))
		}
		o.Lose = func(bad []luks.Range) bool { return luks.Within(bad, lose) }
		if begin := how.Begin; begin != nil {
			o.Begin = func(digest string, mark func([]byte) (luks.Mark, error)) error {
				return begin(digest, func(salt []byte) (string, error) {
					m, err := mark(salt)
					return m.String(), err
				})
			}
		}
		if err := v.Reencrypt(ctx, pass, o); err != nil {
			if bad := (*luks.BadSectorsError)(nil); errors.As(err, &bad) {
				return &wizard.UnreadError{Volume: v.Info().UUID, Bad: stretches(bad.Ranges), Err: err}
			}
			return err
		}
		// What keyslots held that are gone, no matter who removed them.
		return v.Scrub(ctx)
	})
}
