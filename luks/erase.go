package luks

import (
	"context"
	"fmt"
	"slices"
)

// Erase gives the volume up, for ever and without a passphrase: no keyslot is left
// to open it and no key material in the header, as after `cryptsetup luksErase`.
// Tokens and an unfinished re-encryption go too. The data stays where it is and
// nobody can read it; a header with UUID, cipher and the volume key's digest remains.
//
// Key material is overwritten and read back (ErrNotErased) before the header says
// that there is none, so that a volume which looks erased is erased. Interrupted,
// it may be repeated until it succeeds. It cannot reach header backups, nor blocks
// that an SSD has remapped.
func (v *Volume) Erase(ctx context.Context) (err error) {
	defer v.account.close(&err)
	if v.readOnly {
		return ErrReadOnly
	}
	if err := v.load(); err != nil {
		return err
	}
	unlock, err := v.lockReencryption(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := v.load(); err != nil {
		return err
	}
	if v.state.unclear != nil {
		return v.state.unclear
	}
	root, err := v.erased()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// From here on there is no way back: ctx is not looked at any more.
	area := extent{v.h.meta.keyslotsStart(), v.h.meta.keyslotsSize}
	if v.h.v1 != nil && v.h.v1.payload() == 0 { // detached: what follows may be somebody else's
		area.size = v.h.v1.end1() - area.offset
	}
	if err := v.wipe([]extent{area}); err != nil {
		return err
	}
	if err := v.provenZero(area); err != nil {
		return err
	}
	if v.h.v1 == nil && len(v.stale) == 0 && !v.erasable() {
		return nil
	}
	return v.commit(context.WithoutCancel(ctx), root)
}

// erasable reports whether the header speaks of anything that Erase removes.
func (v *Volume) erasable() bool {
	m := v.h.meta
	return len(m.keyslots) > 0 || len(m.tokens) > 0 || len(m.segments) > 1 || v.reencrypting()
}

// erased is the header's tree without keys.
func (v *Volume) erased() (*object, error) {
	m := v.h.meta
	var unknown []string
	for _, r := range m.requirements {
		if !slices.Contains(reencryptions, r) {
			unknown = append(unknown, r)
		}
	}
	if len(unknown) > 0 {
		return nil, &RequirementError{unknown}
	}
	// One segment over all data remains, of those there are in a re-encryption the
	// one it was to end with.
	seg := m.flagged(flagFinal)
	for _, s := range append([]*segment{m.flagged(flagPrevious)}, m.segments...) {
		if s != nil && s.typ == "crypt" && (seg == nil || seg.typ != "crypt") {
			seg = s
		}
	}
	if seg == nil || seg.typ != "crypt" {
		return nil, unsupported("a volume without an encrypted segment")
	}
	ds := m.digestsOf(seg)
	if len(ds) == 0 {
		return nil, badHeader("segment %d has no digest", seg.id)
	}
	root := v.h.root.clone()
	digests := root.obj("digests")
	kept := digests.obj(id(ds[0].id))
	kept.set("keyslots", &list{}).set("segments", strs("0"))
	root.set("digests", newObject().set("0", kept))
	last := root.obj("segments").obj(id(seg.id))
	last.del("flags")
	root.set("segments", newObject().set("0", last))
	root.set("keyslots", newObject()).set("tokens", newObject())
	for _, r := range reencryptions {
		setRequirement(root, r, false)
	}
	return root, nil
}

// provenZero reads back what was wiped.
func (v *Volume) provenZero(a extent) error {
	b, err := newBuffer(request)
	if err != nil {
		return err
	}
	defer b.free()
	for at := int64(0); at < a.size; at += request {
		p := b.mem[:min(request, a.size-at)]
		if err := v.hdr.ReadAt(p, a.offset+at); err != nil {
			return err
		}
		if !allZero(p) {
			return fmt.Errorf("%w: %d bytes at %d", ErrNotErased, len(p), a.offset+at)
		}
	}
	return nil
}
