package hotpkey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"reown/internal/otp"
	"reown/internal/secret"
	"reown/internal/usb"
	"reown/internal/usbid"
)

// Errors that callers decide on.
var (
	// ErrNoToken says that no security key that can verify HOTP is plugged in.
	ErrNoToken = errors.New("no security key with HOTP is plugged in")
	// ErrManyTokens says that several are, and none was chosen by its serial number.
	ErrManyTokens = errors.New("more than one security key with HOTP is plugged in")
	// ErrWrongCode says that the key knows the secret of no code like this near its
	// counter.
	ErrWrongCode = errors.New("the security key rejected the code")
	// ErrNoSlot says that no HOTP secret has been stored on the key.
	ErrNoSlot = errors.New("no HOTP secret is stored on the security key")
	// ErrNoTouch says that the key was not touched in time.
	ErrNoTouch = errors.New("the security key was not touched in time")
	// ErrNoApp says that the firmware of a Nitrokey 3 has no secrets app, which keeps
	// HOTP secrets.
	ErrNoApp = errors.New("the security key's firmware has no secrets app")
	// ErrOldFirmware says that the firmware of a Nitrokey Pro, Storage or Librem Key is from
	// before keys could verify HOTP codes.
	ErrOldFirmware = errors.New("the security key's firmware is too old to verify HOTP codes")
	// ErrNoPIN says that the key's secrets app has no PIN yet.
	ErrNoPIN = errors.New("the security key has no PIN for its secrets app yet")
	// ErrPINBlocked says that no try is left for the PIN.
	ErrPINBlocked = errors.New("the security key's PIN is blocked")
	// ErrLastTry says that one try is left for the PIN, and the caller did not allow
	// to use it.
	ErrLastTry = errors.New("only one try is left for the PIN")
	// ErrPINLength says that a PIN is too short or too long for this key.
	ErrPINLength = errors.New("the PIN's length does not fit the security key")
	// ErrBadSecret says that an HOTP secret is not 16 to 40 bytes long.
	ErrBadSecret = errors.New("the HOTP secret's length is wrong")
	// ErrBadCounter says that a counter is too large for the key, or not a number.
	ErrBadCounter = errors.New("bad HOTP counter")
	// ErrFull says that the key's memory is full.
	ErrFull = errors.New("the security key's memory is full")
	// ErrRefused says that the key does not take the command now: some wait five
	// seconds after a wrong code.
	ErrRefused = errors.New("the security key refuses the command for now")
	// ErrNotAuthorized says that the key forgot that the PIN was verified: it was
	// restarted in the middle.
	ErrNotAuthorized = errors.New("the security key has forgotten the PIN")
	// ErrNoAnswer says that the key did not answer in time. Whether it executed the
	// command is not known.
	ErrNoAnswer = errors.New("the security key does not answer")
	// ErrProtocol says that the key sent something meaningless.
	ErrProtocol = errors.New("the security key sent something meaningless")
	// ErrNeedsConsent says that the command destroys data and was not confirmed.
	ErrNeedsConsent = errors.New("not confirmed")
)

// A PINError is a wrong PIN.
type PINError struct {
	Which string // "admin PIN" or "secrets PIN"
	Left  int    // tries left; -1: unknown
}

func (e *PINError) Error() string {
	if e.Left < 0 {
		return "wrong " + e.Which
	}
	return fmt.Sprintf("wrong %s, %d tries left", e.Which, e.Left)
}

// A StatusError is a status that has no meaning of its own here.
type StatusError struct {
	Command byte   // HID command or instruction byte
	Status  uint16 // HID status (0 to 14) or SW1 SW2
}

func (e *StatusError) Error() string {
	if e.Status > 0xff {
		return fmt.Sprintf("security key: command %02x failed with status %04x", e.Command, e.Status)
	}
	if t := hidStatusText[e.Status]; t != "" {
		return fmt.Sprintf("security key: command %02x failed: %s", e.Command, t)
	}
	return fmt.Sprintf("security key: command %02x failed with status %d", e.Command, e.Status)
}

