package luks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"reown/internal/secret"
)

// RescueOptions say how much may be assumed when the position of an unprotected
// re-encryption is looked for.
type RescueOptions struct {
	// Progress is called while the device is searched, with bytes.
	Progress func(done, total int64)
	// InOrder asserts that the disk lost no write it had begun before a later one:
	// cryptsetup was killed, but the power stayed on. It lets stretches near the
	// position count as proven by their neighbours that cannot be told by themselves.
	InOrder bool
	// DryRun only reports.
	DryRun bool
	// LogDir is the directory with the files LUKS-<uuid>.log, .org and .new of
	// cryptsetup's re-encryption of LUKS1.
	LogDir string
}

// A Rescue reports how far an unprotected re-encryption was found to have come.
type Rescue struct {
	Position int64 // bytes of data that are under the new key throughout
	Mixed    int64 // bytes from there that are partly new, partly old, each known
	Total    int64 // bytes
}

const (
	// inFlight is how much data, in bytes, a disk may hold in its cache unwritten
	// when the power fails: generously, as consumer disks have up to 256 MiB.
	inFlight = 256 << 20
	// smallRequest is a run, in bytes, shorter than any request cryptsetup's 1 MiB
	// writes are split into; a lost write cannot hide in less.
	smallRequest = 64 << 10
)

// Rescue prepares what `cryptsetup reencrypt --resilience=none` (the way Heads runs
// it) left behind when it was interrupted: how far it came is in no header, and
// resuming with cryptsetup encrypts the first part twice. Both volume keys are
// there, so each sector can be decrypted with either; the wrong key gives random
// bytes, the right one often does not. All data is searched; if the position
// follows, the header is given it, together with checksum protection, and
// Reencrypt or Resume continues. If it does not follow, ErrUnproven is returned,
// saying which bytes are in doubt, and nothing is written.
//
// On a volume opened with LUKS1Aside it gives the LUKS1 header back if the
// re-encryption had not begun with the data, or with LogDir makes it a LUKS2 volume
// whose re-encryption Resume continues; see rescue1 and rescueLog.
func (v *Volume) Rescue(ctx context.Context, pass *secret.Buffer, o RescueOptions) (found Rescue, err error) {
	defer v.account.close(&err)
	if err := v.load(); err == nil && v.state.aside && !v.readOnly {
		if o.LogDir != "" {
			return v.rescueLog(ctx, pass, o)
		}
		return v.rescue1(ctx, pass, o)
	}
	if err := v.begin(ctx); err != nil {
		return Rescue{}, err
	}
	unlock, err := v.lockReencryption(ctx)
	if err != nil {
		return Rescue{}, err
	}
	defer unlock()
	if err := v.load(); err != nil {
		return Rescue{}, err
	}
	r, err := v.reencryption()
	if err != nil {
		return Rescue{}, err
	}
	if r != nil && o.LogDir != "" { // of LUKS1 no longer: this has been done before
		return Rescue{r.offset, r.length, r.total}, nil
	}
	none := r != nil && r.slot.area.typ == "none"
	if r == nil || r.crash {
		return Rescue{}, ErrNoRescue
	}
	_, newKey, err := v.find(ctx, pass, v.h.meta.slotsOf(r.newDigest))
	if err != nil {
		return Rescue{}, fmt.Errorf("the new volume key: %w", err)
	}
	defer newKey.Wipe()
	_, oldKey, err := v.find(ctx, pass, v.h.meta.slotsOf(r.oldDigest))
	gone := none && r.finished && errors.Is(err, ErrWrongPassphrase)
	if err != nil && !gone {
		return Rescue{}, oldKeyError(err)
	}
	if gone {
		// cryptsetup has destroyed the old keyslot, as the last thing before it closes the
		// header. Resume closes it.
		return Rescue{Position: r.total, Total: r.total}, nil
	}
	defer oldKey.Wipe()
	if err := v.verifyMetadata(ctx, r, oldKey, newKey); err != nil {
		return Rescue{}, err
	}
	s := &search{v: v, r: r, o: o, none: none, unit: int64(max(r.prev.sectorSize, r.final.sectorSize)), around: inFlight, small: smallRequest}
	if s.oldC, err = newSectorCipher(r.prev.encryption, oldKey.Bytes()); err != nil {
		return Rescue{}, err
	}
	defer s.oldC.Wipe()
	if s.newC, err = newSectorCipher(r.final.encryption, newKey.Bytes()); err != nil {
		return Rescue{}, err
	}
	defer s.newC.Wipe()
	// What is read may still be in the disk's cache only; a header must not rely on it.
	if err := v.data.Sync(WriteData); err != nil {
		return Rescue{}, err
	}
	if !none {
		return v.rescueDone(ctx, s, oldKey, newKey)
	}
	found, err = s.position(ctx)
	if err != nil || o.DryRun || r.finished {
		return found, err
	}
	return found, v.adopt(ctx, s, found, oldKey, newKey)
}

