package tpm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"runtime"
	"sync"
	"time"

	"reown/internal/secret"
)

// Family is the specification a TPM follows.
type Family string

// The two families.
const (
	V12 Family = "1.2"
	V20 Family = "2.0"
)

// PCRSize returns the size in bytes of the registers that Heads uses.
func (f Family) PCRSize() int {
	if f == V12 {
		return 20
	}
	return 32
}

// PrimaryAlg is the kind of a TPM 2.0's storage primary key. Heads' board file
// says which; see CONFIG_PRIMARY_KEY_TYPE.
type PrimaryAlg string

// RSA is what Heads makes when its board does not say; ECC is NIST P-256 and made
// in a fraction of the time.
const (
	RSA PrimaryAlg = "rsa"
	ECC PrimaryAlg = "ecc"
)

// Info is the state of a TPM, as measured.
type Info struct {
	Family       Family `json:"family"`
	Manufacturer string `json:"manufacturer"` // TCG vendor id, e.g. "IFX"
	Owned        bool   `json:"owned"`        // an owner passphrase is set
	// SetUp says that Reset has run to its end: owner, storage root and, for 2.0,
	// endorsement and lockout passphrases.
	SetUp bool `json:"set_up"`
	// Missing is what a TPM that is set up lacks, in words: those of ErrGuessingRule and
	// ErrNoEndorsementKey.
	Missing []string `json:"missing,omitempty"`
	// CanReset says that Reset may clear this TPM now. Heads gives that power away
	// when it starts the operating system.
	CanReset bool `json:"can_reset"`
	// PrimaryName tells one storage root from another: the hex Name of 0x81000000, or the
	// SHA-1 of a TPM 1.2's public SRK where Reset could make the chip show it.
	PrimaryName string     `json:"primary_name,omitempty"`
	PrimaryAlg  PrimaryAlg `json:"primary_alg,omitempty"`
	HasOTP      bool       `json:"has_otp"` // a secret is sealed where Heads looks for TOTP/HOTP
	HasDUK      bool       `json:"has_duk"` // and for the disk unlock key
	Counters    []string   `json:"counters"`
	Lockout     Lockout    `json:"lockout"`
	// Anchor is as the TPM says now; what it proves is told by Reader.Anchor only.
	Anchor Anchor    `json:"anchor"`
	PCRs   PCRValues `json:"pcrs"` // 0 to 7
}

// Lockout is the protection against guessing passphrases. TPM 1.2 tells about the
// owner's only, and some chips not even that: then all is zero.
type Lockout struct {
	Locked   bool   `json:"locked"`
	Tries    uint32 `json:"tries"`            // wrong tries counted so far
	Max      uint32 `json:"max"`              // how many lock it
	Interval uint32 `json:"interval_seconds"` // after this long one try is forgiven (1.2: one is allowed again)
	Recovery uint32 `json:"recovery_seconds"` // wait after a wrong lockout passphrase; 0: until restart
}

// ResetOptions choose what Reset makes.
type ResetOptions struct {
	PrimaryAlg PrimaryAlg              // TPM 2.0 only; "" means RSA
	Progress   func(done, total int64) // called after each command; may be nil
}

// A Counter is a rollback counter and its value.
type Counter struct {
	ID    string `json:"id"`    // as Heads writes it: "1" and six hex digits for 2.0, decimal for 1.2
	Line  string `json:"line"`  // what Heads' counter_read prints, without the newline
	Value uint64 `json:"value"` // what it counts
}

// RollbackFile is the content of /boot/kexec_rollback.txt for this value.
func (c Counter) RollbackFile() []byte {
	return sumLine([]byte(c.Line+"\n"), "/tmp/counter-"+c.ID)
}

// RollbackCounter is the name of the counter in a kexec_rollback.txt; "" for a file of another form.
func RollbackCounter(file []byte) string {
	line, ok := bytes.CutSuffix(file, []byte("\n"))
	sum, id, found := bytes.Cut(line, []byte("  /tmp/counter-"))
	if !ok || !found || len(sum) != 2*sha256.Size || len(id) == 0 || len(id) > 10 || !lowerHex(id) || !lowerHex(sum) {
		return ""
	}
	return string(id)
}