// Limits of what is stored.
const (
	// Window is how many counters ahead of its own the key accepts: its counter up to
	// counter+Window-1.
	Window = 10
	// MinSecret is RFC 4226's least (R6), in bytes; MaxSecret what a Nitrokey Pro holds.
	MinSecret, MaxSecret = 16, 40
	// slotName is the name under which Heads looks for the secret.
	slotName = "HEADS Validation"
)

// A Model is a make of key, as data.
type Model struct {
	Name           string
	ID             usbid.ID
	PIN            string // the PIN that Set needs: "admin PIN" (of the OpenPGP card) or "secrets PIN"
	MinPIN, MaxPIN int    // bytes, for a PIN to be set

	hid     bool
	storage bool          // firmware of the Nitrokey Storage
	since   byte          // minor version of the first firmware 0.x that verifies HOTP codes
	poll    time.Duration // between looking for an answer
}

// Models are the keys that can verify HOTP.
func Models() []Model {
	return []Model{
		// The report has 25 bytes for a PIN (heads issue 1168); the card wants 8.
		{Name: "Nitrokey Pro", ID: usbid.NitrokeyPro, PIN: adminPIN, MinPIN: 8, MaxPIN: 25, hid: true, since: 9,
			poll: 50 * time.Millisecond},
		{Name: "Librem Key", ID: usbid.LibremKey, PIN: adminPIN, MinPIN: 8, MaxPIN: 25, hid: true, since: 9,
			poll: 50 * time.Millisecond},
		// Asked more often, it sometimes answers with nothing.
		{Name: "Nitrokey Storage", ID: usbid.NitrokeyStorage, PIN: adminPIN, MinPIN: 8, MaxPIN: 25, hid: true, storage: true,
			since: 54, poll: 200 * time.Millisecond},
		{Name: "Nitrokey 3", ID: usbid.Nitrokey3, PIN: secretsPIN, MinPIN: 4, MaxPIN: 127},
	}
}

const (
	adminPIN   = "admin PIN"
	secretsPIN = "secrets PIN"
)

// checkPIN checks a PIN before anything is sent. fresh is a PIN that will be set.
func (m Model) checkPIN(pin *secret.Buffer, fresh bool) error {
	min := 1
	if fresh || m.hid { // no such card ever had a shorter one
		min = m.MinPIN
	}
	if n := pin.Len(); n < min || n > m.MaxPIN {
		return fmt.Errorf("%w: %s wants %d to %d characters, not %d", ErrPINLength, m.Name, min, m.MaxPIN, n)
	}
	for _, c := range pin.Bytes() {
		if c == 0 {
			return fmt.Errorf("%w: it contains a zero byte", ErrPINLength)
		}
	}
	return nil
}

// A Touch announces that the key waits for a finger on its button, and why.
type Touch struct {
	N, Of int    // this is touch N of about Of in this operation
	Why   string // what it is for, in a few words
	Again bool   // the last one came too late
}

// Options choose and accompany a Token.
type Options struct {
	// Serial chooses a key, as Info and the USB bus know it; "" takes the only one.
	Serial string
	// Touch hears of every touch that is needed, before the key begins to wait.
	Touch func(Touch)

	quick bool // for tests: an emulated key needs no patience
}

// SetOptions are permissions for Set.
type SetOptions struct {
	// NewPIN allows Set to make the given PIN the secrets PIN of a Nitrokey 3 that has
	// none. Without it Set returns ErrNoPIN.
	NewPIN bool
	// LastTry allows to use the last try of the PIN.
	LastTry bool
}

// Info describes a key.
type Info struct {
	Model      string `json:"model"`
	Address    string `json:"address"`               // BUS-ADDRESS
	Serial     string `json:"serial"`                // hexadecimal
	Firmware   string `json:"firmware"`              // "0.15"
	SecretsApp string `json:"secrets_app,omitempty"` // version, Nitrokey 3
	PIN        string `json:"pin"`                   // which PIN Set needs
	PINSet     bool   `json:"pin_set"`               // false: Set with NewPIN will set it
	PINTries   int    `json:"pin_tries"`             // tries left for that PIN; -1: unknown or no PIN
	AdminTries int    `json:"admin_tries"`           // of the OpenPGP card; -1: unknown
	UserTries  int    `json:"user_tries"`
	MinPIN     int    `json:"min_pin"`
	MaxPIN     int    `json:"max_pin"`
	Slot       Slot   `json:"slot"`
	TooOld     bool   `json:"too_old"` // its firmware cannot verify HOTP codes
	// Counter is the key's own counter where the key tells it; -1: it does not.
	Counter int64 `json:"counter"`
}

