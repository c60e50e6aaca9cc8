package flash

import (
	"context"
	"errors"
	"strings"

	"reown/internal/rom"
)

// Errors that decide what a caller does next.
var (
	// ErrUnstable says that two readings of the chip differ. Nothing was written.
	ErrUnstable = errors.New("two readings of the flash chip differ")
	// ErrChanged says that the chip no longer holds the image the plan was made
	// from. Nothing was written.
	ErrChanged = errors.New("the flash chip holds another image than expected")
	// ErrRestored says that writing failed and that the chip has been put back:
	// it holds the old image, read back and compared.
	ErrRestored = errors.New("writing the firmware failed; the old firmware is back")
	// ErrDamaged says that the chip holds neither the new nor the old image and
	// could not be repaired. The machine must not be switched off.
	ErrDamaged = errors.New("the flash chip holds a damaged image")
	// ErrLocked says that the chip, or its controller, refuses to be written.
	ErrLocked = errors.New("the flash chip is write-protected")
	// ErrNoProgram says that no flash program is known for this board.
	ErrNoProgram = errors.New("no flash program is set for this board")
)

// A Backend reads and writes one flash chip.
type Backend interface {
	// Read returns the whole chip.
	Read(ctx context.Context, progress func(done, total int64)) ([]byte, error)
	// Write makes the given stretches of the chip, whole erase blocks, equal to
	// those of image, and leaves all else alone. An error says nothing about
	// what the chip holds now; only Read tells.
	Write(ctx context.Context, image []byte, runs []rom.Range, progress func(done, total int64)) error
	// String names the backend for a person.
	String() string
}

// Open returns the backend that a specification names: "file:PATH", "mtd:PATH",
// or a flash program with its options as in Heads' CONFIG_FLASH_OPTIONS. An empty
// one, and "none", is ErrNoProgram.
func Open(spec string) (Backend, error) {
	if path, ok := strings.CutPrefix(spec, "file:"); ok {
		return opened(OpenFile(path))
	}
	if path, ok := strings.CutPrefix(spec, "mtd:"); ok {
		return opened(OpenMTD(path))
	}
	if spec == "none" {
		spec = ""
	}
	p, err := NewProgram(spec)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// opened keeps a nil *NOR from becoming a Backend that is not nil.
func opened(n *NOR, err error) (Backend, error) {
	if err != nil {
		return nil, err
	}
	return n, nil
}

// A Device is a NOR flash chip at the level of erase and program. Both kinds of
// write carry a name, such as "erase 0x006b2000", by which tests can fail or cut
// exactly one of them.
type Device interface {
	// Size returns the number of bytes.
	Size() int64
	// EraseSize returns the erase block in bytes.
	EraseSize() int64
	ReadAt(p []byte, off int64) (int, error)
	// Erase sets one erase block to 0xff.
	Erase(name string, off int64) error
	// Program clears bits in at most one page of PageSize bytes.
	Program(name string, off int64, p []byte) error
	// Sync returns when all writes have reached the chip.
	Sync() error
}

// PageSize is the most that one program step writes, in bytes.
const PageSize = 256
