package wizard

import (
	"context"
	"errors"
	"strings"
	"time"

	"reown/internal/escape"
	"reown/internal/judge"
	"reown/internal/secret"
)

// Machine is the laptop. The program builds it once; tests build their own.
// TPM, DUK, Token and Sticks may be nil: not every laptop has them. Everything else must be
// there, and says by an error from Info when the device cannot be reached now.
type Machine struct {
	Card     Card
	PGP      OpenPGP
	Disks    []Disk // the encrypted volumes, in the order of the partition table
	Doubtful []Doubt
	TPM      TPM
	DUK      DUK // nil: without a TPM, and where the board has it switched off
	Firmware Firmware
	Boot     Boot
	Token    Token
	Sticks   Sticks
	Platform Platform
	// Plain lists what lies on the drives, but for /boot, that is neither encrypted nor verified at
	// each start; nil: nobody has looked.
	Plain func(context.Context) ([]Part, error)
}

// A Doubt is a device that looks like an encrypted disk and can be read in more ways than one.
type Doubt struct {
	Path  string
	Err   error // why
	Alone bool  // the person leaves it as it is, in this start
}

// Errors that an implementation of these interfaces returns (wrapped, if it likes)
// so that the wizard can tell what to do next.
var (
	ErrNoCard         = errors.New("no security key is plugged in")
	ErrWrongSecret    = errors.New("the secret is not the right one")
	ErrExchanged      = errors.New("the security key does not sign by the key that it says it holds")
	ErrNotFound       = errors.New("there is no such file")
	ErrSealImpossible = errors.New("sealing is not possible in this start")
	ErrClock          = errors.New("the computer's clock is wrong")
	ErrNoHOTP         = errors.New("the security key cannot show a green light")
	ErrNoTPMState     = errors.New("nothing is sealed in the TPM")
)

// Progress is told how far a long operation is, in units of its own (bytes,
// blocks, keys). It is called from one goroutine at a time and returns quickly.
type Progress func(done, total int64)

// ---------------------------------------------------------------- card

// CardInfo is what an OpenPGP card says of itself without any PIN.
type CardInfo struct {
	Reader       string
	Vendor       string    // "Nitrokey", as a person would say it
	Serial       string    // hex
	Application  string    // its application identifier, 32 hex digits
	Fingerprints [3]string // signature, decryption, authentication: 40 upper-case hex digits, or "" for none
	Tries        [3]int    // left for the user PIN, the reset code, the admin PIN
	Terminated   bool      // a reset was begun and not finished
	NoReset      bool      // it has no factory reset
	PINMin       [2]int    // user and admin PIN that are set after a reset, in bytes
	PINMax       [2]int
	Algorithms   []string // what Generate accepts, the recommended one first
	Signatures   uint32   // that its signature key has made, as it counts them (24 bits); 0 where it does not
}

// Writable says whether a key can bear the name: in one line, of what can be shown, and nothing that
// would pass for a signature's border or for the other part.
func (i Identity) Writable() bool {
	for _, s := range []string{i.Name, i.Email} {
		if escape.Text(s) != s || strings.Contains(s, "-----") || strings.ContainsAny(s, "<>()\\\"") {
			return false
		}
	}
	e := i.Email
	return !strings.Contains(i.Name, "@") &&
		(e == "" || strings.Count(e, "@") == 1 && !strings.HasPrefix(e, "@") && !strings.HasSuffix(e, "@") &&
			!strings.Contains(e, " "))
}

// KeySpec says which keys to make.
type KeySpec struct {
	Algorithm string    // one of CardInfo.Algorithms
	Created   time.Time // goes into the fingerprint; whole seconds, UTC
}