func lowerHex(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }) < 0
}

// sumLine is one line as sha256sum prints it.
func sumLine(data []byte, name string) []byte {
	h := sha256.Sum256(data)
	return fmt.Appendf(nil, "%s  %s\n", hex.EncodeToString(h[:]), name)
}

// maxAuth is the longest passphrase a TPM 2.0 object with a SHA-256 name takes,
// in bytes, and the longest that Heads asks for.
const maxAuth = 32

// checkPassphrase refuses what the TPM or Heads could not be given again: nothing,
// more than 32 bytes, or a zero byte (which some TPM software cuts at).
func checkPassphrase(p *secret.Buffer) error {
	if p.Len() == 0 || p.Len() > maxAuth {
		return fmt.Errorf("%w: 1 to %d bytes are allowed, not %d", ErrBadPassphrase, maxAuth, p.Len())
	}
	for _, b := range p.Bytes() {
		if b == 0 {
			return fmt.Errorf("%w: it has a zero byte", ErrBadPassphrase)
		}
	}
	return nil
}

// slot is a place where Heads keeps a sealed secret.
type slot struct {
	v2   uint32 // persistent handle
	v1   uint32 // NV index
	pcrs []int
	what string
}

var (
	otpSlot = slot{0x81004d47, 0x4d47, OTPPCRs(), "TOTP secret"}
	dukSlot = slot{0x81000003, 0x3, DUKPCRs(), "disk unlock key"}
)

// family is one generation of TPM; the methods of TPM document what each does.
type family interface {
	info(*conn) (*Info, error)
	clear(*conn) error
	reset(*conn, *secret.Buffer, ResetOptions) error
	rehearse(*conn, RehearseOptions) ([]Problem, error)
	checkOwner(*conn, *secret.Buffer) error
	seal(*conn, slot, *secret.Buffer, *secret.Buffer, *secret.Buffer, PCRValues) error
	remove(*conn, slot, *secret.Buffer) error
	sealedTo(*conn, slot, bool, PCRValues) (bool, error)
	unseal(*conn, slot, *secret.Buffer) (*secret.Buffer, error)
	createCounter(*conn, *secret.Buffer) (Counter, error)
	incrementCounter(*conn, string) (Counter, error)
	readCounter(*conn, string) (Counter, error)
	readPCRs(*conn, []int) (PCRValues, error)
	extendPCR(*conn, int, []byte) error
	anchor(*conn) (Anchor, error)
	anchorRemove(*conn, *secret.Buffer) error
	anchorDefine(*conn, *secret.Buffer) error
	anchorWrite(*conn, *secret.Buffer, []byte) error
	anchorLock(*conn, *secret.Buffer) error
	shutdown(*conn) error
}

// TPM is a machine's TPM. Its methods may be called from several goroutines; they
// take turns.
type TPM struct {
	open   func() (Device, error)
	family Family
	mu     sync.Mutex
	impl   family

	patience time.Duration // how long a TPM may answer "try again"
}

// Open finds out which family the TPM at path belongs to. Path is a character
// device or a Unix socket that speaks plain TPM commands; "" means the first of
// DevicePaths. Nothing stays open.
func Open(path string) (*TPM, error) { return OpenContext(context.Background(), path) }

// OpenContext is Open with an end to the wait for a TPM that does not answer.
func OpenContext(ctx context.Context, path string) (*TPM, error) {
	return NewContext(ctx, func() (Device, error) { return openPath(path) })
}

// New is Open for a device of the caller's making: open is called at the start of
// every method and the Device closed at its end.
func New(open func() (Device, error)) (*TPM, error) { return NewContext(context.Background(), open) }

