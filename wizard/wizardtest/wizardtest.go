// Package wizardtest is a laptop that exists only in memory, for tests of the
// wizard: every device has the state that the real one keeps over a power cut, and
// every write has a name, before and after it takes effect, at which a test can
// make it fail or cut the power. The shipped program does not link it.
package wizardtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"reown/internal/handover"
	"reown/internal/secret"
	"reown/wizard"
)

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

	keys map[string]string // private key by fingerprint
	next int               // makes fingerprints and names

	CardState           // the security key that came with the laptop
	Spare     CardState // another one, with keys of somebody's
	CardError error     // what the reader answers instead

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
	// The boot menu: what the firmware can predict, the entry that would be suggested, and
	// the one that the present set makes the default (-1: none).
	Entries                []string
	Uncertain              []bool
	Suggested, SignedEntry int
	Change                 wizard.FirmwareChange
	Files                  string  // what stands for the files in /boot
	Set                    BootSet // what the firmware uses
	Stage                  *BootSet
	Oem                    bool
	Hints                  map[string][]byte
	Seller                 wizard.Handover // as the statement has it; Handover compares
	// Handover makes the answer when not nil.
	HandoverFunc func() wizard.Handover

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
	MinPIN     int  // the make wants longer PINs than the usual six and eight characters; 0: it does not
	MaxPIN     int  // it takes no longer ones; 0: 127
}

// Volume is an encrypted volume. Every chunk of it is under one key.
type Volume struct {
	UUID, Serial string
	Slots        []string // passphrases that open it
	DUK          string   // and the disk unlock key that does, if any
	Key, NewKey  string   // NewKey is not empty while it is re-encrypted
	Chunks       []string // the key of each chunk
	Done         int
}

// Sealed is the object in the TPM.
type Sealed struct{ OTP, PCR7, Primary string }

// DUKObject is the disk unlock key in the TPM.
type DUKObject struct{ Key, Pass, PCR7, Headers, Primary string }

// BootSet is a signed set of files.
type BootSet struct {
	Signer, Files, Rollback, Primary, HOTP, DUK string
	Entry                                       string // that starts by default
}

// New returns a laptop as a seller ships it.
func New() *World {
	w := &World{
		keys: map[string]string{}, HasTPM: true, Owner: SellerOwner, Primary: "srk-seller", SellerSRK: "srk-seller",
		Entries:  []string{"Debian GNU/Linux", "Memory test"},
		HasToken: true, AES: true, TokenOTP: "seller", Files: "files-1", Oem: true, Hints: map[string][]byte{},
		PowerState: wizard.Power{Known: true, Mains: true, Percent: 83}, Clock: time.Date(2026, 11, 22, 17, 41, 0, 0, time.UTC), Free: 1 << 30,
	}
	w.CardState = CardState{CardIn: true, Serial: "5F11A2C0", UserPIN: SellerPIN, AdminPIN: SellerPIN, Tries: [3]int{3, 0, 3},
		Fprs: [3]string{sellerCard, strings.Repeat("B", 40), strings.Repeat("C", 40)}}
	w.Spare = CardState{Serial: "77777777", UserPIN: "654321", AdminPIN: "87654321", Tries: [3]int{3, 0, 3}, Fprs: [3]string{strings.Repeat("D", 40)}}
	w.HasSticks, w.StickIn, w.Stick = true, true, map[string][]byte{"holiday.jpg": []byte("jpeg")}
	w.keys[sellerCard] = "private-seller"
	w.AddDisk("11111111-aaaa", "S64DNL0T")
	for i := range w.ROM {
		w.ROM[i] = w.certificate(w.Fprs, wizard.Identity{Name: "Seller"})
	}
	w.Set = BootSet{Signer: sellerCard, Files: w.Files}
	w.measured = w.pcr7()
	w.Sealed = &Sealed{OTP: "12345678901234567890", PCR7: w.pcr7(), Primary: w.Primary}
	w.Seller = wizard.Handover{Seller: "NovaCustom", Order: "2026-1147", Signer: sellerCard, Words: "robin uncle kite focus", Statement: strings.Repeat("5a", 32),
		Chain: []wizard.Transfer{{From: sellerCard, Name: "NovaCustom", Date: "2026-11-02", Firmware: true}}, Keys: []string{sellerCard}, Volumes: []wizard.Volume{{UUID: "11111111-aaaa", KeyDigest: "digest-of-key-0"}}, SRKName: "srk-seller", CardSerial: "5F11A2C0"}
	return w
}

