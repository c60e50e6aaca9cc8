package luks

import (
	"encoding/base64"
	"slices"
	"sort"
	"strings"
)

// meta is the JSON area as values. It is derived from the tree and never written:
// an edit changes the tree, and meta is read again.
type meta struct {
	keyslots     map[int]*keyslot
	segments     []*segment // in order of their numbers, which are contiguous from 0
	digests      map[int]*digest
	tokens       map[int]token
	requirements []string
	hdrSize      int64 // of one copy; 0 for LUKS1
	keyslotsSize int64
}

type keyslot struct {
	id       int
	typ      string // "luks2" or "reencrypt"
	keySize  int    // bytes
	priority int    // 0 ignore, 1 normal, 2 prefer
	area     area
	kdf      kdf
	af       af

	mode, direction string // "reencrypt" only
}

type area struct {
	typ        string // "raw"; for re-encryption "none", "checksum", "journal", "datashift..."
	offset     int64  // bytes from the start of the header device
	size       int64
	encryption string
	keySize    int
	hash       string // checksum
	sectorSize int    // checksum: bytes that one checksum covers
}

type kdf struct {
	typ        string
	salt       []byte
	hash       string // pbkdf2
	iterations int    // pbkdf2
	time       int    // argon2
	memory     int    // argon2, KiB
	cpus       int    // argon2
	unknown    bool   // a type that this program does not know
}

type af struct {
	hash    string
	stripes int
}

type segment struct {
	id         int
	typ        string // "crypt" or "linear"
	offset     int64  // bytes from the start of the data device
	size       int64  // bytes; dynamic (-1): to the end of the device
	ivTweak    uint64 // added to the IV, 512-byte units
	encryption string
	sectorSize int
	flags      []string
	integrity  bool
}

const dynamic = -1

type digest struct {
	id         int
	typ        string
	keyslots   []int
	segments   []int
	hash       string
	iterations int
	salt       []byte
	value      []byte
}

type token struct {
	typ      string
	keyslots []int
}

// Names in the JSON area.
const (
	slotLUKS2     = "luks2"
	slotReencrypt = "reencrypt"

	flagHot      = "in-reencryption"
	flagPrevious = "backup-previous"
	flagFinal    = "backup-final"
	flagMoved    = "backup-moved-segment"

	reqReencrypt    = "online-reencrypt-v2"
	reqReencryptV1  = "online-reencrypt"
	reqReencryptV3  = "online-reencrypt-v3"
	reqReencryptOff = "offline-reencrypt"
)

// reencryptions are the requirement flags of an unfinished re-encryption.
var reencryptions = []string{reqReencrypt, reqReencryptV1, reqReencryptV3, reqReencryptOff}

func (s *segment) has(flag string) bool { return slices.Contains(s.flags, flag) }

func (s *segment) backup() bool {
	return slices.ContainsFunc(s.flags, func(f string) bool { return strings.HasPrefix(f, "backup-") })
}

// regular returns the segments that make up the volume, without backups.
func (m *meta) regular() []*segment {
	var out []*segment
	for _, s := range m.segments {
		if !s.backup() {
			out = append(out, s)
		}
	}
	return out
}

func (m *meta) flagged(flag string) *segment {
	for _, s := range m.segments {
		if s.has(flag) {
			return s
		}
	}
	return nil
}

// digestsOf lists the digests that a segment is bound to.
func (m *meta) digestsOf(seg *segment) []*digest {
	var out []*digest
	for _, i := range sortedIDs(m.digests) {
		if slices.Contains(m.digests[i].segments, seg.id) {
			out = append(out, m.digests[i])
		}
	}
	return out
}

func (m *meta) digestOfKeyslot(slot int) *digest {
	for _, i := range sortedIDs(m.digests) {
		if slices.Contains(m.digests[i].keyslots, slot) {
			return m.digests[i]
		}
	}
	return nil
}

// unbound reports whether a passphrase keyslot belongs to no data.
func (m *meta) unbound(slot int) bool {
	d := m.digestOfKeyslot(slot)
	return m.keyslots[slot].typ != slotReencrypt && (d == nil || len(d.segments) == 0)
}

// passSlots lists the keyslots that a passphrase opens, in number order.
func (m *meta) passSlots() []int {
	var out []int
	for _, i := range sortedIDs(m.keyslots) {
		if m.keyslots[i].typ == slotLUKS2 {
			out = append(out, i)
		}
	}
	return out
}

