package luks

import (
	"context"
	"errors"
	"fmt"

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
	// Hotzone is what cryptsetup worked on at a time, if that is known: 20 MiB unless it was told
	// otherwise. Killed, it stopped between two of these, and where the data does not tell new from old
	// that does.
	Hotzone int64
	// AcceptLoss names a file that does not exist yet. If a stretch of the data stays in doubt it is
	// saved there, see saveStretch, and the position is taken where it most probably is.
	AcceptLoss string
	// At is the position to take within that stretch instead, in bytes of the data.
	At *int64
	// LogDir is the directory with the files LUKS-<uuid>.log, .org and .new of
	// cryptsetup's re-encryption of LUKS1.
	LogDir string
}

// A Rescue reports how far an unprotected re-encryption was found to have come.
type Rescue struct {
	Position int64 // bytes of data that are under the new key throughout
	Mixed    int64 // bytes from there that are partly new, partly old, each known
	Total    int64 // bytes
	InDoubt  Range // was saved to RescueOptions.AcceptLoss; its length is 0 if all was proven
}

const (
	// inFlight is how much data, in bytes, a disk may hold in its cache unwritten
	// when the power fails: generously, as consumer disks have up to 256 MiB.
	inFlight = 256 << 20
	// smallRequest is a run, in bytes, shorter than any request cryptsetup's 1 MiB
	// writes are split into; a lost write cannot hide in less.
	smallRequest = 64 << 10
	// usualHotzone is cryptsetup's for an unprotected run, in bytes.
	usualHotzone = 20 << 20
)

// Rescue prepares what `cryptsetup reencrypt --resilience=none` (the way Heads runs
// it) left behind when it was interrupted: how far it came is in no header, and
// resuming with cryptsetup encrypts the first part twice. Both volume keys are
// there, so each sector can be decrypted with either; the wrong key gives random
// bytes, the right one often does not. All data is searched; if the position
// follows, the header is given it, together with checksum protection, and
// Reencrypt or Resume continues. If it does not follow, an EdgeError names the stretch
// that is in doubt, and nothing is written but with RescueOptions.AcceptLoss.
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
	switch {
	case err != nil:
		return Rescue{}, err
	case r != nil && o.LogDir != "": // of LUKS1 no longer: this has been done before
		return Rescue{Position: r.offset, Mixed: r.length, Total: r.total}, nil
	case r == nil || r.crash:
		return Rescue{}, ErrNoRescue
	}
	return v.rescueRun(ctx, r, pass, o)
}

// rescueRun is Rescue of a run between two hotzones.
func (v *Volume) rescueRun(ctx context.Context, r *reencryption, pass *secret.Buffer, o RescueOptions) (Rescue, error) {
	none := r.slot.area.typ == "none"
	keys, err := v.findBoth(ctx, r, pass)
	if keys == nil {
		return Rescue{}, err
	}
	defer keys.wipe()
	if none && r.finished && errors.Is(err, ErrWrongPassphrase) {
		// cryptsetup has destroyed the old keyslot, as the last thing before it closes the
		// header. Resume closes it.
		return Rescue{Position: r.total, Total: r.total}, nil
	}
	if err != nil {
		return Rescue{}, oldKeyError(err)
	}
	if err := v.verifyMetadata(ctx, r, keys.old, keys.new); err != nil {
		return Rescue{}, err
	}
	s, err := v.newSearch(ctx, r, keys, o)
	if err != nil {
		return Rescue{}, err
	}
	defer s.wipe()
	s.none, s.unit = none, int64(max(r.prev.sectorSize, r.final.sectorSize))
	s.around, s.small = inFlight, smallRequest
	if !none {
		return v.rescueDone(ctx, s, keys.old, keys.new)
	}
	found, err := s.position(ctx)
	var edge *EdgeError
	if errors.As(err, &edge) && o.AcceptLoss != "" && !o.DryRun {
		found, err = v.accept(ctx, s, edge, keys)
	}
	if err != nil || o.DryRun || r.finished {
		return found, err
	}
	return found, v.adopt(ctx, s, found, keys.old, keys.new)
}

// newSearch has the ciphers of both keys. What it reads may still be in the disk's cache only; a header
// must not rely on that, so it is flushed first.
func (v *Volume) newSearch(ctx context.Context, r *reencryption, keys *keyPair, o RescueOptions) (*search, error) {
	s := &search{v: v, r: r, o: o}
	var err error
	if s.oldC, err = newSectorCipher(r.prev.encryption, keys.old.Bytes()); err != nil {
		return nil, err
	}
	if s.newC, err = newSectorCipher(r.final.encryption, keys.new.Bytes()); err == nil {
		err = v.data.Sync(WriteData)
	}
	if err != nil {
		s.wipe()
		return nil, err
	}
	return s, nil
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
func (v *Volume) enter(ctx context.Context, root *object, s *search, found Rescue, oldKey,
	newKey *secret.Buffer) error {
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
	r.slot.area = area{typ: "checksum", offset: gap.offset, size: roundDown(gap.size, 4096), hash: "sha256",
		sectorSize: int(s.unit)}
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