// AddDisk adds a volume of the seller's.
func (w *World) AddDisk(uuid, serial string) {
	v := &Volume{UUID: uuid, Serial: serial, Slots: []string{SellerPassphrase, "seller-second"}, Key: fmt.Sprintf("key-%d", len(w.Disks)), Chunks: make([]string, 8)}
	for i := range v.Chunks {
		v.Chunks[i] = v.Key
	}
	w.Disks = append(w.Disks, v)
}

// Clone is the same laptop, once more, with its power on and no faults.
func (w *World) Clone() *World {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &World{}
	*c = World{keys: maps.Clone(w.keys), next: w.next, CardState: w.CardState, Spare: w.Spare, HasSticks: w.HasSticks, StickIn: w.StickIn, Stick: maps.Clone(w.Stick),
		HasTPM: w.HasTPM, Owner: w.Owner, Primary: w.Primary, SellerSRK: w.SellerSRK, Counter: w.Counter, Recovery: w.Recovery, NoLog: w.NoLog, measured: w.measured, Modules: w.Modules, OwnName: w.OwnName, HalfSetUp: w.HalfSetUp, HasToken: w.HasToken, TokenOTP: w.TokenOTP, NoHOTP: w.NoHOTP, AES: w.AES,
		Entries: w.Entries, Uncertain: w.Uncertain, Suggested: w.Suggested, SignedEntry: w.SignedEntry,
		Full: w.Full, Files: w.Files, Set: w.Set, Oem: w.Oem, Hints: maps.Clone(w.Hints), Seller: w.Seller, HandoverFunc: w.HandoverFunc,
		PowerState: w.PowerState, Clock: w.Clock, Free: w.Free}
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

// Reboot switches the laptop on again.
func (w *World) Reboot() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead, w.Fault, w.Ops, w.measured = false, nil, nil, w.pcr7()
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

// ---------------------------------------------------------------- keys

type certificate struct {
	Fprs [3]string
	ID   wizard.Identity
	Self string
}

func (w *World) certificate(fprs [3]string, id wizard.Identity) []byte {
	c := certificate{Fprs: fprs, ID: id}
	c.Self = w.mac(fprs[0], fmt.Sprint(fprs, id))
	b, _ := json.Marshal(c)
	return b
}

func (w *World) mac(fpr, data string) string { return hash("signature", w.keys[fpr], data) }

func (w *World) parse(cert []byte) (certificate, error) {
	var c certificate
	if err := json.Unmarshal(cert, &c); err != nil {
		return c, fmt.Errorf("wizardtest: no certificate: %w", err)
	}
	if w.keys[c.Fprs[0]] == "" || c.Self != w.mac(c.Fprs[0], fmt.Sprint(c.Fprs, c.ID)) {
		return c, errors.New("wizardtest: a self-signature does not verify")
	}
	return c, nil
}

// Forge makes a certificate and a signer that are nobody's in this laptop: what an
// attacker with a key of his own can put into /boot.
func (w *World) Forge() (cert []byte, sign func([]byte) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fprs := [3]string{w.fpr(), w.fpr(), w.fpr()}
	w.keys[fprs[0]] = w.name("private-evil")
	return w.certificate(fprs, wizard.Identity{Name: "Mallory"}), func(d []byte) []byte { return w.armor(fprs[0], d) }
}

// armor has the form of an OpenPGP signature, so that files of several can be taken
// apart as real ones are.
func (w *World) armor(fpr string, data []byte) []byte {
	mac := w.mac(fpr, string(data))
	packet := append([]byte{0xc2, byte(len(mac))}, mac...)
	return []byte("-----BEGIN PGP SIGNATURE-----\n\n" + base64.StdEncoding.EncodeToString(packet) + "\n-----END PGP SIGNATURE-----\n")
}

type pgp struct{ *World }

func (w pgp) Fingerprints(cert []byte) ([3]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.parse(cert)
	return c.Fprs, err
}

func (w pgp) Verify(cert, data, sig []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.parse(cert)
	if err != nil {
		return err
	}
	made, err := handover.Signatures(sig)
	good, _ := handover.Signatures(w.armor(c.Fprs[0], data))
	if err != nil || len(made) != 1 || !bytes.Equal(made[0], good[0]) {
		return errors.New("wizardtest: the signature does not verify")
	}
	return nil
}

// ---------------------------------------------------------------- card

// card is the one that is plugged in, or the one with a serial number.
type card struct {
	*World
	serial string
}

func (w card) At(serial string) wizard.Card { return card{w.World, serial} }

func (w card) there() (*CardState, error) {
	if err := errors.Join(w.read(), w.CardError); err != nil {
		return nil, err
	}
	var found *CardState
	for _, c := range []*CardState{&w.CardState, &w.World.Spare} {
		if !c.CardIn || w.serial != "" && c.Serial != w.serial {
			continue
		}
		if found != nil {
			return nil, wizard.ErrSeveralCards
		}
		found = c
	}
	if found == nil {
		return nil, wizard.ErrNoCard
	}
	return found, nil
}

func (w card) Info(context.Context) (wizard.CardInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.there()
	if err != nil {
		return wizard.CardInfo{}, err
	}
	if c.Terminated {
		return wizard.CardInfo{Reader: "Test", Terminated: true}, nil
	}
	return wizard.CardInfo{Reader: "Test", Vendor: "Nitrokey 3", Serial: c.Serial, Fingerprints: c.Fprs, Tries: c.Tries,
		NoReset: c.NoReset, PINMin: [2]int{max(6, c.MinPIN), max(8, c.MinPIN)}, PINMax: [2]int{c.maxPIN(), c.maxPIN()}, Algorithms: []string{"nistp256", "rsa3072"}}, nil
}

func (c *CardState) maxPIN() int {
	if c.MaxPIN == 0 {
		return 127
	}
	return c.MaxPIN
}

func (w card) Reset(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.there()
	if err != nil {
		return err
	}
	if c.NoReset {
		return errors.New("wizardtest: the card has no reset")
	}
	// Tries are spent on purpose: a card is terminated without a PIN once they are gone.
	if err := w.write("card.block", func() { c.Tries[0], c.Tries[2] = 0, 0 }); err != nil {
		return err
	}
	if err := w.write("card.terminate", func() { c.Terminated = true }); err != nil {
		return err
	}
	return w.write("card.activate", func() {
		*c = CardState{CardIn: true, Serial: c.Serial, UserPIN: "123456", AdminPIN: "12345678", Tries: [3]int{3, 0, 3}, MinPIN: c.MinPIN, MaxPIN: c.MaxPIN}
		if c == &w.CardState {
			w.TokenOTP, w.AES = "", false
		}
	})
}

func (w card) Generate(_ context.Context, s wizard.KeySpec, progress wizard.Progress) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fill(progress, "card.generate", func(i int) string {
		f := w.fpr()
		if i == 0 {
			w.keys[f] = w.name("private")
		}
		return f
	})
}

