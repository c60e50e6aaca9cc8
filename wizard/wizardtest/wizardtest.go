// Package wizardtest is a laptop that exists only in memory, for tests of the
// wizard: every device has the state that the real one keeps over a power cut, and
// every write has a name, before and after it takes effect, at which a test can
// make it fail or cut the power. The shipped program does not link it.
package wizardtest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"reown/wizard"
)

// ErrAppeared is what /boot answers where a file is there that nobody was shown.
var ErrAppeared = errors.New("wizardtest: a file appeared in /boot")

// ErrCut is what every device answers once the power is cut.
var ErrCut = errors.New("wizardtest: the power was cut")

// Seller's secrets.
const (
	SellerPassphrase = "seller-passphrase"
	SellerPIN        = "seller-pin"
	SellerOwner      = "seller-owner"
)

const sellerCard = "5E11E20000000000000000000000000000005E11"

// World is the laptop. Its fields are its state; tests read and change them.
type World struct {
	mu sync.Mutex
	// Fault is called at each named point; an error makes the write fail there.
	Fault func(op string) error
	Ops   []string // points passed since the last Reboot
	dead  bool
	// LostKey: Run is told that the owner has lost the key.
	LostKey bool
	// Doubtful are further devices that look like encrypted disks.
	Doubtful []wizard.Doubt
	Unknown  []string // names in /boot that no firmware writes

	keys   map[string]string      // private key by fingerprint
	parsed map[string]certificate // those that verify
	next   int                    // makes fingerprints and names

	CardState           // the security key that came with the laptop
	Spare     CardState // another one, with keys of somebody's
	announce  func(bool)
	CardError error // what the reader answers instead

	Sets []*bool // of each set of keys that was in memory: whether it was wiped

	HasSticks bool
	StickIn   bool
	Stick     map[string][]byte // the files on it

	Disks []*Volume

	HasTPM    bool
	Owner     string
	Primary   string
	SellerSRK string
	Counter   int
	Sealed    *Sealed
	Recovery  bool // this start went through the recovery shell
	NoLog     bool // the firmware's log never leads to what was measured
	measured  string
	EK        string
	EKGone    bool // cleared, and not made again
	Area      Area
	OldTPM    bool // it can protect no area
	OnTheBus  bool // somebody changes what the TPM says
	HalfSetUp bool // lockout parameters are not those that a reset sets
	// How often /boot was written, how often it was made writable for that, and whether
	// it is now.
	BootWrites, Remounts int
	Writable             bool
	holds                int

	DUKObject *DUKObject
	Modules   bool // what the firmware loads before it opens the disk is not known
	OwnName   bool // the installed system names its disk in its own way

	HasToken bool
	TokenOTP string
	NoHOTP   bool // the token's firmware lacks it
	AES      bool // the token has AES keys, which a reset of the card destroys

	ROM  [4][]byte // four erase blocks; the keyring is the certificate that all of them name
	Full bool      // CBFS has no room
	// ChipMay are kinds of flash chips, where the flash program cannot tell, and ChipIs what somebody has said
	// in this start.
	ChipMay []string
	ChipIs  string
	// The boot menu: what the firmware can predict, the entry that would be suggested, and
	// the one that the present set makes the default (-1: none).
	Entries                []string
	Uncertain              []bool
	Suggested, SignedEntry int
	Change                 wizard.FirmwareChange
	Files                  string  // what stands for the files in /boot
	Set                    BootSet // what the firmware uses
	Shop                   bool    // the seller is at work: he signs what he likes, also after the flash
	Stage                  *BootSet
	SignedSets             []BootSet // that any card has signed in this laptop
	Oem                    bool
	Hints                  map[string][]byte
	Seller                 wizard.Handover // as the statement has it; Handover compares
	// Handover makes the answer when not nil.
	HandoverFunc func() wizard.Handover

	// Refuses is what a device (card, disk, disk.NUMBER, tpm, boot, boot.ENTRY, trial, firmware) would not do, and does
	// not do.
	Refuses map[string]*wizard.Finding

	PowerState wizard.Power
	Clock      time.Time
	Restarts   int
	Wiped      int
	Free       int64
}

// CardState is what a security key keeps.
type CardState struct {
	CardIn     bool
	Serial     string
	Fprs       [3]string
	UserPIN    string
	AdminPIN   string
	Tries      [3]int
	Terminated bool
	NoReset    bool // it has no factory reset
	NoKinds    bool // it makes none of the keys that are needed
	MinPIN     int  // the make wants longer PINs than the usual six and eight characters; 0: it does not
	Holder     wizard.Identity
	Touch      bool // each signature wants a finger
	MaxPIN     int  // it takes no longer ones; 0: 127
	Signatures uint32
	NoCount    bool // it does not count them
	Evil       bool // it takes any PIN, and its maker knows every key in it
	Claims     bool // it shows keys that it does not have
}

