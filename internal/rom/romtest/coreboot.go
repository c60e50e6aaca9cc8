package romtest

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Coreboot returns the files that coreboot finds in an image, by name. It does as
// cbfs_walk does (coreboot, cbfs_private.c): on from each entry, and from 64 bytes
// to 64 bytes where there is none. The first of a name counts.
func (l Layout) Coreboot(img []byte) map[string]string {
	files := map[string]string{}
	r := img[l.CBFS.Offset : l.CBFS.Offset+l.CBFS.Size]
	be := binary.BigEndian.Uint32
	for off := 0; off+24 < len(r); {
		h := r[off:]
		size, typ, attr, data := int(be(h[8:])), be(h[12:]), int(be(h[16:])), int(be(h[20:]))
		if !bytes.HasPrefix(h, []byte("LARCHIVE")) || data < 24 || data > 256 || size > len(r) || off+data+size > len(r) {
			off += 64
			continue
		}
		end := data
		if attr >= 24 && attr <= data {
			end = attr
		}
		name, _, _ := strings.Cut(string(h[24:end]), "\x00")
		if _, ok := files[name]; !ok && typ != typeEmpty && typ != 0 {
			files[name] = string(h[data : data+size])
		}
		off = (off + data + size + 63) &^ 63
	}
	return files
}

// Checker returns a function that names a file of Critical that the board would
// not find whole in an image, or "FMAP", or "" for an image that starts.
func (l Layout) Checker() func(img []byte) string {
	built := l.Build()
	want := l.Coreboot(built)
	return func(img []byte) string {
		got := l.Coreboot(img)
		for _, name := range Critical {
			// The processor finds the boot block by its place, not by its name.
			if name == "bootblock" && bytes.HasSuffix(img, []byte(want[name])) {
				continue
			}
			if want[name] == "" || got[name] != want[name] {
				return name
			}
		}
		if l.FMAP != 0 && !bytes.Equal(img[l.FMAP:l.FMAP+fmapSize], built[l.FMAP:l.FMAP+fmapSize]) {
			return "FMAP"
		}
		return ""
	}
}
