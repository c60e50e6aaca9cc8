package luks_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// Data that does not begin at a whole block of the file system, as in an image of a
// disk with smaller ones: requests written at the same time share blocks.
func TestDataAtAnOddPlace(t *testing.T) {
	f := format(t, shape{size: 24<<20 - 512, sector: 512})
	img := luks.EditJSON(t, f.image(), `"offset":"1048576"`, `"offset":"1049088"`)
	f.offset = 1<<20 + 512
	f.put(append(img, make([]byte, 512)...))
	f.replacePlain(f.plain, 512)
	for range 3 {
		v := open(t, f.img)
		if err := v.Reencrypt(context.Background(), pass("first"), luks.ReencryptOptions{Hotzone: 8 << 20}); err != nil {
			t.Fatal(err)
		}
		v.Close()
		f.judge(t, f.key, 512)
	}
}

// stopped is an image of a re-encryption that was told to stop half way.
func (f *fixture) stopped(t *testing.T) []byte {
	t.Helper()
	v := open(t, f.img)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{Hotzone: peerHotzone, Progress: func(d, n int64) {
		if d >= n/2 {
			cancel()
		}
	}}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	v.Close()
	return f.image()
}

// Headers that are intact and must not be acted on. Each is refused with its own error
// before anything is written.
func TestHostileHeaders(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	rest := f.image()
	half := f.stopped(t)
	seqid := func(b []byte, n uint64) []byte {
		b = bytes.Clone(b)
		binary.BigEndian.PutUint64(b[16:], n)
		binary.BigEndian.PutUint64(b[16384+16:], n)
		return luks.EditJSON(t, b, `"config":{`, `"config": {`) // mends the checksums
	}
	disagree := bytes.Clone(rest)
	copy(disagree[:16384], luks.EditJSON(t, rest, `"offset":"1048576"`, `"offset":"1052672"`)[:16384])
	header := func(err error) bool { var e *luks.HeaderError; return errors.As(err, &e) }
	for _, c := range []struct {
		name string
		img  []byte
		want func(error) bool
	}{
		{"the last sequence number", seqid(rest, 1<<64-1), header},
		{"the last sequence number in a run", seqid(half, 1<<64-2), header},
		{"copies that disagree", disagree, func(err error) bool { return errors.Is(err, luks.ErrDisagree) }},
		{"data beyond the device", luks.EditJSON(t, rest, `"size":"dynamic"`, `"size":"1052672"`),
			func(err error) bool { return errors.Is(err, luks.ErrTooSmall) }},
	} {
		d := lukstest.NewDisk(bytes.Clone(c.img), 512)
		v, err := luks.OpenDevice("disk", d, nil)
		if err == nil {
			err = v.Reencrypt(context.Background(), pass("first"), luks.ReencryptOptions{Hotzone: peerHotzone})
		}
		if !c.want(err) {
			t.Errorf("%s: %v", c.name, err)
		}
		if !bytes.Equal(d.Bytes(), c.img) {
			t.Errorf("%s: something was written", c.name)
		}
	}
}

// Names in the header go into a digest with the keys; there is room for those that
// exist.
func TestLongNamesInARun(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	half := f.stopped(t)
	img := luks.ReplaceJSON(t, half, `"encryption":"aes-xts-plain64","sector_size":512`, `"encryption":"`+
		strings.Repeat("a", 2100)+`","sector_size":512`)
	d := lukstest.NewDisk(bytes.Clone(img), 512)
	v, err := luks.OpenDevice("disk", d, nil)
	if err == nil {
		err = v.Resume(context.Background(), pass("first"), luks.ReencryptOptions{})
	}
	if err == nil || !bytes.Equal(d.Bytes(), img) {
		t.Errorf("%v; changed: %v", err, !bytes.Equal(d.Bytes(), img))
	}
}
