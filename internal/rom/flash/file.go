package flash

import (
	"fmt"
	"io"
	"os"

	"reown/internal/rom"
)

// A File is a Device on a plain file: an image on disk, or the chip of a virtual
// machine. It behaves as a chip does: only Erase sets bits.
type File struct {
	f    *os.File
	size int64
}

// OpenFile opens an image file as a chip with erase blocks of rom.EraseSize.
func OpenFile(name string) (*NOR, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the image as a flash chip: %w", err)
	}
	st, err := f.Stat()
	if err == nil && (!st.Mode().IsRegular() || st.Size() < rom.MinSize || st.Size() > rom.MaxSize ||
		st.Size()%rom.EraseSize != 0) {
		err = fmt.Errorf("%w: a file of %d bytes is no flash chip", rom.ErrUnknownLayout, st.Size())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("opening the image as a flash chip: %w", err)
	}
	return &NOR{Device: &File{f, st.Size()}, Name: "file " + name}, nil
}

// Close closes the file.
func (d *File) Close() error { return d.f.Close() }

// Size implements Device.
func (d *File) Size() int64 { return d.size }

// EraseSize implements Device.
func (d *File) EraseSize() int64 { return rom.EraseSize }

// ReadAt implements Device.
func (d *File) ReadAt(p []byte, off int64) (int, error) { return d.f.ReadAt(p, off) }

// Erase implements Device.
func (d *File) Erase(_ string, off int64) error {
	ff := make([]byte, d.EraseSize())
	for i := range ff {
		ff[i] = 0xff
	}
	_, err := d.f.WriteAt(ff, off)
	return err
}

// Program implements Device.
func (d *File) Program(_ string, off int64, p []byte) error {
	now := make([]byte, len(p))
	if _, err := d.f.ReadAt(now, off); err != nil && err != io.EOF {
		return err
	}
	for i := range now {
		now[i] &= p[i]
	}
	_, err := d.f.WriteAt(now, off)
	return err
}

// Sync implements Device.
func (d *File) Sync() error { return d.f.Sync() }