// keyslotsStart and keyslotsEnd bound the binary keyslots area.
func (m *meta) keyslotsStart() int64 {
	if m.hdrSize == 0 {
		return areaStart1
	}
	return 2 * m.hdrSize
}
func (m *meta) keyslotsEnd() int64 { return m.keyslotsStart() + m.keyslotsSize }

type extent struct{ offset, size int64 }

// usedAreas lists the areas keyslots refer to, by offset, without those of some.
func (m *meta) usedAreas(without ...int) []extent {
	var out []extent
	for n, k := range m.keyslots {
		if k.area.size > 0 && !slices.Contains(without, n) {
			out = append(out, extent{k.area.offset, k.area.size})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].offset < out[j].offset })
	return out
}

// gaps lists what no keyslot refers to, or none but some. A gap is whole 4096-byte
// blocks, apart from the last one's end.
func (m *meta) gaps(but ...int) []extent {
	var out []extent
	pos := m.keyslotsStart()
	for _, a := range append(m.usedAreas(but...), extent{m.keyslotsEnd(), 0}) {
		if a.offset > pos {
			out = append(out, extent{pos, a.offset - pos})
		}
		pos = max(pos, roundUp(a.offset+a.size, 4096))
	}
	return out
}

// largestGap is the largest of gaps.
func (m *meta) largestGap(but ...int) extent {
	var best extent
	for _, g := range m.gaps(but...) {
		if g.size > best.size {
			best = g
		}
	}
	return best
}

func roundUp(n, unit int64) int64   { return (n + unit - 1) / unit * unit }
func roundDown(n, unit int64) int64 { return n / unit * unit }

func sortedIDs[T any](m map[int]T) []int {
	var out []int
	for i := range m {
		out = append(out, i)
	}
	sort.Ints(out)
	return out
}

