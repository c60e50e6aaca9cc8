package rom

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
)

// tiny returns a valid image of the smallest size: a flash map at 4 KiB, and
// behind it a CBFS with a master header, firmware and the owner's files.
func tiny(t testing.TB) []byte {
	t.Helper()
	const start = 0x1200
	img := bytes.Repeat([]byte{0xff}, MinSize)
	fmap := img[0x1000:]
	clear(fmap[:56+2*42])
	copy(fmap, "__FMAP__\x01\x01")
	le := binary.LittleEndian
	le.PutUint32(fmap[18:], MinSize)
	copy(fmap[22:], "FLASH")
	le.PutUint16(fmap[54:], 2)
	for i, a := range []Area{{"FMAP", Range{0x1000, 0x1200}, 0}, {"COREBOOT", Range{start, MinSize}, 0}} {
		e := fmap[56+42*i:]
		le.PutUint32(e, a.Start)
		le.PutUint32(e[4:], a.Len())
		copy(e[8:], a.Name)
	}
	im := &Image{data: img, fmap: &FMAP{}, region: Range{start, MinSize}}
	im.putEmpty(start, MinSize-4, CBFSTool)
	if err := im.walk(); err != nil {
		t.Fatal(err)
	}
	master := make([]byte, masterHdrLen)
	for i, v := range []uint32{masterMagic, 0x31313132, MinSize, 4, fileAlign, start} {
		binary.BigEndian.PutUint32(master[4*i:], v)
	}
	for _, f := range []NewFile{
		{"cbfs_master_header", master}, {"fallback/ramstage", make([]byte, 3000)}, {"fallback/payload", make([]byte, 9000)},
		{NamePubring, []byte("ring")}, {NameTrustDB, []byte("trust")}, {NameConfig, []byte("export CONFIG_A=\"b\"\n")},
	} {
		if err := im.Add(f.Name, f.Data, CBFSTool); err != nil {
			t.Fatal(err)
		}
	}
	f, err := im.Lookup("cbfs_master_header")
	if err != nil {
		t.Fatal(err)
	}
	le.PutUint32(img[MinSize-4:], f.DataOffset-MinSize)
	return img
}

