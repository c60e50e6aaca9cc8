package second

import (
	"context"
	"errors"
	"fmt"
	"os"

	luksgo "github.com/anatol/luks.go"

	"reown/internal/secret"
)

// ErrNoMapper: the kernel has no device mapper.
var ErrNoMapper = errors.New("the kernel has no device mapper")

func mapper() error {
	if _, err := os.Stat("/dev/mapper/control"); err != nil {
		return fmt.Errorf("%w: %w", ErrNoMapper, err)
	}
	return nil
}

// Map makes the decrypted volume a device, /dev/mapper/NAME. Of a volume in re-encryption it
// would put one key over all data: ask luks.Volume.Info before.
func Map(ctx context.Context, path string, slot int, pass *secret.Buffer, name string) error {
	if err := mapper(); err != nil {
		return err
	}
	one.Lock()
	defer one.Unlock()
	dev, err := luksgo.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannot, err)
	}
	defer dev.Close()
	if err := ctx.Err(); err != nil {
		return err
	}
	return dev.Unlock(slot, pass.Bytes(), name)
}

// Unmap removes what Map made.
func Unmap(name string) error {
	if err := mapper(); err != nil {
		return err
	}
	return luksgo.Lock(name)
}
