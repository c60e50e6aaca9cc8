package luks

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

var (
	// ErrNotLUKS: neither header copy has a LUKS magic.
	ErrNotLUKS = errors.New("not a LUKS volume")
	// ErrDamaged: there is a LUKS header, and no copy of it is intact.
	ErrDamaged = errors.New("no intact copy of the LUKS header")
	// ErrDisagree: both copies of the header are intact and say different things, and it
	// is not that one is an update older.
	ErrDisagree = errors.New("the two copies of the LUKS header disagree")
	// ErrPartitioned: a partition table stands beside the header, so that either may be a
	// remain of an earlier use of the disk.
	ErrPartitioned = errors.New("a partition table stands beside the LUKS header")
	// ErrTwoHeaders: there are intact headers of two volumes on one device.
	ErrTwoHeaders = errors.New("two LUKS headers of different volumes on one device")
	// ErrMember: the device is part of a RAID array; the array is what holds the volume.
	ErrMember = errors.New("the device is a member of a RAID array")
	// ErrTwin: another device has a volume of the same UUID.
	ErrTwin = errors.New("two devices hold a LUKS volume of one UUID")
	// ErrForeign: the place of the primary header holds something else, so that
	// writing there might destroy it.
	ErrForeign = errors.New("something other than a LUKS header stands at the start of the device")
	// ErrWrongPassphrase: the passphrase opens no keyslot of the volume key asked for.
	ErrWrongPassphrase = errors.New("the passphrase opens no keyslot")
	// ErrNoSpace: the header has no free keyslot, or no room for its key material.
	ErrNoSpace = errors.New("no room in the LUKS header")
	// ErrLastSlot: removing this keyslot would lock everybody out.
	ErrLastSlot = errors.New("this is the last keyslot")
	// ErrNoSuchSlot: the keyslot is not in use.
	ErrNoSuchSlot = errors.New("no such keyslot")
	// ErrInUse: the device is mounted, mapped, or held by another program.
	ErrInUse = errors.New("the device is in use")
	// ErrReencrypting: refused, because a re-encryption has begun and is not finished.
	ErrReencrypting = errors.New("a re-encryption is in progress on this volume")
	// ErrUnproven: the point up to which the data has been re-encrypted cannot be proven.
	ErrUnproven = errors.New("cannot prove how far the re-encryption went")
	// ErrUnproven1 is ErrUnproven of cryptsetup's LUKS1 re-encryption.
	ErrUnproven1 = fmt.Errorf("%w of LUKS1", ErrUnproven)
	// ErrNoRescue: there is no unprotected re-encryption; what there is, Resume finishes.
	ErrNoRescue = errors.New("no unprotected re-encryption to rescue")
	// ErrInDoubt: of an interrupted hotzone there are blocks that are neither what
	// their checksums say nor what the new key makes of that.
	ErrInDoubt = errors.New("the checksums of the interrupted part do not fit its data")
	// ErrOldKey: the passphrase opens the new volume key, but no keyslot of the old one,
	// which what is left of the re-encryption needs.
	ErrOldKey = errors.New("the passphrase opens no keyslot of the old volume key")
	// ErrLeftBehind: in what the header calls re-encrypted there is data under the old
	// key, and which of the data around it is cannot be proven.
	ErrLeftBehind = errors.New("an earlier recovery left data under the old key")
	// ErrTwice: cryptsetup was resumed after an unprotected run and has encrypted data
	// twice.
	ErrTwice = errors.New("data has been encrypted twice")
	// ErrMetadata: the re-encryption's description in the header fails its own digest.
	ErrMetadata = errors.New("the re-encryption metadata does not match its digest")
	// ErrTooSmall: the device ends before the data the header describes.
	ErrTooSmall = errors.New("the device is smaller than its header says")
	// ErrOtherKey: a header backup belongs to a volume key that is not in use any more.
	ErrOtherKey = errors.New("the header backup is for another volume key")
	// ErrLUKS1Interrupted: cryptsetup's LUKS1 re-encryption was interrupted; the new
	// volume key and the position are in files it left behind, not on the device.
	ErrLUKS1Interrupted = errors.New("an interrupted LUKS1 re-encryption of cryptsetup")
	// ErrLUKS1Files: the files of cryptsetup's LUKS1 re-encryption are missing, do not
	// belong to the volume, or contradict it.
	ErrLUKS1Files = errors.New("the files of the LUKS1 re-encryption do not fit the device")
	// ErrNotErased: key material is still there after it was overwritten.
	ErrNotErased = errors.New("the device did not take what was written over its key material")
	// ErrEmptyPassphrase: a keyslot with the empty passphrase was not asked for.
	ErrEmptyPassphrase = errors.New("the new passphrase is empty")
	// ErrFull: the file system that the image file lies on has no room left.
	ErrFull = errors.New("no room left for what is written")
	// ErrWriteProtected: the device or its file system does not take writes.
	ErrWriteProtected = errors.New("the device is write-protected")
	// ErrEncrypting: cryptsetup has begun to encrypt a plain device in place.
	ErrEncrypting = errors.New("the encryption of this device is not finished")
	// ErrDecrypting: cryptsetup has begun to decrypt the volume in place.
	ErrDecrypting = errors.New("the decryption of this volume is not finished")
	// ErrReadOnly: the volume was opened for reading only.
	ErrReadOnly = errors.New("opened for reading only")
)

