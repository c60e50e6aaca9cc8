package luks

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// LUKS2 binary header, LUKS2 On-Disk Format Specification 2.1.
const (
	binHeaderSize = 4096
	minHeaderSize = 16 << 10
	maxHeaderSize = 4 << 20
	csumOffset    = 448
	csumLen       = 64

	// maxSeqid is far beyond what updates can reach. Where the number would wrap, an old
	// copy would count as the newer one.
	maxSeqid = 1 << 62
)

var (
	magicPrimary   = []byte("LUKS\xba\xbe")
	magicSecondary = []byte("SKUL\xba\xbe")
)

// header2 is one LUKS2 header: binary part and JSON tree.
type header2 struct {
	bin   []byte // 4096 bytes; size, seqid, offset, salt and checksum are set when written
	size  int64  // of one copy, bytes
	seqid uint64
	uuid  string
	label string
	root  *object
	meta  *meta
	v1    *phdr // LUKS1: the header as on disk; bin, size and seqid are unused
}

// copyState says what was found at one of the two places of a header.
type copyState struct {
	offset int64
	bin    []byte // the first 4096 bytes
	raw    []byte
	hdr    *header2
	err    error

	unread       error // the device did not give it
	interrupted1 bool  // cryptsetup's LUKS1 re-encryption has set the header aside
	bare         bool  // its magic is zero, and the rest is a header
}

// readCopy reads and checks the header copy at offset. maxJSON bounds nothing
// beyond the specification's 4 MiB.
func readCopy(dev Device, offset int64, magic []byte) copyState {
	c := copyState{offset: offset}
	if offset > dev.Size()-binHeaderSize {
		c.err = ErrNotLUKS
		return c
	}
	bin := make([]byte, binHeaderSize)
	if c.err = dev.ReadAt(bin, offset); c.err != nil {
		c.unread = c.err
		return c
	}
	c.bin = bin
	if allZero(bin[:6]) && !allZero(bin[:64]) {
		full := readHeader(dev, append(bytes.Clone(magic), bin[6:]...), copyState{offset: offset})
		c.bare = full.hdr != nil
	}
	if !bytes.Equal(bin[:6], magic) {
		c.interrupted1 = bytes.Equal(bin[:6], interrupted1)
		c.err = ErrNotLUKS
		if c.bare {
			c.err = badHeader("the magic at %d is zero", offset)
		}
		return c
	}
	return readHeader(dev, bin, c)
}

// readHeader reads and checks the copy that begins with bin.
func readHeader(dev Device, bin []byte, c copyState) copyState {
	offset := c.offset
	if v := binary.BigEndian.Uint16(bin[6:]); v == 1 && offset == 0 {
		c.hdr, c.err = parse1(bin, dev.Size())
		return c
	} else if v != 2 {
		c.err = badHeader("version %d where 2 is expected", v)
		return c
	}
	size := binary.BigEndian.Uint64(bin[8:])
	if size < minHeaderSize || size > maxHeaderSize || size&(size-1) != 0 {
		c.err = badHeader("header size %d", size)
		return c
	}
	if off := binary.BigEndian.Uint64(bin[256:]); off != uint64(offset) {
		c.err = badHeader("the header says it stands at %d, not at %d", off, offset)
		return c
	}
	if int64(size) > dev.Size()-offset {
		c.err = badHeader("header size %d on a device of %d bytes", size, dev.Size())
		return c
	}
	c.raw = make([]byte, size)
	if c.err = dev.ReadAt(c.raw, offset); c.err != nil {
		c.unread = c.err
		return c
	}
	copy(c.raw, bin[:6])
	c.hdr, c.err = parseHeader2(c.raw)
	return c
}

// parseHeader2 checks one header copy: checksum, JSON, and what the JSON says.
func parseHeader2(raw []byte) (*header2, error) {
	if len(raw) < minHeaderSize {
		return nil, badHeader("only %d bytes", len(raw))
	}
	sum := raw[csumOffset : csumOffset+csumLen]
	want, err := headerChecksum(raw)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(sum[:len(want)], want) {
		return nil, badHeader("wrong checksum")
	}
	h := &header2{
		bin:   bytes.Clone(raw[:binHeaderSize]),
		size:  int64(len(raw)),
		seqid: binary.BigEndian.Uint64(raw[16:]),
		uuid:  cString(raw[168:208]),
		label: cString(raw[24:72]),
	}
	text := raw[binHeaderSize:]
	end := bytes.IndexByte(text, 0)
	if end < 0 {
		return nil, badHeader("the JSON area does not end")
	}
	if h.root, err = parseJSON(text[:end]); err != nil {
		return nil, err
	}
	if h.meta, err = readMeta(h.root, h.size); err != nil {
		return nil, err
	}
	if err := h.meta.bound(); err != nil {
		return nil, err
	}
	return h, nil
}

