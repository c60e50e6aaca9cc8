package luks

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
)

// LUKS1 partition header, LUKS On-Disk Format Specification 1.2.3, figure 1. It is
// handled through the same tree as LUKS2: parse1 makes the JSON that a conversion
// would give, and encode1 puts its keyslots back.
const (
	phdrSize    = 592
	slots1      = 8
	slot1Offset = 208
	slot1Size   = 48
	slotActive  = 0x00AC71F3
	slotIdle    = 0x0000DEAD
	stripes1    = 4000
	digest1Size = 20
	areaStart1  = 1024 // key material begins here at the earliest: cryptsetup 1.0's does
	gridStart1  = 4096 // and here since

	// split1 is where the header crosses a sector: in the middle of keyslot 6. What
	// stands before it is replaced by one write of a sector, which is atomic.
	split1 = 512
)

// interrupted1 is what cryptsetup's LUKS1 re-encryption puts in place of the magic.
var interrupted1 = []byte("LUKS\xde\xad")

// phdr is a LUKS1 header.
type phdr struct {
	raw  [phdrSize]byte
	pool [slots1]int64 // where the eight keyslots' areas are, bytes, idle ones too
}

func (p *phdr) payload() int64 { return int64(binary.BigEndian.Uint32(p.raw[104:])) * 512 }
func (p *phdr) keySize() int   { return int(binary.BigEndian.Uint32(p.raw[108:])) }

// slot returns the table entry of keyslot n.
func (p *phdr) slot(n int) []byte {
	return p.raw[slot1Offset+n*slot1Size : slot1Offset+(n+1)*slot1Size]
}

// stride1 is the room that a keyslot's area takes, in bytes.
func stride1(keySize int) int64 { return roundUp(afSize(keySize, stripes1), 4096) }

// parse1 reads a LUKS1 header on a device of size bytes.
func parse1(raw []byte, size int64) (*header2, error) {
	p := &phdr{}
	copy(p.raw[:], raw)
	hash := cString(raw[72:104])
	encryption := cString(raw[8:40]) + "-" + cString(raw[40:72])
	if _, err := hashByName(hash); err != nil {
		return nil, err
	}
	if p.keySize() < 1 || p.keySize() > 512 {
		return nil, badHeader("a key of %d bytes", p.keySize())
	}
	limit := p.payload()
	if limit == 0 { // detached
		limit = size
	}
	if limit < areaStart1 {
		return nil, badHeader("data begins at %d", limit)
	}
	slots, ids := newObject(), &list{}
	for n := range slots1 {
		e := p.slot(n)
		off := int64(binary.BigEndian.Uint32(e[40:])) * 512
		p.pool[n] = off
		if off < areaStart1 || off > limit-afSize(p.keySize(), stripes1) {
			return nil, badHeader("keyslot %d's area at %d", n, off)
		}
		if s := binary.BigEndian.Uint32(e[44:]); s != stripes1 {
			return nil, badHeader("keyslot %d has %d stripes", n, s)
		}
		switch state := binary.BigEndian.Uint32(e); state {
		case slotIdle, 0:
			continue
		case slotActive:
		default:
			return nil, badHeader("keyslot %d is neither active nor idle: %#x", n, state)
		}
		kdf := newObject().set("type", str("pbkdf2")).set("hash", str(hash))
		kdf.set("iterations", num(int(binary.BigEndian.Uint32(e[4:])))).set("salt",
			str(base64.StdEncoding.EncodeToString(e[8:40])))
		af := newObject().set("type", str("luks1")).set("hash", str(hash)).set("stripes", num(stripes1))
		area := newObject().set("type", str("raw")).set("encryption", str(encryption)).set("key_size", num(p.keySize()))
		area.set("offset", dec(off)).set("size", dec(afSize(p.keySize(), stripes1)))
		slots.set(id(n), newObject().set("type", str(slotLUKS2)).set("key_size", num(p.keySize())).set("kdf", kdf).set("af",
			af).set("area", area))
		ids.items = append(ids.items, str(id(n)))
	}
	for i, a := range p.pool {
		for _, b := range p.pool[:i] {
			if a < b+afSize(p.keySize(), stripes1) && b < a+afSize(p.keySize(), stripes1) {
				return nil, badHeader("keyslot %d's area overlaps another", i)
			}
		}
	}
	digest := newObject().set("type", str("pbkdf2")).set("keyslots", ids).set("segments", strs("0")).set("hash", str(hash))
	digest.set("salt", str(base64.StdEncoding.EncodeToString(raw[132:164]))).set("digest",
		str(base64.StdEncoding.EncodeToString(raw[112:132])))
	digest.set("iterations", num(int(binary.BigEndian.Uint32(raw[164:]))))
	segment := newObject().set("type", str("crypt")).set("offset", dec(p.payload())).set("iv_tweak", dec(0))
	segment.set("size", str("dynamic")).set("encryption", str(encryption)).set("sector_size", num(512))
	config := newObject().set("json_size", dec(0)).set("keyslots_size", dec(roundDown(limit, 512)-areaStart1))
	root := newObject().set("keyslots", slots).set("tokens", newObject()).set("segments", newObject().set("0", segment))
	root.set("digests", newObject().set("0", digest)).set("config", config)
	h := &header2{uuid: cString(raw[168:208]), root: root, v1: p}
	var err error
	if h.meta, err = readMeta(root, 0); err != nil {
		return nil, err
	}
	return h, nil
}