// A Slot says whether an HOTP secret is stored.
type Slot string

// States of the slot.
const (
	SlotEmpty   Slot = "empty"
	SlotSet     Slot = "set"
	SlotUnknown Slot = "unknown"
)

// A Token is an open key. It holds the key for this program alone until Close; its
// methods must not be called at the same time.
type Token struct {
	model Model
	info  usb.Info
	impl  impl
}

// impl is one family's protocol.
type impl interface {
	info(ctx context.Context, i *Info) error
	set(ctx context.Context, pin, key *secret.Buffer, counter uint64, o SetOptions) error
	check(ctx context.Context, code uint32) (int, error)
	reset(ctx context.Context, pin *secret.Buffer) error
	close() error
}

// List returns the keys on the bus that can verify HOTP.
func List(bus usb.Bus) ([]usb.Info, error) {
	all, err := bus.Devices()
	if err != nil {
		return nil, fmt.Errorf("looking for security keys: %w", err)
	}
	var found []usb.Info
	for _, i := range all {
		if _, ok := modelOf(i); ok {
			found = append(found, i)
		}
	}
	return found, nil
}

func modelOf(i usb.Info) (Model, bool) {
	for _, m := range Models() {
		if m.ID == (usbid.ID{Vendor: i.Descriptors.Vendor, Product: i.Descriptors.Product}) {
			return m, true
		}
	}
	return Model{}, false
}

// Wait is List; a key that the kernel may be about to see is waited for, for some seconds.
func Wait(ctx context.Context, bus usb.Bus) (found []usb.Info, err error) {
	left := usb.Settle(ctx, func() bool { return usb.Settling(bus) }, func() bool {
		found, err = List(bus)
		return err != nil || len(found) > 0
	})
	if left != nil {
		return nil, left
	}
	return found, err
}

// Find opens the only key on the bus, or the one whose serial number is chosen; it waits as
// Wait does. It returns ErrNoToken, ErrManyTokens, or an error that wraps usb.ErrBusy when
// the key's smart card is in use.
func Find(ctx context.Context, bus usb.Bus, o Options) (*Token, error) {
	found, err := Wait(ctx, bus)
	if err != nil {
		return nil, err
	}
	if o.Serial == "" && len(found) > 1 {
		return nil, fmt.Errorf("%w: %d", ErrManyTokens, len(found))
	}
	for _, i := range found {
		if o.Serial == "" || sameSerial(o.Serial, i.Serial) {
			return Open(ctx, bus, i, o)
		}
	}
	// Some keys tell their serial number only when asked.
	for _, i := range found {
		t, err := Open(ctx, bus, i, o)
		if err != nil {
			continue
		}
		if in, err := t.Info(ctx); err == nil && sameSerial(o.Serial, in.Serial) {
			return t, nil
		}
		t.Close()
	}
	return nil, ErrNoToken
}

// sameSerial compares serial numbers without leading zeros and case.
func sameSerial(a, b string) bool {
	trim := func(s string) string { return strings.TrimLeft(strings.ToLower(strings.TrimPrefix(s, "0x")), "0") }
	return b != "" && trim(a) == trim(b)
}

// Open opens one key that List returned.
func Open(ctx context.Context, bus usb.Bus, i usb.Info, o Options) (*Token, error) {
	m, ok := modelOf(i)
	if !ok {
		return nil, ErrNoToken
	}
	t := &Token{model: m, info: i}
	if o.Touch == nil {
		o.Touch = func(Touch) {}
	}
	var err error
	if m.hid {
		if o.quick {
			m.poll = 2 * time.Millisecond
		}
		t.impl, err = openPro(ctx, bus, i, m)
	} else {
		t.impl, err = openSecrets(ctx, bus, i, m, o.Touch)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the %s: %w", m.Name, err)
	}
	return t, nil
}

