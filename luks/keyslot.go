package luks

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync/atomic"

	"reown/internal/secret"
)

// keyslotSector is the sector size in which key material is encrypted, with IVs
// counted from the start of the area.
const keyslotSector = 512

// openSlot returns the volume key that pass opens in one keyslot, or
// ErrWrongPassphrase.
func (v *Volume) openSlot(ctx context.Context, slot int, pass *secret.Buffer) (*secret.Buffer, error) {
	m := v.h.meta
	k, d := m.keyslots[slot], m.digestOfKeyslot(slot)
	if k == nil || k.typ != slotLUKS2 || d == nil {
		return nil, fmt.Errorf("keyslot %d: %w", slot, ErrNoSuchSlot)
	}
	if v.pretend != nil {
		return v.pretend.open(k, d, pass)
	}
	key, err := k.kdf.derive(ctx, slot, pass, k.area.keySize, v.free)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	c, err := newSectorCipher(k.area.encryption, key.Bytes())
	if err != nil {
		return nil, fmt.Errorf("keyslot %d: %w", slot, err)
	}
	defer c.Wipe()
	material := secret.New(int(afSize(k.keySize, k.af.stripes)))
	defer material.Wipe()
	if err := v.hdr.ReadAt(material.Bytes(), k.area.offset); err != nil {
		return nil, fmt.Errorf("keyslot %d: %w", slot, err)
	}
	c.DecryptSectors(material.Bytes(), material.Bytes(), keyslotSector, 0)
	vk, err := afMerge(material.Bytes(), k.keySize, k.af.stripes, k.af.hash)
	if err != nil {
		return nil, fmt.Errorf("keyslot %d: %w", slot, err)
	}
	ok, err := d.matches(ctx, vk.Bytes())
	if err == nil && !ok {
		err = ErrWrongPassphrase
	}
	if err != nil {
		vk.Wipe()
		return nil, err
	}
	return vk, nil
}

// matches reports whether d is the digest of a key.
func (d *digest) matches(ctx context.Context, key []byte) (bool, error) {
	if d.typ != "pbkdf2" {
		return false, unsupported("digest %q", d.typ)
	}
	sum, err := pbkdf2(ctx, d.hash, key, d.salt, d.iterations, len(d.value))
	if err != nil {
		return false, err
	}
	defer sum.Wipe()
	return subtle.ConstantTimeCompare(sum.Bytes(), d.value) == 1, nil
}

// find tries pass on the given keyslots, preferred ones first, and returns the
// first that opens. A slot that cannot be tried (memory, unknown cipher, bad
// sector) does not hide the others, but turns "wrong passphrase" into its error.
func (v *Volume) find(ctx context.Context, pass *secret.Buffer, slots []int) (int, *secret.Buffer, error) {
	slots = slices.Clone(slots)
	sort.SliceStable(slots, func(i, j int) bool {
		return v.h.meta.keyslots[slots[i]].priority > v.h.meta.keyslots[slots[j]].priority
	})
	failed := ErrWrongPassphrase
	for _, s := range slots {
		vk, err := v.openSlot(ctx, s, pass)
		switch {
		case err == nil:
			return s, vk, nil
		case ctx.Err() != nil:
			return -1, nil, ctx.Err()
		case !errors.Is(err, ErrWrongPassphrase) && !errors.Is(err, ErrNoSuchSlot):
			failed = err
		}
	}
	return -1, nil, failed
}

// slotsOf lists the passphrase keyslots of a digest.
func (m *meta) slotsOf(d *digest) []int {
	var out []int
	for _, s := range m.passSlots() {
		if slices.Contains(d.keyslots, s) {
			out = append(out, s)
		}
	}
	return out
}

