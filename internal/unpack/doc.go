// Package unpack reads what initrds are compressed with: gzip, xz and zstd. It streams,
// checks the checksums, and takes memory for the window that the data declares, but never
// for more than MaxWindow and a quarter, and only as it fills. It reads no byte beyond the end of the
// compressed data, because in an initrd something may follow.
//
// Written for this program because the libraries cost the firmware's flash 39 KB (xz) and
// 60 KB (zstd), and this 24 KB for both, with gzip. It decompresses only, and of xz only what a
// kernel reads of an initrd that no filter for machine code was laid over.
package unpack

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
)

// MaxWindow bounds the history that data may refer to, in bytes: what zstd's own tool
// takes without being told to.
const MaxWindow = 128 << 20

var (
	// ErrCorrupt says that data is not what it claims to be.
	ErrCorrupt = errors.New("the compressed data is damaged")
	// ErrUnsupported says that data is compressed in a way that this package does not read.
	ErrUnsupported = errors.New("compressed in a way that is not read here")
)

// Gzip reads one gzip member.
func Gzip(r *bufio.Reader) (io.Reader, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return z, nil
}

// unexpected makes of an end within the data what it is.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
