// Package romtest makes firmware images for tests and for the lab: with the flash
// maps of real boards, a boot block, a payload and the other files that a start
// needs. Their content is random but always the same.
//
// It shares no code with package rom, and cbfstool reads what it makes.
package romtest

import (
	"encoding/binary"
	"math/rand/v2"
)

// A Layout is the flash map of a kind of board. Sizes and offsets are in bytes.
type Layout struct {
	Name   string
	Size   uint32
	Areas  []Area // without the FMAP's own area
	FMAP   uint32 // offset of the flash map; 0: none, a legacy image
	CBFS   Area   // COREBOOT
	Serial string // content of serial_number; "" means no such file
	// Payload is the size of fallback/payload; 0 means 3,000,003 bytes.
	Payload int
}

// An Area is a named stretch of the chip.
type Area struct {
	Name         string
	Offset, Size uint32
}

const fmapSize = 0x200

// Layouts are the kinds of image that the tests go through.
var Layouts = []Layout{
	{
		// x220 and its like, built with a recent coreboot.
		Name: "8M", Size: 8 << 20, FMAP: 0x30000,
		Areas: []Area{{"SI_DESC", 0, 0x1000}, {"SI_GBE", 0x1000, 0x2000}, {"SI_ME", 0x3000, 0x1d000},
			{"SI_BIOS", 0x20000, 0x7e0000}, {"RW_MRC_CACHE", 0x20000, 0x10000}},
		CBFS: Area{"COREBOOT", 0x31000, 0x7cf000},
	},
	{
		// x230-maximized and its like.
		Name: "12M", Size: 12 << 20, FMAP: 0x31000,
		Areas: []Area{{"SI_DESC", 0, 0x1000}, {"SI_GBE", 0x1000, 0x2000}, {"SI_ME", 0x3000, 0x1e000},
			{"SI_BIOS", 0x21000, 0xbdf000}, {"RW_MRC_CACHE", 0x21000, 0x10000}},
		CBFS: Area{"COREBOOT", 0x31200, 0xbcee00},
	},
	{
		Name: "16M", Size: 16 << 20, FMAP: 0x164000,
		Areas: []Area{{"SI_DESC", 0, 0x1000}, {"SI_GBE", 0x1000, 0x2000}, {"SI_ME", 0x3000, 0x111000},
			{"SI_BIOS", 0x114000, 0xeec000}, {"RW_MRC_CACHE", 0x114000, 0x10000}, {"SMMSTORE", 0x124000, 0x40000}},
		CBFS: Area{"COREBOOT", 0x164200, 0xe9be00},
	},
	{
		// Librem: a serial number in the CBFS that must survive.
		Name: "purism", Size: 16 << 20, FMAP: 0x420000, Serial: "P-4711-0815",
		Areas: []Area{{"SI_DESC", 0, 0x1000}, {"SI_ME", 0x1000, 0x3ff000}, {"SI_BIOS", 0x400000, 0xc00000},
			{"RW_MRC_CACHE", 0x400000, 0x20000}},
		CBFS: Area{"COREBOOT", 0x420200, 0xbdfe00},
	},
	{
		Name: "32M", Size: 32 << 20, FMAP: 0x1100000,
		Areas: []Area{{"SI_DESC", 0, 0x4000}, {"SI_ME", 0x4000, 0xffc000}, {"SI_BIOS", 0x1000000, 0x1000000},
			{"RW_MRC_CACHE", 0x1000000, 0x20000}, {"SMMSTORE", 0x1020000, 0x80000}},
		CBFS: Area{"COREBOOT", 0x1100200, 0xeffe00},
	},
	{
		// Before flash maps: a master header, and a pointer to it at the top.
		Name: "legacy", Size: 8 << 20,
		CBFS: Area{"", 0x100000, 0x6f0000},
	},
}

// Critical names the files without which a board does not start.
var Critical = []string{"fallback/romstage", "cpu_microcode_blob.bin", "fallback/ramstage", "vbt.bin",
	"fallback/payload", "bootblock"}

// Types and tags of CBFS (cbfs_serialized.h).
const (
	typeBootblock = 0x01
	typeHeader    = 0x02
	typeRaw       = 0x50
	typeMicrocode = 0x53
	typeEmpty     = 0xffffffff
	tagHash       = 0x68736148
)

