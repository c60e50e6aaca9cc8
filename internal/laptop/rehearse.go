package laptop

import (
	"context"
	"errors"
	"strings"

	"reown/boot"
	"reown/internal/escape"
	"reown/internal/rom"
	"reown/internal/rom/flash"
	"reown/luks"
	"reown/tpm"
	"reown/wizard"
)

// refusals say what kind of problem an error of a device is. The first that fits counts.
var refusals = []struct {
	err  error
	kind wizard.Kind
}{
	{tpm.ErrNoBank, wizard.TPMBank},
	{tpm.ErrNoKeyType, wizard.TPMKeyType},
	{tpm.ErrFewSlots, wizard.TPMSlots},
	{tpm.ErrNVFull, wizard.TPMRoom},
	{tpm.ErrPresence, wizard.TPMPresence},
	{tpm.ErrPlatformLocked, wizard.TPMLocked},
	{tpm.ErrNoEndorsementKey, wizard.TPMNoEK},
	{flash.ErrLocked, wizard.ChipLocked},
	{flash.ErrNoChip, wizard.ChipUnread},
	{flash.ErrOption, wizard.ChipUnread},
	{flash.ErrRoom, wizard.ChipUnread},
	{flash.ErrNotInstalled, wizard.ChipUnread},
	{flash.ErrNoProgram, wizard.ChipUnread},
	{flash.ErrUnstable, wizard.ChipUnread},
	{rom.ErrNoSpace, wizard.ChipFull},
	{rom.ErrUnknownLayout, wizard.ChipLayout},
	{rom.ErrVerified, wizard.ChipLayout},
	{rom.ErrNotMeasurable, wizard.ChipLayout},
	{rom.ErrUnsafeChange, wizard.ChipLayout},
}

// refusal is an error as what a device would refuse, with what was measured; nil for one
// of no such kind.
func refusal(err error, detail string) *wizard.Finding {
	if several := (*flash.SeveralChipsError)(nil); errors.As(err, &several) {
		return &wizard.Finding{Kind: wizard.ChipSeveral, Args: []any{strings.Join(several.Names, ", ")}, Err: err}
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return &wizard.Finding{Kind: r.kind, Args: []any{detail}, Err: err}
		}
	}
	return nil
}

// refused is an error with its kind, if it has one.
func refused(err error) error {
	if err == nil {
		return nil
	}
	if f := refusal(err, escape.Text(err.Error())); f != nil {
		return f
	}
	return err
}

// Rehearse implements wizard.TPM.
func (a *tpmAdapter) Rehearse(ctx context.Context, duk bool) (out []*wizard.Finding, err error) {
	problems, err := a.t.Rehearse(ctx, tpm.RehearseOptions{PrimaryAlg: a.alg, DUK: duk})
	if err != nil {
		return nil, err
	}
	for _, p := range problems {
		if !p.Stops {
			continue
		}
		f := refusal(p.Err, p.Detail)
		if f == nil {
			return out, p.Err
		}
		out = append(out, f)
	}
	return out, nil
}

// Rehearse implements wizard.Disk.
func (d *disk) Rehearse(ctx context.Context, passphrase bool) (out []*wizard.Finding, err error) {
	var r luks.Rehearsal
	err = d.with(ctx, true, func(v *luks.Volume) error {
		r, err = v.Rehearse(ctx, luks.ReencryptOptions{}, passphrase)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, p := range r.Problems {
		var memory *luks.MemoryError
		if errors.As(p, &memory) {
			out = append(out, &wizard.Finding{Kind: wizard.LittleMemory, Args: []any{memory.Need >> 20, memory.Have >> 20},
				Err: p})
			continue
		}
		out = append(out, &wizard.Finding{Kind: wizard.DiskRefuses, Args: []any{d.spec.Path, escape.Text(p.Error())}, Err: p})
	}
	return out, nil
}

// Rehearse implements wizard.Boot.
func (a *bootAdapter) Rehearse(ctx context.Context, entry int) ([]*wizard.Finding, error) {
	_, _, err := a.dir.Rehearse(ctx, boot.BuildOptions{Entry: entry + 1})
	return a.found(entry, err)
}

// Trial implements wizard.Boot. A set that cannot be built is Rehearse's to tell.
func (a *bootAdapter) Trial(ctx context.Context, entry int) ([]*wizard.Finding, error) {
	n := int64(1 << 20) // journal and hand-over
	if entry >= 0 {
		var err error
		if _, n, err = a.dir.Rehearse(ctx, boot.BuildOptions{Entry: entry + 1}); err != nil {
			return nil, ctx.Err()
		}
	}
	return a.found(entry, a.dir.Trial(ctx, n))
}

// trials are the kinds of problems that only a write tells.
var trials = map[boot.TrialKind]wizard.Kind{
	boot.TrialReadOnly: wizard.BootFixed, boot.TrialFixed: wizard.BootFixed, boot.TrialFull: wizard.BootFull,
	boot.TrialBroken: wizard.BootBroken,
}

// found is what /boot says as findings; any other error stays one.
func (a *bootAdapter) found(entry int, err error) ([]*wizard.Finding, error) {
	one := func(kind wizard.Kind, args ...any) ([]*wizard.Finding, error) {
		return []*wizard.Finding{{Kind: kind, Args: args, Err: err}}, nil
	}
	var odd *boot.OddError
	var trial *boot.TrialError
	var differs *boot.MismatchError
	switch {
	case err == nil:
		return nil, nil
	case errors.As(err, &odd):
		return one(wizard.BootOdd, escape.Text(err.Error()))
	case errors.As(err, &trial) && len(trial.Problems) > 0:
		return one(trials[trial.Problems[len(trial.Problems)-1].Kind], escape.Text(err.Error()))
	case errors.Is(err, boot.ErrNoEntries):
		return one(wizard.NoEntry)
	case errors.Is(err, boot.ErrEntry), errors.As(err, &differs):
		return one(wizard.EntryRefuses, a.entryName(entry), escape.Text(err.Error()))
	}
	return nil, err
}

// entryName is what the menu calls an entry.
func (a *bootAdapter) entryName(i int) string {
	if all, err := a.dir.Entries(); err == nil && i >= 0 && i < len(all) {
		return escape.Text(all[i].Name)
	}
	return ""
}
