package flash

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"reown/internal/rom"
)

// mtd is a kernel's MTD device on a chip in memory.
type mtd struct {
	*chip
	mtdInfo  unix.MtdInfo
	locked   bool
	noLock   bool
	unlocked int
	err      error
}

func newMTDChip(img []byte, erase uint32) *mtd {
	return &mtd{chip: newChip(img), mtdInfo: unix.MtdInfo{Type: unix.MTD_NORFLASH, Flags: unix.MTD_WRITEABLE,
		Size: uint32(len(img)), Erasesize: erase, Writesize: 1}}
}

func (m *mtd) info() (unix.MtdInfo, error) { return m.mtdInfo, nil }
func (m *mtd) Close() error                { return nil }
func (m *mtd) Sync() error                 { return unix.EINVAL }

func (m *mtd) WriteAt(p []byte, off int64) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	return len(p), m.Program("", off, p)
}

func (m *mtd) erase(start, length uint32) error {
	if m.locked {
		return unix.EROFS
	}
	return m.write("erase", int64(start), bytes.Repeat([]byte{0xff}, int(length)))
}

func (m *mtd) unlock(start, length uint32) error {
	if m.noLock {
		return unix.EOPNOTSUPP
	}
	m.unlocked++
	return nil
}

func TestMTD(t *testing.T) {
	p := plan(t, sold(t, small), 3000)
	for _, erase := range []uint32{4096, 64 << 10} {
		for _, noLock := range []bool{false, true} {
			m := newMTDChip(p.Old, erase)
			m.noLock = noLock
			d, err := newMTD(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Write(context.Background(), &NOR{Device: d}, p, nil); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(m.data, p.New) || (m.unlocked == 0) != noLock {
				t.Errorf("erase blocks of %d bytes: wrong image, or %d blocks unlocked", erase, m.unlocked)
			}
		}
	}
	m := newMTDChip(p.Old, 4096)
	m.locked = true
	d, err := newMTD(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), &NOR{Device: d}, p, nil); !errors.Is(err, ErrLocked) ||
		!errors.Is(err, ErrRestored) {
		t.Errorf("a locked chip: %v", err)
	}
	m = newMTDChip(p.Old, 4096)
	m.err = unix.EIO
	if d, err = newMTD(m); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), &NOR{Device: d}, p, nil); !errors.Is(err, unix.EIO) ||
		!errors.Is(err, ErrDamaged) {
		t.Errorf("a chip that erases and does not program: %v", err)
	}
}

func TestRefusedMTD(t *testing.T) {
	for name, c := range map[string]struct {
		info unix.MtdInfo
		want error
	}{
		"NAND": {unix.MtdInfo{Type: unix.MTD_NANDFLASH, Flags: unix.MTD_WRITEABLE, Size: 1 << 23, Erasesize: 4096},
			rom.ErrUnknownLayout},
		"read only": {unix.MtdInfo{Type: unix.MTD_NORFLASH, Size: 1 << 23, Erasesize: 4096}, ErrLocked},
		"odd": {unix.MtdInfo{Type: unix.MTD_NORFLASH, Flags: unix.MTD_WRITEABLE, Size: 1<<23 + 1, Erasesize: 4096},
			rom.ErrUnknownLayout},
		"no blocks": {unix.MtdInfo{Type: unix.MTD_NORFLASH, Flags: unix.MTD_WRITEABLE, Size: 1 << 23}, rom.ErrUnknownLayout},
	} {
		m := newMTDChip(nil, 0)
		m.mtdInfo = c.info
		if _, err := newMTD(m); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenMTD("/dev/null"); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("/dev/null: %v", err)
	}
}
