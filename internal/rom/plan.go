package rom

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// EraseSize is the erase block that nearly every SPI flash chip has, in bytes.
const EraseSize = 4096

// ErrUnsafeChange says that a built image differs from the old one where it must
// not. It means a fault in this program; nothing was written.
var ErrUnsafeChange = errors.New("the new firmware image would change more than the owner's files")

// A NewFile is a file to store below "heads/".
type NewFile struct {
	Name string
	Data []byte
}

// Changes says what re-owning does to the image. Every file below "heads/" that
// is not named here is removed, whatever it is: Heads unpacks all of them over
// its initrd, so each is a way in for who put it there.
type Changes struct {
	Pubring []byte // the owner's pubring.kbx; not empty
	TrustDB []byte // the owner's trustdb.gpg; not empty
	// Settings are the owner's in config.user; of the others see OwnConfig.
	Settings []Setting
	// Keep names further files below "heads/" that stay.
	Keep []string
	// EraseSize is the erase block to lay files out for, a power of two of at
	// least 4096 bytes; 0 means 4096.
	EraseSize uint32
}

// A Plan is an old image, the new one, and what lies between them. Its fields are
// read only.
type Plan struct {
	Old, New  []byte
	EraseSize uint32
	// Blocks are the erase blocks that differ, ascending.
	Blocks []Range
	// Own are the stretches of whole erase blocks that hold nothing but holes
	// and the owner's files, before and after.
	Own []Range
	// Shared counts the Blocks that also hold bytes of other files (or areas):
	// a power cut while one of those is written can damage the firmware.
	Shared int
	// Aligned says that the new image keeps the owner's files on erase blocks of
	// their own, so that every later change has Shared == 0.
	Aligned bool

	Removed  []string      // names of files that are gone
	Kept     []string      // names of files below "heads/" with the same data as before
	Added    []string      // names of files that are new or changed
	Settings []Setting     // all settings of the new config.user
	Taken    []Setting     // those of them that were taken over from the old one
	Dropped  []DroppedLine // lines of the old config.user that were dropped
	// LostConfig says that an interrupted write has left no readable config.user,
	// so that its old settings are not in the new one.
	LostConfig bool

	PCR7SHA1   [20]byte // PCR 7 once Heads has started from the new image
	PCR7SHA256 [32]byte
}

// NewPlan builds and checks the image that makes the machine the owner's. old is
// the image as read from the chip, whole or torn by an interrupted write (see
// ParseTorn); it is not changed. Errors: ErrUnknownLayout,
// ErrVerified, ErrNoSpace, ErrBadSetting, ErrBadName, ErrNotMeasurable.
func NewPlan(old []byte, c Changes) (*Plan, error) {
	im, err := ParseTorn(old)
	if err != nil {
		return nil, fmt.Errorf("reading the firmware image: %w", err)
	}
	if len(c.Pubring) == 0 || len(c.TrustDB) == 0 {
		return nil, fmt.Errorf("%w: the keyring and the trust database must not be empty", ErrBadName)
	}
	oldConfig, lost := im.config()
	config, takenOver, dropped, err := OwnConfig(oldConfig, c.Settings)
	if err != nil {
		return nil, err
	}
	files := []NewFile{{NamePubring, c.Pubring}, {NameTrustDB, c.TrustDB}}
	if len(config) > 0 {
		files = append(files, NewFile{NameConfig, config})
	}
	for _, name := range c.Keep {
		data, err := im.Extract(name)
		if err != nil {
			return nil, fmt.Errorf("keeping a file: %w", err)
		}
		files = append(files, NewFile{name, data})
	}
	p, err := Layout(old, files, c.EraseSize)
	if err != nil {
		return nil, err
	}
	p.Settings, _ = ParseConfig(config)
	p.Taken, p.Dropped, p.LostConfig = takenOver, dropped, lost
	return p, nil
}

// config returns the content of config.user. Of several, which only a torn image
// has, it is the first that is text; lost says that a torn image has none.
func (im *Image) config() (b []byte, lost bool) {
	for _, f := range im.files {
		lost = lost || f.Torn
		if f.Empty() || f.Name != NameConfig {
			continue
		}
		if b := im.bytes(f.data()); bytes.IndexFunc(b,
			func(r rune) bool { return r == 0 || r == unicode.ReplacementChar }) < 0 {
			return b, false
		}
		lost = true
	}
	return nil, lost
}