func (w card) Import(_ context.Context, set wizard.KeySet, progress wizard.Progress) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := set.(*keySet)
	if k.wiped {
		return errors.New("wizardtest: the keys were wiped")
	}
	w.keys[k.fprs[0]] = k.private
	return w.fill(progress, "card.import", func(i int) string { return k.fprs[i] })
}

// fill puts three keys into the card.
func (w card) fill(progress wizard.Progress, op string, key func(int) string) error {
	c, err := w.there()
	if err != nil {
		return err
	}
	if c.AdminPIN != "12345678" || c.Terminated {
		return errors.New("wizardtest: the card has no factory PINs")
	}
	for i := range c.Fprs {
		if err := w.write(fmt.Sprintf("%s.%d", op, i), func() { c.Fprs[i] = key(i) }); err != nil {
			return err
		}
		if progress != nil {
			w.mu.Unlock()
			progress(int64(i+1), 3)
			w.mu.Lock()
		}
	}
	return nil
}

func (w card) SetPINs(_ context.Context, user, admin *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.there()
	if err != nil {
		return err
	}
	if user.Len() < max(6, c.MinPIN) || admin.Len() < max(8, c.MinPIN) || max(user.Len(), admin.Len()) > c.maxPIN() {
		return errors.New("wizardtest: a PIN is too short or too long for the card")
	}
	if err := w.write("card.pin.admin", func() { c.AdminPIN = string(admin.Bytes()) }); err != nil {
		return err
	}
	return w.write("card.pin.user", func() { c.UserPIN = string(user.Bytes()) })
}

func (w card) verify(user, admin *secret.Buffer) (*CardState, error) {
	c, err := w.there()
	if err != nil {
		return nil, err
	}
	for i, p := range []struct {
		typed *secret.Buffer
		is    string
		n     int
	}{{user, c.UserPIN, 0}, {admin, c.AdminPIN, 2}} {
		if p.typed == nil {
			continue
		}
		if c.Tries[p.n] == 0 {
			return nil, errors.New("wizardtest: the PIN is blocked")
		}
		if string(p.typed.Bytes()) != p.is {
			c.Tries[p.n]--
			return nil, fmt.Errorf("pin %d: %w", i, wizard.ErrWrongSecret)
		}
		c.Tries[p.n] = 3
	}
	return c, nil
}

func (w card) VerifyPINs(_ context.Context, user, admin *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.verify(user, admin)
	return err
}