// Volume is an encrypted volume. Every chunk of it is under one key.
type Volume struct {
	UUID, Serial string
	Slots        []string // passphrases that open it
	DUK          string   // and the disk unlock key that does, if any
	Unseen       bool     // its beginning cannot be read
	Garbage      bool     // something was encrypted that was no plain text
	Key, NewKey  string   // NewKey is not empty while it is re-encrypted
	Chunks       []string // the key of each chunk
	Done         int
	Old          bool // its header is of the first version; a re-encryption makes it the second
	Empty        int  // chunks at the end that were never written
	Filled       bool // they were overwritten
	Bad          int  // the chunk that cannot be read, from 1; 0: none
	Hidden       bool // from a survey
	Blank        bool // nobody has written to it but noise
	Seen         int  // chunks that a survey comes to before it hangs; 0: all
	// Digest is what somebody has written in the place of the key's digest: it then opens by nothing
	// that checks it. Salt makes the digest of the same key another one.
	Digest, Salt string
}

// Sealed is the object in the TPM.
type Sealed struct{ OTP, PCR7, Primary string }

// Area is the owner's in the TPM.
type Area struct {
	wizard.Anchor
	Owner string // passphrase by which it was made
}

// DUKObject is the disk unlock key in the TPM.
type DUKObject struct{ Key, Pass, PCR7, Headers, Primary string }

// BootSet is a signed set of files.
type BootSet struct {
	Signer, Files, Rollback, Primary, HOTP, DUK string
	Entry                                       string // that starts by default
	Oem                                         bool   // it covers /boot/oem
	Mixed                                       bool   // parts of several, which no signature covers
}

// New returns a laptop as a seller ships it.
func New() *World {
	w := &World{
		keys: map[string]string{}, HasTPM: true, Owner: SellerOwner, Primary: "srk-seller", SellerSRK: "srk-seller",
		EK:       strings.Repeat("ec", 32),
		Entries:  []string{"Debian GNU/Linux", "Memory test"},
		HasToken: true, AES: true, TokenOTP: "seller", Files: "files-1", Oem: true, Hints: map[string][]byte{},
		PowerState: wizard.Power{Known: true, Mains: true, Percent: 83},
		Clock:      time.Date(2026, 11, 22, 17, 41, 0, 0, time.UTC), Free: 1 << 30,
	}
	w.CardState = CardState{CardIn: true, Serial: "5F11A2C0", UserPIN: SellerPIN, AdminPIN: SellerPIN,
		Tries: [3]int{3, 0, 3}, Signatures: 2,
		Fprs: [3]string{sellerCard, strings.Repeat("B", 40), strings.Repeat("C", 40)}}
	w.Spare = CardState{Serial: "77777777", UserPIN: "654321", AdminPIN: "87654321", Tries: [3]int{3, 0, 3},
		Fprs: [3]string{strings.Repeat("D", 40)}}
	w.HasSticks, w.StickIn, w.Stick = true, true, map[string][]byte{"holiday.jpg": []byte("jpeg")}
	w.keys[sellerCard] = "private-seller"
	w.AddDisk("11111111-aaaa", "S64DNL0T")
	for i := range w.ROM {
		w.ROM[i] = w.certificate(w.Fprs, wizard.Identity{Name: "Seller"})
	}
	w.Counter = 1 << 20
	w.Set = BootSet{Signer: sellerCard, Files: w.Files, Oem: true, Rollback: string(w.rollback()),
		Primary: hash(w.Primary)}
	w.measured = w.pcr7()
	w.Sealed = &Sealed{OTP: "12345678901234567890", PCR7: w.pcr7(), Primary: w.Primary}
	w.Seller = wizard.Handover{Seller: "NovaCustom", Order: "2026-1147", Signer: sellerCard,
		Words: "robin uncle kite focus", Statement: strings.Repeat("5a", 32),
		Chain: []wizard.Transfer{{From: sellerCard, Name: "NovaCustom", Date: "2026-11-02", Firmware: true}},
		Keys:  []string{sellerCard}, Volumes: []wizard.Volume{{UUID: "11111111-aaaa", KeyDigest: "digest-of-key-0"}},
		SRKName: "srk-seller", CardSerial: "5F11A2C0"}
	return w
}

// AddDisk adds a volume of the seller's.
func (w *World) AddDisk(uuid, serial string) {
	v := &Volume{UUID: uuid, Serial: serial, Slots: []string{SellerPassphrase, "seller-second"},
		Key: fmt.Sprintf("key-%d", len(w.Disks)), Chunks: make([]string, 8)}
	for i := range v.Chunks {
		v.Chunks[i] = v.Key
	}
	w.Disks = append(w.Disks, v)
}

// Clone is the same laptop, once more, with its power on and no faults.
func (w *World) Clone() *World {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clone()
}