// buffers makes room for two windows; free returns it.
func (s *search) buffers() (err error) {
	if s.buf, err = newBuffer(window); err != nil {
		return err
	}
	s.alt, err = newBuffer(window)
	return err
}

func (s *search) free() {
	s.buf.free()
	s.alt.free()
	s.buf, s.alt = nil, nil
}

// A verdict on one unit of data: which key it is under.
type verdict byte

const (
	silent verdict = iota // random under both keys
	isNew
	isOld
	isEmpty // never written: zero, whatever the key
	isLost  // cannot be read
	isTorn  // partly either
	isTwice // new, and taken for old and made new again
)

type search struct {
	v          *Volume
	r          *reencryption
	o          RescueOptions
	oldC, newC sectorCipher
	none       bool  // an unprotected run: it passes nothing over
	unit       int64 // bytes that are under one key for certain: the larger sector size

	// How far around the position a power failure may have lost writes, and how short
	// a run of silence is too short for one; bytes.
	around, small int64
	atLeast       int64 // bytes that are new for another reason

	buf, alt *buffer
}

// structured reports whether p cannot be the output of a cipher under the wrong
// key. Of random bytes none is so frequent: ten standard deviations and ten more
// than the mean, a chance below 1e-15 for each unit.
func structured(p []byte) bool {
	var count [256]int
	for _, b := range p {
		count[b]++
	}
	mean := len(p) / 256
	limit := mean + 10
	for d := 0; d*d < mean*100; d++ {
		limit++
	}
	return slices.Max(count[:]) > limit
}

// window is how many bytes are judged at a time.
const window = 8 << 20

// judge looks at the units of n bytes at off of the data, at most a window.
func (s *search) judge(off, n int64) ([]verdict, error) {
	out := make([]verdict, n/s.unit)
	iv := s.r.prev.ivTweak
	err := parallel(n, request, func(at, n int64) error {
		p, q := s.buf.mem[at:at+n], s.alt.mem[at:at+n]
		if err := s.v.data.ReadAt(p, s.r.prev.offset+off+at); err != nil {
			return err
		}
		first := iv + uint64(off+at)/512
		for i := int64(0); i < n; i += s.unit {
			if zeros(p[i : i+s.unit]) {
				out[(at+i)/s.unit] = isEmpty
				if s.none { // what such a run has come to is no longer zero
					out[(at+i)/s.unit] = isOld
				}
			}
		}
		if s.newC != nil { // rescue1 has only the old one
			s.newC.DecryptSectors(q, p, s.r.final.sectorSize, first)
		}
		s.oldC.DecryptSectors(p, p, s.r.prev.sectorSize, first)
		for i := int64(0); i < n; i += s.unit {
			if out[(at+i)/s.unit] != silent {
				continue
			}
			underNew, underOld := s.newC != nil && structured(q[i:i+s.unit]), structured(p[i:i+s.unit])
			switch {
			case underNew && !underOld:
				out[(at+i)/s.unit] = isNew
			case underOld && !underNew:
				out[(at+i)/s.unit] = isOld
			case s.newC != nil && !underNew:
				out[(at+i)/s.unit] = s.before(q[i:i+s.unit], first+uint64(i)/512)
			}
		}
		return nil
	})
	return out, err
}

