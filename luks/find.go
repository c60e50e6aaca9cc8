package luks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Kind is what stands on a device where LUKS keeps its header. Only None means that
// there is nothing of LUKS.
type Kind int

const (
	// None: the places of a header could be read, and hold none.
	None Kind = iota
	// Container: a header whose copies are intact and equal.
	Container
	// Torn: one copy is intact, the other as an update leaves it that was cut, or as a
	// failing disk does. The next change renews it.
	Torn
	// Ambiguous: there is something of LUKS, and acting on it might destroy something
	// else. Nothing in this package changes such a device. Finding.Err is the reason.
	Ambiguous
	// Unreadable: the device did not give what is needed to tell.
	Unreadable
)

func (k Kind) String() string {
	return [...]string{"none", "container", "torn", "ambiguous", "unreadable"}[k]
}

// A Finding is what Find saw.
type Finding struct {
	Path    string
	Kind    Kind
	Version int    // 1 or 2; 0 if no header could be read
	UUID    string // empty if no header could be read
	// Err says why a device is Ambiguous or Unreadable. Of the former it wraps
	// ErrPartitioned, ErrDisagree, ErrTwoHeaders, ErrForeign, ErrDamaged, ErrMember,
	// ErrTwin, ErrTooSmall, ErrLUKS1Interrupted or an *UnsupportedError.
	Err error
}

// Find looks at a device or image file as Open does: at both copies of a LUKS2 header
// wherever they may be, at LUKS1, and at what stands beside them. It writes nothing.
func Find(ctx context.Context, path string, o Options) Finding {
	o.ReadOnly = true
	v, err := Open(ctx, path, o)
	if err != nil {
		return Finding{Path: path, Kind: kindOf(err), Err: unlessNone(err)}
	}
	defer v.Close()
	f := Finding{Path: path, Kind: Container, Version: 2, UUID: v.h.uuid, Err: v.state.unclear}
	if v.h.v1 != nil {
		f.Version = 1
	}
	switch {
	case f.Err != nil:
		f.Kind = Ambiguous
	case len(v.stale) > 0:
		f.Kind = Torn
	}
	return f
}

// FindAll is Find for several devices. Containers with one UUID, which are the halves of
// a mirror or a copy, are Ambiguous (ErrTwin): changing one would part them.
func FindAll(ctx context.Context, paths []string, o Options) []Finding {
	all := make([]Finding, len(paths))
	for i, p := range paths {
		all[i] = Find(ctx, p, o)
	}
	for i := range all {
		for j := range all[:i] {
			a, b := &all[i], &all[j]
			if a.UUID != "" && a.UUID == b.UUID && a.usable() && b.usable() {
				a.Err = fmt.Errorf("%w: %s and %s", ErrTwin, b.Path, a.Path)
				b.Err = a.Err
			}
		}
	}
	for i := range all {
		if errors.Is(all[i].Err, ErrTwin) {
			all[i].Kind = Ambiguous
		}
	}
	return all
}

func (f *Finding) usable() bool { return f.Kind == Container || f.Kind == Torn }

// kindOf sorts the errors of Open.
func kindOf(err error) Kind {
	var un *UnsupportedError
	var bad *HeaderError
	switch {
	case errors.Is(err, ErrNotLUKS), errors.Is(err, unix.ENOMEDIUM), errors.Is(err, unix.ENXIO):
		return None
	case errors.As(err, &un), errors.As(err, &bad), errors.Is(err, ErrDamaged), errors.Is(err, ErrPartitioned),
		errors.Is(err, ErrLUKS1Interrupted), errors.Is(err, ErrTooSmall):
		return Ambiguous
	}
	return Unreadable
}

func unlessNone(err error) error {
	if kindOf(err) == None {
		return nil
	}
	return err
}

