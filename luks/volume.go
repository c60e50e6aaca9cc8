package luks

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
)

// Options say how to open a volume. The zero value is right for a device with its
// header at the start.
type Options struct {
	// Header is the path of a detached header.
	Header string
	// Offset and Size choose a window of the device, in bytes: a partition inside a
	// disk image. A Size of 0 reaches to the end.
	Offset, Size int64
	// ReadOnly neither locks nor claims the device; every change fails with
	// ErrReadOnly.
	ReadOnly bool
	// LUKS1Aside opens a LUKS1 header that cryptsetup's re-encryption has set aside,
	// instead of failing with ErrLUKS1Interrupted; only Rescue changes such a volume.
	LUKS1Aside bool
	// KDF says how keyslots that are added derive their key.
	KDF KDFPolicy
	// AllowEmpty lets keyslots that are added have the empty passphrase.
	AllowEmpty bool
	// NoLocks skips cryptsetup's lock files. The exclusive claim on a block device
	// stays.
	NoLocks bool
}

// A Volume is an opened LUKS volume. Its methods read the header from the device
// each time they start and may not be called concurrently.
type Volume struct {
	path      string
	hdr, data Device // the same unless detached
	detached  bool
	closers   []io.Closer
	readOnly  bool
	noLocks   bool
	aside     bool
	kdf       KDFPolicy

	free    func() int64 // memory, bytes
	account *account
	pretend *pretend     // a rehearsal's keys
	reopen  func() error // says whether the device can be opened for a change
	// allowEmpty lets a keyslot have the empty passphrase.
	allowEmpty bool

	h     *header2 // as last read or written
	stale []int64  // offsets of header copies that must be rewritten before an update
	state *loaded
}