// Film keeps the laptop as it is at each named point: what a cut there leaves.
func (w *World) Film(keep func(op string, now *World)) {
	w.Fault = func(op string) error {
		keep(op, w.clone())
		return nil
	}
}

func (w *World) clone() *World {
	c := &World{}
	*c = World{keys: maps.Clone(w.keys), parsed: maps.Clone(w.parsed), next: w.next, CardState: w.CardState,
		Spare: w.Spare, HasSticks: w.HasSticks, StickIn: w.StickIn, Stick: maps.Clone(w.Stick),
		HasTPM: w.HasTPM, EK: w.EK, Area: w.Area, OldTPM: w.OldTPM, Owner: w.Owner, Primary: w.Primary,
		SellerSRK: w.SellerSRK, Counter: w.Counter, Recovery: w.Recovery, NoLog: w.NoLog, measured: w.measured,
		Modules: w.Modules, OwnName: w.OwnName, HalfSetUp: w.HalfSetUp, HasToken: w.HasToken, TokenOTP: w.TokenOTP,
		NoHOTP: w.NoHOTP, AES: w.AES,
		Entries: w.Entries, Uncertain: w.Uncertain, Suggested: w.Suggested, SignedEntry: w.SignedEntry,
		Full: w.Full, ChipMay: w.ChipMay, ChipIs: w.ChipIs, Files: w.Files, Set: w.Set, Oem: w.Oem,
		Hints: maps.Clone(w.Hints), Seller: w.Seller, HandoverFunc: w.HandoverFunc,
		Unknown: w.Unknown, Refuses: w.Refuses, PowerState: w.PowerState, Clock: w.Clock, Free: w.Free}
	for _, v := range w.Disks {
		n := *v
		n.Slots, n.Chunks = slices.Clone(v.Slots), slices.Clone(v.Chunks)
		c.Disks = append(c.Disks, &n)
	}
	for i := range w.ROM {
		c.ROM[i] = slices.Clone(w.ROM[i])
	}
	if w.Sealed != nil {
		s := *w.Sealed
		c.Sealed = &s
	}
	if w.DUKObject != nil {
		d := *w.DUKObject
		c.DUKObject = &d
	}
	if w.Stage != nil {
		s := *w.Stage
		c.Stage = &s
	}
	return c
}

// Learn gives the laptop the keys of another one, so that what they have signed there is signed here.
func (w *World) Learn(o *World) { maps.Copy(w.keys, o.keys) }

// Apart makes all that this laptop will name differ from what another one names.
func (w *World) Apart() { w.next += 1000 }

// Reboot switches the laptop on again.
func (w *World) Reboot() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead, w.Fault, w.Ops, w.measured, w.ChipIs = false, nil, nil, w.pcr7(), ""
}

// Cut makes the laptop lose power at the n-th named point from now, from 0.
func (w *World) Cut(n int) {
	count := 0
	w.Fault = func(string) error {
		if count++; count > n {
			return ErrCut
		}
		return nil
	}
}

// FailOnce makes one named point fail once, as a device does that is there again
// afterwards.
func (w *World) FailOnce(op string, err error) {
	done := false
	w.Fault = func(o string) error {
		if o == op && !done {
			done = true
			return err
		}
		return nil
	}
}

// at is a named point.
func (w *World) at(op string) error {
	if w.dead {
		return ErrCut
	}
	w.Ops = append(w.Ops, op)
	if w.Fault != nil {
		if err := w.Fault(op); err != nil {
			if errors.Is(err, ErrCut) {
				w.dead = true
			}
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return nil
}

// WritesBoot counts a write to /boot, and what it takes to make that possible.
func (w *World) WritesBoot() {
	w.BootWrites++
	if !w.Writable {
		w.Remounts++
		w.Writable = w.holds > 0
	}
}

// write runs change between two named points: a fault at the first leaves the old
// state, one at the second leaves the new state and still reports an error.
func (w *World) write(op string, change func()) error {
	family, _, _ := strings.Cut(op, ".")
	switch family {
	case "hint", "append", "remove", "boot":
		w.WritesBoot()
	case "disk":
		if op == "disk.chunk" && w.Writable {
			return errors.New("wizardtest: /boot is writable while the disk is re-encrypted")
		}
	}
	if err := w.at(op); err != nil {
		return err
	}
	change()
	return w.at(op + ".done")
}

func (w *World) read() error {
	if w.dead {
		return ErrCut
	}
	return nil
}

func (w *World) name(prefix string) string {
	w.next++
	return fmt.Sprintf("%s-%d", prefix, w.next)
}

func (w *World) fpr() string {
	w.next++
	h := sha256.Sum256(fmt.Appendf(nil, "fingerprint %d", w.next))
	return strings.ToUpper(hex.EncodeToString(h[:20]))
}

func hash(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:])
}
