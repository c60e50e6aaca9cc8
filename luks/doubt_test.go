package luks_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// cryptsetup writes the checksums of a hotzone and the header that relies on them
// without a flush in between. Power fails when the header is on the medium and the
// checksums, or a part of them, are not: its own repair takes the hotzone for done.
func TestChecksumsLostByCryptsetup(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	base := f.image()
	log := f.record(f.peerReencrypt()...)
	const area = 548864 // with one keyslot for each key in a header of this size
	found := 0
	for k, op := range log {
		if op.Sync || op.Off != area || len(op.Data) > 4096 || k+4 > len(log) {
			continue
		}
		// Checksums, and the three writes of the primary header.
		lost := slices.Concat(log[:k], log[k+1:k+4])
		img := lukstest.Replay(base, lost)
		v, err := f.open(lukstest.NewDisk(slices.Clone(img), 512))
		if err != nil || !v.Info().Reencryption.Crash {
			continue
		}
		found++
		out, err := f.ourResume(img)
		if err == nil {
			err = f.data(out, 512)
		}
		if err != nil {
			t.Errorf("after %d operations: %v", k, err)
		}
		if found == 1 {
			if out, err := f.peerResume(img); err == nil && f.data(out, 512) == nil {
				t.Error("cryptsetup finishes it as well: this test has lost its subject")
			}
		}
		// With the second copy of the header brought up to date there is no proof any more.
		img = lukstest.Replay(img, log[k+5:k+8])
		out, err = f.ourResume(img)
		if !errors.Is(err, luks.ErrInDoubt) || !bytes.Equal(out, img) {
			t.Errorf("after %d operations, without proof: %v; changed: %v", k, err, !bytes.Equal(out, img))
		}
	}
	if found != 4 {
		t.Errorf("%d hotzones were found in the log, not 4", found)
	}
}

// Disks of 512-byte blocks may tear a block of 4096 bytes, and checksum with it.
func TestTornBlocks(t *testing.T) {
	f := format(t, shape{size: 512 << 10, sector: 4096})
	m := record(t, f, luks.ReencryptOptions{Hotzone: 64 << 10}, 512)
	n, torn := 0, 0
	for k, op := range m.log {
		if op.Sync || op.Name != luks.WriteData {
			continue
		}
		n++
		for _, cut := range []int{512, 4096 + 1024} {
			ops := slices.Clone(m.log[:k+1])
			if n%2 == 0 {
				ops[k].Data = op.Data[:cut]
			} else {
				ops[k].Off, ops[k].Data = op.Off+int64(cut), op.Data[cut:]
			}
			torn++
			if err := m.survive(lukstest.Replay(m.base, ops)); err != nil {
				t.Errorf("write %d torn at %d: %v", n, cut, err)
			}
		}
	}
	t.Logf("%d torn writes", torn)
	if torn < 10 {
		t.Error("too few")
	}
}

// A checksum that has changed is no permission to call its block done.
func TestDamagedChecksums(t *testing.T) {
	f := format(t, shape{size: 512 << 10, sector: 512})
	m := record(t, f, luks.ReencryptOptions{Hotzone: 64 << 10}, 512)
	last := -1
	for k, op := range m.log {
		if !op.Sync && op.Name == luks.WriteArea {
			last = k
		}
	}
	end := last + 1 // with its flush, and the header; data of the hotzone before may come in between
	for m.log[end].Sync || !strings.HasPrefix(m.log[end].Name, "header") {
		end++
	}
	img := lukstest.Replay(m.base, m.log[:end+1])
	img[m.log[last].Off] ^= 1
	d := lukstest.NewDisk(slices.Clone(img), 512)
	v, err := f.open(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Resume(context.Background(), pass("second"), luks.ReencryptOptions{}); !errors.Is(err, luks.ErrInDoubt) ||
		!bytes.Equal(d.Bytes(), img) {
		t.Errorf("%v; changed: %v", err, !bytes.Equal(d.Bytes(), img))
	}
}
