package vm

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// TestWriteLog reads a log made by hand.
func TestWriteLog(t *testing.T) {
	le := binary.LittleEndian
	sector := func(words ...uint64) []byte {
		var b []byte
		for _, w := range words {
			b = le.AppendUint64(b, w)
		}
		return append(b, make([]byte, 512-len(b))...)
	}
	data := func(c byte) []byte { return bytes.Repeat([]byte{c}, 512) }
	var raw []byte
	for _, p := range [][]byte{
		sector(logMagic, 1, 0, 512),
		sector(0, 1, 0, 512), data('a'),
		sector(0, 0, 1, 0),
		sector(0, 1, 0, 512), data('b'),
		sector(1, 1, 2, 512), data('c'),
		sector(2, 1, 0, 512), data('d')[:100], // cut off
	} {
		raw = append(raw, p...)
	}
	name := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := OpenWriteLog(name)
	if err != nil || len(l.Entries) != 4 {
		t.Fatalf("%v %+v", err, l)
	}
	defer l.Close()
	image := filepath.Join(t.TempDir(), "image")
	for _, c := range []struct {
		n    int
		loss Loss
		want string
		lost int
	}{{0, Lost, "..", 0}, {2, Lost, "a.", 0}, {3, Lost, "a.", 1}, {3, Kept, "b.", 0}, {4, Lost, "ac", 1},
		{4, Kept, "bc", 0}} {
		f, err := os.Create(image)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(append(data('.'), data('.')...)); err != nil {
			t.Fatal(err)
		}
		lost, err := l.Crash(f, c.n, c.loss, nil)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		got, _ := os.ReadFile(image)
		if string([]byte{got[0], got[512]}) != c.want || lost != c.lost {
			t.Errorf("after %d requests, unflushed ones %v: %c%c, %d lost, want %s, %d", c.n, c.loss, got[0], got[512], lost,
				c.want, c.lost)
		}
	}
	if n := l.Before(int64(len(raw)) - 600); n != 4 {
		t.Errorf("%d requests before the last, want 4", n)
	}
	if err := os.WriteFile(name, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenWriteLog(name); err == nil {
		t.Error("zeros are no log")
	}
}