// dataDigest is the digest of the volume key that a volume at rest is under.
func (m *meta) dataDigest() (*digest, error) {
	seg := m.segments0()
	if seg == nil || seg.typ != "crypt" {
		return nil, unsupported("a volume without an encrypted segment")
	}
	if ds := m.digestsOf(seg); len(ds) == 1 {
		return ds[0], nil
	}
	return nil, badHeader("segment 0 does not have exactly one digest")
}

// Unlock says which keyslot pass opens, or ErrWrongPassphrase, or a *MemoryError
// when a slot could not be tried. During a re-encryption only the new volume key
// counts, or the old one while nothing else opens. Nothing is written.
func (v *Volume) Unlock(ctx context.Context, pass *secret.Buffer) (int, error) {
	if err := v.load(); err != nil {
		return -1, err
	}
	m := v.h.meta
	slots := m.passSlots()
	if r, err := v.reencryption(); err == nil && r != nil {
		slots = append(m.slotsOf(r.newDigest), m.slotsOf(r.oldDigest)...)
	} else if d, err := m.dataDigest(); err == nil {
		slots = m.slotsOf(d)
	}
	slot, vk, err := v.find(ctx, pass, slots)
	vk.Wipe()
	return slot, err
}

// AddKeyslot adds a keyslot for newPass to a volume that pass opens and proves it
// by opening it from the disk. slot -1 takes the first free number. The slot that pass
// opens is its model, if that is not below the floor (KDFPolicy).
func (v *Volume) AddKeyslot(ctx context.Context, pass, newPass *secret.Buffer, slot int) (n int, err error) {
	defer v.account.close(&err)
	if err := v.notEmpty(newPass); err != nil {
		return -1, err
	}
	if err := v.beginEdit(ctx); err != nil {
		return -1, err
	}
	d, err := v.h.meta.dataDigest()
	if err != nil {
		return -1, err
	}
	from, vk, err := v.find(ctx, pass, v.h.meta.slotsOf(d))
	if err != nil {
		return -1, err
	}
	defer vk.Wipe()
	policy := v.kdf
	if v.h.meta.keyslots[from].aboveFloor() {
		policy = KDFInherit
	}
	st, err := v.style(from, policy)
	if err != nil {
		return -1, err
	}
	return v.add(ctx, st, vk, newPass, d.id, slot)
}

// add writes a keyslot for vk, commits it and proves it.
func (v *Volume) add(ctx context.Context, st style, vk, pass *secret.Buffer, digestID, slot int) (int, error) {
	root := v.h.root.clone()
	slot, err := v.newSlot(ctx, root, st, vk, pass, slot)
	if err != nil {
		return -1, err
	}
	addID(root, "digests", digestID, "keyslots", slot)
	if err := v.commit(ctx, root); err != nil {
		return -1, err
	}
	if err := v.prove(ctx, slot, vk, pass); err != nil {
		return -1, err
	}
	return slot, nil
}

// prove reads the header back from the device and opens the slot.
func (v *Volume) prove(ctx context.Context, slot int, vk, pass *secret.Buffer) error {
	if err := v.load(); err != nil {
		return err
	}
	got, err := v.openSlot(ctx, slot, pass)
	if err != nil {
		return fmt.Errorf("keyslot %d was written and does not open: %w", slot, err)
	}
	defer got.Wipe()
	if !got.Equal(vk) {
		return fmt.Errorf("keyslot %d was written and holds another key", slot)
	}
	return nil
}

// A style is how a keyslot protects its key: what the floor is about.
type style struct {
	kdf        kdf
	af         af
	encryption string // of the key material
	keySize    int    // of that encryption, bytes
	model      *object
}

// style is that of a new keyslot, after the one that a passphrase has opened.
func (v *Volume) style(from int, policy KDFPolicy) (style, error) {
	k := v.h.meta.keyslots[from]
	if choosesNothing {
		policy = KDFInherit
	}
	st := style{kdf: k.kdf, af: k.af, encryption: k.area.encryption, keySize: k.area.keySize}
	switch {
	case policy == KDFInherit:
		st.model = v.h.root.obj("keyslots").obj(id(from))
		return st, nil
	case v.h.v1 != nil: // one hash and one cipher for all that there is
		st.kdf.iterations = max(st.kdf.iterations, leastRounds)
		return st, nil
	}
	var err error
	st.kdf, err = v.newKDF(policy, k.kdf)
	st.af = af{hash: "sha256", stripes: stripes1}
	st.encryption, st.keySize = floorCipher(k.area.encryption, k.area.keySize)
	return st, err
}