// readMeta reads and checks the JSON area. What it accepts is safe to act on:
// areas are inside the keyslots area and disjoint, numbers are bounded, references
// lead somewhere.
func readMeta(root *object, hdrSize int64) (*meta, error) {
	m := &meta{keyslots: map[int]*keyslot{}, digests: map[int]*digest{}, tokens: map[int]token{}, hdrSize: hdrSize}
	top := &fields{o: root, what: "top level"}
	if err := m.readConfig(top.object("config")); err != nil {
		return nil, err
	}
	steps := []struct {
		name string
		read func(n int, f *fields)
	}{
		{"keyslots", m.readKeyslot},
		{"segments", m.readSegment},
		{"digests", m.readDigest},
		{"tokens", m.readToken},
	}
	for _, s := range steps {
		o := top.object(s.name)
		if top.err != nil {
			return nil, top.err
		}
		if err := each(s.name, o, s.read); err != nil {
			return nil, err
		}
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// each calls read for the members of a numbered collection, in number order.
func each(name string, o *object, read func(int, *fields)) error {
	byID := map[int]*object{}
	for _, k := range o.keys {
		n, ok := objectID(k)
		v, isObj := o.m[k].(*object)
		if !ok || !isObj {
			return badHeader("%s: member %q", name, k)
		}
		byID[n] = v
	}
	for _, n := range sortedIDs(byID) {
		f := &fields{o: byID[n], what: name + " " + id(n)}
		read(n, f)
		if f.err != nil {
			return f.err
		}
	}
	return nil
}

func (m *meta) readConfig(o *object) error {
	f := &fields{o: o, what: "config"}
	m.keyslotsSize = f.dec("keyslots_size")
	if js := f.dec("json_size"); f.err == nil && m.hdrSize > 0 && js != m.hdrSize-binHeaderSize {
		f.fail("json_size", "does not match the header size")
	}
	if m.keyslotsSize > 128<<20 || m.keyslotsSize%4096 != 0 && m.hdrSize > 0 {
		f.fail("keyslots_size", "is out of range")
	}
	if f.has("requirements") {
		r := &fields{o: f.object("requirements"), what: "requirements"}
		if r.has("mandatory") {
			m.requirements = r.strs("mandatory")
		}
		if f.err == nil {
			f.err = r.err
		}
	}
	return f.err
}

func (m *meta) readKeyslot(n int, f *fields) {
	k := &keyslot{id: n, typ: f.str("type"), keySize: f.int("key_size", 1, 512), priority: 1}
	if f.has("priority") {
		k.priority = f.int("priority", 0, 2)
	}
	a := &fields{o: f.object("area"), what: f.what + ", area"}
	k.area.typ = a.str("type")
	k.area.offset, k.area.size = a.dec("offset"), a.dec("size")
	switch k.typ {
	case slotLUKS2:
		if k.area.typ != "raw" {
			a.fail("type", "is not raw")
		}
		k.area.encryption = a.str("encryption")
		k.area.keySize = a.int("key_size", 1, 512)
		v := &fields{o: f.object("af"), what: f.what + ", af"}
		k.af.hash, k.af.stripes = v.str("hash"), v.int("stripes", 1, 4000)
		if t := v.str("type"); v.err == nil && t != "luks1" {
			v.fail("type", "is not luks1")
		}
		d := &fields{o: f.object("kdf"), what: f.what + ", kdf"}
		k.kdf = readKDF(d)
		f.err = firstError(f.err, v.err, d.err)
		if need := afSize(k.keySize, k.af.stripes); f.err == nil && k.area.size < need {
			a.fail("size", "is too small for the key material")
		}
	case slotReencrypt:
		k.mode, k.direction = f.str("mode"), f.str("direction")
		switch k.area.typ {
		case "checksum", "datashift-checksum":
			k.area.hash = a.str("hash")
			k.area.sectorSize = a.int("sector_size", 512, 4096)
			if k.area.sectorSize&(k.area.sectorSize-1) != 0 {
				a.fail("sector_size", "is not a power of two")
			}
		case "none", "journal", "datashift", "datashift-journal":
		default:
			a.fail("type", "is unknown")
		}
	default:
		// An unknown keyslot is kept, and its area left alone.
	}
	f.err = firstError(f.err, a.err)
	m.keyslots[n] = k
}

func readKDF(d *fields) kdf {
	k := kdf{typ: d.str("type")}
	if k.typ == "pbkdf2" || k.typ == "argon2i" || k.typ == "argon2id" {
		k.salt = base64Of(d, "salt")
	}
	switch k.typ {
	case "pbkdf2":
		k.hash = d.str("hash")
		k.iterations = d.int("iterations", 1, 1<<31-1)
	case "argon2i", "argon2id":
		// cryptsetup's own bounds: 4 GiB, 4 lanes; lanes up to 255 are read.
		k.time = d.int("time", 1, 1<<31-1)
		k.memory = d.int("memory", 1, 4<<20)
		k.cpus = d.int("cpus", 1, 255)
	default:
		// A slot that this program cannot use; the others are none the worse for it.
		return kdf{typ: k.typ, unknown: true}
	}
	return k
}

func base64Of(f *fields, key string) []byte {
	b, err := base64.StdEncoding.DecodeString(f.str(key))
	if err != nil || len(b) == 0 || len(b) > 4096 {
		f.fail(key, "is not base64")
	}
	return b
}

func (m *meta) readSegment(n int, f *fields) {
	s := &segment{id: n, typ: f.str("type"), offset: f.dec("offset"), size: dynamic}
	if n != len(m.segments) {
		f.err = badHeader("segment %d follows segment %d", n, len(m.segments)-1)
		return
	}
	if v, _ := stringOf(f.o.m["size"]); v != "dynamic" {
		s.size = f.dec("size")
		if s.size == 0 || s.size%512 != 0 {
			f.fail("size", "is not whole sectors")
		}
	}
	if s.offset%512 != 0 || s.offset > 1<<60 || s.size > 1<<60 {
		f.fail("offset", "is out of range")
	}
	if f.has("flags") {
		s.flags = f.strs("flags")
	}
	if s.typ == "crypt" {
		s.encryption = f.str("encryption")
		s.sectorSize = f.int("sector_size", 512, 4096)
		if s.sectorSize&(s.sectorSize-1) != 0 {
			f.fail("sector_size", "is not a power of two")
		}
		s.ivTweak = uint64(f.dec("iv_tweak"))
		s.integrity = f.has("integrity")
	}
	m.segments = append(m.segments, s)
}

func (m *meta) readDigest(n int, f *fields) {
	d := &digest{id: n, typ: f.str("type"), keyslots: f.ids("keyslots"), segments: f.ids("segments")}
	if d.typ == "pbkdf2" {
		d.hash, d.iterations = f.str("hash"), f.int("iterations", 1, 1<<31-1)
		d.salt, d.value = base64Of(f, "salt"), base64Of(f, "digest")
	}
	m.digests[n] = d
}

func (m *meta) readToken(n int, f *fields) {
	m.tokens[n] = token{f.str("type"), f.ids("keyslots")}
}