// NewContext is New with an end to the wait for a TPM that does not answer.
func NewContext(ctx context.Context, open func() (Device, error)) (*TPM, error) {
	t := &TPM{open: open, patience: maxWait}
	dev, err := open()
	if err != nil {
		return nil, err
	}
	c := &conn{ctx: ctx, dev: dev, patience: maxWait}
	defer c.close()
	// A TPM 1.2 does not know this command, and says so under its own tag.
	reply, err := c.Send(v2GetCapability(capProperties, 0x100, 1))
	if err != nil {
		return nil, err
	}
	switch tag := binary.BigEndian.Uint16(reply); {
	case tag == v1ReplyTag && c.code == v1InvalidPostInit:
		return nil, ErrNotStarted
	case tag == v1ReplyTag && c.code != 0:
		t.family, t.impl = V12, &v1{}
	case c.code == v2Initialize:
		return nil, &CommandError{c.last, c.code}
	case tag == v2ReplyTag:
		t.family, t.impl = V20, &v2{}
	default:
		return nil, fmt.Errorf("%w: tag %#x, code %#x", ErrProtocol, tag, c.code)
	}
	return t, nil
}

// Family says which specification the TPM follows.
func (t *TPM) Family() Family { return t.family }

// with runs f while the device is open. The secrets that f uses are named, because
// a Buffer's memory is unmapped once nobody refers to the Buffer, even while
// go-tpm still holds the slice.
func (t *TPM) with(ctx context.Context, f func(*conn) error, used ...*secret.Buffer) error {
	defer runtime.KeepAlive(used)
	t.mu.Lock()
	defer t.mu.Unlock()
	dev, err := t.open()
	if err != nil {
		return err
	}
	c := &conn{ctx: ctx, dev: dev, v1: t.family == V12, patience: t.patience}
	defer c.close()
	return f(c)
}

// Info measures the TPM's state and changes nothing.
func (t *TPM) Info(ctx context.Context) (*Info, error) {
	var i *Info
	err := t.with(ctx, func(c *conn) (err error) { i, err = t.impl.info(c); return })
	return i, wrap("reading the TPM's state", err)
}

// Reset clears the TPM, so that everything sealed, every counter and the old
// owner are gone, and sets it up as Heads' reset does: owner passphrase (and the
// endorsement one, which is the same), storage root, lockout after 10 wrong tries
// with one forgiven each hour, and a lockout passphrase that nobody knows. A TPM
// whose maker has fixed the rule for lockouts, or that has no room for the endorsement
// key, is set up without; Info.Missing says so.
//
// What Rehearse finds to stop is returned before anything is cleared.
// Owner is 1 to 32 bytes without a zero byte. It may be called again after an
// interruption at any command; it starts by clearing. Errors: ErrPlatformLocked,
// ErrRestartNeeded (TPM 1.2), ErrBadPassphrase, and the problems of Rehearse.
func (t *TPM) Reset(ctx context.Context, owner *secret.Buffer, o ResetOptions) error {
	if err := checkPassphrase(owner); err != nil {
		return err
	}
	if o.PrimaryAlg == "" {
		o.PrimaryAlg = RSA
	}
	if o.PrimaryAlg != RSA && o.PrimaryAlg != ECC {
		return fmt.Errorf("unknown kind of primary key %q", o.PrimaryAlg)
	}
	return wrap("resetting the TPM", t.with(ctx, func(c *conn) error { return t.impl.reset(c, owner, o) }, owner))
}

// Clear removes the owner and everything sealed or counted under that ownership, and
// leaves the TPM without an owner: what a machine that is given away should be in. No
// passphrase is needed, but the firmware's authority, as for Reset. It may be repeated,
// and does no harm to a TPM that has no owner. On a TPM 1.2 the area of the sealed TOTP
// secret outlives it (TPM_NV_DATA is not the owner's), emptied where the chip still
// allows a write, and sealed to a key that is gone in any case. Errors:
// ErrPlatformLocked, ErrRestartNeeded (TPM 1.2).
func (t *TPM) Clear(ctx context.Context) error {
	return wrap("clearing the TPM", t.with(ctx, t.impl.clear))
}