// Identity is the name on the key. Both parts may be empty.
type Identity struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Card is the OpenPGP card: the one that is plugged in, or the one that At names.
type Card interface {
	CardRehearsal
	// At is the card with this serial number, as Info has it, and no other; it need
	// not be plugged in.
	At(serial string) Card
	// Info reads the card, or returns ErrNoCard or ErrSeveralCards.
	Info(ctx context.Context) (CardInfo, error)
	// Reset makes the card as it left the factory; needs no PIN, finishes a
	// reset that was cut short, and may be repeated.
	Reset(ctx context.Context) error
	// Generate makes the three keys on the card. The card has factory PINs.
	Generate(ctx context.Context, spec KeySpec, progress Progress) error
	// Import gives the card the keys of a set. The card has factory PINs.
	Import(ctx context.Context, set KeySet, progress Progress) error
	// SetPINs replaces the factory PINs, the admin PIN first, and verifies both.
	SetPINs(ctx context.Context, user, admin *secret.Buffer) error
	// SetHolder writes the name and the login of the card's holder, as the firmware does, if
	// the card takes them. It has factory PINs.
	SetHolder(ctx context.Context, id Identity) error
	// Announce has f called when the card begins to wait for a finger, and now and then while
	// it does (true), and when it is over (false): by the cards of every serial number, and
	// not always from the same goroutine. A nil f ends it.
	Announce(f func(waits bool))
	// VerifyPINs checks each PIN that is not nil, at the cost of a try when it is
	// wrong (ErrWrongSecret).
	VerifyPINs(ctx context.Context, user, admin *secret.Buffer) error
	// Certify makes the OpenPGP certificate of the keys on the card, binary, with
	// self-signatures made by the card. Repeating it keeps the fingerprints.
	Certify(ctx context.Context, id Identity, userPIN *secret.Buffer) ([]byte, error)
	// Sign returns an armored detached signature (SHA-256 or better) over data, which it has verified by
	// cert: ErrExchanged.
	Sign(ctx context.Context, cert []byte, userPIN *secret.Buffer, data []byte) ([]byte, error)
}

// OpenPGP reads certificates and checks signatures; it needs no card.
type OpenPGP interface {
	// Fingerprints checks every self-signature of a binary or armored
	// certificate and returns the fingerprints of its signature, decryption and
	// authentication keys ("" for none), as CardInfo has them.
	Fingerprints(cert []byte) ([3]string, error)
	// Keys are the fingerprints of all keys of a certificate, the primary one first.
	Keys(cert []byte) ([]string, error)
	// Verify checks a detached signature by exactly this certificate.
	Verify(cert, data, sig []byte) error
	// NewKeySet makes keys in memory and their certificate; RSA keys take seconds.
	NewKeySet(ctx context.Context, spec KeySpec, id Identity) (KeySet, error)
}

// ---------------------------------------------------------------- disk

// DiskInfo is what the header of an encrypted volume says.
type DiskInfo struct {
	Path     string // of the device, "/dev/nvme0n1p3"
	Model    string
	Serial   string // of the drive; its last four characters are typed to start
	Size     int64  // bytes of data
	UUID     string
	Format   string // "LUKS2"
	Keyslots int    // in use, without that of the disk unlock key
	DUK      bool   // the keyslot that Heads uses for the disk unlock key is in use
	// hex digest of the volume-key digest in the header: other key, other value. While re-encrypting: of the new key.
	KeyDigest string
	KDFMemory int64 // bytes that the hungriest keyslot needs to open

	Reencrypting bool // begun and not finished
	Done, Total  int64
}

// Begin is told of a new volume key before it is used. mark is as of Disk.Mark, in hex.
type Begin func(digest string, mark func(salt []byte) (string, error)) error

// Disk is one encrypted volume.
type Disk interface {
	DiskRehearsal
	Info(ctx context.Context) (DiskInfo, error)
	// ReadRate reads for a moment and returns bytes a second, or 0 where there is too
	// little to tell.
	ReadRate(ctx context.Context) (int64, error)
	// CheckPassphrase returns nil, ErrWrongSecret, or what went wrong.
	CheckPassphrase(ctx context.Context, pass *secret.Buffer) error
	// OpensNothing tries pass on every keyslot there is, and returns the SlotsDigest of those.
	// ErrStillOpens: it opens one; any other error leaves it open.
	OpensNothing(ctx context.Context, pass *secret.Buffer) (string, error)
	// SlotsDigest is a digest of all that decides which passphrases open the volume: while it is the
	// same, no keyslot was added, changed or put back.
	SlotsDigest(ctx context.Context) (string, error)
	// Look decrypts the beginning of the data by the key that pass opens. ErrUnseen: it cannot be read. ErrNoise:
	// nothing of it is
	// anything but noise, as after a header of before was put back in the middle of a re-encryption; any
	// other error leaves it open.
	Look(ctx context.Context, pass *secret.Buffer) error
	// SecondRead opens the volume by pass with a reader that shares no code with the writer.
	// ErrWrongSecret, ErrOtherKey: it was read, and is not as it should be; any other error leaves it open.
	SecondRead(ctx context.Context, pass *secret.Buffer) error
	// SetPassphrase makes new the only way into the volume: a keyslot for new is
	// written and checked, then every other keyslot is destroyed. It may be
	// repeated with the same arguments wherever it was cut.
	SetPassphrase(ctx context.Context, old, new *secret.Buffer) error
	// Survey reads all data once, at low priority, and writes nothing. seen is told how far it is, in
	// one goroutine.
	Survey(ctx context.Context, seen func(DiskSurvey)) error
	// Reencrypt puts the volume under a new volume key, in place: starts, or goes
	// on where it was cut. It returns when all is done, or ctx.Err() at the next
	// safe point after ctx ends, or an *UnreadError.
	Reencrypt(ctx context.Context, pass *secret.Buffer, how Rekeying) error
	// Mark tells volume keys apart without showing them: HMAC-SHA256 under the key that pass opens
	// (while re-encrypting: the new one) of a salt of at least 16 bytes, in hex. It writes nothing.
	Mark(ctx context.Context, pass *secret.Buffer, salt []byte) (string, error)
}

