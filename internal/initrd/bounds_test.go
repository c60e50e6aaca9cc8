package initrd

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// block is a zstd block: data as it is, or one byte 128 Ki times.
func block(data []byte, run bool) []byte {
	kind, size := 0, len(data)
	if run {
		kind, size = 1, 128<<10
	}
	h := size<<3 | kind<<1
	return append([]byte{byte(h), byte(h >> 8), byte(h >> 16)}, data...)
}

// frame begins a zstd frame whose window is 1 KiB << exponent.
func frame(exponent byte) []byte { return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3} }

// entry is a cpio header with its name, padded.
func entry(name string, size int) []byte {
	s := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 1, 0o100644, 0, 0, 1, 0, size, 0,
		0, 0, 0, len(name)+1, 0, name)
	return []byte(s + strings.Repeat("\x00", -len(s)&3))
}

type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// What four bytes make 128 KiB of is read up to the limit and no further, whether it is a
// file's content or zeros after the end of the archive.
func TestTheSizeIsBounded(t *testing.T) {
	zeros := bytes.Repeat(block([]byte{0}, true), 60000) // 7.3 GiB
	for what, first := range map[string][]byte{"zeros": entry("TRAILER!!!", 0), "a file": entry("file", 1<<32-1)} {
		in := &counting{r: bytes.NewReader(bytes.Join([][]byte{frame(10), block(first, false), zeros}, nil))}
		f := &finder{match: crypttab, left: 32 << 20}
		if err := f.segments(bufio.NewReaderSize(in, 4096)); err == nil || !strings.Contains(err.Error(), "too large") {
			t.Errorf("%s: %v", what, err)
		}
		if in.n > 8192 {
			t.Errorf("%s: %d bytes were read, where %d make 32 MiB", what, in.n, 32<<20/(128<<10)*4)
		}
	}
}

// However large a window is, and however many there are, one is held at a time.
func TestTheMemoryIsBounded(t *testing.T) {
	var all []byte
	for exponent := byte(12); exponent <= 17; exponent++ {
		for range 2 {
			all = append(all, frame(exponent)...)
			if exponent == 12 && len(all) < 10 {
				all = append(all, block(entry("TRAILER!!!", 0), false)...)
			}
			for range (5<<exponent>>2)>>7 + 40 { // more than is kept
				all = append(all, block([]byte{0}, true)...)
			}
			all = append(all, 1, 0, 0) // the last block
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Find(bytes.NewReader(all), crypttab); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := int64(after.HeapSys-before.HeapSys) >> 20; n > 190 {
		t.Errorf("%d MiB for a window of 128", n)
	}
	if n := int64(after.HeapInuse) >> 20; n > 20 {
		t.Errorf("%d MiB are held when it is done", n)
	}
}