// floorCipher keeps a cipher that is at least as strong as AES-XTS with a key of 512 bits,
// and takes that instead of any other. The key's size is in bytes.
func floorCipher(encryption string, keySize int) (string, int) {
	switch encryption {
	case "aes-xts-plain64", "twofish-xts-plain64", "camellia-xts-plain64":
		if keySize == 64 {
			return encryption, keySize
		}
	}
	return "aes-xts-plain64", 64
}

// aboveFloor reports whether nobody has to better a keyslot's protection.
func (k *keyslot) aboveFloor() bool {
	enc, size := floorCipher(k.area.encryption, k.area.keySize)
	return enc == k.area.encryption && size == k.area.keySize && k.af.stripes >= stripes1 && k.priority > 0 &&
		k.kdf.typ == "argon2id" && k.kdf.memory >= leastArgonKiB && k.kdf.time >= leastArgonTime
}

// object is a new keyslot as the header has it. What a model has beside goes along.
func (st *style) object(keySize int, salt []byte, off, size int64) *object {
	o := newObject().set("type", str(slotLUKS2))
	if st.model != nil {
		o = st.model.clone()
	} else {
		o.set("af", newObject().set("type", str("luks1")).set("hash", str(st.af.hash)).set("stripes", num(st.af.stripes)))
		o.set("area", newObject().set("type", str("raw")).set("encryption", str(st.encryption)).set("key_size",
			num(st.keySize)))
		o.set("kdf", st.kdf.object())
	}
	o.set("key_size", num(keySize))
	o.obj("area").set("offset", dec(off)).set("size", dec(size))
	o.obj("kdf").set("salt", str(base64.StdEncoding.EncodeToString(salt)))
	return o
}

// newSlot writes the key material of a new keyslot into free space, durably, and
// adds the slot to root, bound to no digest yet. Nothing refers to it on the disk.
func (v *Volume) newSlot(ctx context.Context, root *object, st style, vk, pass *secret.Buffer, slot int) (int, error) {
	m, err := readMeta(root, v.h.size)
	if err != nil {
		return -1, err
	}
	if slot, err = m.freeSlot(slot); err != nil {
		return -1, err
	}
	size := roundUp(afSize(vk.Len(), st.af.stripes), 4096)
	var off int64
	if v.h.v1 != nil {
		size = afSize(vk.Len(), st.af.stripes)
		if slot >= slots1 {
			return -1, fmt.Errorf("%w: no free keyslot", ErrNoSpace)
		}
		off = v.h.v1.pool[slot]
	} else if off, err = m.freeArea(size); err != nil {
		return -1, err
	}
	if v.pretend != nil {
		v.pretend.byOffset[off] = vk.Copy()
		root.obj("keyslots").set(id(slot), st.object(vk.Len(), make([]byte, 32), off, size))
		return slot, nil
	}
	k := st.kdf
	k.salt = make([]byte, 32)
	if _, err := rand.Read(k.salt); err != nil {
		return -1, err
	}
	key, err := k.derive(ctx, slot, pass, st.keySize, v.free)
	if err != nil {
		return -1, err
	}
	defer key.Wipe()
	c, err := newSectorCipher(st.encryption, key.Bytes())
	if err != nil {
		return -1, err
	}
	defer c.Wipe()
	material := secret.New(int(size))
	defer material.Wipe()
	if err := afSplit(material.Bytes(), vk.Bytes(), st.af.stripes, st.af.hash); err != nil {
		return -1, err
	}
	c.EncryptSectors(material.Bytes(), material.Bytes(), keyslotSector, 0)
	if err := v.heal(ctx); err != nil {
		return -1, err
	}
	if err := v.hdr.WriteAt(WriteKeyslot, material.Bytes(), off); err != nil {
		return -1, err
	}
	if err := v.hdr.Sync(WriteKeyslot); err != nil {
		return -1, err
	}
	root.obj("keyslots").set(id(slot), st.object(vk.Len(), k.salt, off, size))
	return slot, nil
}