// ---------------------------------------------------------------- TPM

// TPMInfo is what the TPM says without authorization.
type TPMInfo struct {
	Family      string // "1.2" or "2.0"
	Vendor      string
	Owned       bool
	SetUp       bool   // by a reset that has run to its end
	PrimaryName string // hex name of the storage root; "" when there is none or it does not tell
	Lockout     bool   // too many wrong passphrases; wait or reset
	// nothing can be sealed in this start: it went through the recovery shell, or its event log is in doubt
	Recovery bool
	Shell    bool   // it went through the recovery shell
	EK       string // SHA-256 of its endorsement key, hex; "" where it does not tell
}

// root tells this storage root from others, as far as the TPM lets it be known.
func (t TPMInfo) root() string {
	if t.PrimaryName == "" && t.Owned {
		return "owned"
	}
	return t.PrimaryName
}

// Measurement is what PCR 7 will be after the new firmware's first start, by hash
// bank ("sha1", "sha256").
type Measurement map[string][]byte

// TPM is a TPM 1.2 or 2.0.
type TPM interface {
	TPMRehearsal
	Info(ctx context.Context) (TPMInfo, error)
	// Reset clears the TPM and takes ownership: owner passphrase, storage root,
	// lockout parameters. It may be repeated. ErrRestart: only after a restart.
	Reset(ctx context.Context, owner *secret.Buffer) error
	// CheckOwner returns nil, ErrWrongSecret, or what went wrong.
	CheckOwner(ctx context.Context, owner *secret.Buffer) error
	// Counter makes the rollback counter unless our reset already has one, and
	// returns the content of kexec_rollback.txt. ErrRestart: only after a restart.
	Counter(ctx context.Context, owner *secret.Buffer) ([]byte, error)
	// HasRoot says whether the TPM holds the storage root of this name (PrimaryName): it answers in a
	// session that only that root can open. A TPM 1.2 can only show its root, where it does.
	HasRoot(ctx context.Context, name string) (bool, error)
	// RootOf is the name of the TPM's storage root if a kexec_primhdl_hash.txt is of it; "" otherwise.
	RootOf(ctx context.Context, primaryHash []byte) (string, error)
	// Counts sets a kexec_rollback.txt against the TPM's counter, in a session to the storage root of
	// this name ("": the one that it shows). One that names no counter is ComparisonNotProvided.
	Counts(ctx context.Context, root string, rollback []byte) (judge.Comparison, error)
	// Anchor reads the owner's area in such a session. A TPM with another root than this has none.
	Anchor(ctx context.Context, root string) (Anchor, error)
	// OpenAnchor makes the area for a run, in the place of whatever was there; it is then open. The
	// TPM is the owner's. It may be repeated.
	OpenAnchor(ctx context.Context, owner *secret.Buffer, run [32]byte) error
	// CloseAnchor says that the run is over but for its last second, and LockAnchor that it is over
	// for good. Both may be repeated, and do nothing where there can be no area.
	CloseAnchor(ctx context.Context, owner *secret.Buffer, run [32]byte) error
	LockAnchor(ctx context.Context, owner *secret.Buffer) error
	// PrimaryHash returns the content of kexec_primhdl_hash.txt; nil on TPM 1.2.
	PrimaryHash(ctx context.Context) ([]byte, error)
	// SealOTP seals the TOTP secret to the PCRs as they are, but PCR 7 as it will
	// be. ErrSealImpossible when that cannot be known in this start.
	SealOTP(ctx context.Context, owner, otp *secret.Buffer, pcr7 Measurement) error
	// OTPSealed says whether the sealed object's policy is the one SealOTP would
	// make now.
	OTPSealed(ctx context.Context, pcr7 Measurement) (bool, error)
	// UnsealOTP returns the TOTP secret that is sealed now, for the six digits of
	// the verify page; ErrNoTPMState when there is none, another error when the
	// PCRs do not match. The caller wipes it.
	UnsealOTP(ctx context.Context) (*secret.Buffer, error)
}

