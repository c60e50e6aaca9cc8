package rom

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes of a firmware image that this package accepts, in bytes.
const (
	MinSize = 64 << 10
	MaxSize = 64 << 20
)

// Errors that decide what a caller does next.
var (
	// ErrUnknownLayout says that the image is not laid out in a way this
	// package understands. Nothing was changed.
	ErrUnknownLayout = errors.New("unknown firmware layout")
	// ErrVerified says that the firmware verifies its own CBFS (metadata hash
	// anchor or vboot): a changed image would not start.
	ErrVerified = errors.New("the firmware verifies its own files")
	// ErrNoSpace says that no hole of the CBFS is large enough.
	ErrNoSpace = errors.New("no space left in the firmware")
	// ErrNotFound says that the CBFS has no file of that name.
	ErrNotFound = errors.New("no such file in the firmware")
	// ErrExists says that the CBFS has a file of that name already.
	ErrExists = errors.New("the firmware has a file of that name already")
	// ErrBadName says that a file name cannot stand in a CBFS header.
	ErrBadName = errors.New("bad CBFS file name")
)

const (
	fmapSignature  = "__FMAP__"
	fmapHeaderLen  = 56
	fmapAreaLen    = 42
	fmapMaxAreas   = 256
	fmapNameLen    = 32
	cbfsRegionName = "COREBOOT"
)

// A Range is a half-open stretch of an image, in bytes from its start.
type Range struct{ Start, End uint32 }

// Len returns the number of bytes.
func (r Range) Len() uint32 { return r.End - r.Start }

func (r Range) contains(o Range) bool { return r.Start <= o.Start && o.End <= r.End }
func (r Range) overlaps(o Range) bool { return r.Start < o.End && o.Start < r.End }

// An Area is one entry of the flash map.
type Area struct {
	Name string
	Range
	Flags uint16
}

// An FMAP is the table of contents of a flash chip (fmap_serialized.h, version 1).
type FMAP struct {
	Offset uint32 // of the table itself
	Areas  []Area
}

// ParseFMAP finds the flash map. The table must describe exactly len(img) bytes,
// its areas must lie inside the image, and two areas may only be apart or one
// inside the other. It returns ErrNotFound for an image without any table, and
// ErrUnknownLayout for a broken one or for more than one.
func ParseFMAP(img []byte) (*FMAP, error) {
	if len(img) < MinSize || len(img) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes is no size of a firmware image", ErrUnknownLayout, len(img))
	}
	var found *FMAP
	for at := 0; ; at++ {
		i := bytes.Index(img[at:], []byte(fmapSignature))
		if i < 0 {
			break
		}
		at += i
		if !plausibleFMAP(img[at:], len(img)) {
			continue // the signature also stands in programs that look for it
		}
		if found != nil {
			return nil, fmt.Errorf("%w: two flash maps, at 0x%x and 0x%x", ErrUnknownLayout, found.Offset, at)
		}
		m, err := parseFMAPAt(img, at)
		if err != nil {
			return nil, err
		}
		found = m
	}
	if found == nil {
		return nil, fmt.Errorf("looking for a flash map: %w", ErrNotFound)
	}
	return found, found.checkNesting()
}

// plausibleFMAP tells a table from a mere signature, as coreboot's tools do:
// version, size and a printable name.
func plausibleFMAP(b []byte, imageLen int) bool {
	if len(b) < fmapHeaderLen || b[8] != 1 {
		return false
	}
	if binary.LittleEndian.Uint32(b[18:]) != uint32(imageLen) {
		return false
	}
	_, ok := areaName(b[22 : 22+fmapNameLen])
	return ok
}

func parseFMAPAt(img []byte, at int) (*FMAP, error) {
	n := int(binary.LittleEndian.Uint16(img[at+54:]))
	if n == 0 || n > fmapMaxAreas || len(img)-at-fmapHeaderLen < n*fmapAreaLen {
		return nil, fmt.Errorf("%w: the flash map at 0x%x claims %d areas", ErrUnknownLayout, at, n)
	}
	m := &FMAP{Offset: uint32(at)}
	for i := range n {
		a := img[at+fmapHeaderLen+i*fmapAreaLen:]
		off, size := binary.LittleEndian.Uint32(a), binary.LittleEndian.Uint32(a[4:])
		name, ok := areaName(a[8 : 8+fmapNameLen])
		if !ok || uint64(off)+uint64(size) > uint64(len(img)) {
			return nil, fmt.Errorf("%w: area %d of the flash map is broken", ErrUnknownLayout, i)
		}
		m.Areas = append(m.Areas, Area{name, Range{off, off + size}, binary.LittleEndian.Uint16(a[40:])})
	}
	return m, nil
}

// areaName reads a NUL-terminated name of printable characters without spaces.
func areaName(b []byte) (string, bool) {
	name, _, ok := bytes.Cut(b, []byte{0})
	if !ok {
		return "", false
	}
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return "", false
		}
	}
	return string(name), true
}

func (m *FMAP) checkNesting() error {
	seen := map[string]bool{}
	for i, a := range m.Areas {
		if seen[a.Name] {
			return fmt.Errorf("%w: two areas are named %q", ErrUnknownLayout, a.Name)
		}
		seen[a.Name] = true
		for _, b := range m.Areas[:i] {
			if a.overlaps(b.Range) && !a.contains(b.Range) && !b.contains(a.Range) {
				return fmt.Errorf("%w: areas %q and %q overlap", ErrUnknownLayout, a.Name, b.Name)
			}
		}
	}
	return nil
}

// Area returns the area of that name.
func (m *FMAP) Area(name string) (Area, bool) {
	for _, a := range m.Areas {
		if a.Name == name {
			return a, true
		}
	}
	return Area{}, false
}
