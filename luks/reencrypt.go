package luks

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"reown/internal/secret"
)

// Resilience is how an interrupted hotzone is repaired.
type Resilience string

const (
	// Checksum stores a hash of each block's old ciphertext before the hotzone is
	// overwritten; it needs blocks that are written whole or not at all.
	Checksum Resilience = "checksum"
	// Journal stores the old ciphertext itself; slower, and assumes nothing.
	Journal Resilience = "journal"
)

// digestRounds is the PBKDF2 cost of a new volume key's digest. The key is random: it needs
// none, but cryptsetup wants at least 1,000.
const digestRounds = 100_000

// Sizes of a hotzone in bytes.
const (
	defaultHotzone = 96 << 20
	minHotzone     = 4 << 20
	maxHotzone     = 256 << 20
)

// ReencryptOptions are the choices of a re-encryption. The zero value keeps the sector
// size and what is not below the floor, and takes checksum resilience.
type ReencryptOptions struct {
	// Begin is called before anything is written that begins a run, with the digest of the new
	// volume key (Info.KeyDigest) and with what makes marks of it; an error ends the call. It must
	// not open the volume. Nil: nobody wants to know.
	Begin func(digest string, mark func(salt []byte) (Mark, error)) error
	// Progress is called at the start and as the work goes on, with bytes.
	Progress func(done, total int64)
	// Fill re-encrypts also what was never written and is zero on the disk, so that
	// nothing shows how full the disk is. Without it that is left alone.
	Fill bool
	// Lose is asked whether the run may go on without data that cannot be read; nil means
	// no. These bytes, and no others, are then written so that they read as zeros. It is
	// called before anything is written over them, never twice at a time.
	Lose func([]Range) bool
	// Doubt is asked whether the run may go on although blocks of an interrupted hotzone fit
	// neither key (see DoubtError); nil means no.
	Doubt func([]Range) bool
	// Survey, if it is complete, lets Progress follow the work instead of the position:
	// what was never written costs a fraction of what was.
	Survey *Survey
	// Result, if not nil, is filled in as the work goes on.
	Result *Result
	// Hotzone is the number of bytes in doubt at one time, and about the memory that
	// is needed; 0 chooses 96 MiB, or less on a machine with little memory. Header
	// space may limit it further.
	Hotzone int64
	// The following choose what a new run changes to; a run being continued keeps
	// its own. Zero values keep what the volume has, but a cipher weaker than AES-XTS with
	// 512 bits of key gives way to that.
	Cipher     string // as dm-crypt names it
	KeyBits    int
	SectorSize int // bytes
	Resilience Resilience
	// BackToLUKS1 converts the header to LUKS1 at the end, for a boot loader that
	// reads nothing else. A LUKS1 volume is always converted to LUKS2 for the time of
	// the re-encryption, so that either program can resume it.
	BackToLUKS1 bool
	// Inherit leaves the choices of somebody who made the header in force: a weak cipher, key
	// derivation (see Options.KDF), tokens, and persistent flags such as allow-discards.
	// Otherwise these end with the old volume key.
	Inherit bool
}

// Reencrypt replaces the volume key and re-encrypts all data in place, or
// continues a run that this package or cryptsetup began, including the recovery
// of an interrupted hotzone. pass keeps opening the volume throughout, and is the
// only thing that does at the end: other keyslots' passphrases are not known and
// cannot be carried over. Keyslots of no volume key, tokens and persistent flags go
// (but see ReencryptOptions.Inherit). The keyslot's number stays.
//
// When ctx is cancelled the current hotzone is finished, the position is recorded
// and an error wrapping context.Canceled is returned. After that, after an error
// or a power failure the same call goes on.
func (v *Volume) Reencrypt(ctx context.Context, pass *secret.Buffer, o ReencryptOptions) error {
	return v.reencrypt(ctx, pass, o, true)
}

// Resume continues a re-encryption and never starts one. On a volume at rest it
// checks pass and wipes what an interrupted end may have left of old keyslots. Every
// keyslot of the new volume key stays.
func (v *Volume) Resume(ctx context.Context, pass *secret.Buffer, o ReencryptOptions) error {
	return v.reencrypt(ctx, pass, o, false)
}

