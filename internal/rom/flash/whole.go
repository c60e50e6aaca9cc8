package flash

import (
	"context"
	"errors"
	"fmt"

	"reown/internal/rom"
)

// ErrPartial says that an image lacks what the board's flash program does not read.
var ErrPartial = errors.New("the image is not the whole chip")

// Whole completes an image that was read from a chip of which the board reads only some
// regions (--ifd -i bios): the rest is read, too, and stands beside it. An ErrPartial comes
// with the image as it is.
func Whole(ctx context.Context, b Backend, img []byte) ([]byte, error) {
	p, ok := b.(*Program)
	if !ok || !readsRegions(p.Options) {
		return img, nil
	}
	protected := p.protected
	whole, err := p.readWhole(ctx)
	p.protected = protected
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil && len(whole) != len(img) {
		err = fmt.Errorf("%d bytes instead of %d", len(whole), len(img))
	}
	if err != nil {
		return img, fmt.Errorf("%w: the board's options read some regions, and without them: %w", ErrPartial, err)
	}
	for i, c := range img {
		// What was not read is as an erased chip, or zero.
		if c != whole[i] && c != 0xff && c != 0 {
			return img, fmt.Errorf("%w: %w at 0x%08x", ErrPartial, ErrUnstable, i)
		}
	}
	return whole, nil
}

// EraseSize is the erase block of a backend, in bytes, as far as it tells: a flash program
// does not, and is taken to have the usual one.
func EraseSize(b Backend) uint32 {
	if n, ok := b.(*NOR); ok {
		return uint32(max(n.EraseSize(), rom.EraseSize))
	}
	return rom.EraseSize
}
