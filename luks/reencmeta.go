package luks

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"

	"reown/internal/secret"
)

// reencryption is what a header says about a re-encryption under way.
type reencryption struct {
	slot                 *keyslot
	prev, final          *segment // backups: the volume as it was, as it will be
	oldDigest, newDigest *digest  // the same when only cipher or sector size change
	total                int64    // bytes of data
	offset               int64    // bytes certainly re-encrypted
	length               int64    // crash: bytes from offset that are in doubt
	crash                bool
	finished             bool // all data is under the new key
}

// mode is what an unfinished run of cryptsetup does: "reencrypt", "encrypt" or "decrypt";
// empty if there is none.
func (m *meta) mode() string {
	for _, k := range m.keyslots {
		if k.typ == slotReencrypt {
			return k.mode
		}
	}
	return ""
}

// otherMode names the runs that are cryptsetup's alone.
func (m *meta) otherMode() error {
	switch m.mode() {
	case "encrypt":
		return ErrEncrypting
	case "decrypt":
		return ErrDecrypting
	}
	return nil
}

// reencryption reads the state; nil when there is none. It accepts only what this
// package, or cryptsetup without data shift, writes.
func (v *Volume) reencryption() (*reencryption, error) {
	m := v.h.meta
	if !slices.Contains(m.requirements, reqReencrypt) {
		return nil, nil
	}
	if err := m.otherMode(); err != nil {
		return nil, err
	}
	r := &reencryption{prev: m.flagged(flagPrevious), final: m.flagged(flagFinal)}
	for _, k := range m.keyslots {
		if k.typ == slotReencrypt {
			r.slot = k
		}
	}
	if r.slot == nil || r.prev == nil || r.final == nil || m.flagged(flagMoved) != nil {
		return nil, unsupported("a re-encryption that moves data or lacks its description")
	}
	if r.slot.mode != "reencrypt" || r.slot.direction != "forward" {
		return nil, unsupported("re-encryption mode %q, direction %q", r.slot.mode, r.slot.direction)
	}
	if a := r.slot.area.typ; a != "checksum" && a != "journal" && a != "none" {
		return nil, unsupported("re-encryption with resilience %q", a)
	}
	for _, s := range []*segment{r.prev, r.final} {
		if s.typ != "crypt" || s.integrity {
			return nil, unsupported("a segment that is not plain encryption")
		}
	}
	if r.prev.offset != r.final.offset || r.prev.size != r.final.size || r.prev.ivTweak != r.final.ivTweak {
		return nil, unsupported("a re-encryption that moves data")
	}
	if err := v.fits(r.prev); err != nil {
		return nil, err
	}
	// cryptsetup's limits, and what makes room for all of them in metadataInput.
	for _, name := range []string{r.slot.area.hash, r.prev.encryption, r.final.encryption} {
		if len(name) > 64 {
			return nil, unsupported("a name of %d bytes in a re-encryption", len(name))
		}
	}
	od, nd := m.digestsOf(r.prev), m.digestsOf(r.final)
	if len(od) != 1 || len(nd) != 1 {
		return nil, badHeader("a backup segment does not have exactly one digest")
	}
	r.oldDigest, r.newDigest = od[0], nd[0]
	r.total = v.segmentSize(r.prev)
	if r.total%int64(max(r.prev.sectorSize, r.final.sectorSize)) != 0 {
		return nil, unsupported("a data size that is not whole sectors")
	}
	return r, r.locate(v)
}

