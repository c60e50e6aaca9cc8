package wizard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Stretch is a part of a disk's decrypted data, in bytes.
type Stretch struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// DiskSurvey is what reading a disk has shown so far, in bytes of its data.
type DiskSurvey struct {
	Total   int64
	Read    int64     // looked at; Total when all was
	Written int64     // of these: was ever written
	Bad     []Stretch // of these: cannot be read
	Private any       // the implementation's own
}

// Complete says whether all was looked at.
func (s *DiskSurvey) Complete() bool { return s.Total > 0 && s.Read >= s.Total }

// time is what a re-encryption takes at least, on a disk that reads and writes rate bytes a second:
// all is read, and what was ever written, or not looked at yet, is written.
func (s *DiskSurvey) time(rate int64, fill bool) time.Duration {
	writes := s.Written + s.Total - s.Read
	if fill {
		writes = s.Total
	}
	return time.Duration(float64(s.Total+writes) / float64(rate) * float64(time.Second))
}

// Rekeying is how a disk is re-encrypted.
type Rekeying struct {
	// Begin, if it is not nil, is called before anything is written that begins, with the digest
	// of the new key, and with what makes marks of it; an error of it ends the call.
	Begin    Begin
	Progress Progress    // counts bytes; nil: nobody wants to know
	Fill     bool        // also what was never written
	Lose     []Stretch   // may be given up where it cannot be read; nothing else is
	Survey   *DiskSurvey // a complete one makes Progress even; may be nil
}

// An UnreadError names data that the disk cannot read and that nobody has given up. All the rest is
// safe, and the re-encryption goes on from there.
type UnreadError struct {
	Volume string // UUID
	Bad    []Stretch
	Err    error
}

func (e *UnreadError) Error() string { return e.Err.Error() }
func (e *UnreadError) Unwrap() error { return e.Err }

// merge puts stretches in order and joins those that touch.
func merge(all []Stretch) (out []Stretch) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Stretch) int { return int(max(-1, min(1, a.Offset-b.Offset))) })
	for _, s := range all {
		if n := len(out); n > 0 && out[n-1].Offset+out[n-1].Length >= s.Offset {
			out[n-1].Length = max(out[n-1].Length, s.Offset+s.Length-out[n-1].Offset)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// size is how many bytes there are in stretches.
func size(all []Stretch) (n int64) {
	for _, s := range all {
		n += s.Length
	}
	return n
}

// where lists stretches as OFFSET+LENGTH, at most so many of them.
func where(all []Stretch, most int) string {
	var parts []string
	for _, s := range all[:min(most, len(all))] {
		parts = append(parts, fmt.Sprintf("%d+%d", s.Offset, s.Length))
	}
	if n := len(all) - most; n > 0 {
		parts = append(parts, fmt.Sprintf("... (%d)", n))
	}
	return strings.Join(parts, ", ")
}

// surveys are the readings of all disks in the background.
type surveys struct {
	stop context.CancelFunc
	over chan struct{}
	told []chan struct{} // of each disk: closed when it was heard of

	mu    sync.Mutex
	got   []DiskSurvey
	shown [][]Stretch // what somebody was shown as unreadable
}

// survey begins to read all disks.
func survey(ctx context.Context, disks []Disk) *surveys {
	ctx, stop := context.WithCancel(ctx)
	v := &surveys{stop: stop, over: make(chan struct{}), got: make([]DiskSurvey, len(disks)),
		shown: make([][]Stretch, len(disks))}
	var wg sync.WaitGroup
	for i, d := range disks {
		heard := make(chan struct{})
		v.told = append(v.told, heard)
		wg.Go(func() {
			var once sync.Once
			defer once.Do(func() { close(heard) })
			// One that fails leaves the disk unknown: the run reads for itself.
			_ = d.Survey(ctx, func(s DiskSurvey) {
				v.mu.Lock()
				v.got[i] = s
				v.mu.Unlock()
				once.Do(func() { close(heard) })
			})
		})
	}
	go func() {
		wg.Wait()
		close(v.over)
	}()
	return v
}

// end stops the reading. A disk that hangs is not waited for.
func (v *surveys) end() {
	if v == nil {
		return
	}
	v.stop()
	select {
	case <-v.over:
	case <-time.After(time.Second):
	}
}

// wait waits a moment for the first word of every disk.
func (v *surveys) wait(ctx context.Context) {
	if v == nil {
		return
	}
	late := time.After(2 * time.Second)
	for _, heard := range v.told {
		select {
		case <-heard:
		case <-late:
			return
		case <-ctx.Done():
			return
		}
	}
}

// running says whether more may be known soon.
func (v *surveys) running() bool {
	if v == nil {
		return false
	}
	select {
	case <-v.over:
		return false
	default:
		return true
	}
}

// of is what is known of a disk, to be shown.
func (v *surveys) of(i int) DiskSurvey {
	if v == nil {
		return DiskSurvey{}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shown[i] = v.got[i].Bad
	return v.got[i]
}

// last is what is known of a disk when the work begins; nil: nothing.
func (v *surveys) last(i int) *DiskSurvey {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.got[i]
	return &s
}

// unreadable is what was shown of a disk as such.
func (v *surveys) unreadable(i int) []Stretch {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.shown[i]
}