// FuzzImage changes bytes of a valid image: each four bytes of the input are an
// offset and two bytes to put there. Whatever comes of it is refused, or is read
// in bounds, edited and planned without a panic, and parsed again.
func FuzzImage(f *testing.F) {
	base := tiny(f)
	if _, err := Parse(base); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add([]byte{0x10, 0x12, 0, 0})             // the flash map's size
	f.Add([]byte{0x10, 0x36, 0xff, 0xff})       // its number of areas
	f.Add([]byte{0x12, 0x08, 0x7f, 0xff})       // a length
	f.Add([]byte{0x12, 0x16, 0, 0})             // where data begins
	f.Add([]byte{0x12, 0x12, 0, 0x18})          // where attributes begin
	f.Add([]byte{0x12, 0x00, 0, 0, 0xff, 0xfe}) // a magic
	for i := 0x1240; i < len(base); i += fileAlign {
		if bytes.HasPrefix(base[i:], []byte(fileMagic)) {
			f.Add([]byte{byte(i >> 8), byte(i), 0xff, 0xff})
			f.Add([]byte{byte(i >> 8), byte(i + 10), 0xff, 0xff})
		}
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		img := bytes.Clone(base)
		for ; len(patch) >= 4; patch = patch[4:] {
			copy(img[binary.BigEndian.Uint16(patch):], patch[2:4])
		}
		before := bytes.Clone(img)
		p, planErr := NewPlan(img, Changes{Pubring: make([]byte, 2000), TrustDB: []byte("t"),
			Settings: []Setting{{"CONFIG_B", "c"}}})
		if !bytes.Equal(img, before) {
			t.Fatal("planning changed the image")
		}
		if errors.Is(planErr, ErrUnsafeChange) {
			t.Fatalf("a plan failed its own proof: %v", planErr)
		}
		if planErr == nil {
			if _, err := Parse(p.New); err != nil {
				t.Fatalf("planned image: %v", err)
			}
			if again, err := NewPlan(p.New, Changes{Pubring: make([]byte, 2000), TrustDB: []byte("t"),
				Settings: []Setting{{"CONFIG_B", "c"}}}); err != nil || len(again.Blocks) > 0 && p.Aligned {
				t.Fatalf("planned again: %v", err)
			}
		}
		im, err := Parse(img)
		if err != nil {
			return
		}
		at := im.region.Start
		for _, f := range im.files {
			if f.Offset != at || f.DataOffset <= f.Offset || f.DataOffset+f.Size > f.End || f.End <= f.Offset ||
				f.End > im.region.End {
				t.Fatalf("entry %+v in %+v", f, im.region)
			}
			at = f.End
		}
		for _, s := range []Style{Heads, CBFSTool} {
			c, err := Parse(bytes.Clone(img))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Add("new", []byte("data"), s); err == nil {
				if got, err := c.Extract("new"); err != nil || string(got) != "data" {
					t.Fatalf("added and not found: %q, %v", got, err)
				}
			}
			for _, f := range c.Files() {
				if !f.Empty() && f.Name != "" {
					if err := c.Remove(f.Name, s); err != nil {
						t.Fatalf("removing %q: %v", f.Name, err)
					}
					break
				}
			}
			outside := func(b []byte) string { return string(b[:c.region.Start]) + string(b[c.region.End:]) }
			if outside(c.Bytes()) != outside(img) {
				t.Fatal("bytes outside of the region changed")
			}
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("export CONFIG_A=\"b\"\n# c\nrm -rf /\n"))
	f.Add([]byte("CONFIG_A='x\nCONFIG_B=\"$(id)\"\r\nexport  CONFIG_C=d"))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, kept, _, err := OwnConfig(b, []Setting{{"CONFIG_A", "value"}})
		if err != nil {
			return
		}
		settings, rejected := ParseConfig(out)
		if len(rejected) != 0 || len(settings) != len(kept)+1 || bytes.ContainsAny(out, "$`\\;&|'#") {
			t.Fatalf("%q became %q, rejected %q", b, out, rejected)
		}
		for _, s := range settings[:len(kept)] {
			if allowed := taken[s.Name]; allowed == nil || !allowed(s.Value) {
				t.Fatalf("%q kept %q", b, s)
			}
		}
		if again, _, _, err := OwnConfig(out, []Setting{{"CONFIG_A", "value"}}); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("made twice: %q, %q, %v", out, again, err)
		}
	})
}

func TestFuzzBaseIsWhatCbfstoolReads(t *testing.T) {
	peer(t, "cbfstool")
	name := t.TempDir() + "/tiny"
	if err := os.WriteFile(name, tiny(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := must(t, "cbfstool", name, "print"); !strings.Contains(out, NamePubring) {
		t.Error(out)
	}
}

// FuzzTorn changes bytes of an image as FuzzImage does, which then counts as half written.
func FuzzTorn(f *testing.F) {
	base := tiny(f)
	f.Add([]byte{})
	f.Add([]byte{0x12, 0x40, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, edits []byte) {
		data := bytes.Clone(base)
		for ; len(edits) >= 4; edits = edits[4:] {
			at := int(edits[0])<<8 | int(edits[1])
			if at+1 < len(data) {
				data[at], data[at+1] = edits[2], edits[3]
			}
		}
		_, err := Parse(data)
		torn, tornErr := ParseTorn(data)
		switch {
		case err == nil && tornErr != nil:
			t.Fatalf("a whole image is refused as a torn one: %v", tornErr)
		case tornErr == nil:
			for _, f := range torn.Files() {
				_ = f.Name
			}
		}
	})
}
