package rom

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Types of CBFS files (cbfs_serialized.h) that this package tells apart.
const (
	TypeDeleted   = 0x00000000
	TypeBootblock = 0x01
	TypeHeader    = 0x02
	TypeRaw       = 0x50
	TypeEmpty     = 0xffffffff
)

const (
	fileMagic   = "LARCHIVE"
	fileHdrLen  = 24
	fileAlign   = 64
	maxMetadata = 256 // what coreboot reads of a header, name and attributes
	// Old images hold longer headers (a file with a fixed place); coreboot skips them.
	maxDataOffset = 1024
	maxFiles      = 4096

	masterMagic  = 0x4f524243 // "ORBC"
	masterHdrLen = 32

	// anchorMagic marks the hash over all CBFS headers in the boot block of a
	// firmware built with CBFS_VERIFICATION (metadata_hash.h).
	anchorMagic = "\xadMdtHsh\x15"
)

// A Style is the program whose way of editing is followed to the byte.
type Style int

const (
	// Heads is Heads' cbfs: the last hole that fits, names padded to 16 bytes.
	Heads Style = iota
	// CBFSTool is coreboot's cbfstool since 4.14: the first hole that fits,
	// names padded to 4 bytes, all neighbouring holes merged at each change.
	CBFSTool
)

func (s Style) namePad() uint32 {
	if s == CBFSTool {
		return 4
	}
	return 16
}

// headerLen returns the length of a header with a name, without attributes.
func (s Style) headerLen(name string) uint32 {
	return fileHdrLen + alignUp(uint32(len(name))+1, s.namePad())
}

// A File is one entry of the CBFS. Offsets are in bytes from the start of the image.
type File struct {
	Name       string
	Type       uint32
	Offset     uint32 // of the header; a multiple of 64 from the region's start
	DataOffset uint32
	Size       uint32 // of the data as stored, in bytes
	End        uint32 // of the entry: where the next header stands
	Attributes bool   // the entry carries attributes (compression, hash, place)
	Torn       bool   // no entry, but what an interrupted write left; counts as a hole
}

// Empty says that the entry is a hole.
func (f File) Empty() bool { return f.Type == TypeEmpty || f.Type == TypeDeleted }

func (f File) entry() Range { return Range{f.Offset, f.End} }
func (f File) data() Range  { return Range{f.DataOffset, f.DataOffset + f.Size} }

// An Image is a parsed firmware image. Add and Remove change the bytes it was
// parsed from.
type Image struct {
	data   []byte
	fmap   *FMAP // nil: a legacy image with a master header only
	region Range // where CBFS entries stand
	files  []File
	// hasMaster: there is a master header, which Heads' cbfs cannot do without.
	hasMaster bool
	allowTorn bool
}

// Parse reads an image of 64 KiB to 64 MiB with an FMAP whose CBFS is the area
// COREBOOT, or a legacy image that is described by a CBFS master header alone.
// The Image refers to data and does not copy it.
//
// The entries must follow each other without a gap up to the end of the region.
// Anything else is ErrUnknownLayout.
func Parse(data []byte) (*Image, error) { return parse(data, false) }

// ParseTorn is Parse for an image that an interrupted write may have left: what
// stands behind a hole or behind a file of the owner and is no entry counts as a
// hole (File.Torn), up to the next entry that coreboot would find there.
func ParseTorn(data []byte) (*Image, error) { return parse(data, true) }

