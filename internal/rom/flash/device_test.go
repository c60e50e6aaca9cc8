package flash

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/fstest"

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
	return &mtd{chip: newChip(img), mtdInfo: unix.MtdInfo{Type: unix.MTD_NORFLASH, Flags: unix.MTD_WRITEABLE, Size: uint32(len(img)), Erasesize: erase, Writesize: 1}}
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
	if _, err := Write(context.Background(), &NOR{Device: d}, p, nil); !errors.Is(err, ErrLocked) || !errors.Is(err, ErrRestored) {
		t.Errorf("a locked chip: %v", err)
	}
	m = newMTDChip(p.Old, 4096)
	m.err = unix.EIO
	if d, err = newMTD(m); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), &NOR{Device: d}, p, nil); !errors.Is(err, unix.EIO) || !errors.Is(err, ErrDamaged) {
		t.Errorf("a chip that erases and does not program: %v", err)
	}
}

func TestRefusedMTD(t *testing.T) {
	for name, c := range map[string]struct {
		info unix.MtdInfo
		want error
	}{
		"NAND":      {unix.MtdInfo{Type: unix.MTD_NANDFLASH, Flags: unix.MTD_WRITEABLE, Size: 1 << 23, Erasesize: 4096}, rom.ErrUnknownLayout},
		"read only": {unix.MtdInfo{Type: unix.MTD_NORFLASH, Size: 1 << 23, Erasesize: 4096}, ErrLocked},
		"odd":       {unix.MtdInfo{Type: unix.MTD_NORFLASH, Flags: unix.MTD_WRITEABLE, Size: 1<<23 + 1, Erasesize: 4096}, rom.ErrUnknownLayout},
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

func TestPower(t *testing.T) {
	supply := func(attrs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(attrs); i += 2 {
			m[attrs[i]] = attrs[i+1]
		}
		return m
	}
	mains, noMains := supply("type", "Mains", "online", "1"), supply("type", "Mains", "online", "0")
	for name, c := range map[string]struct {
		supplies map[string]map[string]string
		want     PowerState
		ok       bool
	}{
		"desktop":                    {nil, PowerState{Battery: -1}, true},
		"mains":                      {map[string]map[string]string{"AC": mains, "BAT0": supply("type", "Battery", "capacity", "3")}, PowerState{true, 3, 2}, true},
		"battery full":               {map[string]map[string]string{"AC": noMains, "BAT0": supply("type", "Battery", "present", "1", "capacity", "30")}, PowerState{false, 30, 2}, true},
		"battery low":                {map[string]map[string]string{"AC": noMains, "BAT0": supply("type", "Battery", "capacity", "29")}, PowerState{false, 29, 2}, false},
		"two batteries":              {map[string]map[string]string{"BAT0": supply("type", "Battery", "capacity", "5"), "BAT1": supply("type", "Battery", "energy_now", "400", "energy_full", "500")}, PowerState{false, 80, 2}, true},
		"battery taken out":          {map[string]map[string]string{"AC": noMains, "BAT0": supply("type", "Battery", "present", "0", "capacity", "90")}, PowerState{false, -1, 1}, false},
		"a mouse's battery":          {map[string]map[string]string{"AC": noMains, "hid": supply("type", "Battery", "scope", "Device", "capacity", "90")}, PowerState{false, -1, 1}, false},
		"USB-C":                      {map[string]map[string]string{"ucsi": supply("type", "USB", "online", "1")}, PowerState{true, -1, 1}, true},
		"battery without fuel gauge": {map[string]map[string]string{"BAT0": supply("type", "Battery", "capacity", "unknown", "charge_now", "-5", "charge_full", "0")}, PowerState{false, -1, 1}, false},
	} {
		sys := fstest.MapFS{}
		for name, attrs := range c.supplies {
			for a, v := range attrs {
				sys["class/power_supply/"+name+"/"+a] = &fstest.MapFile{Data: []byte(v + "\n")}
			}
		}
		got, err := Power(sys)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
		if err := got.Check(); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrPower) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
