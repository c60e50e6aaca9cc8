package luks

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// header2Room is what the two copies of the smallest LUKS2 header take, bytes.
const header2Room = 2 * minHeaderSize

// Convert turns a LUKS1 header into LUKS2, or back, in place; no passphrase is
// needed and no data is touched. At every instant the device has a header that
// opens it: key material is copied to free space before a table entry points
// there, and the version changes with one write of a sector. Converting to the
// version the volume has already wipes what an interrupted conversion left.
//
// To LUKS1 only a volume goes that LUKS1 can describe: one digest, PBKDF2 with one
// hash throughout, 512-byte sectors, keyslots below 8, no tokens.
func (v *Volume) Convert(ctx context.Context, version int) (err error) {
	defer v.account.close(&err)
	if err := v.beginEdit(ctx); err != nil {
		return err
	}
	switch {
	case version == 2 && v.h.v1 != nil:
		return v.toLUKS2(ctx)
	case version == 1 && v.h.v1 == nil:
		return v.toLUKS1(ctx)
	case version == 1:
		return v.wipeRemains()
	case version == 2:
		return v.scrub(ctx)
	}
	return unsupported("LUKS version %d", version)
}

func (v *Volume) toLUKS2(ctx context.Context) error {
	p := v.h.v1
	limit := roundDown(v.h.meta.keyslotsEnd(), 4096)
	for n, k := range v.h.meta.keyslots {
		if k.area.offset%4096 != 0 {
			return unsupported("keyslot %d at byte %d, as cryptsetup 1.0 made them, in LUKS2", n, k.area.offset)
		}
	}
	if limit < header2Room+stride1(p.keySize()) {
		return fmt.Errorf("%w: %d bytes before the data", ErrNoSpace, limit)
	}
	if err := v.refuseLUKSMeta(limit); err != nil {
		return err
	}
	if err := v.clearHeaderRoom(ctx); err != nil {
		return err
	}
	p = v.h.v1
	root := v.h.root.clone()
	for _, k := range v.h.meta.keyslots {
		if k.area.offset+stride1(p.keySize()) <= roundDown(limit, 4096) {
			root.obj("keyslots").obj(id(k.id)).obj("area").set("size", dec(stride1(p.keySize())))
		}
	}
	config := root.obj("config")
	config.set("json_size", dec(minHeaderSize-binHeaderSize)).set("keyslots_size", dec(roundDown(limit-header2Room, 4096)))
	h := &header2{bin: make([]byte, binHeaderSize), size: minHeaderSize, seqid: 1, root: root}
	binary.BigEndian.PutUint16(h.bin[6:], 2)
	copy(h.bin[72:104], "sha256")
	copy(h.bin[168:208], v.h.uuid)
	// The second sector still holds the end of the LUKS1 table, idle keyslots or not.
	// LUKS2 ignores these bytes, but its checksum covers them: they stay as they are.
	copy(h.bin[split1:phdrSize], p.raw[split1:])
	if _, err := readMeta(root, h.size); err != nil {
		return err
	}
	primary, err := h.encode(0)
	if err != nil {
		return err
	}
	secondary, err := h.encode(h.size)
	if err != nil {
		return err
	}
	unlock, err := v.lockHeader(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := v.hdr.WriteAt(WriteConvert, primary[split1:], split1); err != nil {
		return err
	}
	if err := v.writeHeader(WriteConvert, secondary, h.size); err != nil {
		return err
	}
	if err := v.writeHeader(WriteConvert, primary[:split1], 0); err != nil {
		return err
	}
	if err := v.load(); err != nil {
		return err
	}
	return v.scrub(ctx)
}

// refuseLUKSMeta finds data that clevis keeps between keyslots and payload.
func (v *Volume) refuseLUKSMeta(limit int64) error {
	end := slices.Max(v.h.v1.pool[:]) + afSize(v.h.v1.keySize(), stripes1)
	b := make([]byte, 8)
	for _, off := range []int64{roundUp(end, 512), roundUp(end, 4096)} {
		if off+8 > limit {
			continue
		}
		if err := v.hdr.ReadAt(b, off); err != nil {
			return err
		}
		if bytes.Equal(b, []byte("LUKSMETA")) {
			return unsupported("LUKSMETA data in the header (clevis)")
		}
	}
	return nil
}

// clearHeaderRoom moves the LUKS1 keyslot that lies where the LUKS2 header will be
// into an idle keyslot's area; the two table entries swap places in one write.
func (v *Volume) clearHeaderRoom(ctx context.Context) error {
	for n, k := range v.h.meta.keyslots {
		if k.area.offset >= header2Room {
			continue
		}
		for m := range slots1 {
			to := v.h.v1.pool[m]
			if v.h.meta.keyslots[m] == nil && to >= header2Room && renames1(n, m) {
				return v.moveSlot(ctx, n, to)
			}
		}
		return fmt.Errorf("%w: no idle keyslot to move keyslot %d to", ErrNoSpace, n)
	}
	return nil
}

// moveSlot copies a keyslot's key material, which does not depend on its place, to
// free space, and then makes the header point there.
func (v *Volume) moveSlot(ctx context.Context, slot int, to int64) error {
	k := v.h.meta.keyslots[slot]
	b, err := newBuffer(int(k.area.size))
	if err != nil {
		return err
	}
	defer b.free()
	material := b.mem[:afSize(k.keySize, k.af.stripes)]
	if err := v.hdr.ReadAt(material, k.area.offset); err != nil {
		return err
	}
	if err := v.heal(ctx); err != nil {
		return err
	}
	if err := v.hdr.WriteAt(WriteKeyslot, material, to); err != nil {
		return err
	}
	if err := v.hdr.Sync(WriteKeyslot); err != nil {
		return err
	}
	root := v.h.root.clone()
	root.obj("keyslots").obj(id(slot)).obj("area").set("offset", dec(to))
	return v.commit(ctx, root)
}

func (v *Volume) toLUKS1(ctx context.Context) error {
	d, err := v.fitsLUKS1()
	if err != nil {
		return err
	}
	if err := v.toGrid(ctx); err != nil {
		return err
	}
	p, err := v.phdr(d)
	if err != nil {
		return err
	}
	// First a LUKS2 header whose unused second sector is already that of LUKS1, ...
	v.h.bin = bytes.Clone(v.h.bin)
	copy(v.h.bin[split1:phdrSize], p.raw[split1:])
	if err := v.commit(ctx, v.h.root); err != nil {
		return err
	}
	// ... then the first.
	unlock, err := v.lockHeader(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := v.writeHeader(WriteConvert, p.raw[:split1], 0); err != nil {
		return err
	}
	if err := v.load(); err != nil {
		return err
	}
	return v.wipeRemains()
}

// grid1 lists the places of LUKS1's eight keyslot areas as cryptsetup lays them
// out, for keys of a given size.
func grid1(keySize int) [slots1]int64 {
	var g [slots1]int64
	for i := range g {
		g[i] = gridStart1 + int64(i)*stride1(keySize)
	}
	return g
}

// fitsLUKS1 says what keeps a LUKS2 volume from being a LUKS1 volume, or returns
// its digest.
func (v *Volume) fitsLUKS1() (*digest, error) {
	m := v.h.meta
	d, err := m.dataDigest()
	if err != nil {
		return nil, err
	}
	seg := m.segments[0]
	name, mode, _ := strings.Cut(seg.encryption, "-")
	switch {
	case len(m.segments) != 1 || len(m.digests) != 1 || len(m.tokens) > 0 || seg.integrity:
		err = unsupported("LUKS1 for a volume with several segments or keys, or with tokens")
	case !seg.fitsLUKS1():
		err = unsupported("LUKS1 for sectors of %d bytes or data of a fixed size", seg.sectorSize)
	case len(d.value) < digest1Size || len(d.salt) != 32 || len(d.hash) > 31 || len(name) > 31 || len(mode) > 31:
		err = unsupported("LUKS1 for this digest")
	}
	keySize := 0
	for n, k := range m.keyslots {
		keySize = k.keySize
		if err == nil && (n >= slots1 || !k.fitsLUKS1(d, seg)) {
			err = unsupported("LUKS1 for keyslot %d: it needs a number below 8, PBKDF2, hash %s and cipher %s",
				n, d.hash, seg.encryption)
		}
	}
	if g := grid1(keySize); err == nil && g[slots1-1]+stride1(keySize) > m.keyslotsEnd() {
		err = fmt.Errorf("%w: eight LUKS1 keyslots need %d bytes", ErrNoSpace, g[slots1-1]+stride1(keySize))
	}
	return d, err
}

// fitsLUKS1 says whether a LUKS1 header can describe the segment.
func (s *segment) fitsLUKS1() bool {
	return s.sectorSize == 512 && s.ivTweak == 0 && s.size == dynamic && s.offset%512 == 0 && s.offset/512 <= 1<<32-1
}

// fitsLUKS1 says whether a LUKS1 header can describe the keyslot beside this digest and segment.
func (k *keyslot) fitsLUKS1(d *digest, seg *segment) bool {
	return k.typ == slotLUKS2 && k.kdf.typ == "pbkdf2" && k.kdf.hash == d.hash && len(k.kdf.salt) == 32 &&
		k.af.hash == d.hash && k.af.stripes == stripes1 &&
		k.area.encryption == seg.encryption && k.area.keySize == k.keySize
}

// toGrid moves every keyslot to one of the eight places, clear of the LUKS2 header.
func (v *Volume) toGrid(ctx context.Context) error {
	for _, n := range sortedIDs(v.h.meta.keyslots) {
		k := v.h.meta.keyslots[n]
		grid := grid1(k.keySize)
		if slices.Contains(grid[:], k.area.offset) {
			continue
		}
		to := int64(0)
		for _, g := range grid {
			free := g >= header2Room
			for _, a := range v.h.meta.usedAreas() {
				free = free && (a.offset >= g+stride1(k.keySize) || g >= a.offset+a.size)
			}
			if free {
				to = g
				break
			}
		}
		if to == 0 {
			return fmt.Errorf("%w: no LUKS1 place for keyslot %d", ErrNoSpace, n)
		}
		if err := v.moveSlot(ctx, n, to); err != nil {
			return err
		}
	}
	return nil
}

// phdr makes the LUKS1 header of a volume that fits.
func (v *Volume) phdr(d *digest) (*phdr, error) {
	m := v.h.meta
	seg := m.segments[0]
	name, mode, _ := strings.Cut(seg.encryption, "-")
	p := &phdr{}
	copy(p.raw[:], magicPrimary)
	binary.BigEndian.PutUint16(p.raw[6:], 1)
	copy(p.raw[8:39], name)
	copy(p.raw[40:71], mode)
	copy(p.raw[72:103], d.hash)
	binary.BigEndian.PutUint32(p.raw[104:], uint32(seg.offset/512))
	copy(p.raw[112:132], d.value)
	copy(p.raw[132:164], d.salt)
	binary.BigEndian.PutUint32(p.raw[164:], uint32(d.iterations))
	copy(p.raw[168:207], v.h.uuid)
	for _, k := range m.keyslots {
		binary.BigEndian.PutUint32(p.raw[108:], uint32(k.keySize))
		p.pool = grid1(k.keySize)
	}
	return p.encode1(m)
}

// wipeRemains clears what a LUKS2 header left on a volume that is LUKS1 now.
func (v *Volume) wipeRemains() error {
	magic := make([]byte, 6)
	if err := v.hdr.ReadAt(magic, minHeaderSize); err != nil {
		return err
	}
	if !bytes.Equal(magic, magicSecondary) {
		return v.wipe(v.h.gaps1())
	}
	// The copy that marks the rest as ours goes last.
	var first, last []extent
	for _, g := range v.h.meta.gaps() {
		if cut := header2Room - g.offset; cut > 0 {
			last = append(last, extent{g.offset, min(cut, g.size)})
			g.offset, g.size = g.offset+cut, g.size-cut
		}
		if g.size > 0 {
			first = append(first, g)
		}
	}
	if err := v.wipe(first); err != nil {
		return err
	}
	return v.wipe(last)
}
