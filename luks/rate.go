package luks

import (
	"context"
	"fmt"
	"time"
)

// What ReadRate reads: pieces from places spread over the data, so that a disk's slow
// end counts as well, for a moment that a person does not notice.
const (
	ratePiece  = 4 << 20
	ratePlaces = 32
	rateTime   = 700 * time.Millisecond
)

// ReadRate measures how fast the data can be read, in bytes a second: up to 128 MiB,
// or 0.7 s. Nothing is written. A volume under 4 MiB gives 0.
func (v *Volume) ReadRate(ctx context.Context) (int64, error) {
	b, err := newBuffer(ratePiece)
	if err != nil {
		return 0, err
	}
	defer b.free()
	var start int64
	for i, s := range v.h.meta.segments {
		if i == 0 || s.offset < start {
			start = s.offset
		}
	}
	size := v.data.Size() - start
	if size < ratePiece {
		return 0, nil
	}
	var n int64
	began := time.Now()
	for i := range int64(ratePlaces) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		at := start + (size-ratePiece)/ratePlaces*i&^(ratePiece-1)
		if err := v.data.ReadAt(b.mem[:ratePiece], at); err != nil {
			return 0, fmt.Errorf("measuring the disk's speed at byte %d: %w", at, err)
		}
		if n += ratePiece; time.Since(began) > rateTime {
			break
		}
	}
	return int64(float64(n) / time.Since(began).Seconds()), nil
}