// Token shows a green light at each start: HOTP on the security key.
type Token interface {
	// Present says whether the one security key that is plugged in now can show a green
	// light. It changes while the program runs: a key may be plugged in later.
	Present(ctx context.Context) bool
	// Info reads the token; ErrNoHOTP when it can keep no HOTP secret.
	Info(ctx context.Context) (TokenInfo, error)
	// Set stores the secret in the token's slot and checks the first code. touch is
	// called before the token begins to wait for a finger, for touch n of all of them.
	Set(ctx context.Context, otp, adminPIN *secret.Buffer, touch func(n, of int)) error
	// AfterReset restores what a reset of the card in the token has destroyed besides
	// keys and PINs (the AES keys of a Nitrokey Storage), with the new admin PIN. It
	// does nothing for other tokens, or when there is none.
	AfterReset(ctx context.Context, adminPIN *secret.Buffer) error
	// CounterFile is the content of kexec_hotp_counter after Set.
	CounterFile() []byte
}

// TokenInfo describes the HOTP side of a token.
type TokenInfo struct {
	Name       string
	Configured bool
	PINTries   int // -1: no PIN yet
	Touches    int // that Set needs
}

// HOTP is the token that can show a green light, as it is plugged in now; nil: none.
func (m *Machine) HOTP(ctx context.Context) Token {
	if m.Token == nil || !m.Token.Present(ctx) {
		return nil
	}
	return m.Token
}

// ---------------------------------------------------------------- firmware

// FirmwareInfo is what the flash chip holds now.
type FirmwareInfo struct {
	Board   string
	Version string
	Keyring []string          // primary fingerprints of the certificates in the ROM
	Digest  string            // sha256 of the whole chip, hex; "" when not read
	Certs   map[string][]byte // those certificates, by fingerprint
	Torn    bool              // a write was cut: only with the key on the card can it be ended
}

// FirmwarePlan is the new image, built and checked in RAM.
type FirmwarePlan struct {
	PCR7          Measurement
	Image         [32]byte // sha256 of the new image
	ChangedBlocks int      // erase blocks to rewrite; 0 when the chip already holds it
	BlockSize     int      // bytes
	Free          int64    // bytes left in CBFS
	Private       any      // the implementation's own
}

// FirmwareChange is what becomes of the chip's other content.
type FirmwareChange struct {
	Shared     int              // blocks to rewrite that also hold other parts of the firmware
	Removed    []string         // names of files below "heads/" that go
	Taken      []string         // its settings that stay, NAME=VALUE
	Dropped    []DroppedSetting // lines of its settings that go
	LostConfig bool             // its settings cannot be read
}

// A DroppedSetting is a line of the firmware's settings that goes, and why: "command",
// "setting" or "value" (see rom.Reason).
type DroppedSetting struct{ Line, Why string }

// Firmware is the flash chip.
type Firmware interface {
	Info(ctx context.Context) (FirmwareInfo, error)
	// CheckSpace says whether a certificate of n bytes would fit; it builds and
	// checks a whole image, and writes nothing.
	// The change is what the owner's image will do to the chip besides the keyring.
	CheckSpace(ctx context.Context, n int) (FirmwareChange, error)
	// Plan builds the image whose only certificate is cert. Same chip and
	// certificate, same plan.
	Plan(ctx context.Context, cert []byte) (*FirmwarePlan, error)
	// Write writes the changed blocks, reads all back and compares; on a failure
	// it puts the old blocks back. It ignores the end of ctx once it has begun. What a
	// later start needs to go on after a cut is kept in /boot, signed by cert's key.
	Write(ctx context.Context, plan *FirmwarePlan, cert []byte, sign func([]byte) ([]byte, error), progress Progress) error
	// Chips are the kinds of flash chips that this one may be, where that must be said before it is
	// written (ChipSeveral), by names that may be shown; nil: it is known. Choose says it, for this start.
	Chips() []string
	Choose(chip string) error
	// Holds says whether the chip's keyring is exactly cert.
	Holds(ctx context.Context, cert []byte) (bool, error)
}

// ---------------------------------------------------------------- /boot

