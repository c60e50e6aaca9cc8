package luks

import (
	"bytes"
	"context"
	"testing"
	"time"

	"reown/internal/secret"
)

// Plaintext decrypts a volume at rest as its header says. Tests that count on an
// independent judge use lukstest.XTS instead.
func Plaintext(v *Volume, pass *secret.Buffer) ([]byte, error) {
	ctx := context.Background()
	d, err := v.h.meta.dataDigest()
	if err != nil {
		return nil, err
	}
	_, vk, err := v.find(ctx, pass, v.h.meta.slotsOf(d))
	if err != nil {
		return nil, err
	}
	defer vk.Wipe()
	s := v.h.meta.segments0()
	c, err := newSectorCipher(s.encryption, vk.Bytes())
	if err != nil {
		return nil, err
	}
	b := make([]byte, v.segmentSize(s))
	if err := v.data.ReadAt(b, s.offset); err != nil {
		return nil, err
	}
	c.DecryptSectors(b, b, s.sectorSize, s.ivTweak)
	return b, nil
}

// RawPass reads all data and writes it back through the same pipeline, with no
// cipher, hash or header: what the disk allows.
func RawPass(v *Volume) error {
	s := v.h.meta.segments0()
	u := &run{v: v, o: ReencryptOptions{Fill: true}, prev: *s, final: *s, zoneSize: defaultHotzone / 2, reads: newReads(),
		r: &reencryption{prev: s, final: s, total: v.segmentSize(s), slot: &keyslot{area: area{typ: "raw"}}}}
	defer u.close()
	var err error
	if u.pool, err = newPool(2, u.zoneSize); err != nil {
		return err
	}
	for i := range u.zones {
		if u.zones[i], err = u.newZone(); err != nil {
			return err
		}
	}
	defer moreProcessors()()
	src := u.newSource(0)
	writing := background(func() error { return nil })
	defer func() {
		src.stop()
		writing.wait()
	}()
	var prev *zone
	for {
		z, err := src.next()
		if err = firstError(err, writing.wait()); err != nil {
			return err
		}
		if z.n == 0 {
			return v.data.Sync(WriteData)
		}
		writing = u.write(z)
		if prev != nil {
			src.idle <- prev
		}
		prev = z
	}
}

// EditJSON replaces text in both copies of a LUKS2 header and mends the checksums.
func EditJSON(t testing.TB, img []byte, from, to string) []byte {
	t.Helper()
	return replaceJSON(t, img, from, to, 1)
}

// ReplaceJSON is EditJSON of all places where there is such a text.
func ReplaceJSON(t testing.TB, img []byte, from, to string) []byte {
	t.Helper()
	return replaceJSON(t, img, from, to, -1)
}

func replaceJSON(t testing.TB, img []byte, from, to string, want int) []byte {
	t.Helper()
	out := bytes.Clone(img)
	for _, off := range []int64{0, minHeaderSize} {
		raw := out[off : off+minHeaderSize]
		text := raw[binHeaderSize : binHeaderSize+bytes.IndexByte(raw[binHeaderSize:], 0)]
		if n := bytes.Count(text, []byte(from)); n != want && (n == 0 || want > 0) {
			t.Fatalf("%q stands %d times in %s", from, n, text)
		}
		next := bytes.ReplaceAll(text, []byte(from), []byte(to))
		clear(raw[binHeaderSize:])
		copy(raw[binHeaderSize:], next)
		sum, err := headerChecksum(raw)
		if err != nil {
			t.Fatal(err)
		}
		copy(raw[csumOffset:], sum)
	}
	return out
}

func init() { choosesNothing = true }

// AtTheFloor lets a test have what everybody else gets: keyslots and ciphers at the floor.
func AtTheFloor(t testing.TB) {
	target := targetKDF
	choosesNothing, targetKDF = false, 200*time.Millisecond
	t.Cleanup(func() { choosesNothing, targetKDF = true, target })
}

// WhenArgonRuns calls f while an Argon2 is at work.
func WhenArgonRuns(f func()) {
	go func() {
		for len(argon) == 0 {
			time.Sleep(time.Millisecond)
		}
		f()
	}()
}

// SetFreeMemory makes a volume believe that so many bytes are free.
func SetFreeMemory(v *Volume, n int64) { v.free = func() int64 { return n } }

// OpenAside opens a LUKS1 volume whose header cryptsetup's re-encryption has set aside,
// or whatever became of it.
func OpenAside(data Device) (*Volume, error) {
	v := newVolume("disk", data)
	v.noLocks, v.aside = true, true
	return v, v.load()
}