// encode1 returns the LUKS1 header with the keyslots of the tree.
func (p *phdr) encode1(m *meta) (*phdr, error) {
	next := &phdr{raw: p.raw}
	idle := slices.Clone(p.pool[:])
	for n, k := range m.keyslots {
		if i := slices.Index(idle, k.area.offset); n < slots1 && i >= 0 {
			idle = slices.Delete(idle, i, i+1)
			next.pool[n] = k.area.offset
			continue
		}
		return nil, fmt.Errorf("%w: LUKS1 has eight keyslots in fixed places", ErrNoSpace)
	}
	for n := range slots1 {
		e := next.slot(n)
		k := m.keyslots[n]
		if k == nil {
			clear(e)
			binary.BigEndian.PutUint32(e, slotIdle)
			next.pool[n], idle = idle[0], idle[1:]
		} else {
			binary.BigEndian.PutUint32(e, slotActive)
			binary.BigEndian.PutUint32(e[4:], uint32(k.kdf.iterations))
			copy(e[8:40], k.kdf.salt)
		}
		binary.BigEndian.PutUint32(e[40:], uint32(next.pool[n]/512))
		binary.BigEndian.PutUint32(e[44:], stripes1)
	}
	return next, nil
}

// commit1 replaces the LUKS1 header. Of the two sectors it touches, the one that
// holds the active flags of keyslots 0 to 6 goes last when something becomes
// active and first when something ceases to be; see renames1 for the rest.
func (v *Volume) commit1(ctx context.Context, root *object) error {
	unlock, err := v.lockHeader(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	tree, err := parseJSON(root.text())
	if err != nil {
		return err
	}
	m, err := readMeta(tree, 0)
	if err != nil {
		return err
	}
	old := v.h.v1
	p, err := old.encode1(m)
	if err != nil {
		return err
	}
	parts := [][2]int{{0, split1}, {split1, phdrSize}}
	for n := range m.keyslots {
		if v.h.meta.keyslots[n] == nil {
			parts = [][2]int{{split1, phdrSize}, {0, split1}}
		}
	}
	for _, part := range parts {
		a, b := part[0], part[1]
		if bytes.Equal(old.raw[a:b], p.raw[a:b]) {
			continue
		}
		if err := v.writeHeader(WriteLUKS1, p.raw[a:b], int64(a)); err != nil {
			return err
		}
	}
	next := *v.h
	next.root, next.meta, next.v1 = root, m, p
	v.h = &next
	return nil
}

// renames1 reports whether a keyslot of LUKS1 can take over another's number in
// one atomic write: both table entries must be in the first sector.
func renames1(a, b int) bool { return a < 6 && b < 6 }

// gaps1 lists the idle keyslots' areas. What lies between or behind the eight
// areas is not the header's (LUKSMETA keeps its data there).
func (h *header2) gaps1() []extent {
	var out []extent
	for n, off := range h.v1.pool {
		if h.meta.keyslots[n] == nil {
			out = append(out, extent{off, afSize(h.v1.keySize(), stripes1)})
		}
	}
	return out
}

// end1 is where the last keyslot's area ends.
func (p *phdr) end1() int64 {
	return roundUp(slices.Max(p.pool[:])+afSize(p.keySize(), stripes1), 4096)
}
