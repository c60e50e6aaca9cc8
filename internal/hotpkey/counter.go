package hotpkey

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"reown/internal/atomicfile"
	"reown/internal/otp"
	"reown/internal/secret"
)

// The counter file, /boot/kexec_hotp_counter in Heads: the counter of the next code to
// show, in decimal. It is written only after the key has accepted a code. Heads writes
// it before, so that every start without the key moves the file on; after ten of them
// the code is beyond the key's window (Purism forum 9099).

// maxCounterFile bounds the counter file, in bytes.
const maxCounterFile = 64

// ReadCounter reads a counter file. It returns ErrBadCounter when it does not hold one
// decimal number, and an error that wraps fs.ErrNotExist when there is none.
func ReadCounter(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("reading the HOTP counter: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCounterFile+1))
	if err != nil {
		return 0, fmt.Errorf("reading the HOTP counter: %w", err)
	}
	n, err := ParseCounter(b)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", path, err)
	}
	return n, nil
}

// ParseCounter parses the content of a counter file.
func ParseCounter(b []byte) (uint64, error) {
	if len(b) > maxCounterFile {
		return 0, fmt.Errorf("%w: %d bytes", ErrBadCounter, len(b))
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%w: %q", ErrBadCounter, b)
	}
	return n, nil
}

// FormatCounter is the content of a counter file.
func FormatCounter(n uint64) []byte { return fmt.Appendf(nil, "%d\n", n) }

// WriteCounter replaces a counter file so that a cut of power leaves the old or the new
// number.
func WriteCounter(path string, n uint64) error {
	if err := atomicfile.WriteFile(path, FormatCounter(n), 0o644); err != nil {
		return fmt.Errorf("writing the HOTP counter: %w", err)
	}
	return nil
}

// A Checker shows a code to a key; *Token is one.
type Checker interface {
	Check(ctx context.Context, code otp.Code) (ahead int, err error)
}

// Verify shows the key the code of a counter and returns the counter of the next code,
// for the counter file. ErrWrongCode means that the secret is not the key's, or that the
// two counters have drifted apart: see Resync.
func Verify(ctx context.Context, t Checker, key *secret.Buffer, counter uint64) (next uint64, err error) {
	code, err := otp.HOTP(key, counter)
	if err != nil {
		return 0, err
	}
	if _, err := t.Check(ctx, code); err != nil {
		return 0, err
	}
	return counter + 1, nil
}

// ResyncTries is how many codes Resync shows at most, in each direction.
const ResyncTries = 5

// Resync looks for a counter near the given one whose code the key accepts, one
// window at a time, both ways: a restored /boot is behind the key, starts without the
// key have left it ahead. It returns the counter of the next code. It asks nobody: offer
// it to the person first, because each wrong code makes the key light red. ErrWrongCode
// means that the secret is not the key's, or the drift is beyond
// ResyncTries*Window = 50 codes.
func Resync(ctx context.Context, t Checker, key *secret.Buffer, counter uint64) (next uint64, err error) {
	for i := uint64(0); i <= ResyncTries; i++ {
		try := []uint64{counter + i*Window}
		if back := i * Window; i > 0 && back <= counter {
			try = append(try, counter-back)
		} else if i > 0 && back < counter+Window {
			try = append(try, 0) // the rest of the way back
		}
		for _, c := range try {
			next, err := Verify(ctx, t, key, c)
			if !errors.Is(err, ErrWrongCode) {
				return next, err
			}
		}
	}
	return 0, ErrWrongCode
}

// Seal gives a key the secret and proves that it works, as Heads does: the slot starts
// at counter 0, the code of counter 1 must be accepted, and the counter file is to hold
// the returned next counter, 2.
func (t *Token) Seal(ctx context.Context, pin, key *secret.Buffer, o SetOptions) (next uint64, err error) {
	if err := t.Set(ctx, pin, key, 0, o); err != nil {
		return 0, err
	}
	return Verify(ctx, t, key, 1)
}

// ROMSecret is the HOTP secret of a machine without a TPM, as Heads derives it: the
// first 20 bytes of the SHA-256 of the whole flash image. It is no secret to somebody who can
// read the flash chip, so the green light then proves only that the key has seen this
// firmware image, not that nobody copied it; and every change of the flash needs a new
// Seal.
func ROMSecret(image io.Reader) (*secret.Buffer, error) {
	h := sha256.New()
	if _, err := io.Copy(h, image); err != nil {
		return nil, fmt.Errorf("hashing the firmware image: %w", err)
	}
	return secret.From(h.Sum(nil)[:otp.SecretLen:otp.SecretLen]), nil
}
