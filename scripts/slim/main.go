// Slim takes out of a linked Go program what only a traceback's lines need: names of functions and
// files, line numbers, and the values of arguments; the build ID; and the places where a signal may stop a
// goroutine, which patches/std/preempt.patch leaves without use. A traceback then has the distance of
// each call from the beginning of the code (patches/std/traceback.patch). "slim lines" finds names and lines
// again, with the program from before.
//
// Nothing moves: what nothing refers to any more becomes zeros, which cost nothing once
// packed. What the runtime itself reads at run time (stack frames, pointer maps, bounds)
// stays as it was. The layout is that of one Go release; any other is refused.
//
// usage: slim IN OUT
//
//	slim lines IN <traceback
package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strings"
)

// The pclntab of Go 1.20 and later (internal/abi/symtab.go, runtime/symtab.go).
const (
	magic       = 0xfffffff1
	headerLen   = 8 + 8*8
	funcLen     = 44 // of runtime._func, before the offsets of pcdata and funcdata
	noData      = ^uint32(0)
	unsafePoint = 0 // PCDATA_UnsafePoint
	argLive     = 3 // PCDATA_ArgLiveIndex
	argInfo     = 5 // FUNCDATA_ArgInfo
	argLiveInfo = 6 // FUNCDATA_ArgLiveInfo

	// Fields of runtime.moduledata.
	modText, modGofunc, modEpclntab = 176, 320, 328
)

// nameless is what every function is called whose name nobody asks for: a method's, since the runtime
// looks for the parts of one where a value's method is called through a nil pointer.
const nameless = "reown.(*code).at"

// stopper is the runtime's function that stops a goroutine anywhere; it reads what is taken out here.
const stopper = "runtime.doSigPreempt"

// Names with these beginnings decide something in the runtime: whether a goroutine is the system's, and
// where reflection's stubs have their arguments.
var keptNames = []string{"runtime.", "internal/runtime/", "reflect.makeFuncStub", "reflect.methodValueCall"}

var (
	errLayout = errors.New("this is not the layout that this program knows")
	errStops  = errors.New("the program stops goroutines anywhere: it was built without patches/std/preempt.patch")
)

var le = binary.LittleEndian

// A table is the pclntab of a program, and go:func.*, the function data that it points to.
type table struct {
	pcln, gofunc                  []byte
	nfunc                         int
	names, cus, files, pcs, funcs int // where the parts begin
}

// open finds the tables in the bytes of an ELF file; they share its memory.
func open(file []byte) (*table, error) {
	e, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	if e.Class != elf.ELFCLASS64 || e.Data != elf.ELFDATA2LSB {
		return nil, errLayout
	}
	part := func(name string) ([]byte, uint64, error) {
		s := e.Section(name)
		if s == nil || s.Type != elf.SHT_PROGBITS || s.Offset+s.Size > uint64(len(file)) {
			return nil, 0, fmt.Errorf("section %s: %w", name, errLayout)
		}
		return file[s.Offset : s.Offset+s.Size], s.Addr, nil
	}
	t := &table{}
	var at, textAt uint64
	var mod []byte
	if t.pcln, at, err = part(".gopclntab"); err != nil {
		return nil, err
	}
	if mod, _, err = part(".go.module"); err != nil {
		return nil, err
	}
	if _, textAt, err = part(".text"); err != nil {
		return nil, err
	}
	if len(t.pcln) < headerLen || len(mod) < modEpclntab+8 || le.Uint32(t.pcln) != magic || t.pcln[7] != 8 {
		return nil, errLayout
	}
	word := func(i int) int { return int(le.Uint64(t.pcln[8*i:])) }
	t.nfunc, t.names, t.cus, t.files, t.pcs, t.funcs = word(1), word(4), word(5), word(6), word(7), word(8)
	inOrder := sort.IntsAreSorted([]int{headerLen, t.names, t.cus, t.files, t.pcs, t.funcs, len(t.pcln)})
	gofunc := le.Uint64(mod[modGofunc:])
	if !inOrder || t.nfunc < 0 || t.funcs+8*t.nfunc > len(t.pcln) || le.Uint64(mod) != at ||
		le.Uint64(mod[modText:]) != textAt || le.Uint64(mod[modEpclntab:]) != at+uint64(len(t.pcln)) ||
		gofunc < at+uint64(t.funcs) || gofunc > at+uint64(len(t.pcln)) {
		return nil, errLayout
	}
	t.gofunc = t.pcln[gofunc-at:]
	return t, nil
}

