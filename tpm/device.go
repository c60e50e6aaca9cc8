package tpm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// maxMessage is the largest command or reply in bytes; the kernel's driver uses
// the same limit.
const maxMessage = 4096

// A Device carries one command at a time to a TPM and brings back the reply.
// Tests put their own in between to record, to fail or to cut the power.
type Device interface {
	Transmit(cmd []byte) (reply []byte, err error)
	io.Closer
}

// DevicePaths are where Linux shows a TPM, the one with the kernel's resource
// manager first (TPM 2.0 only).
var DevicePaths = []string{"/dev/tpmrm0", "/dev/tpm0"}

// openPath opens a TPM's character device, or a Unix socket that carries plain
// TPM commands (a virtual machine's TPM). No path means the first of DevicePaths.
func openPath(path string) (Device, error) {
	if path != "" {
		return openFile(path)
	}
	for _, p := range DevicePaths {
		d, err := openFile(p)
		if !errors.Is(err, ErrNoTPM) {
			return d, err
		}
	}
	return nil, fmt.Errorf("%w at %v", ErrNoTPM, DevicePaths)
}

// file is a file descriptor that takes one whole command per write. It is kept out
// of Go's poller: the TPM drivers block, and that is what we want.
type file struct {
	fd   int
	path string
}

func openFile(path string) (Device, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, pathError("opening", path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, pathError("opening", path, err)
		}
		return &file{fd, path}, nil
	case unix.S_IFSOCK:
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, pathError("opening", path, err)
		}
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			unix.Close(fd)
			return nil, pathError("connecting to", path, err)
		}
		return &file{fd, path}, nil
	}
	return nil, fmt.Errorf("%w: %s is neither a device nor a socket", ErrNoTPM, path)
}

func pathError(doing, path string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV),
		errors.Is(err, unix.ECONNREFUSED):
		err = fmt.Errorf("%w (%w)", ErrNoTPM, err)
	case errors.Is(err, unix.EBUSY):
		err = fmt.Errorf("%w (%w)", ErrBusy, err)
	}
	return fmt.Errorf("%s %s: %w", doing, path, err)
}

func (f *file) Close() error { return unix.Close(f.fd) }

// Transmit writes one command and reads one reply. A driver takes and gives each
// in one piece; a socket may split them.
func (f *file) Transmit(cmd []byte) ([]byte, error) {
	for rest := cmd; len(rest) > 0; {
		n, err := unix.Write(f.fd, rest)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("writing to %s: %w", f.path, err)
		}
		rest = rest[n:]
	}
	buf, have := make([]byte, maxMessage), 0
	for {
		n, err := unix.Read(f.fd, buf[have:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fmt.Errorf("reading from %s: %w", f.path, err)
		}
		have += n
		if have < 2+4 {
			continue
		}
		size := binary.BigEndian.Uint32(buf[2:])
		if size < headerLen || size > maxMessage || int(size) < have {
			return nil, fmt.Errorf("reading from %s: %w: %d bytes announced, %d read", f.path, ErrProtocol, size, have)
		}
		if int(size) == have {
			return buf[:have:have], nil
		}
	}
}