func parse(data []byte, torn bool) (*Image, error) {
	im := &Image{data: data, allowTorn: torn}
	m, err := ParseFMAP(data)
	switch {
	case errors.Is(err, ErrNotFound):
		if err := im.findLegacyRegion(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		im.fmap = m
		if err := im.findRegion(); err != nil {
			return nil, err
		}
	}
	if err := im.walk(); err != nil {
		return nil, err
	}
	return im, im.findMaster()
}

func (im *Image) findRegion() error {
	a, ok := im.fmap.Area(cbfsRegionName)
	if !ok {
		return fmt.Errorf("%w: the flash map has no area %s", ErrUnknownLayout, cbfsRegionName)
	}
	for _, b := range im.fmap.Areas {
		if b.Name != a.Name && b.Len() > 0 && a.contains(b.Range) && a.Range != b.Range {
			return fmt.Errorf("%w: area %q lies inside %s", ErrUnknownLayout, b.Name, a.Name)
		}
	}
	im.region = a.Range
	return nil
}

// findLegacyRegion follows the pointer in the last four bytes of the image to
// the master header. The region ends where header or boot block begin.
func (im *Image) findLegacyRegion() error {
	h, ok := im.masterAt(im.masterPointer())
	if !ok {
		return fmt.Errorf("%w: neither a flash map nor a CBFS master header", ErrUnknownLayout)
	}
	if h.align != fileAlign || int(h.romSize) != len(im.data) || h.offset >= h.romSize {
		return fmt.Errorf("%w: the CBFS master header does not fit the image", ErrUnknownLayout)
	}
	end := h.romSize - 4
	if at := uint32(im.masterPointer()); at > h.offset {
		end = min(end, at)
	}
	if h.bootblockSize > 0 && h.bootblockSize < h.romSize && h.romSize-h.bootblockSize > h.offset {
		end = min(end, h.romSize-h.bootblockSize)
	}
	im.region = Range{h.offset, end}
	return nil
}

type masterHeader struct{ romSize, bootblockSize, align, offset uint32 }

// masterPointer returns the offset that the image's last four bytes point to.
func (im *Image) masterPointer() int {
	n := len(im.data)
	return n + int(int32(binary.LittleEndian.Uint32(im.data[n-4:])))
}

func (im *Image) masterAt(at int) (masterHeader, bool) {
	if at < 0 || at > len(im.data)-masterHdrLen {
		return masterHeader{}, false
	}
	b := im.data[at:]
	be := binary.BigEndian.Uint32
	return masterHeader{be(b[8:]), be(b[12:]), be(b[16:]), be(b[20:])}, be(b) == masterMagic
}

// findMaster checks the master headers through which Heads' cbfs finds the
// files: the one the image's last bytes point to, and the one that is a CBFS
// file. One that leads elsewhere would make Heads see other files than we do.
func (im *Image) findMaster() error {
	at := []int{im.masterPointer()}
	for _, f := range im.files {
		if f.Type == TypeHeader {
			at = append(at, int(f.DataOffset))
		}
	}
	for _, at := range at {
		h, ok := im.masterAt(at)
		if !ok {
			continue
		}
		if h.offset != im.region.Start || h.align != fileAlign {
			return fmt.Errorf("%w: the CBFS master header leads to 0x%x, the CBFS is at 0x%x", ErrUnknownLayout, h.offset,
				im.region.Start)
		}
		im.hasMaster = true
	}
	return nil
}

func alignUp(n, a uint32) uint32 { return (n + a - 1) &^ (a - 1) }

// walk reads the chain of entries, which fill the region.
func (im *Image) walk() error {
	im.files = im.files[:0]
	off := im.region.Start
	for off < im.region.End {
		if im.region.End-off < fileAlign && !bytes.HasPrefix(im.data[off:im.region.End], []byte(fileMagic)) {
			break // less than an entry is left over
		}
		f, err := im.parseFile(off)
		if err != nil && im.allowTorn {
			f, err = im.tornAt(off, err)
		}
		if err != nil {
			return err
		}
		if len(im.files) == maxFiles {
			return fmt.Errorf("%w: more than %d files", ErrUnknownLayout, maxFiles)
		}
		im.files = append(im.files, f)
		off = f.End
	}
	if len(im.files) == 0 {
		return fmt.Errorf("%w: no CBFS entry at 0x%x", ErrUnknownLayout, im.region.Start)
	}
	return nil
}

// tornAt returns the gap at off as a hole, or the error with which reading an
// entry there failed.
func (im *Image) tornAt(off uint32, err error) (File, error) {
	if n := len(im.files); n == 0 || !im.files[n-1].Empty() && !isOwner(im.files[n-1]) {
		return File{}, err // part of the firmware's own files may be lost
	}
	f := File{Type: TypeDeleted, Torn: true, Offset: off, DataOffset: off, End: off + fileAlign}
	for f.End < im.region.End {
		if _, err := im.parseFile(f.End); err == nil {
			break
		}
		f.End += fileAlign
	}
	f.End = min(f.End, im.region.End)
	f.Size = min(f.End, uint32(len(im.data))-4) - off // the last bytes may point to a master header
	return f, nil
}

func (im *Image) parseFile(off uint32) (File, error) {
	h := im.data[off:im.region.End]
	if len(h) < fileHdrLen || !bytes.HasPrefix(h, []byte(fileMagic)) {
		return File{}, fmt.Errorf("%w: no CBFS entry at 0x%x", ErrUnknownLayout, off)
	}
	be := binary.BigEndian.Uint32
	size, typ, attr, data := be(h[8:]), be(h[12:]), be(h[16:]), be(h[20:])
	nameEnd := data
	if attr != 0 {
		nameEnd = attr
	}
	if data <= fileHdrLen || data > maxDataOffset || uint64(data)+uint64(size) > uint64(len(h)) ||
		nameEnd <= fileHdrLen || nameEnd > data {
		return File{}, fmt.Errorf("%w: the CBFS entry at 0x%x is broken", ErrUnknownLayout, off)
	}
	name, _, ok := bytes.Cut(h[fileHdrLen:nameEnd], []byte{0})
	if !ok {
		return File{}, fmt.Errorf("%w: the CBFS entry at 0x%x has an unended name", ErrUnknownLayout, off)
	}
	end := min(uint64(len(h)), (uint64(data)+uint64(size)+fileAlign-1)&^(fileAlign-1))
	return File{
		Name: string(name), Type: typ, Size: size, Attributes: attr != 0,
		Offset: off, DataOffset: off + data, End: off + uint32(end),
	}, nil
}

// Bytes returns the whole image. The caller does not change it.
func (im *Image) Bytes() []byte { return im.data }

// FMAP returns the flash map, or nil for a legacy image.
func (im *Image) FMAP() *FMAP { return im.fmap }

// Region returns where the CBFS stands.
func (im *Image) Region() Range { return im.region }

// Files returns all entries in flash order, holes included.
func (im *Image) Files() []File { return append([]File(nil), im.files...) }

// Lookup returns the first file of that name.
func (im *Image) Lookup(name string) (File, error) {
	for _, f := range im.files {
		if !f.Empty() && f.Name == name {
			return f, nil
		}
	}
	return File{}, fmt.Errorf("%q: %w", name, ErrNotFound)
}

// Extract returns a copy of a file's data as stored (compressed data stays so).
func (im *Image) Extract(name string) ([]byte, error) {
	f, err := im.Lookup(name)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(im.bytes(f.data())), nil
}

func (im *Image) bytes(r Range) []byte { return im.data[r.Start:r.End] }

// Free returns the largest file, in bytes of data, that Add could take under
// that name.
func (im *Image) Free(name string, s Style) int {
	best := 0
	for _, f := range im.files {
		if n := int(f.End-f.Offset) - int(s.headerLen(name)); f.Empty() && n > best {
			best = n
		}
	}
	return best
}

// Check refuses an image that a change would keep from starting (ErrVerified).
func (im *Image) Check() error {
	if i := bytes.Index(im.data, []byte(anchorMagic)); i >= 0 {
		return fmt.Errorf("%w: CBFS metadata hash anchor at 0x%x", ErrVerified, i)
	}
	if im.fmap != nil {
		for _, a := range im.fmap.Areas {
			if a.Name == "GBB" || strings.HasPrefix(a.Name, "VBLOCK") || strings.HasPrefix(a.Name, "FW_MAIN") {
				return fmt.Errorf("%w: the flash map has a vboot area %q", ErrVerified, a.Name)
			}
		}
	}
	return nil
}

func checkName(name string, s Style) error {
	if name == "" || strings.HasPrefix(name, "[") || s.headerLen(name) > maxMetadata {
		return fmt.Errorf("%q: %w", name, ErrBadName)
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return fmt.Errorf("%q: %w", name, ErrBadName)
		}
	}
	return nil
}

