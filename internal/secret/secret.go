package secret

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MaxLen is the largest secret this package holds, in bytes. A keyslot's
// anti-forensic material is larger than any passphrase and fits.
const MaxLen = 16 << 20

// ErrTooLong says that an input holds more bytes than the caller allowed.
var ErrTooLong = errors.New("secret is too long")

const redacted = "[secret]"

// A Buffer is a secret of fixed capacity in locked memory. The zero value is an
// empty secret. A Buffer must not be copied; pass a pointer.
type Buffer struct {
	mem []byte // whole mapping
	n   int    // bytes in use
}

// New returns a Buffer of n zero bytes. It panics when n is negative, above
// MaxLen, or when the kernel has no memory left: no caller can go on without.
func New(n int) *Buffer {
	if n < 0 || n > MaxLen {
		panic(fmt.Sprintf("secret: length %d out of range", n))
	}
	b := &Buffer{n: n}
	if n == 0 {
		return b
	}
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("secret: mmap of %d bytes: %v", n, err))
	}
	// Both calls are best effort: an initrd has no swap, and a user who runs the
	// tool on a desktop may have a small RLIMIT_MEMLOCK.
	_ = unix.Mlock(mem)
	_ = unix.Madvise(mem, unix.MADV_DONTDUMP)
	b.mem = mem
	live.Add(1)
	return b
}

// live counts the Buffers that hold memory.
var live atomic.Int64

// Live is how many Buffers have not been wiped. Tests ask it at the end of a run, when
// there must be none.
func Live() int64 { return live.Load() }

// From moves p into a new Buffer: p is wiped.
func From(p []byte) *Buffer {
	b := New(len(p))
	copy(b.mem, p)
	Zero(p)
	return b
}

// Copy returns a new Buffer with the same bytes; b is unchanged.
func (b *Buffer) Copy() *Buffer {
	c := New(b.Len())
	copy(c.mem, b.Bytes())
	return c
}

// Random returns n bytes from the kernel's random generator.
func Random(n int) *Buffer {
	b := New(n)
	if _, err := rand.Read(b.Bytes()); err != nil {
		panic("secret: no random bytes: " + err.Error())
	}
	return b
}

// Read reads all of r, at most max bytes, or returns ErrTooLong.
func Read(r io.Reader, max int) (*Buffer, error) {
	b := New(max + 1)
	n, err := io.ReadFull(r, b.mem)
	if err == nil {
		b.Wipe()
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLong, max)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		b.Wipe()
		return nil, err
	}
	b.n = n
	return b, nil
}

// Bytes returns the secret itself. The slice is valid until Wipe. There is no
// finalizer: a Buffer that nobody refers to any more must not take the memory from
// under a slice of it that a library still holds. Who forgets to wipe leaks a page
// until the process ends.
func (b *Buffer) Bytes() []byte {
	if b == nil {
		return nil
	}
	return b.mem[:b.n:b.n]
}

// Len returns the number of bytes.
func (b *Buffer) Len() int {
	if b == nil {
		return 0
	}
	return b.n
}

// Cap returns how many bytes the Buffer can hold (see SetLen).
func (b *Buffer) Cap() int {
	if b == nil {
		return 0
	}
	return len(b.mem)
}

// SetLen changes the length within the capacity; bytes that fall out are wiped.
func (b *Buffer) SetLen(n int) {
	if n < 0 || n > len(b.mem) {
		panic("secret: length out of range")
	}
	Zero(b.mem[n:])
	b.n = n
}

// Equal compares in constant time (for equal lengths).
func (b *Buffer) Equal(o *Buffer) bool {
	return subtle.ConstantTimeCompare(b.Bytes(), o.Bytes()) == 1
}

// Wipe clears and frees the memory. It may be called more than once, and on nil.
func (b *Buffer) Wipe() {
	if b == nil || b.mem == nil {
		return
	}
	Zero(b.mem)
	_ = unix.Munmap(b.mem)
	b.mem, b.n = nil, 0
	live.Add(-1)
}

// Zero clears p.
func Zero(p []byte) {
	clear(p)
	runtime.KeepAlive(&p)
}

// Format, MarshalText and MarshalJSON never show the secret.
func (b *Buffer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText implements encoding.TextMarshaler.
func (b *Buffer) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements json.Marshaler.
func (b *Buffer) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