func (w card) Certify(_ context.Context, id wizard.Identity, pin *secret.Buffer) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.verify(pin, nil)
	if err != nil {
		return nil, err
	}
	if c.Fprs[0] == "" {
		return nil, errors.New("wizardtest: no key on the card")
	}
	return w.certificate(c.Fprs, id), nil
}

func (w card) Sign(_ context.Context, _ []byte, pin *secret.Buffer, data []byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.at("card.sign"); err != nil {
		return nil, err
	}
	c, err := w.verify(pin, nil)
	if err != nil {
		return nil, err
	}
	return w.armor(c.Fprs[0], data), nil
}

// keySet is keys in memory: a card's that is not there yet.
type keySet struct {
	*World
	fprs    [3]string
	private string
	cert    []byte
	wiped   bool
}

func (w pgp) NewKeySet(_ context.Context, _ wizard.KeySpec, id wizard.Identity) (wizard.KeySet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.read(); err != nil {
		return nil, err
	}
	k := &keySet{World: w.World, fprs: [3]string{w.fpr(), w.fpr(), w.fpr()}, private: w.name("private")}
	w.keys[k.fprs[0]] = k.private
	k.cert = w.certificate(k.fprs, id)
	w.Sets = append(w.Sets, &k.wiped)
	return k, nil
}

func (k *keySet) Certificate() []byte { return k.cert }
func (k *keySet) Wipe()               { k.wiped = true }

func (k *keySet) Export(passphrase *secret.Buffer) ([]byte, error) {
	if passphrase.Len() == 0 || k.wiped {
		return nil, errors.New("wizardtest: nothing to export")
	}
	return fmt.Appendf(nil, "%s under %s", strings.Join(k.fprs[:], " "), hash(string(passphrase.Bytes()))), nil
}

// ---------------------------------------------------------------- stick

type sticks struct{ *World }

func (w sticks) List(context.Context) ([]wizard.Stick, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.StickIn {
		return nil, w.read()
	}
	return []wizard.Stick{{ID: "sdb1", Model: "SanDisk Cruzer Blade", Size: 31_000_000_000, FS: "vfat"}}, w.read()
}

func (w sticks) Write(_ context.Context, id string, files []wizard.File) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.StickIn || id != "sdb1" {
		return wizard.ErrNoStick
	}
	for i, f := range files {
		if err := w.write(fmt.Sprintf("stick.%d", i), func() { w.World.Stick[f.Name] = slices.Clone(f.Data) }); err != nil {
			return err
		}
	}
	return nil
}

// ---------------------------------------------------------------- disk

// GB is the size of a chunk.
const GB = 1_000_000_000

type disk struct {
	*World
	i int
}

func (d disk) v() *Volume { return d.Disks[d.i] }

func (d disk) Info(context.Context) (wizard.DiskInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.v()
	i := wizard.DiskInfo{Path: fmt.Sprintf("/dev/nvme%dn1p3", d.i), Model: "Samsung 980", Serial: v.Serial, Size: int64(len(v.Chunks)) * GB, UUID: v.UUID,
		Format: "LUKS2", Keyslots: len(v.Slots), DUK: v.DUK != "", KeyDigest: "digest-of-" + v.Key, KDFMemory: 32 << 20}
	if v.NewKey != "" {
		i.Reencrypting, i.KeyDigest, i.Done, i.Total = true, "digest-of-"+v.NewKey, int64(v.Done)*GB, i.Size
	}
	return i, d.read()
}

func (disk) ReadRate(context.Context) (int64, error) { return 20e6, nil }

func (d disk) CheckPassphrase(_ context.Context, pass *secret.Buffer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.read(); err != nil {
		return err
	}
	if !slices.Contains(d.v().Slots, string(pass.Bytes())) {
		return fmt.Errorf("disk %d: %w", d.i, wizard.ErrWrongSecret)
	}
	return nil
}

