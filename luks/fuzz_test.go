package luks

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seeds are headers that cryptsetup made (../testdata/luks), cut to what fuzzing reads.
func seeds(f *testing.F, glob string) [][]byte {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("../testdata/luks", glob))
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
		v := &Volume{h: &header2{root: root, meta: m, size: minHeaderSize}, state: &loaded{}, hdr: backupDevice(nil),
			data: backupDevice(make([]byte, 1<<20))}
		if r, err := v.reencryption(); err == nil && r != nil {
			if r.offset < 0 || r.length < 0 || r.offset+r.length > r.total || r.total > 1<<61 {
				t.Fatalf("re-encryption at %d+%d of %d", r.offset, r.length, r.total)
			}
			u := &run{v: v, r: r}
			if n := r.maxHotzone(r.slot.area.size); n < 0 || n > 0 && r.slot.area.typ == "checksum" &&
				u.checksumLen(n) > r.slot.area.size {
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

// FuzzLog1: a log that is accepted is one that cryptsetup would have written.
func FuzzLog1(f *testing.F) {
	seed := "# LUKS reencryption log, DO NOT EDIT OR DELETE.\nversion = 2\nUUID = b2ad317e-ef00-454a-9572-778785ceda49\ndirection = 0\nmode = 0\noffset = 2097152\nshift = 0\n# EOF\n"
	f.Add(append([]byte(seed), make([]byte, log1Size-len(seed))...))
	f.Add([]byte(seed))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseLog1(b)
		if err != nil {
			return
		}
		if l.offset < 0 || l.offset%512 != 0 || l.uuid == "" || len(b) != log1Size {
			t.Fatalf("%+v of %q", l, b)
		}
	})
}

func TestParseLog1(t *testing.T) {
	const good = "# LUKS reencryption log, DO NOT EDIT OR DELETE.\nversion = 2\nUUID = b2ad317e\ndirection = 0\nmode = 0\noffset = 2097152\nshift = 0\n# EOF\n"
	pad := func(s string) []byte { return append([]byte(s), make([]byte, log1Size-len(s))...) }
	if l, err := parseLog1(pad(good)); err != nil || l != (log1{"b2ad317e", 2097152}) {
		t.Fatal(l, err)
	}
	for _, c := range [][2]string{
		{"offset = 2097152", "offset = -512"}, {"offset = 2097152", "offset = 513"},
		{"offset = 2097152", "offset = 18446744073709551615"},
		{"offset = 2097152", "offset = 512\noffset = 1024"}, {"mode = 0\n", ""}, {"# EOF\n", ""},
		{"shift = 0\n# EOF\n", "shi"}, {"version = 2", "version = 3"},
		{"direction = 0", "direction = 1"}, {"mode = 0", "mode = 1"}, {"shift = 0", "shift = 512"},
		{"UUID = b2ad317e", "UUID = "}, {"mode = 0", "mode = 0\nnew = 1"},
	} {
		if l, err := parseLog1(pad(strings.Replace(good, c[0], c[1], 1))); err == nil {
			t.Errorf("%q was accepted: %+v", c[1], l)
		}
	}
	after := pad(good)
	after[511] = 'x'
	for _, b := range [][]byte{after, after[:511], nil} {
		if _, err := parseLog1(b); err == nil {
			t.Errorf("%q was accepted", b)
		}
	}
}
