package luks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Backup writes the header, with all keyslots, to w: the same bytes as
// `cryptsetup luksHeaderBackup`. Somebody who has it and a passphrase that was valid
// then opens the data for as long as the volume key is not changed. During a
// re-encryption it is refused: the backup would be wrong within seconds.
func (v *Volume) Backup(ctx context.Context, w io.Writer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := v.load(); err != nil {
		return err
	}
	n := v.h.length()
	if v.reencrypting() {
		return ErrReencrypting
	}
	b, err := newBuffer(int(n))
	if err != nil {
		return err
	}
	defer b.free()
	if err := v.hdr.ReadAt(b.mem[:n], 0); err != nil {
		return err
	}
	_, err = w.Write(b.mem[:n])
	return err
}

// BackupFile is Backup into a new file that only its owner may read, durable when
// the call returns.
func (v *Volume) BackupFile(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	err = v.Backup(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(path)) // its name, too
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) { // a file system that has no such thing
		err = nil
	}
	return errors.Join(err, d.Close())
}

// length is the length in bytes of header and keyslots.
func (h *header2) length() int64 {
	if h.v1 != nil {
		return h.v1.end1()
	}
	return h.meta.keyslotsEnd()
}

func (v *Volume) reencrypting() bool { return v.h.meta.reencrypting() }

func (m *meta) reencrypting() bool {
	return slices.ContainsFunc(m.requirements, func(s string) bool {
		return slices.Contains(reencryptions, s)
	})
}

// A backupDevice is a header backup seen as a Device, for parsing.
type backupDevice []byte

func (b backupDevice) ReadAt(p []byte, off int64) error {
	if off < 0 || off > int64(len(b)-len(p)) {
		return &IOError{"read", "header backup", off, len(p), io.ErrUnexpectedEOF}
	}
	copy(p, b[off:])
	return nil
}
func (b backupDevice) WriteAt(string, []byte, int64) error { return ErrReadOnly }
func (b backupDevice) Sync(string) error                   { return nil }
func (b backupDevice) Size() int64                         { return int64(len(b)) }
func (b backupDevice) BlockSize() int                      { return 512 }

// maxBackup bounds a header backup in bytes: two headers of 4 MiB and 128 MiB of
// keyslots.
const maxBackup = 136 << 20

// RestoreHeader writes a backup made by Backup or cryptsetup over the header of
// the device at path; there need not be a LUKS header any more. A backup taken
// during a re-encryption is refused (ErrReencrypting), as is one of another volume
// (ErrForeign), and one whose volume key is not the one the device has now
// (ErrOtherKey): it would make a disk that has been re-encrypted since unreadable.
// Without a readable header on the device, or with force, these cannot be or are
// not checked. Keyslot areas are written first and the headers last.
func RestoreHeader(ctx context.Context, path string, backup io.Reader, force bool, o Options) (err error) {
	if o.ReadOnly {
		return ErrReadOnly
	}
	raw, err := io.ReadAll(io.LimitReader(backup, maxBackup+1))
	if err != nil {
		return err
	}
	if len(raw) > maxBackup {
		return badHeader("a header backup of more than %d bytes", maxBackup)
	}
	target := path
	if o.Header != "" {
		target, o.Offset, o.Size = o.Header, 0, 0
	}
	dev, err := openFile(target, o.Offset, o.Size, false)
	if err != nil {
		return err
	}
	defer dev.Close()
	if !o.NoLocks {
		// A re-encryption at work on the same image file would not be seen otherwise.
		if b, err := load(backupDevice(raw)); err == nil {
			v := &Volume{h: b.hdr}
			unlock, err := v.lockReencryption(ctx)
			if err != nil {
				return err
			}
			defer unlock()
		}
		unlock, err := dev.lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
	}
	a := &account{}
	defer a.close(&err)
	return restore(ctx, counted{dev, a}, raw, force)
}

func restore(ctx context.Context, dev Device, raw []byte, force bool) error {
	b, err := load(backupDevice(raw))
	if err != nil {
		return fmt.Errorf("the header backup: %w", err)
	}
	n := b.hdr.length()
	if int64(len(raw)) < n {
		return fmt.Errorf("the header backup: %w", badHeader("%d bytes, %d are needed", len(raw), n))
	}
	if len(b.hdr.meta.requirements) > 0 {
		return fmt.Errorf("the header backup: %w", ErrReencrypting)
	}
	if len(b.stale) > 0 {
		return fmt.Errorf("the header backup: %w", badHeader("one of its copies is damaged"))
	}
	if n > dev.Size() {
		return ErrTooSmall
	}
	for _, s := range b.hdr.meta.segments {
		if s.offset != 0 && s.offset < n {
			return badHeader("segment %d begins inside the header", s.id)
		}
	}
	if err := belongs(dev, b.hdr, force); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	from := b.hdr.meta.keyslotsStart()
	parts := []extent{{from, n - from}, {from / 2, from - from/2}, {0, from / 2}}
	for _, p := range parts {
		for off := p.offset; off < p.offset+p.size; off += 1 << 20 {
			if err := dev.WriteAt(WriteRestore, raw[off:min(off+1<<20, p.offset+p.size)], off); err != nil {
				return err
			}
		}
		if err := dev.Sync(WriteRestore); err != nil {
			return err
		}
	}
	return nil
}

// belongs refuses a backup that does not belong to what is on the device.
func belongs(dev Device, backup *header2, force bool) error {
	cur, err := load(dev)
	if err != nil || force {
		return nil // nothing readable to lose
	}
	if cur.hdr.uuid != backup.uuid {
		return fmt.Errorf("%w: a volume with another UUID, %s", ErrForeign, cur.hdr.uuid)
	}
	if len(cur.hdr.meta.requirements) > 0 {
		return ErrReencrypting
	}
	a, errA := cur.hdr.meta.dataDigest()
	b, errB := backup.meta.dataDigest()
	if errA != nil || errB != nil || string(a.value) != string(b.value) {
		return ErrOtherKey
	}
	return nil
}