func (d disk) SetPassphrase(_ context.Context, old, pass *secret.Buffer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, p := d.v(), string(pass.Bytes())
	if !slices.Contains(v.Slots, p) {
		if !slices.Contains(v.Slots, string(old.Bytes())) {
			return wizard.ErrWrongSecret
		}
		if err := d.write("disk.addslot", func() { v.Slots = append(v.Slots, p) }); err != nil {
			return err
		}
	}
	if v.DUK != "" {
		if err := d.write("disk.killslot", func() { v.DUK = "" }); err != nil {
			return err
		}
	}
	for i := len(v.Slots) - 1; i >= 0; i-- {
		if v.Slots[i] != p {
			if err := d.write("disk.killslot", func() { v.Slots = slices.Delete(v.Slots, i, i+1) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d disk) Reencrypt(ctx context.Context, pass *secret.Buffer, progress wizard.Progress) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.v()
	if !slices.Contains(v.Slots, string(pass.Bytes())) {
		return wizard.ErrWrongSecret
	}
	if v.NewKey == "" {
		if err := d.write("disk.begin", func() { v.NewKey, v.Done = d.name("key"), 0 }); err != nil {
			return err
		}
	}
	for v.Done < len(v.Chunks) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.write("disk.chunk", func() { v.Chunks[v.Done] = v.NewKey; v.Done++ }); err != nil {
			return err
		}
		if progress != nil {
			done := v.Done
			d.mu.Unlock()
			progress(int64(done)*GB, int64(len(v.Chunks))*GB)
			d.mu.Lock()
		}
	}
	return d.write("disk.end", func() { v.Key, v.NewKey, v.DUK = v.NewKey, "", "" })
}

// ---------------------------------------------------------------- TPM

type tpm struct{ *World }

func (w tpm) Info(context.Context) (wizard.TPMInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return wizard.TPMInfo{Family: "2.0", Vendor: "Test", Owned: w.Owner != "", SetUp: w.Owner != "" && w.Primary != "" && !w.HalfSetUp, PrimaryName: w.Primary,
		Recovery: w.Recovery || w.NoLog, Shell: w.Recovery}, w.read()
}

func (w tpm) Reset(_ context.Context, owner *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.write("tpm.clear", func() { w.Owner, w.Primary, w.Sealed, w.DUKObject, w.World.Counter = "", "", nil, nil, 0 }); err != nil {
		return err
	}
	if err := w.write("tpm.owner", func() { w.Owner = string(owner.Bytes()) }); err != nil {
		return err
	}
	return w.write("tpm.primary", func() { w.Primary, w.HalfSetUp = w.World.name("srk"), false })
}

func (w tpm) CheckOwner(_ context.Context, owner *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.check(owner)
}

func (w tpm) check(owner *secret.Buffer) error {
	if err := w.read(); err != nil {
		return err
	}
	if string(owner.Bytes()) != w.Owner {
		return fmt.Errorf("tpm: %w", wizard.ErrWrongSecret)
	}
	return nil
}

func (w tpm) Counter(_ context.Context, owner *secret.Buffer) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.check(owner); err != nil {
		return nil, err
	}
	if w.World.Counter == 0 {
		if err := w.write("tpm.counter", func() { w.next++; w.World.Counter = w.next }); err != nil {
			return nil, err
		}
	}
	return w.rollback(), nil
}

func (w *World) rollback() []byte { return fmt.Appendf(nil, "counter %d", w.Counter) }

func (w tpm) PrimaryHash(context.Context) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return []byte(hash(w.Primary)), w.read()
}

func (w *World) pcr7() string {
	var all []string
	for _, b := range w.ROM {
		all = append(all, string(b))
	}
	return hash(all...)
}

// sealsLater says whether nothing can be sealed to this PCR 7 in this start.
func (w *World) sealsLater(pcr7 string) bool { return w.Recovery || w.NoLog && pcr7 != w.measured }

func (w tpm) SealOTP(_ context.Context, owner, otp *secret.Buffer, pcr7 wizard.Measurement) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealsLater(string(pcr7["sha256"])) {
		return wizard.ErrSealImpossible
	}
	if err := w.check(owner); err != nil {
		return err
	}
	return w.write("tpm.seal", func() {
		w.Sealed = &Sealed{OTP: string(otp.Bytes()), PCR7: string(pcr7["sha256"]), Primary: w.Primary}
	})
}

func (w tpm) OTPSealed(_ context.Context, pcr7 wizard.Measurement) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealsLater(string(pcr7["sha256"])) {
		return false, wizard.ErrSealImpossible
	}
	return w.Sealed != nil && w.Sealed.PCR7 == string(pcr7["sha256"]) && w.Sealed.Primary == w.Primary, w.read()
}

func (w tpm) UnsealOTP(context.Context) (*secret.Buffer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Sealed == nil {
		return nil, wizard.ErrNoTPMState
	}
	if w.Sealed.PCR7 != w.pcr7() || w.Recovery {
		return nil, errors.New("wizardtest: the PCRs do not match")
	}
	return secret.From([]byte(w.Sealed.OTP)), w.read()
}

// ---------------------------------------------------------------- token

type token struct{ *World }

func (w token) Info(context.Context) (wizard.TokenInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.NoHOTP {
		return wizard.TokenInfo{}, wizard.ErrNoHOTP
	}
	return wizard.TokenInfo{Name: "Nitrokey 3", Configured: w.TokenOTP != "", PINTries: 8, Touches: 2}, w.read()
}