// BootInfo is what lies in /boot.
type BootInfo struct {
	Trigger   bool     // /boot/oem exists
	Files     int      // that will be hashed
	Entries   []string // names of the boot entries, in the firmware's order
	Uncertain []bool   // by entry: it cannot be the default; nil: all can
	Default   int      // index of the entry to suggest as the default; -1: none
	Unknown   []string // names that begin with kexec, which no version of Heads writes: they go
	Signed    int      // index of the one that the set in /boot makes the default, no matter who signed that; -1: none
}

// BootSpec is what the new signed set contains besides hashes and tree.
type BootSpec struct {
	Cert        []byte            // the owner's
	Same        bool              // the chip trusts Cert: only what its key has signed is signed again
	Entry       int               // index of the entry to start by default
	Rollback    []byte            // kexec_rollback.txt; nil: none
	PrimaryHash []byte            // kexec_primhdl_hash.txt; nil: none
	HOTPCounter []byte            // kexec_hotp_counter; nil: none
	DUK         map[string][]byte // files for the disk unlock key, by name; nil: none
	Gone        []string          // of BootInfo.Unknown, what was shown and goes; nothing is staged beside any other
}

// Boot is the /boot partition. Implementations mount and remount it as needed and
// leave it as they found it.
type Boot interface {
	BootRehearsal
	// Triggered says whether /boot/oem exists; it is fast and touches nothing.
	Triggered(ctx context.Context) (bool, error)
	Info(ctx context.Context) (BootInfo, error)
	// Stage computes the new set as if the trigger were gone, has it signed, and
	// writes it beside the old one under temporary names. Repeating it replaces
	// an earlier stage. With spec.Same nothing is signed unless hashes, tree and default entry are,
	// byte for byte, those of the set in place or staged that spec.Cert's key has signed.
	Stage(ctx context.Context, spec BootSpec, sign func(data []byte) ([]byte, error), progress Progress) error
	// Staged says whether a complete staged set verifies with cert, by the
	// firmware's own rules, against the files as they are now.
	Staged(ctx context.Context, cert []byte) (bool, error)
	// Live says the same of the set that the firmware would use, where a file
	// named oem is not held against it.
	Live(ctx context.Context, cert []byte) (bool, error)
	// Install renames the staged set into place, the signature last. Of BootInfo.Unknown it removes
	// gone; any other of these is an error, and nothing is changed.
	Install(ctx context.Context, gone []string) error
	// RemoveTrigger unlinks /boot/oem: the last act of a run.
	RemoveTrigger(ctx context.Context) error

	// Handover verifies the seller's hand-over file against the machine. An
	// absent one is not an error: its items are then NotProvided.
	Handover(ctx context.Context) (Handover, error)

	// ReadHint, WriteHint and AppendHint keep our own small public files; name is
	// kexec_reown plus a suffix that is not .txt, so that the firmware neither
	// hashes nor trusts them. WriteHint replaces atomically, all sync; ReadHint
	// returns ErrNotFound, and no more than 1 MiB; RemoveHint of what is not there
	// is no error.
	ReadHint(ctx context.Context, name string) ([]byte, error)
	WriteHint(ctx context.Context, name string, data []byte) error
	AppendHint(ctx context.Context, name string, data []byte) error
	RemoveHint(ctx context.Context, name string) error

	// Hold says that writes will follow each other until it is released: /boot may stay
	// writable between them. It is released before a person is asked anything, while the
	// disk is re-encrypted, and at the end.
	Hold() (release func() error)
}

// Volume names an encrypted volume and the volume key it had.
type Volume struct {
	UUID      string `json:"uuid"`
	KeyDigest string `json:"keyDigest"`
}

// ---------------------------------------------------------------- platform

// Power is what feeds the computer.
type Power struct {
	Known   bool // a mains or battery device was found
	Mains   bool
	Percent int // of the battery; -1: none
}

// Platform is the rest of the machine.
type Platform interface {
	Board() string
	Power(ctx context.Context) (Power, error)
	// Now is the clock; Built is the newest moment known to be past.
	Now() time.Time
	Built() time.Time
	SetClock(t time.Time) error
	// Memory returns the bytes of RAM that can still be used.
	Memory() int64
	// WipeSecrets clears what the firmware keeps of secrets outside this process.
	WipeSecrets() error
	// Restart syncs and restarts the computer; it returns only on failure.
	Restart(ctx context.Context) error
	// PowerOff syncs and switches the computer off; it returns only on failure.
	PowerOff(ctx context.Context) error
}