// headerChecksum computes the checksum of a copy over its whole length with the
// checksum field taken as zero.
func headerChecksum(raw []byte) ([]byte, error) {
	alg := cString(raw[72:104])
	newHash, err := hashByName(alg)
	if err != nil {
		return nil, err
	}
	h := newHash()
	if h.Size() > csumLen {
		return nil, badHeader("checksum algorithm %q", alg)
	}
	h.Write(raw[:csumOffset])
	h.Write(make([]byte, csumLen))
	h.Write(raw[csumOffset+csumLen:])
	return h.Sum(nil), nil
}

// encode returns the bytes of the copy for offset (0: primary).
func (h *header2) encode(offset int64) ([]byte, error) {
	text := h.root.text()
	if int64(len(text)) >= h.size-binHeaderSize {
		return nil, fmt.Errorf("%w: the JSON area holds %d bytes, %d are needed", ErrNoSpace, h.size-binHeaderSize-1,
			len(text))
	}
	raw := make([]byte, h.size)
	copy(raw, h.bin)
	copy(raw, magicPrimary)
	if offset != 0 {
		copy(raw, magicSecondary)
	}
	binary.BigEndian.PutUint64(raw[8:], uint64(h.size))
	binary.BigEndian.PutUint64(raw[16:], h.seqid)
	binary.BigEndian.PutUint64(raw[256:], uint64(offset))
	if _, err := rand.Read(raw[104:168]); err != nil { // salt: both copies never equal
		return nil, err
	}
	clear(raw[csumOffset : csumOffset+csumLen])
	copy(raw[binHeaderSize:], text)
	sum, err := headerChecksum(raw)
	if err != nil {
		return nil, err
	}
	copy(raw[csumOffset:], sum)
	return raw, nil
}

// loaded is what load found.
type loaded struct {
	hdr             *header2 // the newest intact copy
	primary, second copyState
	stale           []int64 // offsets of copies that are bad or old
	block1          [8]byte // what stands at byte 4096
	unclear         error   // why this header must not be acted on; nil if it may
	aside           bool    // a LUKS1 header that cryptsetup's re-encryption has made unusable
}

// load reads both copies and picks the newer intact one (spec 2.2). It never writes.
func load(dev Device) (*loaded, error) {
	l := &loaded{primary: readCopy(dev, 0, magicPrimary)}
	if l.primary.interrupted1 {
		return nil, ErrLUKS1Interrupted
	}
	others := l.readSecond(dev)
	if dev.Size() >= 8192 {
		_ = dev.ReadAt(l.block1[:], 4096) // only a partition table is looked for there
	}
	p, s := l.primary.hdr, l.second.hdr
	switch {
	case p == nil && s == nil:
		return nil, l.nothing()
	case p != nil && p.v1 != nil:
		l.hdr = p
	case p == nil:
		l.hdr, l.stale = s, []int64{0}
	case s == nil:
		l.hdr, l.stale = p, []int64{p.size}
	case s.seqid > p.seqid && s.size == p.size && s.uuid == p.uuid:
		l.hdr, l.stale = s, []int64{0}
	case s.seqid < p.seqid || s.uuid != p.uuid:
		l.hdr, l.stale = p, []int64{p.size}
	default:
		l.hdr = p
	}
	l.unclear = l.doubt(dev, others)
	return l, nil
}

// readSecond reads the second copy. Where the first does not say its place, all that
// the specification allows are looked at, as the opener of cryptsetup does; other intact
// headers found on the way are returned.
func (l *loaded) readSecond(dev Device) (others []*header2) {
	if p := l.primary.hdr; p != nil && p.v1 == nil {
		l.second = readCopy(dev, p.size, magicSecondary)
		return nil
	}
	for off := int64(minHeaderSize); off <= maxHeaderSize; off *= 2 {
		c := readCopy(dev, off, magicSecondary)
		switch {
		case c.hdr != nil && l.second.hdr != nil:
			others = append(others, c.hdr)
		case c.hdr != nil, l.second.hdr == nil && (l.second.err == nil || errors.Is(l.second.err, ErrNotLUKS)):
			l.second = c
		}
	}
	return others
}

func (l *loaded) nothing() error {
	for _, c := range []copyState{l.primary, l.second} {
		var io *IOError
		if errors.As(c.err, &io) {
			return c.err
		}
	}
	// Who formats a device makes the second magic zero, too: that says nothing alone.
	if errors.Is(l.primary.err, ErrNotLUKS) && (errors.Is(l.second.err, ErrNotLUKS) || l.second.bare) {
		return ErrNotLUKS
	}
	if t := l.table(); t != "" {
		return fmt.Errorf("%w: %s", ErrPartitioned, t)
	}
	err := l.primary.err
	if errors.Is(err, ErrNotLUKS) {
		err = l.second.err
	}
	var un *UnsupportedError
	if errors.As(err, &un) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