// Build makes an image without any file of the owner.
func (l Layout) Build() []byte {
	b := &builder{img: make([]byte, l.Size), at: l.CBFS.Offset, start: l.CBFS.Offset, end: l.CBFS.Offset + l.CBFS.Size,
		rand: rand.NewChaCha8([32]byte{'r', 'o', 'm'})}
	for i := range b.img {
		b.img[i] = 0xff
	}
	for _, a := range l.Areas {
		if a.Name != "SI_BIOS" && a.Name != "RW_MRC_CACHE" {
			_, _ = b.rand.Read(b.img[a.Offset : a.Offset+a.Size])
		}
	}
	if l.FMAP != 0 {
		b.putFMAP(l)
		b.add("cbfs master header", typeHeader, b.master(l), 0)
		b.hole(0xfc0)
	}
	b.add("fallback/romstage", typeRaw, b.bytes(90_001), 0)
	b.add("cpu_microcode_blob.bin", typeMicrocode, b.bytes(26_624), 0)
	b.add("fallback/ramstage", typeRaw, b.bytes(120_000), 0)
	b.add("config", typeRaw, b.bytes(3_333), 0)
	b.add("vbt.bin", typeRaw, b.bytes(1_400), 40)
	if l.Serial != "" {
		b.add("serial_number", typeRaw, []byte(l.Serial), 0)
	}
	b.add("bootsplash.jpg", typeRaw, b.bytes(20_000), 0)
	if l.Payload == 0 {
		l.Payload = 3_000_003
	}
	b.add("fallback/payload", typeRaw, b.bytes(l.Payload), 0)
	if l.FMAP == 0 {
		b.hole(b.end - b.start)
		b.legacyTop(l)
		return b.img
	}
	const size = 0x8000 // of the boot block, data only
	head := b.end - size - 0x40
	b.hole((head - b.start) &^ 63)
	at := b.at
	boot := b.bytes(size)
	binary.LittleEndian.PutUint32(boot[size-4:], b.masterAt-l.Size)
	copy(b.img[b.end-size:], boot)
	b.header(at, "bootblock", typeBootblock, size, b.end-size-at, 0)
	return b.img
}

type builder struct {
	img            []byte
	start, at, end uint32
	masterAt       uint32
	rand           *rand.ChaCha8
}

func (b *builder) bytes(n int) []byte {
	p := make([]byte, n)
	_, _ = b.rand.Read(p)
	return p
}

func up(n, a uint32) uint32 { return (n + a - 1) / a * a }

// header writes an entry's header whose data begins dataOff after it.
func (b *builder) header(at uint32, name string, typ, size, dataOff, attrOff uint32) {
	h := b.img[at : at+dataOff]
	clear(h)
	copy(h, "LARCHIVE")
	for i, v := range []uint32{size, typ, attrOff, dataOff} {
		binary.BigEndian.PutUint32(h[8+4*i:], v)
	}
	copy(h[24:], name)
}

// add appends a file; attr bytes of a hash attribute follow its name.
func (b *builder) add(name string, typ uint32, data []byte, attr uint32) {
	dataOff, attrOff := 24+up(uint32(len(name))+1, 4)+attr, uint32(0)
	if attr > 0 {
		attrOff = dataOff - attr
	}
	b.header(b.at, name, typ, uint32(len(data)), dataOff, attrOff)
	if attr > 0 {
		a := b.img[b.at+attrOff:]
		binary.BigEndian.PutUint32(a, tagHash)
		binary.BigEndian.PutUint32(a[4:], attr)
	}
	if typ == typeHeader {
		b.masterAt = b.at + dataOff
	}
	copy(b.img[b.at+dataOff:], data)
	b.at = b.start + up(b.at+dataOff+uint32(len(data))-b.start, 64)
}

// hole makes everything up to an offset from the region's start empty.
func (b *builder) hole(to uint32) {
	n := b.start + to - b.at
	b.header(b.at, "", typeEmpty, n-28, 28, 0)
	b.at += n
}

func (b *builder) master(l Layout) []byte {
	h := make([]byte, 32)
	for i, v := range []uint32{0x4f524243, 0x31313132, l.Size, 4, 64, l.CBFS.Offset, 1} {
		binary.BigEndian.PutUint32(h[4*i:], v)
	}
	return h
}

// legacyTop puts boot block, master header and the pointer to it at the top.
func (b *builder) legacyTop(l Layout) {
	const size = 0x10000
	boot := b.img[l.Size-size:]
	_, _ = b.rand.Read(boot)
	h := b.master(l)
	binary.BigEndian.PutUint32(h[12:], size)
	copy(boot[size-0x100:], h)
	binary.LittleEndian.PutUint32(boot[size-4:], uint32(0x100000000-0x100))
}

func (b *builder) putFMAP(l Layout) {
	areas := append([]Area{}, l.Areas...)
	areas = append(areas, Area{"FMAP", l.FMAP, fmapSize}, l.CBFS)
	h := b.img[l.FMAP : l.FMAP+uint32(56+42*len(areas))]
	clear(h)
	copy(h, "__FMAP__")
	h[8], h[9] = 1, 1
	binary.LittleEndian.PutUint64(h[10:], uint64(0x100000000)-uint64(l.Size))
	binary.LittleEndian.PutUint32(h[18:], l.Size)
	copy(h[22:], "FLASH")
	binary.LittleEndian.PutUint16(h[54:], uint16(len(areas)))
	for i, a := range areas {
		p := h[56+42*i:]
		binary.LittleEndian.PutUint32(p, a.Offset)
		binary.LittleEndian.PutUint32(p[4:], a.Size)
		copy(p[8:], a.Name)
	}
}