// putHeader writes an entry's header at off and returns its length.
func (im *Image) putHeader(off, size, typ uint32, name string, s Style) uint32 {
	n := s.headerLen(name)
	h := im.data[off : off+n]
	clear(h)
	copy(h, fileMagic)
	binary.BigEndian.PutUint32(h[8:], size)
	binary.BigEndian.PutUint32(h[12:], typ)
	binary.BigEndian.PutUint32(h[20:], n)
	copy(h[fileHdrLen:], name)
	return n
}

// putEmpty makes [off, dataEnd) one hole, erased.
func (im *Image) putEmpty(off, dataEnd uint32, s Style) {
	n := im.putHeader(off, dataEnd-off-s.headerLen(""), TypeEmpty, "", s)
	fill(im.data[off+n : dataEnd])
}

func fill(b []byte) {
	for i := range b {
		b[i] = 0xff
	}
}

// Remove turns a file into a hole and joins it with its neighbours. All bytes of
// the file are erased.
func (im *Image) Remove(name string, s Style) error {
	f, err := im.Lookup(name)
	if err != nil {
		return fmt.Errorf("removing a file: %w", err)
	}
	if s == CBFSTool {
		binary.BigEndian.PutUint32(im.data[f.Offset+12:], TypeDeleted)
		if err := im.walk(); err != nil {
			return err
		}
		return im.mergeHoles()
	}
	start, end := f.Offset, f.End
	for i, g := range im.files {
		if g.Offset != f.Offset {
			continue
		}
		if i > 0 && im.files[i-1].Type == TypeEmpty {
			start = im.files[i-1].Offset
		}
		for _, g := range im.files[i+1:] {
			if g.Type != TypeEmpty {
				break
			}
			end = g.End
		}
	}
	im.putEmpty(start, end, s)
	return im.walk()
}

