package luks

// Names of the writes and flushes of this package, as a Device sees them.
const (
	WriteHeal      = "header-heal"      // a bad or stale header copy, rewritten from the good one
	WritePrimary   = "header-primary"   // LUKS2 header at offset 0
	WriteSecondary = "header-secondary" // LUKS2 header at hdr_size
	WriteKeyslot   = "keyslot-area"     // encrypted key material of a new keyslot
	WriteWipe      = "keyslot-wipe"     // zeros over what no keyslot refers to any more
	WriteArea      = "resilience-area"  // checksums or journal of the hotzone
	WriteData      = "data"             // re-encrypted data
	WriteRecovery  = "data-recovery"    // data of an interrupted hotzone
	WriteLUKS1     = "luks1-header"     // sector 0 of a LUKS1 header
	WriteConvert   = "convert-header"   // header sectors while converting between versions
	WriteRestore   = "header-restore"   // a header backup, written back
)

// A Device is where a volume or its detached header is kept. Reads and writes may
// be concurrent as long as they do not overlap.
type Device interface {
	// ReadAt fills p from offset off, or fails.
	ReadAt(p []byte, off int64) error
	// WriteAt writes all of p, or fails; name is one of the Write constants.
	WriteAt(name string, p []byte, off int64) error
	// Sync returns when everything written before the call is durable. The name is
	// that of the write it follows.
	Sync(name string) error
	// Size is the usable length in bytes.
	Size() int64
	// BlockSize is the unit, in bytes, that the device writes whole or not at all
	// after a power failure.
	BlockSize() int
}