// locate works out the position from the regular segments, and checks that they
// lie end to end with the parameters they must have.
func (r *reencryption) locate(v *Volume) error {
	m := v.h.meta
	reg := m.regular()
	pos := int64(0)
	stage := 0 // 0 new, 1 hot, 2 old: must not go back
	for _, s := range reg {
		if s.typ != "crypt" || s.offset-r.prev.offset != pos || s.ivTweak != r.prev.ivTweak+uint64(pos)/512 {
			return badHeader("segment %d does not continue the one before", s.id)
		}
		size := s.size
		if size == dynamic {
			size = r.total - pos
		}
		if size > r.total-pos && r.prev.size == dynamic {
			return fmt.Errorf("%w: segment %d ends %d bytes behind it", ErrTooSmall, s.id, pos+size-r.total)
		}
		if size <= 0 || size > r.total-pos {
			return badHeader("segment %d leaves the data", s.id)
		}
		ds := m.digestsOf(s)
		like := r.final
		now := 0
		switch {
		case s.has(flagHot):
			now, r.crash, r.offset, r.length = 1, true, pos, size
			if stage == 1 {
				return badHeader("two hotzones")
			}
		case len(ds) == 1 && r.oldDigest == r.newDigest && r.looksOld(s):
			now, like = 2, r.prev
		case len(ds) == 1 && ds[0] == r.newDigest:
		case len(ds) == 1 && ds[0] == r.oldDigest:
			now, like = 2, r.prev
		default:
			return badHeader("segment %d is under an unknown key", s.id)
		}
		if now < stage || s.encryption != like.encryption || s.sectorSize != like.sectorSize {
			return badHeader("segment %d is not what a re-encryption leaves", s.id)
		}
		stage = now
		pos += size
		if now == 0 {
			r.offset = pos
		}
	}
	if pos != r.total {
		return badHeader("segments cover %d of %d bytes", pos, r.total)
	}
	r.finished = stage == 0
	return nil
}

// looksOld tells an old segment from a new one when both are under one key: by
// their parameters.
func (r *reencryption) looksOld(s *segment) bool {
	return s.encryption == r.prev.encryption && s.sectorSize == r.prev.sectorSize
}

// setSegments rewrites the segments for the state "done bytes are new, the next hot
// bytes are in re-encryption", and the digests' references to them.
func (r *reencryption) setSegments(root *object, done, hot int64) {
	old := root.obj("segments")
	prev, final := old.obj(id(r.prev.id)), old.obj(id(r.final.id))
	segs := newObject()
	var oldRefs, newRefs []string
	add := func(tmpl *object, pos, size int64, flag string) string {
		s := tmpl.clone()
		s.del("flags")
		s.set("offset", dec(r.prev.offset+pos)).set("iv_tweak", dec(int64(r.prev.ivTweak)+pos/512))
		s.set("size", str("dynamic"))
		if size != dynamic {
			s.set("size", dec(size))
		}
		if flag != "" {
			s.set("flags", strs(flag))
		}
		n := id(len(segs.keys))
		segs.set(n, s)
		return n
	}
	if done > 0 {
		newRefs = append(newRefs, add(final, 0, done, ""))
	}
	if hot > 0 {
		n := add(final, done, hot, flagHot)
		oldRefs, newRefs = append(oldRefs, n), append(newRefs, n)
	}
	if rest := r.total - done - hot; rest > 0 {
		if r.prev.size == dynamic {
			rest = dynamic
		}
		oldRefs = append(oldRefs, add(prev, done+hot, rest, ""))
	}
	oldRefs = append(oldRefs, add(prev, 0, r.prev.size, flagPrevious))
	newRefs = append(newRefs, add(final, 0, r.final.size, flagFinal))
	root.set("segments", segs)
	ds := root.obj("digests")
	if r.oldDigest.id == r.newDigest.id {
		for _, n := range newRefs {
			if !slices.Contains(oldRefs, n) {
				oldRefs = append(oldRefs, n)
			}
		}
		newRefs = oldRefs
	}
	ds.obj(id(r.oldDigest.id)).set("segments", strs(oldRefs...))
	ds.obj(id(r.newDigest.id)).set("segments", strs(newRefs...))
}

// refresh finds the backup segments again in a header written since: setSegments
// renumbers them.
func (r *reencryption) refresh(m *meta) {
	r.prev, r.final = m.flagged(flagPrevious), m.flagged(flagFinal)
}

// setFinal turns a finished re-encryption into a volume at rest: no flag, no
// backups, no re-encryption keyslot, nothing of the old key. The new digest takes
// the old one's number, and keyslot from takes number to, unless to is -1.
func (r *reencryption) setFinal(root *object, from, to int) {
	seg := root.obj("segments").obj(id(r.final.id)).clone()
	seg.del("flags")
	root.set("segments", newObject().set("0", seg))
	ds := root.obj("digests")
	for _, k := range ds.keys {
		ds.obj(k).set("segments", &list{})
	}
	ds.obj(id(r.newDigest.id)).set("segments", strs("0"))
	dropSlot(root, r.slot.id)
	if r.oldDigest.id != r.newDigest.id {
		if to >= 0 {
			replaceToken(root, to, from)
		}
		for _, s := range r.oldDigest.keyslots {
			dropSlot(root, s)
		}
		dropIdleDigests(root)
		if ds.m[id(r.oldDigest.id)] == nil {
			ds.rename(id(r.newDigest.id), id(r.oldDigest.id))
		}
	}
	if slots := root.obj("keyslots"); to >= 0 && slots.m[id(to)] == nil {
		renameSlot(root, from, to)
	}
	setRequirement(root, reqReencrypt, false)
}

