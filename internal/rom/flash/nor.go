package flash

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"reown/internal/rom"
)

// A NOR is a Backend on a Device: erase blocks that differ are erased if bits
// must be set, then the pages that differ are programmed, in ascending order.
type NOR struct {
	Device
	Name string
}

// String implements Backend.
func (n *NOR) String() string { return n.Name }

const readChunk = 1 << 20

// Read implements Backend.
func (n *NOR) Read(ctx context.Context, progress func(done, total int64)) ([]byte, error) {
	size := n.Size()
	if size < rom.MinSize || size > rom.MaxSize {
		return nil, fmt.Errorf("reading the flash chip: %d bytes is no size of a chip", size)
	}
	out := make([]byte, size)
	for off := int64(0); off < size; off += readChunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := out[off:min(off+readChunk, size)]
		got, err := n.ReadAt(part, off)
		if got < len(part) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("reading the flash chip at 0x%08x: %w", off, err)
		}
		report(progress, off+int64(len(part)), size)
	}
	return out, nil
}

// Write implements Backend.
func (n *NOR) Write(ctx context.Context, image []byte, runs []rom.Range, progress func(done, total int64)) error {
	if int64(len(image)) != n.Size() {
		return fmt.Errorf("writing the flash chip: the image has %d bytes, the chip %d", len(image), n.Size())
	}
	blocks, err := n.blocks(runs)
	if err != nil {
		return err
	}
	for i, off := range blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := n.writeBlock(off, image[off:off+n.EraseSize()]); err != nil {
			return err
		}
		report(progress, int64(i+1)*n.EraseSize(), int64(len(blocks))*n.EraseSize())
	}
	if err := n.Sync(); err != nil {
		return fmt.Errorf("flushing the flash chip: %w", err)
	}
	return nil
}

// blocks returns the device's erase blocks that the stretches touch. A device
// whose blocks are larger than the plan's gets the rest of them from the image.
func (n *NOR) blocks(runs []rom.Range) ([]int64, error) {
	size := n.EraseSize()
	var blocks []int64
	for _, r := range runs {
		if int64(r.End) > n.Size() || r.Start >= r.End {
			return nil, fmt.Errorf("writing the flash chip: no stretch from 0x%x to 0x%x", r.Start, r.End)
		}
		for off := int64(r.Start) &^ (size - 1); off < int64(r.End); off += size {
			if len(blocks) == 0 || blocks[len(blocks)-1] != off {
				blocks = append(blocks, off)
			}
		}
	}
	return blocks, nil
}

func (n *NOR) writeBlock(off int64, want []byte) error {
	have := make([]byte, len(want))
	if got, err := n.ReadAt(have, off); got < len(have) {
		return fmt.Errorf("reading the flash chip at 0x%08x: %w", off, err)
	}
	if bytes.Equal(have, want) {
		return nil
	}
	if needsErase(have, want) {
		if err := n.Erase(fmt.Sprintf("erase 0x%08x", off), off); err != nil {
			return fmt.Errorf("erasing the flash chip at 0x%08x: %w", off, err)
		}
		for i := range have {
			have[i] = 0xff
		}
	}
	for p := 0; p < len(want); p += PageSize {
		page := want[p:min(p+PageSize, len(want))]
		if bytes.Equal(page, have[p:p+len(page)]) {
			continue
		}
		at := off + int64(p)
		if err := n.Program(fmt.Sprintf("program 0x%08x", at), at, page); err != nil {
			return fmt.Errorf("programming the flash chip at 0x%08x: %w", at, err)
		}
	}
	return nil
}

// needsErase says that a page must be erased before it can be programmed: many
// chips are only specified for programming a page once after its erasure.
func needsErase(have, want []byte) bool {
	for p := 0; p < len(want); p += PageSize {
		h, w := have[p:min(p+PageSize, len(have))], want[p:min(p+PageSize, len(want))]
		if !bytes.Equal(h, w) && !erased(h) {
			return true
		}
	}
	return false
}

func erased(b []byte) bool {
	for _, c := range b {
		if c != 0xff {
			return false
		}
	}
	return true
}

func report(progress func(done, total int64), done, total int64) {
	if progress != nil {
		progress(done, total)
	}
}