// each calls do with each runtime._func and the pcdata and funcdata offsets behind it.
func (t *table) each(do func(f, pcdata, funcdata []byte) error) error {
	for i := range t.nfunc {
		at := t.funcs + int(le.Uint32(t.pcln[t.funcs+8*i+4:]))
		if at+funcLen > len(t.pcln) {
			return errLayout
		}
		f := t.pcln[at:]
		npc, nfd := int(le.Uint32(f[28:])), int(f[43])
		if npc > 16 || nfd > 16 || funcLen+4*(npc+nfd) > len(f) {
			return errLayout
		}
		end := funcLen + 4*npc
		if err := do(f[:funcLen], f[funcLen:end], f[end:end+4*nfd]); err != nil {
			return err
		}
	}
	return nil
}

// A pool says which of the tables that begin at an offset are still needed.
type pool map[uint32]bool

func (p pool) add(offset uint32, needed bool) { p[offset] = p[offset] || needed }

// clear makes zeros of what is not needed.
func (p pool) clear(data []byte) error {
	var at []int
	for o := range p {
		at = append(at, int(o))
	}
	sort.Ints(at)
	if len(at) > 0 && at[len(at)-1] > len(data) {
		return errLayout
	}
	for i, o := range at {
		// The last one has no known end.
		if !p[uint32(o)] && i+1 < len(at) {
			clear(data[o:at[i+1]])
		}
	}
	return nil
}

// slim changes the file in place.
func slim(file []byte) error {
	t, err := open(file)
	if err != nil {
		return err
	}
	if err := t.forgetNames(); err != nil {
		return err
	}
	pcs, data := pool{0: true}, pool{}
	err = t.each(func(f, pcdata, funcdata []byte) error {
		pcs.add(le.Uint32(f[16:]), true)      // pcsp
		for _, field := range []int{20, 24} { // pcfile, pcln; 0: there is none
			pcs.add(le.Uint32(f[field:]), false)
			le.PutUint32(f[field:], 0)
		}
		le.PutUint32(f[32:], 0) // cuOffset
		le.PutUint32(f[36:], 0) // startLine
		for i := 0; 4*i < len(pcdata); i++ {
			gone := i == unsafePoint || i == argLive
			pcs.add(le.Uint32(pcdata[4*i:]), !gone)
			if gone {
				le.PutUint32(pcdata[4*i:], 0)
			}
		}
		for i := 0; 4*i < len(funcdata); i++ {
			o := le.Uint32(funcdata[4*i:])
			if o == noData {
				continue
			}
			gone := i == argInfo || i == argLiveInfo
			data.add(o, !gone)
			if gone {
				le.PutUint32(funcdata[4*i:], noData)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	clear(t.pcln[t.cus:t.pcs]) // names of files
	if err := clearBuildIDs(file); err != nil {
		return err
	}
	if err := pcs.clear(t.pcln[t.pcs:t.funcs]); err != nil {
		return err
	}
	return data.clear(t.gofunc)
}

// forgetNames gives all functions one name, but those that the runtime knows by theirs.
func (t *table) forgetNames() error {
	names := t.pcln[t.names:t.cus]
	gone := map[uint32]int{} // where a name begins, and its length
	var users [][]byte
	err := t.each(func(f, _, _ []byte) error {
		at := le.Uint32(f[4:])
		if int(at) >= len(names) {
			return errLayout
		}
		n := bytes.IndexByte(names[at:], 0)
		if n < 0 {
			return errLayout
		}
		name := string(names[at:][:n])
		if name == stopper {
			return errStops
		}
		if !slices.ContainsFunc(keptNames, func(k string) bool { return strings.HasPrefix(name, k) }) {
			gone[at], users = n, append(users, f[4:8])
		}
		return nil
	})
	if err != nil {
		return err
	}
	place, found := uint32(0), false
	for at, n := range gone {
		clear(names[at:][:n])
		if at > 0 && n >= len(nameless) && (!found || at < place) { // 0: it has none
			place, found = at, true
		}
	}
	if !found {
		return errLayout
	}
	copy(names[place:], nameless)
	for _, u := range users {
		le.PutUint32(u, place)
	}
	return nil
}

// clearBuildIDs takes out the sums by which the go tool knows what it need not link again:
// they depend on the folder. Each is the content of a note.
func clearBuildIDs(file []byte) error {
	e, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return err
	}
	for _, s := range e.Sections {
		if s.Type != elf.SHT_NOTE {
			continue
		}
		if s.Size < 12 || s.Offset+s.Size > uint64(len(file)) {
			return errLayout
		}
		note := file[s.Offset : s.Offset+s.Size]
		at := 12 + (uint64(le.Uint32(note))+3)&^3
		if at > s.Size {
			return errLayout
		}
		clear(note[at:])
	}
	return nil
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("usage: slim IN OUT, or slim lines IN <traceback")
	}
	if args[0] == "lines" {
		return lines(args[1], in, out)
	}
	file, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	if err := slim(file); err != nil {
		return err
	}
	// Somebody who runs the old one goes on with it.
	tmp := args[1] + ".new"
	if err := os.WriteFile(tmp, file, 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, args[1])
}

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "slim:", err)
		os.Exit(1)
	}
}