// setRequirement adds or removes a mandatory requirement flag.
func setRequirement(root *object, flag string, on bool) {
	config := root.obj("config")
	req, ok := config.m["requirements"].(*object)
	if !ok {
		req = newObject()
	}
	l, ok := req.m["mandatory"].(*list)
	if !ok {
		l = &list{}
	}
	if i := l.index(flag); i >= 0 {
		l.items = slices.Delete(l.items, i, i+1)
	}
	if on {
		l.items = append(l.items, str(flag))
	}
	req.set("mandatory", l)
	if len(l.items) == 0 {
		req.del("mandatory")
	}
	config.set("requirements", req)
	if len(req.keys) == 0 {
		config.del("requirements")
	}
}

// metadataInput is what the re-encryption's digest covers: both keys and all that
// must not be changed behind cryptsetup's back (its function
// reencrypt_assemble_verification_data). Integers are big-endian, strings bare.
func (r *reencryption) metadataInput(oldKey, newKey *secret.Buffer) *secret.Buffer {
	b := secret.New(4096)
	p := append(b.Bytes()[:0], 'v', '2')
	p = append(p, oldKey.Bytes()...)
	if r.oldDigest != r.newDigest {
		p = append(p, newKey.Bytes()...)
	}
	u32 := func(n int) { p = binary.BigEndian.AppendUint32(p, uint32(n)) }
	u64 := func(n int64) { p = binary.BigEndian.AppendUint64(p, uint64(n)) }
	a := r.slot.area
	p = append(p, r.slot.mode+r.slot.direction+a.typ...)
	u64(a.offset)
	u64(a.size)
	if a.typ == "checksum" {
		p = append(p, a.hash...)
		u32(a.sectorSize)
	}
	for _, s := range []*segment{r.prev, r.final} {
		p = append(p, s.typ...)
		u64(s.offset)
		if s.size == dynamic {
			p = append(p, "dynamic"...)
		} else {
			u64(s.size)
		}
		u64(int64(s.ivTweak))
		p = append(p, s.encryption...)
		u32(s.sectorSize)
	}
	b.SetLen(len(p))
	return b
}

// verifyMetadata checks the description of the re-encryption against its digest,
// so that a header changed by someone without the keys is not acted on.
func (v *Volume) verifyMetadata(ctx context.Context, r *reencryption, oldKey, newKey *secret.Buffer) error {
	d := v.h.meta.digestOfKeyslot(r.slot.id)
	if d == nil {
		return fmt.Errorf("%w: there is none", ErrMetadata)
	}
	in := r.metadataInput(oldKey, newKey)
	defer in.Wipe()
	ok, err := d.matches(ctx, in.Bytes())
	if err == nil && !ok {
		err = ErrMetadata
	}
	return err
}

// newDigest makes a digest object for a key or for metadata.
func newDigest(ctx context.Context, key []byte, hash string, iterations int, keyslots []int) (*object, error) {
	salt := make([]byte, 32)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	newHash, err := hashByName(hash)
	if err != nil {
		return nil, err
	}
	sum, err := pbkdf2(ctx, hash, key, salt, iterations, newHash().Size())
	if err != nil {
		return nil, err
	}
	defer sum.Wipe()
	ks := &list{}
	for _, s := range keyslots {
		ks.items = append(ks.items, str(id(s)))
	}
	o := newObject().set("type", str("pbkdf2")).set("keyslots", ks).set("segments", &list{})
	o.set("hash", str(hash)).set("iterations", num(iterations))
	o.set("salt", str(base64.StdEncoding.EncodeToString(salt)))
	o.set("digest", str(base64.StdEncoding.EncodeToString(sum.Bytes())))
	return o, nil
}