// before judges p, decrypted with the new key, by what it would have been before: what was never
// written was zero, which only that re-encryption turns into this; and what makes sense was under
// the new key already, and cryptsetup has begun again too early. p is changed.
func (s *search) before(p []byte, iv uint64) verdict {
	s.oldC.EncryptSectors(p, p, s.r.prev.sectorSize, iv)
	if zeros(p) {
		return isNew
	}
	s.newC.DecryptSectors(p, p, s.r.final.sectorSize, iv)
	if structured(p) {
		return isTwice
	}
	s.oldC.EncryptSectors(p, p, s.r.prev.sectorSize, iv)
	if zeros(p) {
		return isTwice
	}
	return silent
}

// each calls f for every unit from off to end, in order.
func (s *search) each(ctx context.Context, off, end int64, progress bool, f func(pos int64, v verdict)) error {
	for off < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(window, end-off)
		vs, err := s.judge(off, n)
		if err != nil {
			return err
		}
		for i, x := range vs {
			f(off+int64(i)*s.unit, x)
		}
		off += n
		if progress && s.o.Progress != nil {
			s.o.Progress(off, s.r.total)
		}
	}
	return nil
}

// position finds the point up to which everything is new. cryptsetup goes forward
// through the data, so it is where the verdicts turn from new to old.
func (s *search) position(ctx context.Context) (Rescue, error) {
	if err := s.buffers(); err != nil {
		return Rescue{}, err
	}
	defer s.free()

	lastNew, firstOld := max(s.r.offset, s.atLeast), s.r.total // ends of what is proven
	twice, firstTwice := int64(0), int64(-1)
	from := s.r.offset
	if s.r.finished {
		from = 0
	}
	if err := s.each(ctx, from, s.r.total, true, func(pos int64, x verdict) {
		switch {
		case x == isTwice:
			twice += s.unit
			if firstTwice < 0 {
				firstTwice = pos
			}
		case x == isNew:
			lastNew = max(lastNew, pos+s.unit)
		case x == isOld:
			firstOld = min(firstOld, pos)
		}
	}); err != nil {
		return Rescue{}, err
	}
	found := Rescue{Position: min(lastNew, firstOld), Total: s.r.total}
	if twice > 0 {
		return found, fmt.Errorf("%w: %d bytes, the first at byte %d of the data; both keys are needed to undo it", ErrTwice, twice, firstTwice)
	}
	if s.r.finished {
		// The header says that all is new. A run that cryptsetup began again from here, by
		// mistake, would be seen above.
		if firstOld < s.r.total {
			return found, fmt.Errorf("%w: the header calls all data done, and byte %d is under the old key", ErrLeftBehind, firstOld)
		}
		found.Position, found.Mixed = s.r.total, 0
		return found, nil
	}
	if firstOld > lastNew {
		return found, fmt.Errorf("%w: from byte %d to byte %d of the data everything looks random under both keys", ErrUnproven, lastNew, firstOld)
	}
	found.Mixed = lastNew - firstOld
	if found.Mixed > inFlight {
		return found, fmt.Errorf("%w: old and new data are mixed over %d bytes, from byte %d", ErrUnproven, found.Mixed, firstOld)
	}
	return found, s.surroundings(ctx, firstOld, lastNew)
}

