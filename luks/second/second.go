// Package second opens a LUKS volume with code that shares nothing with package luks:
// github.com/anatol/luks.go. What it says is a second opinion: that the owner's passphrase
// opens the volume that was written, and that its key is the one that was meant.
//
// It reads only, from the header at the start of a device; a volume in re-encryption and a
// cipher other than XTS it cannot open. It cannot be interrupted.
package second

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"

	luksgo "github.com/anatol/luks.go"
	"golang.org/x/sys/unix"

	"reown/internal/secret"
	"reown/luks"
)

// one keeps the Argon2 of several volumes from running at once.
var one sync.Mutex

// ErrDiffers: the second reader opens the volume, and finds another key in it.
var ErrDiffers = errors.New("the second reader finds another volume key")

// ErrCannot: the second reader does not open the volume. The error it wraps says why.
var ErrCannot = errors.New("the second reader does not open the volume")

// Open opens the volume on path with pass and compares its key with a mark that package
// luks has made with salt (luks.Volume.Mark). offset and size choose a window of path in
// bytes; size 0 reaches to the end. slot is the keyslot that pass opens (luks.Volume.Unlock,
// which also refuses a key derivation that takes too long: ask it first).
func Open(ctx context.Context, path string, offset, size int64, slot int, pass *secret.Buffer, salt []byte,
	want luks.Mark) error {
	one.Lock()
	defer one.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	dev, err := device(path, offset, size)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannot, err)
	}
	defer dev.Close()
	v, err := dev.UnsealVolume(slot, pass.Bytes())
	if errors.Is(err, luksgo.ErrPassphraseDoesNotMatch) {
		err = luks.ErrWrongPassphrase
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannot, err)
	}
	got, err := v.HMAC(crypto.SHA256, luks.MarkMessage(salt))
	wipe(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannot, err)
	}
	if !want.Equal(luks.Mark(got)) {
		return ErrDiffers
	}
	return nil
}

// wipe takes the volume key out of memory, and what its derivation has left there. The library as it
// is published has no Wipe; the one that is shipped has (scripts/overlay/patches).
func wipe(v *luksgo.Volume) {
	if w, ok := any(v).(interface{ Wipe() }); ok {
		w.Wipe()
	}
	debug.FreeOSMemory()
}

// maxHeader bounds a header with its keyslots, in bytes.
const maxHeader = 136 << 20

// device opens a whole device, or the window that begins at offset: the library knows
// no windows, so it is given the header's bytes in a file of their own.
func device(path string, offset, size int64) (luksgo.Device, error) {
	if offset == 0 {
		return luksgo.Open(path)
	}
	v, err := luks.Open(context.Background(), path, luks.Options{Offset: offset, Size: size, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	n := v.Info().HeaderSize
	v.Close()
	if n <= 0 || n > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes", n)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fd, err := unix.MemfdCreate("header", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	m := os.NewFile(uintptr(fd), "header")
	defer m.Close()
	if _, err := io.Copy(m, io.NewSectionReader(f, offset, n)); err != nil {
		return nil, err
	}
	return luksgo.OpenWithHeader(path, fmt.Sprintf("/proc/self/fd/%d", fd))
}
