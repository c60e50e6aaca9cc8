package wizardtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"reown/internal/secret"
	"reown/wizard"
)

// GB is the size of a chunk.
const GB = 1_000_000_000

type disk struct {
	*World
	i int
}

func (d disk) v() *Volume { return d.Disks[d.i] }

func (d disk) Info(context.Context) (wizard.DiskInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.v()
	digest := func(key string) string {
		if v.Digest != "" {
			return v.Digest
		}
		return "digest-of-" + key + v.Salt
	}
	i := wizard.DiskInfo{Path: fmt.Sprintf("/dev/nvme%dn1p3", d.i), Model: "Samsung 980", Serial: v.Serial,
		Size: int64(len(v.Chunks)) * GB, UUID: v.UUID,
		Format: v.format(), Keyslots: len(v.Slots), DUK: v.DUK != "", KeyDigest: digest(v.Key), KDFMemory: 32 << 20}
	if v.NewKey != "" {
		i.Reencrypting, i.KeyDigest, i.Done, i.Total = true, digest(v.NewKey), int64(v.Done)*GB, i.Size
	}
	return i, d.read()
}

func (v *Volume) format() string {
	if v.Old {
		return "LUKS1"
	}
	return "LUKS2"
}

// opens says whether a passphrase opens the volume: the key that it gives must have the digest.
func (v *Volume) opens(pass *secret.Buffer) bool {
	return slices.Contains(v.Slots, string(pass.Bytes())) && v.Digest == ""
}

func (disk) ReadRate(context.Context) (int64, error) { return 20e6, nil }

func (d disk) CheckPassphrase(_ context.Context, pass *secret.Buffer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.read(); err != nil {
		return err
	}
	if !d.v().opens(pass) {
		return fmt.Errorf("disk %d: %w", d.i, wizard.ErrWrongSecret)
	}
	return nil
}

func (d disk) Rehearse(context.Context, bool) ([]*wizard.Finding, error) {
	if found, err := d.refusal(fmt.Sprint("disk.", d.i)); len(found) > 0 || err != nil {
		return found, err
	}
	return d.refusal("disk")
}

func (d disk) SetPassphrase(_ context.Context, old, pass *secret.Buffer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.Refuses["disk"]; f != nil {
		return f
	}
	v, p := d.v(), string(pass.Bytes())
	if !slices.Contains(v.Slots, p) {
		if !v.opens(old) {
			return wizard.ErrWrongSecret
		}
		if err := d.write("disk.addslot", func() { v.Slots = append(v.Slots, p) }); err != nil {
			return err
		}
	}
	if v.DUK != "" {
		if err := d.write("disk.killslot", func() { v.DUK = "" }); err != nil {
			return err
		}
	}
	for i := len(v.Slots) - 1; i >= 0; i-- {
		if v.Slots[i] != p {
			if err := d.write("disk.killslot", func() { v.Slots = slices.Delete(v.Slots, i, i+1) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// Mark is by the key alone, as an HMAC under it.
func (d disk) Mark(_ context.Context, pass *secret.Buffer, salt []byte) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.v()
	if !v.opens(pass) {
		return "", wizard.ErrWrongSecret
	}
	if v.NewKey != "" {
		return hash("mark", v.NewKey, string(salt)), d.read()
	}
	return hash("mark", v.Key, string(salt)), d.read()
}

// Survey says at once what there is.
func (d disk) Survey(ctx context.Context, seen func(wizard.DiskSurvey)) error {
	d.mu.Lock()
	v := *d.v()
	d.mu.Unlock()
	all := len(v.Chunks)
	n := all
	if v.Seen > 0 {
		n = v.Seen
	}
	s := wizard.DiskSurvey{Total: int64(all) * GB, Read: int64(n) * GB, Written: int64(min(n, all-v.Empty)) * GB}
	if !v.Hidden {
		s.Bad = v.bad()
	}
	seen(s)
	if v.Seen > 0 {
		<-ctx.Done()
	}
	return ctx.Err()
}

// bad is what cannot be read: a sector in the middle of a chunk.
func (v *Volume) bad() []wizard.Stretch {
	if v.Bad == 0 {
		return nil
	}
	return []wizard.Stretch{{Offset: int64(v.Bad-1)*GB + 4096, Length: 512}}
}

func (d disk) Reencrypt(ctx context.Context, pass *secret.Buffer, how wizard.Rekeying) error {
	begin, progress := how.Begin, how.Progress
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.v()
	if !v.opens(pass) {
		return wizard.ErrWrongSecret
	}
	if v.NewKey == "" {
		key := d.name("key")
		if begin != nil {
			d.mu.Unlock()
			err := begin("digest-of-"+key, func(salt []byte) (string, error) { return hash("mark", key, string(salt)), nil })
			d.mu.Lock()
			if err != nil {
				return err
			}
		}
		if err := d.write("disk.begin", func() { v.NewKey, v.Done = key, 0 }); err != nil {
			return err
		}
	}
	for v.Done < len(v.Chunks) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if v.Done == v.Bad-1 && !slices.Equal(how.Lose, v.bad()) {
			return &wizard.UnreadError{Volume: v.UUID, Bad: v.bad(), Err: errors.New("wizardtest: a sector cannot be read")}
		}
		if err := d.write("disk.chunk", func() {
			v.Garbage = v.Garbage || v.Chunks[v.Done] != v.Key
			v.Chunks[v.Done] = v.NewKey
			v.Done++
		}); err != nil {
			return err
		}
		if progress != nil {
			done := v.Done
			d.mu.Unlock()
			progress(int64(done)*GB, int64(len(v.Chunks))*GB)
			d.mu.Lock()
		}
	}
	return d.write("disk.end", func() {
		v.Old, v.Filled = false, how.Fill
		v.Key, v.NewKey, v.DUK, v.Salt = v.NewKey, "", "", ""
	})
}