// CheckOwner returns nil when owner is the owner passphrase, ErrWrongOwner when it
// is not. With TPM 2.0 a wrong one does not count toward the lockout; with TPM 1.2
// it may, after the maker's rule.
func (t *TPM) CheckOwner(ctx context.Context, owner *secret.Buffer) error {
	return wrap("checking the TPM owner passphrase",
		t.with(ctx, func(c *conn) error { return t.impl.checkOwner(c, owner) }, owner))
}

// SealOTP seals the TOTP/HOTP secret (20 bytes in Heads, 128 at most) to the
// values that pcrs has for OTPPCRs, in the place where Heads looks for it. What was
// sealed there before is replaced; power lost between the old one's going and the
// new one's coming, one command, leaves none (TPM 2.0). TPM 1.2 asks for the owner
// only at the first time. Errors: ErrWrongOwner, ErrNotSetUp, ErrNVFull.
func (t *TPM) SealOTP(ctx context.Context, owner, otp *secret.Buffer, pcrs PCRValues) error {
	return t.seal(ctx, otpSlot, owner, otp, nil, pcrs)
}

// SealDUK seals the disk unlock key (128 bytes in Heads) to the values that pcrs
// has for DUKPCRs and to a passphrase of 1 to 32 bytes.
func (t *TPM) SealDUK(ctx context.Context, owner, key, pass *secret.Buffer, pcrs PCRValues) error {
	if err := checkPassphrase(pass); err != nil {
		return err
	}
	return t.seal(ctx, dukSlot, owner, key, pass, pcrs)
}

// RemoveDUK removes what SealDUK has sealed. It may be repeated. TPM 1.2 asks for no
// owner: it is the area's content that goes. Error: ErrWrongOwner.
func (t *TPM) RemoveDUK(ctx context.Context, owner *secret.Buffer) error {
	return wrap("removing the "+dukSlot.what,
		t.with(ctx, func(c *conn) error { return t.impl.remove(c, dukSlot, owner) }, owner))
}

// maxSealed is what a TPM 2.0 seals at most (MAX_SYM_DATA), in bytes.
const maxSealed = 128

func (t *TPM) seal(ctx context.Context, s slot, owner, data, pass *secret.Buffer, pcrs PCRValues) error {
	if data.Len() == 0 || data.Len() > maxSealed {
		return fmt.Errorf("%w: 1 to %d bytes, not %d", ErrTooLarge, maxSealed, data.Len())
	}
	return wrap("sealing the "+s.what, t.with(ctx,
		func(c *conn) error { return t.impl.seal(c, s, owner, data, pass, pcrs) }, owner, data, pass))
}

// OTPSealedTo says whether a secret is sealed for TOTP/HOTP, and to exactly these
// values. It asks nothing of the TPM's present registers.
func (t *TPM) OTPSealedTo(ctx context.Context, pcrs PCRValues) (bool, error) {
	return t.sealedTo(ctx, otpSlot, false, pcrs)
}

// DUKSealedTo is OTPSealedTo for the disk unlock key.
func (t *TPM) DUKSealedTo(ctx context.Context, pcrs PCRValues) (bool, error) {
	return t.sealedTo(ctx, dukSlot, true, pcrs)
}

func (t *TPM) sealedTo(ctx context.Context, s slot, pass bool, pcrs PCRValues) (yes bool, err error) {
	err = t.with(ctx, func(c *conn) (err error) { yes, err = t.impl.sealedTo(c, s, pass, pcrs); return })
	return yes, wrap("reading what the "+s.what+" is sealed to", err)
}

// UnsealOTP returns the TOTP/HOTP secret; the caller wipes it. Errors:
// ErrNotSealed, ErrPCRMismatch.
func (t *TPM) UnsealOTP(ctx context.Context) (*secret.Buffer, error) {
	return t.unseal(ctx, otpSlot, nil)
}

// UnsealDUK returns the disk unlock key; the caller wipes it. Errors: those of
// UnsealOTP, ErrWrongPassphrase (which counts toward the lockout) and
// *LockoutError.
func (t *TPM) UnsealDUK(ctx context.Context, pass *secret.Buffer) (*secret.Buffer, error) {
	if err := checkPassphrase(pass); err != nil {
		return nil, err
	}
	return t.unseal(ctx, dukSlot, pass)
}

