package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"unicode/utf16"

	"golang.org/x/sys/unix"
)

// A Hit is a place in the guest's memory where a secret stands.
type Hit struct {
	Secret string // its name
	Form   string // one of Forms
	At     int64  // physical address
	Around []byte // some bytes before and after
}

// Forms are the ways in which a secret is looked for. Text lies in memory as it is; as
// a program with wide characters has it; as the kernel's virtual console keeps it for
// /dev/vcsu (UTF-32); and as it keeps it for drawing, each character beside its colour
// (cells). Binary secrets are looked for as they are.
var Forms = []string{"text", "UTF-16", "UTF-32", "cells", "binary"}

// forms returns what a text looks like in the first three of Forms.
func forms(s []byte) map[string][]byte {
	wide, wider := []byte{}, []byte{}
	for _, u := range utf16.Encode([]rune(string(s))) {
		wide = binary.LittleEndian.AppendUint16(wide, u)
	}
	for _, r := range string(s) {
		wider = binary.LittleEndian.AppendUint32(wider, uint32(r))
	}
	return map[string][]byte{"text": s, "UTF-16": wide, "UTF-32": wider}
}

// SearchMemory stops the guest and looks for secrets in all of its RAM: texts in
// every form, binary ones as they are. limit bounds the hits of one form.
func (m *Machine) SearchMemory(text map[string]string, raw map[string][]byte, limit int) ([]Hit, error) {
	if err := m.QMP.Do("stop", nil, nil); err != nil {
		return nil, err
	}
	file := filepath.Join(m.dir, "ram")
	defer os.Remove(file)
	if err := m.QMP.Memory(file, memory); err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ram, err := unix.Mmap(int(f.Fd()), 0, memory, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("mapping the memory dump: %w", err)
	}
	defer func() { _ = unix.Munmap(ram) }()
	return search(ram, text, raw, limit), nil
}

// search is SearchMemory on a dump.
func search(ram []byte, text map[string]string, raw map[string][]byte, limit int) []Hit {
	var hits []Hit
	find := func(name, form string, s []byte) {
		for at, n := 0, 0; n < limit; n++ {
			i := bytes.Index(ram[at:], s)
			if i < 0 {
				return
			}
			at += i
			hits = append(hits, Hit{name, form, int64(at), bytes.Clone(ram[max(0, at-64):min(len(ram), at+len(s)+64)])})
			at += len(s)
		}
	}
	for name, s := range text {
		for form, p := range forms([]byte(s)) {
			find(name, form, p)
		}
	}
	for name, s := range raw {
		find(name, "binary", s)
	}
	// Every second byte, chunk by chunk with an overlap.
	const chunk, longest = 16 << 20, 1 << 10
	plane := make([]byte, chunk/2+longest)
	for at := 0; at < len(ram); at += chunk {
		for odd := range 2 {
			n := 0
			for i := at + odd; i < len(ram) && n < len(plane); i += 2 {
				plane[n] = ram[i]
				n++
			}
			for name, s := range text {
				if i := bytes.Index(plane[:n], []byte(s)); i >= 0 && i < chunk/2 {
					where := at + odd + 2*i
					if bytes.HasPrefix(ram[where:], forms([]byte(s))["UTF-16"]) {
						continue // found above
					}
					hits = append(hits, Hit{name, "cells", int64(where),
						bytes.Clone(ram[max(0, where-64):min(len(ram), where+2*len(s)+64)])})
				}
			}
		}
	}
	return hits
}