// freeSlot picks a keyslot number; -1 means any.
func (m *meta) freeSlot(want int) (int, error) {
	for i := range maxObjects {
		if m.keyslots[i] == nil && (want == i || want == -1) {
			return i, nil
		}
	}
	return -1, fmt.Errorf("%w: no free keyslot", ErrNoSpace)
}

// freeArea finds size bytes of the keyslots area, at a multiple of 4096.
func (m *meta) freeArea(size int64) (int64, error) {
	for _, g := range m.gaps() {
		if g.size >= size {
			return g.offset, nil
		}
	}
	return 0, fmt.Errorf("%w: no free area of %d bytes for a keyslot", ErrNoSpace, size)
}

// KillKeyslot removes a keyslot and wipes its area. keep must open another slot
// (ErrLastSlot, ErrWrongPassphrase otherwise), so that nobody is locked out.
func (v *Volume) KillKeyslot(ctx context.Context, slot int, keep *secret.Buffer) (err error) {
	defer v.account.close(&err)
	if err := v.beginEdit(ctx); err != nil {
		return err
	}
	m := v.h.meta
	if m.keyslots[slot] == nil {
		return fmt.Errorf("keyslot %d: %w", slot, ErrNoSuchSlot)
	}
	d, err := m.dataDigest()
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(m.slotsOf(d), func(s int) bool { return s == slot })
	if len(others) == 0 {
		return ErrLastSlot
	}
	_, vk, err := v.find(ctx, keep, others)
	if err != nil {
		return fmt.Errorf("no slot but %d: %w", slot, err)
	}
	vk.Wipe()
	root := v.h.root.clone()
	dropSlot(root, slot)
	if err := v.commit(ctx, root); err != nil {
		return err
	}
	return v.scrub(ctx)
}

// Scrub wipes whatever the keyslots area holds that no keyslot refers to: remains
// of keyslots that were removed before an interruption, by any program.
func (v *Volume) Scrub(ctx context.Context) (err error) {
	defer v.account.close(&err)
	if err := v.begin(ctx); err != nil {
		return err
	}
	return v.scrub(ctx)
}

func (v *Volume) scrub(ctx context.Context) error {
	if err := v.heal(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	gaps := v.h.meta.gaps()
	if v.h.v1 != nil {
		gaps = v.h.gaps1()
	}
	return v.wipe(gaps)
}

// wipe writes zeros over what is not zero yet.
func (v *Volume) wipe(gaps []extent) error {
	var wrote atomic.Bool
	for _, g := range gaps {
		size := min(request, g.size)
		b, err := newBuffer(int(workers * size))
		if err != nil {
			return err
		}
		buffers := make(chan []byte, workers)
		for w := range int64(workers) {
			buffers <- b.mem[w*size : (w+1)*size]
		}
		err = parallel(g.size, size, func(at, n int64) error {
			whole := <-buffers
			defer func() { buffers <- whole }()
			p := whole[:n]
			if err := v.hdr.ReadAt(p, g.offset+at); err != nil {
				return err
			}
			if allZero(p) {
				return nil
			}
			clear(p)
			wrote.Store(true)
			return v.hdr.WriteAt(WriteWipe, p, g.offset+at)
		})
		b.free()
		if err != nil {
			return err
		}
	}
	if !wrote.Load() {
		return nil
	}
	return v.hdr.Sync(WriteWipe)
}