func (t *TPM) unseal(ctx context.Context, s slot, pass *secret.Buffer) (data *secret.Buffer, err error) {
	err = t.with(ctx, func(c *conn) (err error) { data, err = t.impl.unseal(c, s, pass); return }, pass)
	return data, wrap("unsealing the "+s.what, err)
}

// CreateCounter makes a rollback counter as Heads does, or takes the one that is
// there, increments it once and returns its value.
func (t *TPM) CreateCounter(ctx context.Context, owner *secret.Buffer) (n Counter, err error) {
	err = t.with(ctx, func(c *conn) (err error) { n, err = t.impl.createCounter(c, owner); return }, owner)
	return n, wrap("creating the rollback counter", err)
}

// IncrementCounter adds one to a counter. Errors: ErrNoCounter, ErrCounterBusy.
func (t *TPM) IncrementCounter(ctx context.Context, id string) (n Counter, err error) {
	err = t.with(ctx, func(c *conn) (err error) { n, err = t.impl.incrementCounter(c, id); return })
	return n, wrap("incrementing the rollback counter", err)
}

// ReadCounter returns a counter's value. Errors: ErrNoCounter.
func (t *TPM) ReadCounter(ctx context.Context, id string) (n Counter, err error) {
	err = t.with(ctx, func(c *conn) (err error) { n, err = t.impl.readCounter(c, id); return })
	return n, wrap("reading the rollback counter", err)
}

// PrimaryHandleFile returns the bytes of Heads' /tmp/secret/primary.handle, which
// is what `tpm2 readpublic -c 0x81000000 -t` writes; nil for TPM 1.2, where Heads
// has no such file.
func (t *TPM) PrimaryHandleFile(ctx context.Context) (b []byte, err error) {
	if t.family == V12 {
		return nil, nil
	}
	err = t.with(ctx, func(c *conn) (err error) { b, err = t.impl.(*v2).handleFile(c); return })
	return b, wrap("reading the TPM's primary key", err)
}

// primaryHandleName is what Heads calls the file that it hashes.
const primaryHandleName = "/tmp/secret/primary.handle"

// PrimaryHashFile returns the content of /boot/kexec_primhdl_hash.txt; nil for
// TPM 1.2.
func (t *TPM) PrimaryHashFile(ctx context.Context) ([]byte, error) {
	b, err := t.PrimaryHandleFile(ctx)
	if b == nil || err != nil {
		return nil, err
	}
	return sumLine(b, primaryHandleName), nil
}

// ReadPCRs returns the present values of the given registers (0 to 23).
func (t *TPM) ReadPCRs(ctx context.Context, pcrs ...int) (v PCRValues, err error) {
	if err := checkPCRs(pcrs); err != nil {
		return nil, err
	}
	err = t.with(ctx, func(c *conn) (err error) { v, err = t.impl.readPCRs(c, pcrs); return })
	return v, wrap("reading the measurements", err)
}

// ExtendPCR extends a register with the hash of data, as `tpmr.sh extend -ic` does.
func (t *TPM) ExtendPCR(ctx context.Context, pcr int, data []byte) error {
	if err := checkPCRs([]int{pcr}); err != nil {
		return err
	}
	digest := Hash(t.family.PCRSize(), data)
	return wrap("extending a measurement", t.with(ctx, func(c *conn) error { return t.impl.extendPCR(c, pcr, digest) }))
}

// Shutdown tells the TPM that power goes away. Without it a TPM 2.0 counts the
// next start as a wrong try. Call it last before a restart.
func (t *TPM) Shutdown(ctx context.Context) error {
	return wrap("shutting the TPM down", t.with(ctx, t.impl.shutdown))
}

func checkPCRs(pcrs []int) error {
	for _, p := range pcrs {
		if p < 0 || p > 23 {
			return fmt.Errorf("PCR %d: there are 0 to 23", p)
		}
	}
	return nil
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
