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
	Form   string // "text", "UTF-16", "UTF-32", "binary"
	At     int64  // physical address
	Around []byte // some bytes before and after
}

// forms are the ways in which a secret may lie in memory: as it is, as a program
// with wide characters has it, and as the kernel's virtual console keeps it.
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
	return hits, nil
}
