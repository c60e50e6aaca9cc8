// Package initrd finds files in a Linux initrd: cpio archives in the kernel's form, one
// after the other, the last of which may be compressed. Processor microcode comes first
// in such a row. It streams, bounds what it takes, and believes nothing: somebody who can
// write to /boot makes the initrd.
//
// It reads what Heads' unpack_initramfs.sh reads, and no more: a system that Heads cannot
// read shall not be told that it can. Where a kernel would see more than Heads does,
// because something follows the compressed part, it says so instead of leaving that out.
package initrd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"reown/internal/unpack"
)

// ErrUnreadable says that an initrd is not one, or is made in a way that is not read here.
var ErrUnreadable = errors.New("the initrd cannot be read")

// A File is a regular file of an initrd.
type File struct {
	Path string // absolute, without dots
	Data []byte
}

// Limits, far above what is real.
const (
	maxName  = 4096
	maxFile  = 64 << 10 // of a file that is looked for
	maxFound = 64
	maxBytes = 2 << 30 // of it, and decompressed
)

// Find returns the regular files with a path that match accepts, in the order in which
// they are stored. Links to them are no files.
func Find(r io.Reader, match func(path string) bool) ([]File, error) {
	defer debug.FreeOSMemory() // a window is large, and the next initrd has its own
	f := &finder{match: match, left: maxBytes}
	if err := f.segments(f.reader(r)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return f.found, nil
}

type finder struct {
	match   func(string) bool
	found   []File
	others  []string        // paths that match and are no regular files
	waiting map[inode][]int // links to what has not come yet
	left    int64
}

// limited reads what the finder may still read.
type limited struct {
	io.Reader
	f *finder
}

func (l limited) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if l.f.left -= int64(n); l.f.left < 0 {
		return 0, errors.New("it is too large")
	}
	return n, err
}

func (f *finder) reader(r io.Reader) *bufio.Reader {
	return bufio.NewReaderSize(limited{r, f}, 64<<10)
}

type inode struct{ ino, major, minor uint64 }

func (f *finder) segments(r *bufio.Reader) error {
	for any := false; ; any = true {
		if err := zeros(r); errors.Is(err, io.EOF) && any {
			break
		} else if err != nil {
			return unexpected(err)
		}
		magic, err := r.Peek(6)
		if err != nil {
			return unexpected(err)
		}
		var u io.Reader
		switch {
		case isCPIO(magic):
			if err := f.archive(r); err != nil {
				return err
			}
			continue
		case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
			if u, err = unpack.Gzip(r); err != nil {
				return err
			}
		case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
			u = unpack.XZ(r)
		case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
			u = unpack.Zstd(r)
		default:
			return fmt.Errorf("a part that begins with %x is nothing that Heads reads", magic)
		}
		inner := f.reader(u)
		if err := f.archive(inner); err != nil {
			return err
		}
		for _, rest := range []*bufio.Reader{inner, r} {
			if err := zeros(rest); err == nil {
				return errors.New("something follows its compressed part, which Heads does not see")
			} else if !errors.Is(err, io.EOF) {
				return err
			}
		}
		break
	}
	for _, w := range f.waiting {
		return fmt.Errorf("%s is a link to a file that is not there", f.found[w[0]].Path)
	}
	return nil
}

// zeros skips zeros; io.EOF says that nothing else was left.
func zeros(r *bufio.Reader) error {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return r.UnreadByte()
		}
	}
}

func isCPIO(magic []byte) bool {
	return bytes.Equal(magic, []byte("070701")) || bytes.Equal(magic, []byte("070702"))
}

const headerSize = 110

// archive reads one cpio archive to its end mark.
func (f *finder) archive(r *bufio.Reader) error {
	var b [headerSize]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return unexpected(err)
		}
		if !isCPIO(b[:6]) {
			return errors.New("an archive has no end")
		}
		// inode, mode, owner, group, links, time, size, device (2), device named (2), length of the name, sum
		var v [13]uint64
		for i := range v {
			var err error
			if v[i], err = strconv.ParseUint(string(b[6+8*i:14+8*i]), 16, 32); err != nil {
				return errors.New("a number in an archive is none")
			}
		}
		mode, links, size, length := v[1], v[4], int64(v[6]), int64(v[11])
		if length < 2 || length > maxName {
			return fmt.Errorf("a name of %d bytes in an archive", length)
		}
		name := make([]byte, length+(-(headerSize+length)&3))
		if _, err := io.ReadFull(r, name); err != nil {
			return unexpected(err)
		}
		name = name[:length]
		if bytes.IndexByte(name, 0) != len(name)-1 {
			return errors.New("a name in an archive does not end")
		}
		name = name[:length-1]
		if string(name) == "TRAILER!!!" {
			return nil // even with a size: there is nothing after it for Heads
		}
		if slices.Contains(strings.Split(string(name), "/"), "..") {
			return fmt.Errorf("a name that leads out of it: %q", name)
		}
		data, err := f.entry(path.Clean("/"+string(name)), mode, links, inode{v[0], v[7], v[8]}, size)
		if err != nil {
			return err
		}
		if data != nil {
			_, err = io.ReadFull(r, data)
		} else {
			_, err = io.CopyN(io.Discard, r, size)
		}
		if err != nil {
			return unexpected(err)
		}
		if _, err := r.Discard(int(-size & 3)); err != nil {
			return unexpected(err)
		}
		if err := f.once(); err != nil {
			return err
		}
	}
}

// entry says where the data of an entry goes; nil: nobody needs it.
func (f *finder) entry(p string, mode, links uint64, id inode, size int64) ([]byte, error) {
	regular := mode&0o170000 == 0o100000
	var to []int
	if regular && links > 1 && size > 0 {
		to = f.waiting[id]
		delete(f.waiting, id)
	}
	if f.match(p) && mode&0o170000 != 0o040000 {
		if len(f.found)+len(f.others) >= maxFound {
			return nil, errors.New("too many files of the name that is looked for")
		}
		if regular && slices.Contains(f.others, p) || !regular &&
			slices.ContainsFunc(f.found, func(e File) bool { return e.Path == p }) {
			return nil, fmt.Errorf("%s is there in two forms", p)
		}
		if !regular {
			f.others = append(f.others, p)
			return nil, nil
		}
		f.found = append(f.found, File{Path: p})
		i := len(f.found) - 1
		if links > 1 && size == 0 {
			if f.waiting == nil {
				f.waiting = make(map[inode][]int)
			}
			f.waiting[id] = append(f.waiting[id], i)
			return nil, nil
		}
		to = append(to, i)
	}
	if to == nil {
		return nil, nil
	}
	if size > maxFile {
		return nil, fmt.Errorf("%s is too large", f.found[to[0]].Path)
	}
	data := make([]byte, size)
	for _, i := range to {
		f.found[i].Data = data
	}
	return data, nil
}

// once removes the second of two that are the same. Of two that differ the kernel takes
// the last and Heads, by their times, perhaps the first.
func (f *finder) once() error {
	n := len(f.found) - 1
	if n < 0 {
		return nil
	}
	last := f.found[n]
	for _, e := range f.found[:n] {
		if e.Path != last.Path {
			continue
		}
		if len(f.waiting) > 0 || !bytes.Equal(e.Data, last.Data) {
			return fmt.Errorf("%s is there twice", last.Path)
		}
		f.found = f.found[:n]
		return nil
	}
	return nil
}

// unexpected makes of an end within an archive what it is.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
