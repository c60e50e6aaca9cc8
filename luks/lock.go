package luks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockDir is where cryptsetup keeps its lock files; both programs must agree.
const lockDir = "/run/cryptsetup"

// lockWait is how long a header lock, which is only held for single updates, is
// waited for.
const lockWait = 10 * time.Second

// lockFile takes the lock that cryptsetup calls name, without waiting for a
// holder longer than wait. It returns the function that releases it. Where the
// lock directory cannot be made (no root, no /run), there is no cryptsetup that
// could honour it either, and no lock is taken.
func lockFile(ctx context.Context, name string, wait time.Duration) (func(), error) {
	if err := os.MkdirAll(lockDir, 0o700); err != nil {
		return func() {}, nil
	}
	path := filepath.Join(lockDir, name)
	for {
		fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS) {
			return func() {}, nil
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		if err := flock(ctx, fd, wait); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		// The last holder unlinks the file: make sure that what we locked is still it.
		var have, want unix.Stat_t
		if unix.Fstat(fd, &have) == nil && unix.Stat(path, &want) == nil && have.Ino == want.Ino {
			return func() {
				_ = unix.Unlink(path)
				unix.Close(fd)
			}, nil
		}
		unix.Close(fd)
	}
}

// flock takes an exclusive lock on fd, trying for at most wait.
func flock(ctx context.Context, fd int, wait time.Duration) error {
	for deadline := time.Now().Add(wait); ; {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case err != unix.EWOULDBLOCK && err != unix.EINTR:
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("%w: another program holds its lock", ErrInUse)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lock keeps cryptsetup from reading or healing the header while both copies are
// being replaced.
func (f *file) lock(ctx context.Context) (func(), error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.f.Fd()), &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		return lockFile(ctx, fmt.Sprintf("L_%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), lockWait)
	}
	if err := flock(ctx, int(f.f.Fd()), lockWait); err != nil {
		return nil, err
	}
	return func() { _ = unix.Flock(int(f.f.Fd()), unix.LOCK_UN) }, nil
}

// lockReencryption takes the lock that cryptsetup holds for a whole re-encryption.
func (v *Volume) lockReencryption(ctx context.Context) (func(), error) {
	if v.noLocks {
		return func() {}, nil
	}
	return lockFile(ctx, "LN_LUKS2-reencryption-"+v.h.uuid, 0)
}

// lockHeader takes the header's lock, where the device has one.
func (v *Volume) lockHeader(ctx context.Context) (func(), error) {
	dev := v.hdr
	if c, ok := dev.(counted); ok {
		dev = c.Device
	}
	if l, ok := dev.(interface {
		lock(context.Context) (func(), error)
	}); ok && !v.noLocks {
		return l.lock(ctx)
	}
	return func() {}, nil
}