func (w token) Present(context.Context) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.HasToken
}

func (w token) AfterReset(_ context.Context, admin *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := (card{w.World, ""}).there()
	if err != nil {
		return err
	}
	if string(admin.Bytes()) != c.AdminPIN {
		return fmt.Errorf("token: %w", wizard.ErrWrongSecret)
	}
	return w.write("token.aes", func() { w.AES = w.AES || c == &w.CardState })
}

func (w token) Set(_ context.Context, otp, admin *secret.Buffer, touch func(n, of int)) error {
	for n := range 2 {
		if touch != nil {
			touch(n+1, 2)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if string(admin.Bytes()) != w.AdminPIN {
		return fmt.Errorf("token: %w", wizard.ErrWrongSecret)
	}
	return w.write("token.set", func() { w.TokenOTP = string(otp.Bytes()) })
}

func (w token) CounterFile() []byte { return []byte("2\n") }

// ---------------------------------------------------------------- firmware

type firmware struct{ *World }

func (w *World) keyring() []byte {
	for _, b := range w.ROM[1:] {
		if !bytes.Equal(b, w.ROM[0]) {
			return nil
		}
	}
	return w.ROM[0]
}

func (w firmware) Info(context.Context) (wizard.FirmwareInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := wizard.FirmwareInfo{Board: "Test board", Version: "1", Digest: w.pcr7()}
	if c, err := w.parse(w.keyring()); err == nil {
		i.Keyring = []string{c.Fprs[0]}
	}
	for _, block := range w.ROM {
		i.Torn = i.Torn || !bytes.Equal(block, w.ROM[0])
	}
	return i, w.read()
}

func (w firmware) CheckSpace(context.Context, int) (wizard.FirmwareChange, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Full {
		return w.Change, errors.New("wizardtest: no room in CBFS")
	}
	return w.Change, w.read()
}

func (w firmware) Plan(_ context.Context, cert []byte) (*wizard.FirmwarePlan, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &wizard.FirmwarePlan{BlockSize: 4096, Free: 1 << 20, Private: slices.Clone(cert)}
	var all []string
	for _, b := range w.ROM {
		all = append(all, string(cert))
		if !bytes.Equal(b, cert) {
			p.ChangedBlocks++
		}
	}
	p.PCR7 = wizard.Measurement{"sha256": []byte(hash(all...))}
	p.Image = sha256.Sum256(cert)
	return p, w.read()
}

func (w firmware) Write(_ context.Context, p *wizard.FirmwarePlan, _ []byte, sign func([]byte) ([]byte, error), progress wizard.Progress) error {
	if _, err := sign([]byte("the old blocks")); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.ROM {
		if err := w.write(fmt.Sprintf("flash.block.%d", i), func() { w.ROM[i] = slices.Clone(p.Private.([]byte)) }); err != nil {
			return err
		}
		if progress != nil {
			w.mu.Unlock()
			progress(int64(i+1), int64(len(w.ROM)))
			w.mu.Lock()
		}
	}
	return nil
}

func (w firmware) Holds(_ context.Context, cert []byte) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Equal(w.keyring(), cert), w.read()
}

// ---------------------------------------------------------------- /boot

type boot struct{ *World }

func (w boot) Hold() func() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds++
	return func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.holds--; w.holds == 0 {
			w.Writable = false
		}
		return nil
	}
}

func (w boot) Triggered(context.Context) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Oem, w.read()
}

func (w boot) Info(context.Context) (wizard.BootInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return wizard.BootInfo{Trigger: w.Oem, Files: 214, Entries: w.Entries, Uncertain: w.Uncertain, Default: w.Suggested, Signed: w.SignedEntry}, w.read()
}

func (w boot) Stage(_ context.Context, s wizard.BootSpec, sign func([]byte) ([]byte, error), progress wizard.Progress) error {
	w.mu.Lock()
	c, err := w.parse(s.Cert)
	if s.Entry < 0 || s.Entry >= len(w.Entries) || w.Uncertain != nil && w.Uncertain[s.Entry] {
		err = errors.Join(err, fmt.Errorf("wizardtest: entry %d cannot be the default", s.Entry))
		s.Entry = 0
	}
	set := BootSet{Entry: w.Entries[s.Entry], Signer: c.Fprs[0], Files: w.Files, Rollback: string(s.Rollback), Primary: string(s.PrimaryHash), HOTP: string(s.HOTPCounter), DUK: fmt.Sprint(s.DUK)}
	if s.DUK == nil {
		set.DUK = ""
	}
	w.mu.Unlock()
	if err != nil {
		return err
	}
	doc, _ := json.Marshal(set)
	sig, err := sign(doc)
	if err != nil {
		return err
	}
	if err := (pgp(w)).Verify(s.Cert, doc, sig); err != nil {
		return err
	}
	if progress != nil {
		progress(214, 214)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write("boot.stage", func() { w.World.Stage = &set })
}

func (w boot) good(s BootSet, cert []byte) bool {
	c, err := w.parse(cert)
	return err == nil && s.Signer == c.Fprs[0] && s.Files == w.Files
}

func (w boot) Staged(_ context.Context, cert []byte) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.World.Stage != nil && w.good(*w.World.Stage, cert), w.read()
}