// reserved is the room that Align keeps in an image without any file below
// "heads/", in bytes.
const reserved = 16 << 10

// Align builds an image with the same files below "heads/", on erase blocks of
// their own. It is for the maker of a machine, before it ships. An image without
// such files gets its hole parted at the erase block where they will stand; a
// change with cbfstool joins the parts again.
func Align(old []byte, eraseSize uint32) (*Plan, error) {
	im, err := Parse(old)
	if err != nil {
		return nil, fmt.Errorf("reading the firmware image: %w", err)
	}
	files := im.ownerFiles()
	if len(files) == 0 {
		return layout(old, nil, eraseSize, reserved)
	}
	return layout(old, files, eraseSize, 0)
}

// Layout builds an image whose files below "heads/" are exactly these, in this
// order. All else stays where it is, to the byte. eraseSize is as in Changes.
func Layout(old []byte, files []NewFile, eraseSize uint32) (*Plan, error) {
	return layout(old, files, eraseSize, 0)
}

// Clean builds an image without any file below "heads/". The hole that they leave is
// cbfstool's: an image that was built with it, and to which only such files were
// added, is again what it was, to the byte.
func Clean(old []byte, eraseSize uint32) (*Plan, error) {
	return layoutAs(CBFSTool, old, nil, eraseSize, 0)
}

// layout is Layout, and keeps room for files to come.
func layout(old []byte, files []NewFile, eraseSize, room uint32) (*Plan, error) {
	return layoutAs(Heads, old, files, eraseSize, room)
}

// layoutAs is layout with the holes of a style.
func layoutAs(style Style, old []byte, files []NewFile, eraseSize, room uint32) (*Plan, error) {
	if eraseSize == 0 {
		eraseSize = EraseSize
	}
	if eraseSize < EraseSize || eraseSize&(eraseSize-1) != 0 || len(old)%int(eraseSize) != 0 {
		return nil, fmt.Errorf("%w: erase blocks of %d bytes", ErrUnknownLayout, eraseSize)
	}
	im, err := ParseTorn(old)
	if err != nil {
		return nil, fmt.Errorf("reading the firmware image: %w", err)
	}
	if err := im.Check(); err != nil {
		return nil, err
	}
	total, err := totalSize(files)
	if err != nil {
		return nil, err
	}
	l := &layouter{im: im, files: files, style: style, block: eraseSize, total: total + room}
	l.findSpans()
	p, err := l.best()
	if err != nil {
		return nil, err
	}
	return p, p.finish(im, l.spans, files)
}

// Between plans the way from one image to another that somebody else has made. It
// refuses, with ErrUnsafeChange, an image that differs from old in more than the
// files below "heads/" and the holes around them.
func Between(old, new []byte) (*Plan, error) {
	a, err := ParseTorn(old)
	if err != nil {
		return nil, fmt.Errorf("reading the firmware image: %w", err)
	}
	b, err := Parse(new)
	if err != nil {
		return nil, fmt.Errorf("reading the new firmware image: %w", err)
	}
	if err := errors.Join(a.Check(), b.Check()); err != nil {
		return nil, err
	}
	if len(old) != len(new) {
		return nil, fmt.Errorf("%w: it has %d bytes, the old one %d", ErrUnsafeChange, len(new), len(old))
	}
	l := &layouter{im: a, block: EraseSize}
	l.findSpans()
	p := &Plan{Old: old, New: new, EraseSize: EraseSize, Blocks: diffBlocks(old, new, EraseSize), Own: l.own()}
	p.Shared, p.Aligned = l.shared(p.Blocks), b.Aligned(EraseSize)
	return p, p.finish(a, l.spans, b.ownerFiles())
}

// ownerFiles returns the files below "heads/" in flash order.
func (im *Image) ownerFiles() []NewFile {
	var files []NewFile
	for _, f := range im.files {
		if isOwner(f) {
			files = append(files, NewFile{f.Name, bytes.Clone(im.bytes(f.data()))})
		}
	}
	return files
}