// doubt says why a header that could be read must not be acted on. An update that is cut
// leaves two copies of one header whose ages differ by one, or a torn copy; everything
// else was somebody's doing.
func (l *loaded) doubt(dev Device, others []*header2) error {
	if t := l.table(); t != "" {
		return fmt.Errorf("%w: %s", ErrPartitioned, t)
	}
	for _, o := range others {
		if o.uuid != l.second.hdr.uuid {
			return fmt.Errorf("%w: %s and %s", ErrTwoHeaders, l.second.hdr.uuid, o.uuid)
		}
	}
	p, s := l.primary.hdr, l.second.hdr
	switch {
	case s == nil:
		return nil
	case p == nil && l.primary.unread == nil && !l.remains(dev):
		return ErrForeign
	case p == nil:
		return nil
	case p.uuid != s.uuid:
		return fmt.Errorf("%w: %s and %s", ErrTwoHeaders, p.uuid, s.uuid)
	case p.v1 != nil: // a conversion that was cut leaves the other version behind
		return nil
	case p.size != s.size || max(p.seqid, s.seqid)-min(p.seqid, s.seqid) > 1:
		return fmt.Errorf("%w: their sequence numbers are %d and %d", ErrDisagree, p.seqid, s.seqid)
	case p.seqid == s.seqid && !bytes.Equal(p.root.text(), s.root.text()):
		return ErrDisagree
	}
	return nil
}

// table names the partition table that stands beside the header, if one does.
func (l *loaded) table() string {
	bin := l.primary.bin
	if bin == nil {
		return ""
	}
	// GPT, UEFI specification 5.3.2: in the second block, of 512 bytes or 4096.
	const gpt = "EFI PART"
	if string(bin[512:520]) == gpt || string(l.block1[:]) == gpt {
		return "GPT"
	}
	if bin[510] != 0x55 || bin[511] != 0xaa {
		return ""
	}
	// The last two bytes of the sector may be the header's own: those of a long checksum,
	// or of keyslot 6's salt in LUKS1. A table would have broken what stands before them.
	if h := l.primary.hdr; h != nil {
		if h.v1 != nil && binary.BigEndian.Uint32(h.v1.slot(6)) == slotActive {
			return ""
		}
		if newHash, err := hashByName(cString(bin[72:104])); h.v1 == nil && err == nil && newHash().Size() > 62 {
			return ""
		}
	}
	return "DOS"
}

// fixed are the fields of the binary header that an update does not change.
var fixed = [][2]int{{0, 6}, {6, 8}, {8, 16}, {72, 104}, {168, 208}, {256, 264}}

// strangeBytes is how many bytes of a torn copy may be what no update writes: bits rot.
const strangeBytes = 16

// remains reports whether what stands in place of the primary copy can be what is left of
// it: zeros, its own fields, and text. A file system or another header is not.
func (l *loaded) remains(dev Device) bool {
	h := l.second.hdr
	raw := make([]byte, h.size)
	if dev.ReadAt(raw, 0) != nil {
		return true // a sector that cannot be read is nobody's data
	}
	want, err := h.encode(0)
	if err != nil {
		return false
	}
	for _, f := range fixed {
		if got := raw[f[0]:f[1]]; !allZero(got) && !bytes.Equal(got, want[f[0]:f[1]]) {
			return false
		}
	}
	strange := 0
	for i, b := range raw[512:] {
		text := i+512 >= binHeaderSize && (b >= 0x20 && b < 0x7f || b == '\n' || b == '\t')
		if b != 0 && b != want[i+512] && !text {
			strange++
		}
	}
	return strange <= strangeBytes
}

// Linux MD superblocks that stand at the end of a member, so that its start looks like
// the array's: include/uapi/linux/raid/md_p.h, versions 0.90 and 1.0.
const (
	mdMagic    = 0xa92b4efc
	mdReserved = 64 << 10 // 0.90: the last whole 64 KiB but one
)

// member says that a device is part of a RAID array whose description stands at its end.
// What cannot be read there is no member.
func member(dev Device) error {
	b := make([]byte, 512)
	size := dev.Size()
	le := binary.LittleEndian
	if at := roundDown(size, mdReserved) - mdReserved; at > 0 && dev.ReadAt(b, at) == nil &&
		le.Uint32(b) == mdMagic && le.Uint32(b[4:]) == 0 {
		return fmt.Errorf("%w: version 0.90", ErrMember)
	}
	if at := roundDown(size-8192, 4096); at > 0 && dev.ReadAt(b, at) == nil &&
		le.Uint32(b) == mdMagic && le.Uint32(b[4:]) == 1 && le.Uint64(b[144:])*512 == uint64(at) {
		return fmt.Errorf("%w: version 1.0", ErrMember)
	}
	return nil
}