func (v *Volume) reencrypt(ctx context.Context, pass *secret.Buffer, o ReencryptOptions, mayStart bool) (err error) {
	defer v.account.close(&err)
	if err := v.begin(ctx); err != nil {
		return err
	}
	unlock, err := v.lockReencryption(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := v.load(); err != nil { // another program may have finished it before we had the lock
		return err
	}
	if err := v.reencryptLocked(ctx, pass, o, mayStart); err != nil || !o.BackToLUKS1 {
		return err
	}
	return v.Convert(ctx, 1)
}

func (v *Volume) reencryptLocked(ctx context.Context, pass *secret.Buffer, o ReencryptOptions, mayStart bool) error {
	r, err := v.reencryption()
	if err != nil {
		return err
	}
	if r == nil && !mayStart {
		if _, err := v.Unlock(ctx, pass); err != nil {
			return err
		}
		return v.scrub(ctx)
	}
	if v.h.v1 != nil {
		if _, err := v.Unlock(ctx, pass); err != nil {
			return err
		}
		if err := v.Convert(ctx, 2); err != nil {
			return err
		}
	}
	var known *keyPair
	if r == nil {
		if known, err = v.start(ctx, pass, o); err != nil {
			return err
		}
		defer known.wipe()
		if r, err = v.reencryption(); err != nil {
			return err
		}
	}
	run, err := v.newRun(ctx, r, pass, known, o)
	if err != nil {
		return err
	}
	run.ctx = ctx
	defer run.close()
	if err := run.revisit(ctx); err != nil {
		return err
	}
	done := r.offset
	if !r.finished {
		if err := run.all(ctx); err != nil {
			return err
		}
	}
	if o.Fill {
		if err := run.fillBehind(ctx, done); err != nil {
			return err
		}
	}
	return run.finish(ctx, mayStart)
}

// A keyPair are the volume keys of a run with the slots that they were found in.
type keyPair struct {
	oldSlot, newSlot int
	old, new         *secret.Buffer
}

func (k *keyPair) wipe() {
	k.old.Wipe()
	k.new.Wipe()
}

// endChoices removes what the maker of the header left beside the volume key: keyslots
// that belong to none or to another key, tokens, and persistent flags.
func (v *Volume) endChoices(ctx context.Context, inherit bool) error {
	m := v.h.meta
	d, err := m.dataDigest()
	if err != nil {
		return err
	}
	root := v.h.root.clone()
	for n := range m.keyslots {
		if !slices.Contains(d.keyslots, n) {
			dropSlot(root, n)
		}
	}
	if !inherit {
		root.set("tokens", newObject())
		root.obj("config").del("flags")
	}
	if bytes.Equal(root.text(), v.h.root.text()) {
		return nil
	}
	return v.commit(ctx, root)
}

// start writes the header that begins a re-encryption: a keyslot for a new random
// volume key, the description of what is to be done, and the flag that keeps
// other programs from anything else. No data is touched.
func (v *Volume) start(ctx context.Context, pass *secret.Buffer, o ReencryptOptions) (*keyPair, error) {
	if err := v.notEmpty(pass); err != nil {
		return nil, err
	}
	m := v.h.meta
	d, err := m.dataDigest()
	if err != nil {
		return nil, err
	}
	seg, next, keySize, err := v.target(o)
	if err != nil {
		return nil, err
	}
	from, oldKey, err := v.find(ctx, pass, m.slotsOf(d))
	if err != nil {
		return nil, err
	}
	known := &keyPair{from, -1, oldKey, secret.Random(keySize)}
	if err := v.startWith(ctx, pass, known, seg, next, o); err != nil {
		known.wipe()
		return nil, err
	}
	return known, nil
}

// target is the segment as it is, as it is to be, and the new key's size in bytes.
func (v *Volume) target(o ReencryptOptions) (seg, next *segment, keySize int, err error) {
	m := v.h.meta
	if len(m.segments) != 1 || m.segments[0].integrity {
		return nil, nil, 0, unsupported("a volume of several segments or with integrity protection")
	}
	d, err := m.dataDigest()
	if err != nil {
		return nil, nil, 0, err
	}
	seg = m.segments[0]
	for _, s := range m.slotsOf(d) {
		keySize = m.keyslots[s].keySize
	}
	oldSize := keySize
	c := *seg
	next = &c
	if !o.Inherit && !choosesNothing {
		next.encryption, keySize = floorCipher(seg.encryption, keySize)
	}
	if o.Cipher != "" {
		next.encryption = o.Cipher
	}
	if o.SectorSize != 0 {
		next.sectorSize = o.SectorSize
	}
	if o.KeyBits != 0 {
		keySize = o.KeyBits / 8
	}
	if err := v.checkTarget(seg, next); err != nil {
		return nil, nil, 0, err
	}
	if o.Resilience != "" && o.Resilience != Checksum && o.Resilience != Journal {
		return nil, nil, 0, unsupported("resilience %q", o.Resilience)
	}
	// The old cipher must be one that can be read, too.
	for _, x := range []struct {
		encryption string
		size       int
	}{{next.encryption, keySize}, {seg.encryption, oldSize}} {
		c, err := newSectorCipher(x.encryption, make([]byte, x.size))
		if err != nil {
			return nil, nil, 0, err
		}
		c.Wipe()
	}
	return seg, next, keySize, nil
}

// startWith writes the header that begins the run.
func (v *Volume) startWith(ctx context.Context, pass *secret.Buffer, known *keyPair, seg, next *segment,
	o ReencryptOptions) error {
	inherit := o.Inherit || choosesNothing
	if err := v.endChoices(ctx, inherit); err != nil {
		return err
	}
	policy := v.kdf
	switch {
	case inherit:
		policy = KDFInherit
	case o.BackToLUKS1:
		policy = KDFPBKDF2
	}
	st, err := v.style(known.oldSlot, policy)
	if err != nil {
		return err
	}
	if o.BackToLUKS1 {
		st.encryption, st.keySize = next.encryption, known.new.Len()
	}
	root := v.h.root.clone()
	to, err := v.newSlot(ctx, root, st, known.new, pass, -1)
	if err != nil {
		return err
	}
	known.newSlot = to
	copyTokens(root, known.oldSlot, to)
	d, err := v.h.meta.dataDigest()
	if err != nil {
		return err
	}
	seg = v.h.meta.segments[0]
	r := &reencryption{prev: seg, final: next, oldDigest: d, total: v.segmentSize(seg)}
	if err := v.describe(ctx, root, r, to, known, o.Resilience, inherit); err != nil {
		return err
	}
	if err := v.announce(root, r.newDigest.id, known.new, o.Begin); err != nil {
		return err
	}
	if err := v.commit(ctx, root); err != nil {
		return err
	}
	return v.prove(ctx, to, known.new, pass)
}

// announce tells of the new key before anything says that it is used.
func (v *Volume) announce(root *object, id int, key *secret.Buffer,
	begin func(string, func([]byte) (Mark, error)) error) error {
	if begin == nil {
		return nil
	}
	m, err := readMeta(root, v.h.size)
	if err != nil {
		return err
	}
	return begin(hex.EncodeToString(m.digests[id].value), func(salt []byte) (Mark, error) { return markOf(key, salt) })
}

// checkTarget refuses targets that the device or the data's size do not allow.
func (v *Volume) checkTarget(old, next *segment) error {
	if err := v.fits(old); err != nil {
		return err
	}
	total := v.segmentSize(old)
	switch ss := int64(next.sectorSize); {
	case ss < 512 || ss > 4096 || ss&(ss-1) != 0:
		return unsupported("sector size %d", ss)
	case total <= 0 || total%512 != 0:
		return fmt.Errorf("%w: %d bytes of data", ErrTooSmall, total)
	case total%ss != 0 || old.offset%ss != 0 || total%int64(old.sectorSize) != 0:
		return unsupported("sector size %d on %d bytes of data at %d", ss, total, old.offset)
	}
	return nil
}

// describe adds to root the new digest, the re-encryption keyslot with its digest,
// the backup segments and the flag.
func (v *Volume) describe(ctx context.Context, root *object, r *reencryption, slot int, known *keyPair, res Resilience,
	inherit bool) error {
	if res == "" {
		res = Checksum
	}
	m, err := readMeta(root, v.h.size)
	if err != nil {
		return err
	}
	digests := root.obj("digests")
	hash, iterations := "sha256", digestRounds
	if inherit {
		hash, iterations = r.oldDigest.hash, r.oldDigest.iterations
	}
	nd, err := newDigest(ctx, known.new.Bytes(), hash, iterations, []int{slot})
	if err != nil {
		return err
	}
	r.newDigest = &digest{id: freeID(m.digests)}
	digests.set(id(r.newDigest.id), nd)

	k := &keyslot{typ: slotReencrypt, mode: "reencrypt", direction: "forward"}
	if k.id, err = m.freeSlot(-1); err != nil {
		return err
	}
	gap := m.largestGap()
	k.area = area{typ: string(res), offset: gap.offset, size: roundDown(gap.size, 4096)}
	if res == Checksum {
		k.area.hash, k.area.sectorSize = "sha256", v.checksumBlock(r)
	}
	r.slot = k
	if r.maxHotzone(k.area.size/2) < 2*r.unit() {
		return fmt.Errorf("%w: %d bytes are left for the re-encryption", ErrNoSpace, k.area.size)
	}
	root.obj("keyslots").set(id(k.id), newObject().set("type", str(slotReencrypt)).set("key_size", num(1)).
		set("mode", str(k.mode)).set("direction", str(k.direction)).set("area", k.area.object()))

	// Put the backups where setSegments looks for them, under numbers it will assign.
	segs := root.obj("segments")
	final := segs.obj("0").clone()
	final.set("encryption", str(r.final.encryption)).set("sector_size", num(r.final.sectorSize))
	segs.set("1", final)
	r.final.id = 1
	r.setSegments(root, 0, 0)

	in := r.metadataInput(known.old, known.new)
	defer in.Wipe()
	md, err := newDigest(ctx, in.Bytes(), "sha256", 1000, []int{k.id})
	if err != nil {
		return err
	}
	mid := r.newDigest.id + 1
	for digests.m[id(mid)] != nil {
		mid++
	}
	digests.set(id(mid), md)
	setRequirement(root, reqReencrypt, true)
	return nil
}

// checksumBlock chooses how many bytes one checksum covers: what the device writes
// atomically, at least both sector sizes, and a divisor of the data's length.
func (v *Volume) checksumBlock(r *reencryption) int {
	least := max(r.prev.sectorSize, r.final.sectorSize)
	n := max(v.data.BlockSize(), least)
	for n > least && (r.total%int64(n) != 0 || r.prev.offset%int64(n) != 0) {
		n /= 2
	}
	return n
}

// unit is what the length of a hotzone is a multiple of, in bytes.
func (r *reencryption) unit() int64 {
	return int64(max(r.prev.sectorSize, r.final.sectorSize, r.slot.area.sectorSize, 4096))
}

// maxHotzone is how many bytes of data a resilience area of a given size protects.
func (r *reencryption) maxHotzone(size int64) int64 {
	a := r.slot.area
	switch a.typ {
	case "checksum":
		newHash, err := hashByName(a.hash)
		if err != nil {
			return 0
		}
		return roundDown(size/int64(newHash().Size())*int64(a.sectorSize), r.unit())
	case "journal":
		return roundDown(size, r.unit())
	}
	return 0
}

// object is the area as the header has it.
func (a *area) object() *object {
	o := newObject().set("type", str(a.typ)).set("offset", dec(a.offset)).set("size", dec(a.size))
	if a.typ == "checksum" {
		o.set("hash", str(a.hash)).set("sector_size", num(a.sectorSize))
	}
	return o
}

func freeID[T any](m map[int]T) int {
	for i := 0; ; i++ {
		if _, ok := m[i]; !ok {
			return i
		}
	}
}

// copyTokens adds slot to to every token that names slot from.
func copyTokens(root *object, from, to int) {
	eachReference(root, func(c string, l *list) {
		if c == "tokens" && l.index(id(from)) >= 0 {
			l.items = append(l.items, str(id(to)))
		}
	})
}
