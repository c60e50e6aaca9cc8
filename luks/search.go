package luks

import (
	"context"
	"slices"
)

// buffers makes room for two windows; free returns it.
func (s *search) buffers() (err error) {
	if s.buf, err = newBuffer(window); err != nil {
		return err
	}
	s.alt, err = newBuffer(window)
	return err
}

func (s *search) free() {
	s.buf.free()
	s.alt.free()
	s.buf, s.alt = nil, nil
}

// A verdict on one unit of data: which key it is under.
type verdict byte

const (
	silent verdict = iota // random under both keys
	isNew
	isOld
	isEmpty // never written: zero, whatever the key
	isLost  // cannot be read
	isTorn  // partly either
	isTwice // new, and taken for old and made new again
)

func (s *search) wipe() {
	for _, c := range []sectorCipher{s.oldC, s.newC} {
		if c != nil {
			c.Wipe()
		}
	}
}

type search struct {
	v          *Volume
	r          *reencryption
	o          RescueOptions
	oldC, newC sectorCipher
	none       bool  // an unprotected run: it passes nothing over
	unit       int64 // bytes that are under one key for certain: the larger sector size

	// How far around the position a power failure may have lost writes, and how short
	// a run of silence is too short for one; bytes.
	around, small int64
	atLeast       int64 // bytes that are new for another reason

	buf, alt *buffer
}

// structured reports whether p cannot be the output of a cipher under the wrong
// key. Of random bytes none is so frequent: ten standard deviations and ten more
// than the mean, a chance below 1e-15 for each unit.
func structured(p []byte) bool {
	var count [256]int
	for _, b := range p {
		count[b]++
	}
	mean := len(p) / 256
	limit := mean + 10
	for d := 0; d*d < mean*100; d++ {
		limit++
	}
	return slices.Max(count[:]) > limit
}

// window is how many bytes are judged at a time.
const window = 8 << 20

// judge looks at the units of n bytes at off of the data, at most a window.
func (s *search) judge(ctx context.Context, off, n int64) ([]verdict, error) {
	out := make([]verdict, n/s.unit)
	err := parallel(n, request, func(at, n int64) error {
		p, q := s.buf.mem[at:at+n], s.alt.mem[at:at+n]
		bad, _, err := s.v.readSectors(ctx, p, s.r.prev.offset+off+at, s.unit)
		if err != nil {
			return err
		}
		vs := out[at/s.unit : (at+n)/s.unit]
		for _, r := range bad {
			for i := r.Offset / s.unit; i*s.unit < r.Offset+r.Length; i++ {
				vs[i] = isLost
			}
		}
		s.judgeRaw(vs, p)
		first := s.r.prev.ivTweak + uint64(off+at)/512
		if s.newC != nil { // rescue1 has only the old one
			s.newC.DecryptSectors(q, p, s.r.final.sectorSize, first)
		}
		s.oldC.DecryptSectors(p, p, s.r.prev.sectorSize, first)
		for i := range vs {
			at := int64(i) * s.unit
			if vs[i] == silent {
				vs[i] = s.judgeUnit(p[at:at+s.unit], q[at:at+s.unit], first+uint64(at)/512)
			}
		}
		return nil
	})
	return out, err
}

// judgeRaw finds what is no ciphertext: never written since the disk was encrypted. An unprotected run
// leaves none of that behind it.
func (s *search) judgeRaw(vs []verdict, p []byte) {
	for i := range vs {
		q := p[int64(i)*s.unit : int64(i+1)*s.unit]
		switch {
		case vs[i] == isLost:
		case s.none && (zeros(q) || structured(q)):
			vs[i] = isOld
		case zeros(q):
			vs[i] = isEmpty
		}
	}
}

// judgeUnit looks at a unit as either key decrypts it. The second one is changed.
func (s *search) judgeUnit(asOld, asNew []byte, iv uint64) verdict {
	underNew, underOld := s.newC != nil && structured(asNew), structured(asOld)
	switch {
	case underNew && !underOld:
		return isNew
	case underOld && !underNew:
		return isOld
	case s.newC != nil && !underNew:
		return s.before(asNew, iv)
	}
	return silent
}

// before judges p, decrypted with the new key, by what it would have been before: what was never
// written was zero, or what the disk had held before, which only that re-encryption turns into this; and
// what makes sense was under the new key already, and cryptsetup has begun again too early. p is changed.
func (s *search) before(p []byte, iv uint64) verdict {
	s.oldC.EncryptSectors(p, p, s.r.prev.sectorSize, iv)
	if zeros(p) || s.none && structured(p) {
		return isNew
	}
	s.newC.DecryptSectors(p, p, s.r.final.sectorSize, iv)
	if structured(p) {
		return isTwice
	}
	s.oldC.EncryptSectors(p, p, s.r.prev.sectorSize, iv)
	if zeros(p) || s.none && structured(p) {
		return isTwice
	}
	return silent
}

// each calls f for every unit from off to end, in order.
func (s *search) each(ctx context.Context, off, end int64, progress bool, f func(pos int64, v verdict)) error {
	for off < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(window, end-off)
		vs, err := s.judge(ctx, off, n)
		if err != nil {
			return err
		}
		for i, x := range vs {
			f(off+int64(i)*s.unit, x)
		}
		off += n
		if progress && s.o.Progress != nil {
			s.o.Progress(off, s.r.total)
		}
	}
	return nil
}