// Open opens the volume on a block device or in an image file. Nothing is written.
// A block device that is mounted, mapped or otherwise held gives ErrInUse.
func Open(ctx context.Context, path string, o Options) (*Volume, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dev, err := openFile(path, o.Offset, o.Size, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	v := newVolume(path, dev)
	v.closers, v.readOnly, v.noLocks, v.aside = []io.Closer{dev}, o.ReadOnly, o.NoLocks || o.ReadOnly, o.LUKS1Aside
	v.kdf, v.allowEmpty = o.KDF, o.AllowEmpty
	if o.Header != "" {
		hdr, err := openFile(o.Header, 0, 0, o.ReadOnly)
		if err != nil {
			v.Close()
			return nil, err
		}
		v.hdr, v.detached, v.closers = counted{hdr, v.account}, true, append(v.closers, hdr)
	}
	if o.ReadOnly {
		v.reopen = func() error {
			f, err := openFile(path, o.Offset, o.Size, false)
			if err == nil {
				err = f.Close()
			}
			return err
		}
	}
	if err := v.load(); err != nil {
		v.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// OpenAt opens the volume in size bytes at offset of path: a partition inside a
// disk image.
func OpenAt(ctx context.Context, path string, offset, size int64) (*Volume, error) {
	return Open(ctx, path, Options{Offset: offset, Size: size})
}

// OpenDevice opens a volume on a Device; header is nil unless it is detached.
// There are no locks.
func OpenDevice(name string, data, header Device) (*Volume, error) {
	v := newVolume(name, data)
	v.noLocks = true
	if header != nil {
		v.hdr, v.detached = counted{header, v.account}, true
	}
	if err := v.load(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// newVolume is a volume whose writes are counted.
func newVolume(name string, d Device) *Volume {
	v := &Volume{path: name, free: memAvailable, account: &account{}}
	v.data = counted{d, v.account}
	v.hdr = v.data
	return v
}

// SetKDF is Options.KDF for a volume that is open.
func (v *Volume) SetKDF(p KDFPolicy) { v.kdf = p }

// Close releases the device.
func (v *Volume) Close() error {
	var errs []error
	for _, c := range v.closers {
		errs = append(errs, c.Close())
	}
	v.closers = nil
	return errors.Join(errs...)
}

// load reads the header afresh.
func (v *Volume) load() error {
	l, err := load(v.hdr)
	if v.aside && errors.Is(err, ErrLUKS1Interrupted) {
		l, err = loadAside(v.hdr)
	}
	if err == nil && l.primary.unread != nil && !v.readOnly && l.hdr.meta.reencrypting() {
		// The other copy may be older, and what it calls old data new by now. A copy that
		// is torn was not relied on yet; one that cannot be read may have been.
		err = l.primary.unread
	}
	if err != nil {
		return err
	}
	if l.unclear == nil {
		l.unclear = member(v.data)
	}
	v.state, v.h, v.stale = l, l.hdr, l.stale
	if !v.detached {
		for _, s := range v.h.meta.segments {
			// What is not encrypted yet, or not any more, is where it has always been.
			if s.typ == "crypt" && s.offset < v.h.meta.keyslotsEnd() {
				return fmt.Errorf("%w: %w", ErrDamaged, badHeader("segment %d begins inside the header", s.id))
			}
		}
	}
	if v.h.meta.keyslotsEnd() > v.hdr.Size() {
		return fmt.Errorf("%w: the header needs %d bytes, there are %d", ErrTooSmall, v.h.meta.keyslotsEnd(), v.hdr.Size())
	}
	return nil
}

// begin prepares a change: the header is read again and checked for what forbids
// changing it.
func (v *Volume) begin(ctx context.Context) error {
	if v.readOnly {
		return ErrReadOnly
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := v.load(); err != nil {
		return err
	}
	if v.state.aside {
		return ErrLUKS1Interrupted
	}
	if v.state.unclear != nil {
		return v.state.unclear
	}
	if v.h.seqid > maxSeqid {
		return badHeader("sequence number %d", v.h.seqid)
	}
	if err := v.h.meta.otherMode(); err != nil {
		return err
	}
	var unknown []string
	for _, r := range v.h.meta.requirements {
		if r != reqReencrypt {
			unknown = append(unknown, r)
		}
	}
	if len(unknown) > 0 {
		return &RequirementError{unknown}
	}
	return nil
}

// beginEdit is begin for changes that a re-encryption forbids.
func (v *Volume) beginEdit(ctx context.Context) error {
	if err := v.begin(ctx); err != nil {
		return err
	}
	if len(v.h.meta.requirements) > 0 {
		return ErrReencrypting
	}
	return nil
}

// staged is a header ready to be written.
type staged struct {
	v                  *Volume
	next               *header2
	primary, secondary []byte
}

// heal rewrites the header copies that are bad or old. It comes before any write into the
// keyslots area: what is free space to this header may be a keyslot to a newer one that
// could not be read and may count again.
func (v *Volume) heal(ctx context.Context) error {
	if len(v.stale) == 0 {
		return nil
	}
	unlock, err := v.lockHeader(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return v.healLocked()
}

func (v *Volume) healLocked() error {
	for len(v.stale) > 0 {
		raw, err := v.h.encode(v.stale[0])
		if err != nil {
			return err
		}
		if err := v.writeHeader(WriteHeal, raw, v.stale[0]); err != nil {
			return err
		}
		v.stale = v.stale[1:]
	}
	return nil
}

// stage checks the edited tree and encodes both copies; nothing is written but
// copies that had to be healed. Healing first matters: an update writes one copy
// after the other and relies on the one it is not writing.
func (v *Volume) stage(root *object) (*staged, error) {
	if err := v.healLocked(); err != nil {
		return nil, err
	}
	next := *v.h
	next.root = root
	next.seqid++
	// What is written is what would be read: parse the text, not the tree.
	tree, err := parseJSON(root.text())
	if err != nil {
		return nil, err
	}
	if next.meta, err = readMeta(tree, next.size); err != nil {
		return nil, err
	}
	if err := next.meta.bound(); err != nil {
		return nil, err
	}
	s := &staged{v: v, next: &next}
	if s.primary, err = next.encode(0); err != nil {
		return nil, err
	}
	s.secondary, err = next.encode(next.size)
	return s, err
}

func (v *Volume) writeHeader(name string, raw []byte, off int64) error {
	if err := v.hdr.WriteAt(name, raw, off); err != nil {
		return err
	}
	return v.hdr.Sync(name)
}

// writePrimary makes the primary copy durable; from here on the new header counts.
func (s *staged) writePrimary() error {
	// Whatever fails from here on, the disk may hold either header.
	s.v.stale = []int64{s.next.size}
	if err := s.v.writeHeader(WritePrimary, s.primary, 0); err != nil {
		return err
	}
	s.v.h = s.next
	return nil
}

// writeSecondary writes the other copy and leaves the flush to the caller.
func (s *staged) writeSecondary() error {
	return s.v.hdr.WriteAt(WriteSecondary, s.secondary, s.next.size)
}

// commit replaces both copies of the header by the edited tree, the primary first,
// each durable before the next step.
func (v *Volume) commit(ctx context.Context, root *object) error {
	if v.h.v1 != nil {
		return v.commit1(ctx, root)
	}
	unlock, err := v.lockHeader(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := v.stage(root)
	if err != nil {
		return err
	}
	if err := s.writePrimary(); err != nil {
		return err
	}
	if err := s.writeSecondary(); err != nil {
		return err
	}
	if err := v.hdr.Sync(WriteSecondary); err != nil {
		return err
	}
	v.stale = nil
	return nil
}

// Info is what a header says. No secret is in it.
type Info struct {
	Path         string           `json:"path"`
	Version      int              `json:"version"`
	UUID         string           `json:"uuid"`
	Label        string           `json:"label,omitempty"`
	Cipher       string           `json:"cipher"`      // as dm-crypt names it
	KeyBits      int              `json:"key_bits"`    // of the (new) volume key
	SectorSize   int              `json:"sector_size"` // bytes
	DataOffset   int64            `json:"data_offset"` // bytes
	DataSize     int64            `json:"data_size"`   // bytes
	HeaderSize   int64            `json:"header_size"` // bytes, both copies and keyslots
	Detached     bool             `json:"detached_header,omitempty"`
	Keyslots     []KeyslotInfo    `json:"keyslots"`
	Tokens       []TokenInfo      `json:"tokens"`
	Requirements []string         `json:"requirements,omitempty"`
	Integrity    bool             `json:"integrity,omitempty"` // dm-integrity below (AEAD or HMAC)
	Damage       []string         `json:"damage,omitempty"`    // header copies that are bad or old
	Reencryption ReencryptionInfo `json:"reencryption"`

	// KeyDigest is the header's digest of the volume key, in hex: public, and
	// different for every volume key. During a re-encryption it is the new key's.
	KeyDigest string `json:"key_digest"`
}

// A KeyslotInfo describes one keyslot.
type KeyslotInfo struct {
	ID         int    `json:"id"`
	Type       string `json:"type"` // "luks1" and "luks2" open with a passphrase; "reencrypt" does not
	KeyBits    int    `json:"key_bits"`
	Priority   int    `json:"priority"` // 0 ignored unless named, 1 normal, 2 preferred
	Key        string `json:"key"`      // which volume key: "current", "old", "new", or "other"
	KDF        string `json:"kdf,omitempty"`
	Hash       string `json:"hash,omitempty"`
	Iterations int    `json:"iterations,omitempty"`
	Time       int    `json:"time,omitempty"`
	Memory     int64  `json:"memory,omitempty"` // bytes
	CPUs       int    `json:"cpus,omitempty"`
}

// A TokenInfo describes one token.
type TokenInfo struct {
	ID       int    `json:"id"`
	Type     string `json:"type"`
	Keyslots []int  `json:"keyslots"`
}

// ReencryptionInfo says how far a re-encryption is.
type ReencryptionInfo struct {
	Active     bool   `json:"active"`
	Crash      bool   `json:"crash,omitempty"`    // a hotzone was interrupted; its recovery is part of resuming
	Finished   bool   `json:"finished,omitempty"` // all data is re-encrypted, only the header is left to close
	Resilience string `json:"resilience,omitempty"`
	Done       int64  `json:"done"`  // bytes certainly under the new key
	Total      int64  `json:"total"` // bytes
	// Mode is "reencrypt", or "encrypt" or "decrypt" for cryptsetup's runs from and to a
	// plain device, which this package only names.
	Mode string `json:"mode,omitempty"`
}

// Info reports the header as it was last read.
func (v *Volume) Info() Info {
	m := v.h.meta
	in := Info{
		Path: v.path, Version: 2, UUID: v.h.uuid, Label: v.h.label, HeaderSize: m.keyslotsEnd(), Detached: v.detached,
		Requirements: m.requirements, Keyslots: []KeyslotInfo{}, Tokens: []TokenInfo{},
	}
	if v.h.v1 != nil {
		in.Version = 1
	}
	for _, off := range v.stale {
		in.Damage = append(in.Damage, fmt.Sprintf("header copy at %d is damaged or out of date", off))
	}
	if v.state.unclear != nil {
		in.Damage = append(in.Damage, v.state.unclear.Error())
	}
	names := map[int]string{} // digest -> which key
	target := m.segments0()
	if r, err := v.reencryption(); err == nil && r != nil {
		target = r.final
		in.Reencryption = ReencryptionInfo{Active: true, Crash: r.crash, Finished: r.finished, Resilience: r.slot.area.typ,
			Done: r.offset, Total: r.total}
		names[r.oldDigest.id], names[r.newDigest.id] = "old", "new"
	} else if len(m.requirements) > 0 {
		in.Reencryption.Active = slices.ContainsFunc(m.requirements, func(s string) bool {
			ok, _ := path.Match("*-reencrypt*", s)
			return ok
		})
	}
	in.Reencryption.Mode = m.mode()
	if target != nil && target.typ != "crypt" && m.flagged(flagFinal) != nil {
		target = m.flagged(flagFinal)
	}
	if target != nil {
		in.Integrity = target.integrity
		in.Cipher, in.SectorSize, in.DataOffset = target.encryption, target.sectorSize, target.offset
		in.DataSize = v.segmentSize(target)
		for _, d := range m.digestsOf(target) {
			in.KeyDigest = hex.EncodeToString(d.value)
			if len(names) == 0 {
				names[d.id] = "current"
			}
			for _, s := range d.keyslots {
				in.KeyBits = m.keyslots[s].keySize * 8
			}
		}
	}
	for _, i := range sortedIDs(m.keyslots) {
		k := m.keyslots[i]
		ki := KeyslotInfo{ID: i, Type: k.typ, KeyBits: k.keySize * 8, Priority: k.priority, Key: "other",
			KDF: k.kdf.typ, Hash: k.kdf.hash, Iterations: k.kdf.iterations, Time: k.kdf.time, Memory: int64(k.kdf.memory) << 10,
			CPUs: k.kdf.cpus}
		if v.h.v1 != nil {
			ki.Type = "luks1"
		}
		if d := m.digestOfKeyslot(i); d != nil && names[d.id] != "" {
			ki.Key = names[d.id]
		}
		in.Keyslots = append(in.Keyslots, ki)
	}
	for _, i := range sortedIDs(m.tokens) {
		in.Tokens = append(in.Tokens, TokenInfo{i, m.tokens[i].typ, append([]int{}, m.tokens[i].keyslots...)})
	}
	return in
}

// segments0 is the first segment of the volume, or nil.
func (m *meta) segments0() *segment {
	if reg := m.regular(); len(reg) > 0 {
		return reg[0]
	}
	return nil
}

// fits reports whether the device is as long as a segment of a fixed size says.
func (v *Volume) fits(s *segment) error {
	if s.size != dynamic && s.size > v.data.Size()-s.offset {
		return fmt.Errorf("%w: %d bytes of data at %d, on a device of %d", ErrTooSmall, s.size, s.offset, v.data.Size())
	}
	return nil
}

// segmentSize is a segment's length in bytes; a dynamic one reaches to the end.
func (v *Volume) segmentSize(s *segment) int64 {
	if s.size != dynamic {
		return s.size
	}
	return max(0, v.data.Size()-s.offset)
}