// surroundings looks at the stretch in which a power failure may have lost or
// reordered writes. Between firstOld and lastNew each unit must speak for itself;
// around them, silence longer than a small request may hide a lost one.
func (s *search) surroundings(ctx context.Context, firstOld, lastNew int64) error {
	run := int64(0)
	var doubt error
	check := func(pos int64, x verdict) {
		inside := pos >= firstOld && pos < lastNew
		if x != silent {
			run = 0
			return
		}
		run += s.unit
		if doubt == nil && (inside || run >= s.small && !s.o.InOrder) {
			doubt = fmt.Errorf("%w: %d bytes up to byte %d of the data look random under both keys, close to where it stopped", ErrUnproven, run, pos+s.unit)
		}
	}
	begin := roundDown(max(s.r.offset, firstOld-s.around), s.unit)
	if err := s.each(ctx, begin, min(s.r.total, lastNew+s.around), false, check); err != nil {
		return err
	}
	return doubt
}

// adopt writes what was found into the header.
func (v *Volume) adopt(ctx context.Context, s *search, found Rescue, oldKey, newKey *secret.Buffer) error {
	root := v.h.root.clone()
	if err := v.enter(ctx, root, s, found, oldKey, newKey); err != nil {
		return err
	}
	return v.commit(ctx, root)
}

// enter puts what was found into root: checksum resilience, and the position. Mixed
// data becomes an interrupted hotzone whose checksums, written here, match just the
// units that are old, so that recovery, by either program, renews those.
func (v *Volume) enter(ctx context.Context, root *object, s *search, found Rescue, oldKey, newKey *secret.Buffer) error {
	m, err := readMeta(root, v.h.size)
	if err != nil {
		return err
	}
	r := s.r
	if last := int64(4096); found.Position == r.total && r.total > last {
		// A header that has nothing old left makes cryptsetup begin from the start.
		found.Position, found.Mixed = r.total-last, last
	}
	gap := m.largestGap(r.slot.id)
	r.slot.area = area{typ: "checksum", offset: gap.offset, size: roundDown(gap.size, 4096), hash: "sha256", sectorSize: int(s.unit)}
	if n := r.maxHotzone(r.slot.area.size); n == 0 || found.Mixed > n {
		return fmt.Errorf("%w: %d bytes are left for the re-encryption", ErrNoSpace, gap.size)
	}
	root.obj("keyslots").obj(id(r.slot.id)).set("area", r.slot.area.object())
	in := r.metadataInput(oldKey, newKey)
	defer in.Wipe()
	d := m.digestOfKeyslot(r.slot.id)
	md, err := newDigest(ctx, in.Bytes(), "sha256", max(1000, d.iterations), []int{r.slot.id})
	if err != nil {
		return err
	}
	root.obj("digests").set(id(d.id), md)
	r.setSegments(root, found.Position, found.Mixed)
	if found.Mixed > 0 {
		return s.writeMixedChecksums(ctx, found)
	}
	return nil
}

// writeMixedChecksums stores, for the units of a mixed stretch, the hash of what they
// are or were under the old key.
func (s *search) writeMixedChecksums(ctx context.Context, found Rescue) error {
	if err := s.buffers(); err != nil {
		return err
	}
	defer s.free()
	n := hashSize("sha256")
	sums := make([]byte, roundUp(found.Mixed/s.unit*int64(n), 4096))
	raw := make([]byte, s.unit)
	var readErr error
	err := s.each(ctx, found.Position, found.Position+found.Mixed, false, func(pos int64, x verdict) {
		if readErr != nil {
			return
		}
		readErr = s.v.data.ReadAt(raw, s.r.prev.offset+pos)
		if x != isOld {
			iv := s.r.prev.ivTweak + uint64(pos)/512
			s.newC.DecryptSectors(raw, raw, s.r.final.sectorSize, iv)
			s.oldC.EncryptSectors(raw, raw, s.r.prev.sectorSize, iv)
		}
		at := (pos - found.Position) / s.unit * int64(n)
		sumBlocks(sums[at:], raw, "sha256", int(s.unit))
	})
	if err = firstError(err, readErr); err != nil {
		return err
	}
	if err := s.v.hdr.WriteAt(WriteArea, sums, s.r.slot.area.offset); err != nil {
		return err
	}
	return s.v.hdr.Sync(WriteArea)
}