// Aligned says that the files below "heads/" share no erase block of that size
// with anything else but holes.
func (im *Image) Aligned(eraseSize uint32) bool {
	l := &layouter{im: im, block: eraseSize}
	l.findSpans()
	own := l.own()
	return !slices.ContainsFunc(im.files, func(f File) bool {
		return isOwner(f) && !slices.ContainsFunc(own, func(r Range) bool { return r.contains(f.entry()) })
	})
}

// isOwner says that a file belongs to the owner of the machine, not to the firmware.
func isOwner(f File) bool { return !f.Empty() && strings.HasPrefix(f.Name, ownerPrefix) }

// totalSize returns the room that the files take with their headers, in bytes.
func totalSize(files []NewFile) (uint32, error) {
	seen := map[string]bool{}
	var total uint64
	for _, f := range files {
		if err := checkName(f.Name, Heads); err != nil {
			return 0, err
		}
		if !strings.HasPrefix(f.Name, ownerPrefix) || seen[f.Name] {
			return 0, fmt.Errorf("%q: %w", f.Name, ErrBadName)
		}
		seen[f.Name] = true
		total += uint64(entryLen(f))
	}
	if total > MaxSize {
		return 0, fmt.Errorf("%d bytes of files: %w", total, ErrNoSpace)
	}
	return uint32(total), nil
}

func entryLen(f NewFile) uint32 {
	return alignUp(Heads.headerLen(f.Name)+uint32(min(len(f.Data), MaxSize)), fileAlign)
}

// diffBlocks returns the blocks in which two images of one length differ.
func diffBlocks(a, b []byte, block uint32) []Range {
	var out []Range
	for off := uint32(0); off < uint32(len(a)); off += block {
		end := min(off+block, uint32(len(a)))
		if !bytes.Equal(a[off:end], b[off:end]) {
			out = append(out, Range{off, end})
		}
	}
	return out
}

// finish proves the new image, knowing nothing of how it was built, and fills in
// the rest of the Plan.
func (p *Plan) finish(old *Image, spans []span, files []NewFile) error {
	im, err := Parse(p.New)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsafeChange, err)
	}
	// Outside of the spans not one byte may differ.
	var at uint32
	for _, s := range append(slices.Clone(spans), span{Range: Range{uint32(len(p.New)), uint32(len(p.New))}}) {
		if !bytes.Equal(p.Old[at:s.Start], p.New[at:s.Start]) {
			return fmt.Errorf("%w: between 0x%x and 0x%x", ErrUnsafeChange, at, s.Start)
		}
		at = s.End
	}
	foreign := func(f File) bool { return f.Empty() || isOwner(f) }
	if !slices.Equal(slices.DeleteFunc(old.Files(), foreign), slices.DeleteFunc(im.Files(), foreign)) {
		return fmt.Errorf("%w: the list of the firmware's own files", ErrUnsafeChange)
	}
	if !slices.EqualFunc(im.ownerFiles(), files,
		func(a, b NewFile) bool { return a.Name == b.Name && bytes.Equal(a.Data, b.Data) }) {
		return fmt.Errorf("%w: the owner's files are not in it", ErrUnsafeChange)
	}
	p.compare(old, files)
	p.PCR7SHA1, p.PCR7SHA256, err = PCR7(p.New)
	return err
}

func (p *Plan) compare(old *Image, files []NewFile) {
	now := map[string]bool{}
	for _, f := range files {
		now[f.Name] = true
		if was, err := old.Lookup(f.Name); err == nil && bytes.Equal(old.bytes(was.data()), f.Data) {
			p.Kept = append(p.Kept, f.Name)
		} else {
			p.Added = append(p.Added, f.Name)
		}
	}
	for _, f := range old.files {
		if isOwner(f) && !now[f.Name] {
			p.Removed = append(p.Removed, f.Name)
		}
	}
}

// Runs returns the blocks with neighbours joined, ascending.
func (p *Plan) Runs() []Range { return joinRanges(p.Blocks) }

func joinRanges(blocks []Range) []Range {
	var runs []Range
	for _, b := range blocks {
		if n := len(runs); n > 0 && runs[n-1].End == b.Start {
			runs[n-1].End = b.End
		} else {
			runs = append(runs, b)
		}
	}
	return runs
}
