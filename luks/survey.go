package luks

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A Range is a stretch of the decrypted volume.
type Range struct {
	Offset int64 `json:"offset"` // bytes
	Length int64 `json:"length"` // bytes
}

const (
	cellSize      = 16 << 20 // bytes that a survey counts together
	surveyRequest = 4 << 20  // bytes; the kernel makes several requests of it
	// writeCost is what re-encrypting a byte costs beside reading it, in reads.
	writeCost = 2
)

// A Survey is what reading all of a volume has shown: what was ever written, and what
// cannot be read. Sizes are bytes of the decrypted volume.
type Survey struct {
	Total   int64         `json:"total"`
	Read    int64         `json:"read"`    // looked at, from the start; Total when it is complete
	Written int64         `json:"written"` // of these: in pieces of 64 KiB that hold data
	Bad     []Range       `json:"bad"`     // of these: cannot be read
	Took    time.Duration `json:"took_ns"`

	cells []uint16 // pieces that hold data, for each cellSize
}

// Survey reads the volume once, at low priority, and writes nothing. Between calls of
// progress, which may be nil, 4 MiB are read; it is given a copy that it may keep. When
// ctx is cancelled the survey of what was read is returned with the error.
//
// A run does not rely on a survey: it reads for itself what it is about to re-encrypt.
func (v *Volume) Survey(ctx context.Context, progress func(Survey)) (Survey, error) {
	var start int64 = -1
	for _, g := range v.h.meta.segments {
		if start < 0 || g.offset < start {
			start = g.offset
		}
	}
	s := Survey{Total: max(0, v.data.Size()-max(0, start))}
	if g := v.h.meta.segments0(); g != nil && len(v.h.meta.segments) == 1 {
		s.Total = v.segmentSize(g)
	}
	s.cells = make([]uint16, (s.Total+cellSize-1)/cellSize)
	b, err := newBuffer(surveyRequest)
	if err != nil {
		return s, err
	}
	defer b.free()
	defer idlePriority()()
	began := time.Now()
	for s.Read < s.Total {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		if err := v.look(ctx, &s, b.mem, start); err != nil {
			return s, err
		}
		s.Took = time.Since(began)
		if progress != nil {
			progress(s)
		}
	}
	return s, nil
}

// look goes on with the survey of the data at start.
func (v *Volume) look(ctx context.Context, s *Survey, b []byte, start int64) error {
	if h := holesOf(v.data); h != nil {
		if n := min(h.NextData(start+s.Read)-start, s.Total) - s.Read; n >= piece {
			s.Read += roundDown(n, piece)
			return nil
		}
	}
	p := b[:min(surveyRequest, s.Total-s.Read)]
	step := int64(max(v.data.BlockSize(), v.h.meta.segments0().sectorSize, 512))
	bad, _, err := v.readSectors(ctx, p, start+s.Read, step)
	if err != nil {
		return err
	}
	for _, r := range bad {
		p[r.Offset] = 1 // it is not known to be empty
		s.Bad = join(s.Bad, Range{s.Read + r.Offset, r.Length})
	}
	for i := int64(0); i < int64(len(p)); i += piece {
		if q := p[i:min(i+piece, int64(len(p)))]; !zeros(q) {
			s.cells[(s.Read+i)/cellSize]++
			s.Written += int64(len(q))
		}
	}
	s.Read += int64(len(p))
	return nil
}

// Reads and writes are how many bytes a re-encryption of all data reads, and how many it
// writes.
func (s *Survey) work(fill bool) (reads, writes int64) {
	if fill {
		return s.Total, s.Total
	}
	return s.Total, s.Written
}

// Time estimates how long a re-encryption takes on a disk that reads rate bytes a second
// and writes as fast. Of what the survey has not seen yet, all counts as written.
func (s *Survey) Time(rate int64, fill bool) time.Duration {
	if rate <= 0 {
		return 0
	}
	reads, writes := s.work(fill)
	if !fill {
		writes += s.Total - s.Read
	}
	return time.Duration(float64(reads+writes) / float64(rate) * float64(time.Second))
}

// share is pos, a position in total bytes of data, by the work that lies before it.
func (s *Survey) share(pos, total int64, fill bool) int64 {
	if s == nil || fill || s.Total != total || s.Read != total || pos >= total {
		return pos
	}
	work := func(i int64) int64 {
		return min(cellSize, total-i*cellSize) + writeCost*int64(s.cells[i])*piece
	}
	var before, all int64
	for i := range int64(len(s.cells)) {
		w := work(i)
		all += w
		switch cell := pos / cellSize; {
		case i < cell:
			before += w
		case i == cell:
			before += int64(float64(w) * float64(pos%cellSize) / cellSize)
		}
	}
	return int64(float64(total) * float64(before) / float64(all))
}

// idlePriority has this goroutine's thread yield the disk to everybody else until the
// returned function is called.
func idlePriority() func() {
	const who, class = 1, 3 << 13 // IOPRIO_WHO_PROCESS, IOPRIO_CLASS_IDLE
	runtime.LockOSThread()
	was, _, failed := unix.Syscall(unix.SYS_IOPRIO_GET, who, 0, 0)
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, who, 0, class)
	return func() {
		if failed == 0 {
			_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, who, 0, was)
		}
		runtime.UnlockOSThread()
	}
}