// A RequirementError lists requirement flags of the header that this package does
// not know; such a volume may be read but must not be changed (LUKS2 spec 3.3).
type RequirementError struct{ Names []string }

func (e *RequirementError) Error() string {
	return "unknown requirement in the header: " + strings.Join(e.Names, ", ")
}

// An UnsupportedError names a property of the volume that this package cannot handle.
type UnsupportedError struct{ What string }

func (e *UnsupportedError) Error() string { return "not supported: " + e.What }

func unsupported(format string, a ...any) error {
	return &UnsupportedError{fmt.Sprintf(format, a...)}
}

// A MemoryError says that a keyslot's Argon2 needs more memory than the machine
// has free. Both numbers are bytes.
type MemoryError struct {
	Slot       int // -1: it is not for a keyslot
	Need, Have int64
}

func (e *MemoryError) Error() string {
	if e.Slot < 0 {
		return fmt.Sprintf("%d MiB of memory are needed, %d MiB are free", (e.Need+1<<20-1)>>20, e.Have>>20)
	}
	return fmt.Sprintf("keyslot %d needs %d MiB of memory, %d MiB are free", e.Slot, e.Need>>20, e.Have>>20)
}

// A HeaderError says what is wrong with a header copy.
type HeaderError struct{ What string }

func (e *HeaderError) Error() string { return "bad LUKS header: " + e.What }

func badHeader(format string, a ...any) error {
	return &HeaderError{fmt.Sprintf(format, a...)}
}

// An IOError is a read, write or flush that the device refused.
type IOError struct {
	Op     string // "read", "write" or "flush"
	Name   string // the write's name, empty for reads
	Offset int64  // bytes from the start of the volume
	Len    int    // bytes
	Err    error
}

func (e *IOError) Error() string {
	if e.Op == "flush" {
		return fmt.Sprintf("flush of %s: %v", e.Name, e.Err)
	}
	if e.Name == "" {
		return fmt.Sprintf("%s of %d bytes at %d: %v", e.Op, e.Len, e.Offset, e.Err)
	}
	return fmt.Sprintf("%s of %s, %d bytes at %d: %v", e.Op, e.Name, e.Len, e.Offset, e.Err)
}

func (e *IOError) Unwrap() error { return e.Err }

// Is knows the refusals that have a reason of their own.
func (e *IOError) Is(target error) bool {
	switch target {
	case ErrFull:
		return errors.Is(e.Err, unix.ENOSPC) || errors.Is(e.Err, unix.EDQUOT)
	case ErrWriteProtected:
		return e.Op != "read" && (errors.Is(e.Err, unix.EROFS) || errors.Is(e.Err, unix.EPERM))
	}
	return false
}