// mergeHoles joins neighbouring holes all over the image, as cbfstool does.
func (im *Image) mergeHoles() error {
	for i := 0; i < len(im.files); {
		j := i
		for j < len(im.files) && im.files[j].Empty() {
			j++
		}
		if j == i {
			i++
			continue
		}
		im.putEmpty(im.files[i].Offset, im.files[j-1].End, CBFSTool)
		i = j
	}
	return im.walk()
}

// Add stores data as an uncompressed raw file. It needs a hole of the data's
// size and a header (ErrNoSpace).
func (im *Image) Add(name string, data []byte, s Style) error {
	if err := checkName(name, s); err != nil {
		return fmt.Errorf("adding a file: %w", err)
	}
	for _, f := range im.files {
		if !f.Empty() && strings.EqualFold(f.Name, name) {
			return fmt.Errorf("adding %q: %w", name, ErrExists)
		}
	}
	if len(data) == 0 || len(data) > MaxSize {
		return fmt.Errorf("adding %q: %d bytes is no size of a file: %w", name, len(data), ErrNoSpace)
	}
	if s == CBFSTool {
		if err := im.mergeHoles(); err != nil {
			return err
		}
	}
	exact := s.headerLen(name) + uint32(len(data))
	need := alignUp(exact, fileAlign)
	fits := func(f File) bool {
		if s == CBFSTool {
			return f.Type == TypeEmpty && f.End-f.Offset >= exact
		}
		return f.Type == TypeEmpty && f.End-f.Offset >= need
	}
	var hole *File
	for i := range im.files {
		if fits(im.files[i]) {
			hole = &im.files[i]
			if s == CBFSTool {
				break
			}
		}
	}
	if hole == nil {
		return fmt.Errorf("adding %q, %d bytes: %w", name, len(data), ErrNoSpace)
	}
	off, end := hole.Offset, hole.End
	n := im.putHeader(off, uint32(len(data)), TypeRaw, name, s)
	copy(im.data[off+n:], data)
	if rest := off + need; rest < end && end-rest >= s.headerLen("") {
		if s == CBFSTool && end > uint32(len(im.data))-4 {
			end -= 4 // cbfstool keeps room for the master header's pointer
		}
		im.putEmpty(rest, end, s)
	}
	return im.walk()
}
