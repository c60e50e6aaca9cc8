package luks

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// seeds are headers that cryptsetup made (testdata), cut to what fuzzing reads.
func seeds(f *testing.F, glob string) [][]byte {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", glob))
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds %s: %v", glob, err)
	}
	var out [][]byte
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// FuzzJSON: whatever is accepted survives being written and read again, and says
// nothing that would take us outside the keyslots area.
func FuzzJSON(f *testing.F) {
	for _, s := range seeds(f, "*.json") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		root, err := parseJSON(text)
		if err != nil {
			return
		}
		again, err := parseJSON(root.text())
		if err != nil || !bytes.Equal(again.text(), root.text()) {
			t.Fatalf("%q became %q: %v", text, root.text(), err)
		}
		m, err := readMeta(root, minHeaderSize)
		if err != nil {
			return
		}
		inside(t, m)
		// Edits keep what is not theirs, and their result can be read.
		for _, n := range m.passSlots() {
			edited := root.clone()
			dropSlot(edited, n)
			if _, err := readMeta(edited, minHeaderSize); err != nil {
				t.Fatalf("without keyslot %d: %v\n%s", n, err, root.text())
			}
		}
		v := &Volume{h: &header2{root: root, meta: m, size: minHeaderSize}, hdr: backupDevice(nil), data: backupDevice(make([]byte, 1<<20))}
		if r, err := v.reencryption(); err == nil && r != nil {
			if r.offset < 0 || r.length < 0 || r.offset+r.length > r.total || r.total > 1<<61 {
				t.Fatalf("re-encryption at %d+%d of %d", r.offset, r.length, r.total)
			}
			u := &run{v: v, r: r}
			if n := r.maxHotzone(r.slot.area.size); n < 0 || n > 0 && r.slot.area.typ == "checksum" && u.checksumLen(n) > r.slot.area.size {
				t.Fatalf("a hotzone of %d bytes for an area of %d", n, r.slot.area.size)
			}
			edited := root.clone()
			r.setSegments(edited, r.offset, r.length)
			if _, err := readMeta(edited, minHeaderSize); err != nil {
				t.Fatalf("segments rewritten: %v\n%s", err, edited.text())
			}
		}
		_ = v.Info()
	})
}

func inside(t *testing.T, m *meta) {
	end := m.keyslotsStart()
	for _, a := range append(m.usedAreas(), m.gaps()...) {
		if a.offset < end || a.size < 0 || a.offset+a.size > m.keyslotsEnd() {
			t.Fatalf("area %+v leaves %d..%d", a, end, m.keyslotsEnd())
		}
	}
}

// FuzzHeader mends the checksum, so that the parser behind it is reached.
func FuzzHeader(f *testing.F) {
	for _, s := range seeds(f, "*.luks2") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < 2*minHeaderSize || len(raw) > 1<<20 {
			return
		}
		for off := 0; off <= minHeaderSize; off += minHeaderSize {
			c := raw[off : off+minHeaderSize]
			if sum, err := headerChecksum(c); err == nil {
				copy(c[csumOffset:], sum)
			}
		}
		l, err := load(backupDevice(raw))
		if err != nil {
			return
		}
		inside(t, l.hdr.meta)
		if _, err := l.hdr.encode(0); err != nil && l.hdr.v1 == nil {
			t.Fatalf("a header that was read cannot be written: %v", err)
		}
	})
}

// FuzzPhdr: a LUKS1 header that is accepted is written back as it was.
func FuzzPhdr(f *testing.F) {
	for _, s := range seeds(f, "*.luks1") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < phdrSize {
			return
		}
		h, err := parse1(raw, 4<<20)
		if err != nil {
			return
		}
		areas := append(h.meta.usedAreas(), h.gaps1()...)
		for i, a := range areas {
			if a.offset < areaStart1 || a.offset+a.size > h.meta.keyslotsEnd()+4096 {
				t.Fatalf("area %+v", a)
			}
			for _, b := range areas[:i] {
				if a.offset < b.offset+b.size && b.offset < a.offset+a.size {
					t.Fatalf("areas %+v and %+v overlap", a, b)
				}
			}
		}
		p, err := h.v1.encode1(h.meta)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.raw[:slot1Offset], raw[:slot1Offset]) {
			t.Fatal("fields outside the keyslot table changed")
		}
		for n, k := range h.meta.keyslots {
			if k != nil && !bytes.Equal(p.slot(n), h.v1.slot(n)) {
				t.Fatalf("keyslot %d changed from %x to %x", n, h.v1.slot(n), p.slot(n))
			}
		}
		if binary.BigEndian.Uint16(p.raw[6:]) != binary.BigEndian.Uint16(raw[6:]) {
			t.Fatal("version")
		}
	})
}