func (w boot) Live(_ context.Context, cert []byte) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.good(w.Set, cert), w.read()
}

func (w boot) Install(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.World.Stage == nil {
		return errors.New("wizardtest: nothing is staged")
	}
	if err := w.write("boot.install", func() { w.Set = *w.World.Stage }); err != nil {
		return err
	}
	return w.write("boot.unstage", func() { w.World.Stage = nil })
}

func (w boot) RemoveTrigger(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write("boot.oem", func() { w.Oem = false })
}

func (w boot) Handover(context.Context) (wizard.Handover, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.HandoverFunc != nil {
		return w.HandoverFunc(), w.read()
	}
	h := w.Seller
	verdict := func(ok bool) wizard.Verdict {
		if ok {
			return wizard.Pass
		}
		return wizard.Fail
	}
	rom, _ := w.parse(w.ROM[0])
	h.Items = []wizard.CheckItem{
		{ID: "card", Verdict: verdict(w.Serial == h.CardSerial), Detail: "Nitrokey 3, serial " + w.Serial},
		{ID: "handover", Verdict: wizard.Pass, Detail: "NovaCustom 5E11 E200 ... 0000 5E11"},
		{ID: "firmware", Verdict: verdict(rom.Fprs[0] == sellerCard), Detail: "PCR 2, PCR 7"},
		{ID: "boot", Verdict: verdict(w.Set.Files == w.Files), Detail: "/boot, 214 files"},
		{ID: "disk", Verdict: verdict(w.asListed(h.Volumes)), Detail: "1 encrypted volume"},
	}
	if w.Terminated {
		h.Items[0].Verdict, h.Items[0].Detail = wizard.NotProvided, "a factory reset of it was begun and not ended"
	}
	return h, w.read()
}

// asListed says whether the volumes are under the keys that the seller lists.
func (w *World) asListed(list []wizard.Volume) bool {
	for _, l := range list {
		for _, v := range w.Disks {
			if v.UUID == l.UUID && (v.NewKey != "" || "digest-of-"+v.Key != l.KeyDigest) {
				return false
			}
		}
	}
	return true
}

func (w boot) ReadHint(_ context.Context, name string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.read(); err != nil {
		return nil, err
	}
	b, ok := w.Hints[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, wizard.ErrNotFound)
	}
	return slices.Clone(b), nil
}

func (w boot) WriteHint(_ context.Context, name string, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write("hint."+name, func() { w.Hints[name] = slices.Clone(data) })
}

func (w boot) AppendHint(_ context.Context, name string, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write("append."+name, func() { w.Hints[name] = append(slices.Clone(w.Hints[name]), data...) })
}

func (w boot) RemoveHint(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write("remove."+name, func() { delete(w.Hints, name) })
}

// ---------------------------------------------------------------- platform

type platform struct{ *World }

func (w platform) Board() string { return "Test board" }
func (w platform) Power(context.Context) (wizard.Power, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.PowerState, nil
}
func (w platform) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Clock
}
func (w platform) Built() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
func (w platform) SetClock(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Clock = t
	return nil
}
func (w platform) Memory() int64 { return w.Free }
func (w platform) WipeSecrets() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Wiped++
	return nil
}
func (w platform) Restart(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Restarts++
	return nil
}

// Machine is the laptop as the wizard sees it.
func (w *World) Machine() *wizard.Machine {
	m := &wizard.Machine{Card: card{w, ""}, PGP: pgp{w}, Firmware: firmware{w}, Boot: boot{w}, Platform: platform{w}}
	for i := range w.Disks {
		m.Disks = append(m.Disks, disk{w, i})
	}
	if w.HasSticks {
		m.Sticks = sticks{w}
	}
	if w.HasTPM {
		m.TPM = tpm{w}
		m.DUK = duk{w}
	}
	m.Token = token{w}
	return m
}

// ---------------------------------------------------------------- judgement

