package luks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A BadSectorsError names data that the device can no longer read. Where a run stops with
// it, everything else is safe and the run can be continued; with ReencryptOptions.Lose
// it goes on and gives these bytes up.
type BadSectorsError struct {
	Ranges []Range // of the decrypted volume, in order
	Err    error   // the first refusal
}

func (e *BadSectorsError) Error() string {
	return fmt.Sprintf("%d bytes of the decrypted volume cannot be read, at %s: %v", size(e.Ranges), places(e.Ranges),
		e.Err)
}

// places is ranges as `--lose` takes them, if they are not too many to show.
func places(rs []Range) string {
	const most = 32
	var parts []string
	for _, r := range rs[:min(most, len(rs))] {
		parts = append(parts, fmt.Sprintf("%d+%d", r.Offset, r.Length))
	}
	if n := len(rs) - most; n > 0 {
		parts = append(parts, fmt.Sprintf(" and %d more places", n))
	}
	return strings.Join(parts, ",")
}

func (e *BadSectorsError) Unwrap() error { return e.Err }

// errUnread stands for the refusals in an interrupted hotzone.
var errUnread = errors.New("the device cannot read its own blocks in the part that was interrupted")

// size is how many bytes there are in ranges.
func size(rs []Range) (n int64) {
	for _, r := range rs {
		n += r.Length
	}
	return n
}

// join puts r at the end of ranges that are in order.
func join(rs []Range, r Range) []Range {
	if n := len(rs); n > 0 && rs[n-1].Offset+rs[n-1].Length == r.Offset {
		rs[n-1].Length += r.Length
		return rs
	}
	return append(rs, r)
}

// Merge puts ranges in order and joins those that touch or overlap.
func Merge(rs ...Range) (out []Range) {
	rs = slices.Clone(rs)
	slices.SortFunc(rs, func(a, b Range) int { return int(max(-1, min(1, a.Offset-b.Offset))) })
	for _, r := range rs {
		if n := len(out); n > 0 && out[n-1].Offset+out[n-1].Length >= r.Offset {
			out[n-1].Length = max(out[n-1].Length, r.Offset+r.Length-out[n-1].Offset)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// Within reports whether allowed has all bytes of rs.
func Within(rs, allowed []Range) bool {
	allowed = Merge(allowed...)
	return !slices.ContainsFunc(rs, func(r Range) bool {
		return !slices.ContainsFunc(allowed, func(a Range) bool {
			return r.Offset >= a.Offset && r.Offset+r.Length <= a.Offset+a.Length
		})
	})
}

// isMedia reports whether a read failed for what is stored there and not for the device.
func isMedia(err error) bool {
	for _, e := range []error{unix.EIO, unix.ENODATA, unix.EILSEQ, unix.EREMOTEIO, unix.ETIMEDOUT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// readSectors is ReadAt of the data that gives up no more than it must: what cannot be
// read is zero in p and listed, in bytes from the start of p, by steps of step bytes. A
// device that reads nothing any more is an error.
func (v *Volume) readSectors(ctx context.Context, p []byte, off, step int64) (bad []Range, cause, err error) {
	if cause = v.data.ReadAt(p, off); !isMedia(cause) {
		return nil, nil, cause
	}
	clear(p)
	n := int64(len(p))
	for at := int64(0); at < n; at += piece {
		if err := v.data.ReadAt(p[at:min(at+piece, n)], off+at); err == nil {
			continue
		}
		clear(p[at:min(at+piece, n)])
		for i := at; i < min(at+piece, n); i += step {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			q := p[i:min(i+step, n)]
			if err := v.data.ReadAt(q, off+i); isMedia(err) {
				clear(q)
				bad = join(bad, Range{i, int64(len(q))})
			} else if err != nil {
				return nil, nil, err
			}
		}
	}
	if size(bad) == n {
		head := make([]byte, minHeaderSize)
		if err := v.hdr.ReadAt(head, 0); err != nil || v.detached {
			return nil, nil, cause
		}
	}
	return bad, cause, nil
}

func (u *run) context() context.Context {
	if u.ctx == nil {
		return context.Background()
	}
	return u.ctx
}

// sectorStep is how much is lost with one bad sector, in bytes: what the device and what
// the old cipher takes as one.
func (u *run) sectorStep() int64 {
	return int64(max(u.v.data.BlockSize(), u.prev.sectorSize))
}

// asking is held while somebody is asked what may be lost, whatever the number of disks.
var asking sync.Mutex

// lose asks whether the run may go on without some of the data, and says so if not.
func (u *run) lose(bad []Range, cause error) error {
	asking.Lock()
	defer asking.Unlock()
	if u.o.Lose == nil || !u.o.Lose(bad) {
		return &BadSectorsError{bad, cause}
	}
	return nil
}

// blank makes p, at pos of the data, the old ciphertext of zeros: what stands for data
// that is lost, so that the new ciphertext reads as zeros.
func (u *run) blank(p []byte, pos int64) {
	clear(p)
	u.oldC.EncryptSectors(p, p, u.prev.sectorSize, u.prev.ivTweak+uint64(pos)/512)
}

// readOld fills p with the old ciphertext at pos of the data. It returns what it had to
// give up and was allowed to.
func (u *run) readOld(p []byte, pos int64) ([]Range, error) {
	at := u.prev.offset + pos
	if u.holes != nil && u.holes.NextData(at) >= at+int64(len(p)) {
		clear(p)
		return nil, nil
	}
	bad, cause, err := u.v.readSectors(u.context(), p, at, u.sectorStep())
	if err != nil || len(bad) == 0 {
		return nil, err
	}
	for i, r := range bad {
		if u.oldC != nil {
			u.blank(p[r.Offset:r.Offset+r.Length], pos+r.Offset)
		}
		bad[i].Offset += pos
	}
	return bad, u.lose(bad, cause)
}

// firstFailure is the first of the errors of reading a zone; bad sectors of all of it are
// named together.
func firstFailure(errs []error) error {
	var all *BadSectorsError
	for _, err := range errs {
		var e *BadSectorsError
		switch {
		case err == nil:
		case !errors.As(err, &e):
			return err
		case all == nil:
			all = &BadSectorsError{Merge(e.Ranges...), e.Err}
		default:
			all.Ranges = Merge(append(all.Ranges, e.Ranges...)...)
		}
	}
	if all == nil {
		return nil
	}
	return all
}
