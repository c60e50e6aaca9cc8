package initrd

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// ErrMissing says that something that an initrd needs is not installed.
var ErrMissing = errors.New("not installed")

// Kernel is Debian's kernel as it is installed on this machine.
type Kernel struct {
	Version string
	BzImage string // what a boot loader starts
	ELF     string // the kernel proper, unpacked
}

// FindKernel returns the newest kernel in /boot and, unless elfFile is empty, unpacks it
// to that file. The error is ErrMissing when there is none.
func FindKernel(ctx context.Context, elfFile string) (*Kernel, error) {
	all, err := filepath.Glob("/boot/vmlinuz-*")
	if err != nil || len(all) == 0 {
		return nil, fmt.Errorf("a kernel in /boot: %w", ErrMissing)
	}
	sort.Strings(all)
	k := &Kernel{BzImage: all[len(all)-1], ELF: elfFile}
	k.Version = strings.TrimPrefix(filepath.Base(k.BzImage), "vmlinuz-")
	if elfFile == "" {
		return k, nil
	}
	image, err := os.ReadFile(k.BzImage)
	if err != nil {
		return nil, err
	}
	packed, err := payload(image)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.BzImage, err)
	}
	xz := exec.CommandContext(ctx, "xz", "-dc")
	xz.Stdin = bytes.NewReader(packed)
	unpacked, err := xz.Output()
	if err != nil {
		return nil, fmt.Errorf("xz: %w", err)
	}
	if _, err := elf.NewFile(bytes.NewReader(unpacked)); err != nil {
		return nil, fmt.Errorf("%s: %w", k.BzImage, err)
	}
	return k, os.WriteFile(elfFile, unpacked, 0o644)
}

// payload cuts the packed kernel out of a bzImage (the kernel's Documentation/x86/
// boot.rst: setup_sects, payload_offset, payload_length). The last four bytes of it
// are the unpacked size.
func payload(image []byte) ([]byte, error) {
	const setupSects, magic, offset, length, header = 0x1f1, 0x202, 0x248, 0x24c, 0x250
	if len(image) < header || !bytes.Equal(image[magic:magic+4], []byte("HdrS")) {
		return nil, errors.New("not a bzImage")
	}
	le := binary.LittleEndian
	start := (int64(image[setupSects])+1)*512 + int64(le.Uint32(image[offset:]))
	end := start + int64(le.Uint32(image[length:])) - 4
	if start < header || end < start || end > int64(len(image)) {
		return nil, errors.New("bzImage: the payload is outside of the file")
	}
	return image[start:end], nil
}