// Intact says what is lost, if anything: data under no known key, or a device whose
// secret nobody has seen. seen are the secrets that the owner has on paper.
func (w *World) Intact(seen []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := append([]string{SellerPassphrase, "seller-second", SellerPIN, SellerOwner, "654321", "87654321", "123456", "12345678", ""}, seen...)
	for _, v := range w.Disks {
		if !slices.ContainsFunc(v.Slots, func(s string) bool { return slices.Contains(known, s) }) {
			return fmt.Errorf("nobody knows a passphrase of volume %s", v.UUID)
		}
		for i, k := range v.Chunks {
			want := v.Key
			if v.NewKey != "" && i < v.Done {
				want = v.NewKey
			}
			if k != want {
				return fmt.Errorf("chunk %d of volume %s is under %s, the header says %s", i, v.UUID, k, want)
			}
		}
	}
	for _, wiped := range w.Sets {
		if !*wiped {
			return errors.New("secret keys are still in memory")
		}
	}
	for what, s := range map[string]string{"user PIN": w.UserPIN, "admin PIN": w.AdminPIN, "spare's user PIN": w.Spare.UserPIN, "spare's admin PIN": w.Spare.AdminPIN, "TPM owner passphrase": w.Owner} {
		if !slices.Contains(known, s) {
			return fmt.Errorf("nobody knows the %s", what)
		}
	}
	return nil
}

// BackedUp says what is missing for the keys of an owned laptop to be in a second
// place, if anything.
func (w *World) BackedUp(kind wizard.Backup, seen []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.Sets) == 0 {
		return errors.New("the keys were never in memory")
	}
	switch kind {
	case wizard.SpareBackup:
		if w.Spare.Fprs != w.Fprs || w.Spare.UserPIN != w.UserPIN || w.Spare.AdminPIN != w.AdminPIN || w.Spare.Terminated {
			return errors.New("the second security key is not like the first")
		}
	case wizard.StickBackup:
		file := string(w.Stick["reown-"+w.Serial+"-secret-key.asc"])
		if !slices.ContainsFunc(seen, func(s string) bool {
			return file == strings.Join(w.Fprs[:], " ")+" under "+hash(s)
		}) {
			return fmt.Errorf("the file on the stick is no backup of the key under a passphrase that was written down: %q", file)
		}
		n := 0
		for name := range w.Stick {
			if strings.HasSuffix(name, "secret-key.asc") {
				n++
			}
		}
		if n != 1 || w.Stick["holiday.jpg"] == nil {
			return fmt.Errorf("there are %d secret keys among the files on the stick", n)
		}
	}
	return nil
}

// Owned says what is missing for the laptop to be its owner's, if anything.
func (w *World) Owned(seen []string) error {
	if err := w.Intact(seen); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	rom, err := w.parse(w.keyring())
	switch {
	case w.Oem:
		return errors.New("/boot/oem is there")
	case err != nil:
		return fmt.Errorf("the firmware's keyring: %w", err)
	case rom.Fprs != w.Fprs:
		return errors.New("the firmware does not trust the card")
	case w.Fprs[0] == sellerCard || w.Fprs[0] == "":
		return errors.New("the card has no new keys")
	case w.HasToken && !w.AES:
		return errors.New("the token has no AES keys")
	case w.Set.Signer != w.Fprs[0] || w.Set.Files != w.Files:
		return errors.New("/boot is not signed by the card")
	case !slices.Contains(seen, w.UserPIN) || !slices.Contains(seen, w.AdminPIN):
		return errors.New("a PIN is not the owner's")
	case w.HasTPM && !slices.Contains(seen, w.Owner):
		return errors.New("the TPM is not the owner's")
	case w.HasTPM && (w.Sealed == nil || w.Sealed.PCR7 != w.pcr7() || w.Sealed.Primary != w.Primary):
		return errors.New("the TPM will not open its secret at the next start")
	case w.HasTPM && w.Set.Rollback != string(w.rollback()):
		return errors.New("/boot names another rollback counter")
	case w.HasTPM && w.Set.Primary != hash(w.Primary):
		return errors.New("/boot names another storage root")
	case w.HasTPM && w.HasToken && w.TokenOTP != w.Sealed.OTP:
		return errors.New("the token and the TPM have different secrets")
	}
	if err := w.ownedDUK(seen); err != nil {
		return err
	}
	for _, v := range w.Disks {
		if len(v.Slots) != 1 || !slices.Contains(seen, v.Slots[0]) {
			return fmt.Errorf("volume %s opens with %d passphrases", v.UUID, len(v.Slots))
		}
		if v.NewKey != "" || v.Key == "key-0" || v.Key == "key-1" {
			return fmt.Errorf("volume %s is under its old key", v.UUID)
		}
	}
	return nil
}
