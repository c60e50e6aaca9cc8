package luks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// accept saves the stretch in doubt and settles for a position within it.
func (v *Volume) accept(ctx context.Context, s *search, e *EdgeError, keys *keyPair) (Rescue, error) {
	found := Rescue{Position: e.Likely, Mixed: e.mixed, Total: s.r.total, InDoubt: e.Range}
	if at := s.o.At; at != nil {
		if e.mixed > 0 || *at%s.unit != 0 || *at < e.Range.Offset || *at > e.Range.Offset+e.Range.Length {
			return found, fmt.Errorf("byte %d is no place within it: %w", *at, e)
		}
		found.Position = *at
	}
	return found, v.saveStretch(ctx, s, e.Range, keys)
}

// saveStretch writes the file of RescueOptions.AcceptLoss: a volume of its own, of which the stretch is all
// data, with the keyslots of both keys and the state of an unprotected run that has not begun. Rescue of it,
// with another position, makes of it what the stretch would have become on the device.
func (v *Volume) saveStretch(ctx context.Context, s *search, part Range, keys *keyPair) error {
	path := s.o.AcceptLoss
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = v.writeStretch(ctx, f, s, part, keys)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err == nil {
		err = v.checkStretch(ctx, s, part, keys)
	}
	if err != nil {
		os.Remove(path)
		return fmt.Errorf("saving the stretch in doubt: %w", err)
	}
	return nil
}

func (v *Volume) writeStretch(ctx context.Context, f *os.File, s *search, part Range, keys *keyPair) error {
	h, r, err := v.stretchHeader(ctx, s, part, keys)
	if err != nil {
		return err
	}
	end := v.h.meta.keyslotsEnd()
	slots, start := 2*h.size, s.r.prev.offset+part.Offset
	if err := eachPart(ctx, end-slots, func(p []byte, at int64) error {
		if err := v.hdr.ReadAt(p, slots+at); err != nil {
			return err
		}
		_, err := f.WriteAt(p, slots+at)
		return err
	}); err != nil {
		return err
	}
	if err := eachPart(ctx, part.Length, func(p []byte, at int64) error {
		if _, _, err := v.readSectors(ctx, p, start+at, s.unit); err != nil { // zero where it cannot be read
			return err
		}
		_, err := f.WriteAt(p, r.prev.offset+at)
		return err
	}); err != nil {
		return err
	}
	for _, off := range []int64{0, h.size} {
		raw, err := h.encode(off)
		if err != nil {
			return err
		}
		if _, err := f.WriteAt(raw, off); err != nil {
			return err
		}
	}
	return nil
}

// stretchHeader is the header of the saved stretch, with its description.
func (v *Volume) stretchHeader(ctx context.Context, s *search, part Range, keys *keyPair) (*header2, *reencryption,
	error) {
	r := *s.r
	prev, final := *r.prev, *r.final
	r.prev, r.final, r.total = &prev, &final, part.Length
	for _, seg := range []*segment{&prev, &final} {
		if v.detached {
			seg.offset = roundUp(v.h.meta.keyslotsEnd(), 1<<20)
		}
		seg.ivTweak += uint64(part.Offset) / 512
		seg.size = dynamic
	}
	root := v.h.root.clone()
	r.setSegments(root, 0, 0)
	in := r.metadataInput(keys.old, keys.new)
	defer in.Wipe()
	d := v.h.meta.digestOfKeyslot(r.slot.id)
	md, err := newDigest(ctx, in.Bytes(), "sha256", max(1000, d.iterations), []int{r.slot.id})
	if err != nil {
		return nil, nil, err
	}
	root.obj("digests").set(id(d.id), md)
	h := *v.h
	h.root = root
	return &h, &r, nil
}

// eachPart calls f with room for each part of n bytes, and its place.
func eachPart(ctx context.Context, n int64, f func(p []byte, at int64) error) error {
	b, err := newBuffer(request)
	if err != nil {
		return err
	}
	defer b.free()
	for at := int64(0); at < n && err == nil; at += request {
		err = firstError(ctx.Err(), f(b.mem[:min(request, n-at)], at))
	}
	return err
}

// checkStretch opens what was saved and compares it with the device.
func (v *Volume) checkStretch(ctx context.Context, s *search, part Range, keys *keyPair) error {
	w, err := Open(ctx, s.o.AcceptLoss, Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer w.Close()
	r, err := w.reencryption()
	if err != nil {
		return err
	}
	if r == nil || r.total != part.Length || r.offset != 0 {
		return badHeader("the saved stretch says something else")
	}
	if err := w.verifyMetadata(ctx, r, keys.old, keys.new); err != nil {
		return err
	}
	was, err := newBuffer(request)
	if err != nil {
		return err
	}
	defer was.free()
	return eachPart(ctx, part.Length, func(p []byte, at int64) error {
		q := was.mem[:len(p)]
		if _, _, err := v.readSectors(ctx, q, s.r.prev.offset+part.Offset+at, s.unit); err != nil {
			return err
		}
		if err := w.data.ReadAt(p, r.prev.offset+at); err != nil {
			return err
		}
		if !bytes.Equal(p, q) {
			return fmt.Errorf("%s reads back differently", s.o.AcceptLoss)
		}
		return nil
	})
}
