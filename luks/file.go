package luks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioAlign is the alignment, in bytes, that O_DIRECT needs at most: no disk has
// larger logical blocks.
const ioAlign = 4096

// file is a block device, an image file, or a window in either.
type file struct {
	f      *os.File
	base   int64 // the window's start
	size   int64
	block  int // logical block size
	direct bool

	// partly is held while a write that does not cover whole blocks reads and replaces
	// them: another one may share a block with it.
	partly sync.Mutex
}

// openFile opens path. A block device is opened exclusively, which the kernel
// refuses while it is mounted or mapped.
func openFile(path string, offset, size int64, readOnly bool) (*file, error) {
	mode := unix.O_RDWR
	if readOnly {
		mode = unix.O_RDONLY
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	isBlock := st.Mode&unix.S_IFMT == unix.S_IFBLK
	if isBlock && !readOnly {
		mode |= unix.O_EXCL
	}
	if !isBlock && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s: %w", path, unsupported("neither a block device nor a regular file"))
	}
	if !isBlock && !readOnly {
		if dev := loopOver(path); dev != "" {
			return nil, fmt.Errorf("%w: %s is attached to %s", ErrInUse, path, dev)
		}
	}
	direct := true
	fd, err := unix.Open(path, mode|unix.O_CLOEXEC|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) { // a file system without direct I/O
		direct = false
		fd, err = unix.Open(path, mode|unix.O_CLOEXEC, 0)
	}
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w: %s is mounted, mapped or held by another program", ErrInUse, path)
	}
	if errors.Is(err, unix.EROFS) || isBlock && !readOnly && errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("%w: %s", ErrWriteProtected, path)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := &file{f: os.NewFile(uintptr(fd), path), base: offset, direct: direct}
	if err := f.measure(isBlock, int(st.Blksize), size); err != nil {
		f.f.Close()
		return nil, err
	}
	return f, nil
}

func (f *file) measure(isBlock bool, fsBlock int, size int64) error {
	whole, err := f.f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if whole == 0 { // a loop device or card reader with nothing in it
		return fmt.Errorf("%s is empty: %w", f.f.Name(), ErrNotLUKS)
	}
	f.size = size
	if size == 0 {
		f.size = whole - f.base
	}
	if f.base < 0 || f.size <= 0 || f.base > whole-f.size {
		return fmt.Errorf("%w: %s has %d bytes, the window is %d bytes at %d", ErrTooSmall, f.f.Name(), whole, f.size, f.base)
	}
	if isBlock {
		if f.block, err = unix.IoctlGetInt(int(f.f.Fd()), unix.BLKSSZGET); err != nil {
			return fmt.Errorf("%s: logical block size: %w", f.f.Name(), err)
		}
	} else {
		f.block = min(max(fsBlock, 512), ioAlign)
	}
	// An odd window or length makes the block smaller, never I/O unaligned.
	for f.block > 512 && (f.base%int64(f.block) != 0 || f.size%int64(f.block) != 0) && !isBlock {
		f.block /= 2
	}
	return nil
}

func (f *file) Size() int64    { return f.size }
func (f *file) BlockSize() int { return f.block }
func (f *file) Close() error   { return f.f.Close() }

func (f *file) ReadAt(p []byte, off int64) error {
	if off < 0 || int64(len(p)) > f.size-off {
		return &IOError{"read", "", off, len(p), io.ErrUnexpectedEOF}
	}
	if err := f.aligned(p, off, f.pread, false); err != nil {
		return &IOError{"read", "", off, len(p), err}
	}
	return nil
}

// NextData makes a file holey. What cannot say, a block device, has data everywhere.
func (f *file) NextData(off int64) int64 {
	pos, err := unix.Seek(int(f.f.Fd()), f.base+off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return f.size
	case err != nil:
		return off
	}
	return min(pos-f.base, f.size)
}

func (f *file) WriteAt(name string, p []byte, off int64) error {
	if off < 0 || int64(len(p)) > f.size-off {
		return &IOError{"write", name, off, len(p), io.ErrShortWrite}
	}
	if err := f.aligned(p, off, f.pwrite, true); err != nil {
		return &IOError{"write", name, off, len(p), err}
	}
	return nil
}

func (f *file) Sync(name string) error {
	for {
		err := unix.Fdatasync(int(f.f.Fd()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &IOError{Op: "flush", Name: name, Err: err}
		}
		return nil
	}
}

// aligned runs op on p, through a bounce buffer if direct I/O could not take p as
// it is. A write that does not cover whole blocks reads them first; the callers
// make no such write to a disk whose blocks matter.
func (f *file) aligned(p []byte, off int64, op func([]byte, int64) error, write bool) error {
	if len(p) == 0 {
		return nil
	}
	unit := int64(f.block)
	pos := f.base + off
	whole := pos%unit == 0 && int64(len(p))%unit == 0
	if !f.direct || whole && uintptr(unsafe.Pointer(unsafe.SliceData(p)))%ioAlign == 0 {
		return op(p, pos)
	}
	start, end := roundDown(pos, unit), roundUp(pos+int64(len(p)), unit)
	b, err := newBuffer(int(end - start))
	if err != nil {
		return err
	}
	defer b.free()
	if write && !whole {
		f.partly.Lock()
		defer f.partly.Unlock()
	}
	if !write || !whole {
		if err := f.pread(b.mem[:end-start], start); err != nil {
			return err
		}
	}
	if !write {
		copy(p, b.mem[pos-start:])
		return nil
	}
	copy(b.mem[pos-start:], p)
	return op(b.mem[:end-start], start)
}

func (f *file) pread(p []byte, pos int64) error {
	for len(p) > 0 {
		n, err := unix.Pread(int(f.f.Fd()), p, pos)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		p, pos = p[n:], pos+int64(n)
	}
	return nil
}

func (f *file) pwrite(p []byte, pos int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(int(f.f.Fd()), p, pos)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		p, pos = p[n:], pos+int64(n)
	}
	return nil
}

// buffer is page-aligned memory outside the Go heap: direct I/O needs the
// alignment, and the garbage collector would double the footprint.
type buffer struct{ mem []byte }

func newBuffer(n int) (*buffer, error) {
	mem, err := unix.Mmap(-1, 0, max(n, 1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, &MemoryError{Slot: -1, Need: int64(n), Have: memAvailable()}
	}
	_ = unix.Madvise(mem, unix.MADV_DONTDUMP) // plaintext passes through
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // direct I/O pins every page
	return &buffer{mem}, nil
}

// free wipes and returns the memory.
func (b *buffer) free() {
	if b != nil && b.mem != nil {
		clear(b.mem)
		_ = unix.Munmap(b.mem)
		b.mem = nil
	}
}

// loopOver names the loop device that an image file is attached to, if any.
func loopOver(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return ""
	}
	entries, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, e := range entries {
		if b, err := os.ReadFile(e); err == nil && strings.TrimSuffix(string(b), "\n") == real {
			return "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(e)))
		}
	}
	return ""
}