// Model returns the make of the key.
func (t *Token) Model() Model { return t.model }

// Close ends the ownership of the key.
func (t *Token) Close() error { return t.impl.close() }

// Info reads the key's state. It costs no try of any PIN and needs no touch.
func (t *Token) Info(ctx context.Context) (Info, error) {
	i := Info{
		Model: t.model.Name, Address: fmt.Sprintf("%d-%d", t.info.Bus, t.info.Address), Serial: t.info.Serial,
		PIN: t.model.PIN, PINTries: -1, AdminTries: -1, UserTries: -1, MinPIN: t.model.MinPIN, MaxPIN: t.model.MaxPIN,
		Slot: SlotUnknown, Counter: -1,
	}
	if err := t.impl.info(ctx, &i); err != nil {
		return Info{}, fmt.Errorf("reading the state of the %s: %w", t.model.Name, err)
	}
	return i, nil
}

// Set stores an HOTP secret of 16 to 40 bytes, to begin at counter. An earlier secret
// is replaced, but never lost to a wrong PIN. pin is the PIN that Info names.
//
// It returns ErrOldFirmware, *PINError, ErrPINBlocked, ErrLastTry, ErrNoPIN, ErrPINLength, ErrBadSecret
// or ErrBadCounter with the earlier secret still in place; after any other error it may
// be gone, and Set can be repeated.
func (t *Token) Set(ctx context.Context, pin, key *secret.Buffer, counter uint64, o SetOptions) error {
	if n := key.Len(); n < MinSecret || n > MaxSecret {
		return fmt.Errorf("%w: %d bytes, want %d to %d", ErrBadSecret, n, MinSecret, MaxSecret)
	}
	if err := t.model.checkPIN(pin, false); err != nil {
		return err
	}
	if err := t.impl.set(ctx, pin, key, counter, o); err != nil {
		return fmt.Errorf("storing the HOTP secret on the %s: %w", t.model.Name, err)
	}
	return nil
}

// Check shows the key a code; the key shows its light. ahead says how far the code was
// ahead of the key's counter (0 to 9; -1 when the key does not say); the key's counter
// is then the code's plus one. It returns ErrWrongCode or ErrNoSlot.
func (t *Token) Check(ctx context.Context, code otp.Code) (ahead int, err error) {
	n := uint32(0)
	for _, d := range code {
		if d < '0' || d > '9' {
			return 0, otp.ErrBadCode
		}
		n = n*10 + uint32(d-'0')
	}
	ahead, err = t.impl.check(ctx, n)
	if err != nil {
		return 0, fmt.Errorf("showing the code to the %s: %w", t.model.Name, err)
	}
	return ahead, nil
}

// Reset removes the HOTP secret. On a Pro, Storage or Librem Key it erases that slot
// alone and needs the admin PIN. On a Nitrokey 3 it resets the whole secrets app, every
// other secret in it and its PIN included, and needs a touch but no PIN.
func (t *Token) Reset(ctx context.Context, pin *secret.Buffer) error {
	if err := t.impl.reset(ctx, pin); err != nil {
		return fmt.Errorf("resetting HOTP on the %s: %w", t.model.Name, err)
	}
	return nil
}

// NeedsPIN reports whether Reset needs the PIN.
func (t *Token) NeedsPIN() bool { return t.model.hid }

// RegenerateAES makes the AES keys of a Pro, Storage or Librem Key anew. A factory reset of
// the OpenPGP card destroys them: the password safe and the Storage's encrypted volume
// are lost then, and do not work again before this (heads issue 763). It takes some
// seconds and resets the USB port; open the key again afterwards. A key without such keys
// is left alone.
func (t *Token) RegenerateAES(ctx context.Context, pin *secret.Buffer) error {
	p, ok := t.impl.(*pro)
	if !ok {
		return nil
	}
	if err := p.regenerate(ctx, pin); err != nil {
		return fmt.Errorf("making new AES keys on the %s: %w", t.model.Name, err)
	}
	return nil
}
