package gpgcard

import (
	"context"
	"errors"
	"fmt"

	"reown/internal/secret"
)

// A PIN is one of the card's three passwords.
type PIN int

// The passwords (clause 4.3.1).
const (
	UserPIN   PIN = iota + 1 // PW1: sign and decrypt
	ResetCode                // unblocks PW1; mostly unset
	AdminPIN                 // PW3: everything else
)

func (p PIN) String() string {
	switch p {
	case UserPIN:
		return "user PIN"
	case ResetCode:
		return "reset code"
	case AdminPIN:
		return "admin PIN"
	}
	return fmt.Sprintf("PIN %d", int(p))
}

// index is the PIN's place in DO C4.
func (p PIN) index() int { return int(p) - 1 }

// Password references (clause 7.2.2).
const (
	refSign  = 0x81 // PW1 for PSO: COMPUTE DIGITAL SIGNATURE
	refOther = 0x82 // PW1 for everything else
	refAdmin = 0x83
)

// FactoryPIN returns the PIN that a card has after a reset (clause 4.2): 123456 or
// 12345678. The caller wipes it.
func FactoryPIN(which PIN) *secret.Buffer {
	if which == AdminPIN {
		return secret.From([]byte("12345678"))
	}
	return secret.From([]byte("123456"))
}

// orFactory returns pin, or the factory PIN when pin is nil; done wipes what was
// created here.
func orFactory(which PIN, pin *secret.Buffer) (_ *secret.Buffer, done func()) {
	if pin != nil {
		return pin, func() {}
	}
	f := FactoryPIN(which)
	return f, f.Wipe
}

// status reads DO C4, which holds the tries left.
func (c *Card) pwStatus(ctx context.Context) (pwStatus, error) {
	if c.terminated {
		return pwStatus{}, ErrTerminated
	}
	b, err := c.getData(ctx, 0xc4)
	if err != nil {
		return pwStatus{}, err
	}
	return parsePWStatus(b)
}

// guard refuses to send a PIN that is blocked, or that a single mistake would
// block unless the caller allowed it.
func (c *Card) guard(ctx context.Context, which PIN) error {
	st, err := c.pwStatus(ctx)
	if err != nil {
		return err
	}
	switch left := st.left[which.index()]; {
	case left == 0:
		return fmt.Errorf("%v: %w", which, ErrBlocked)
	case left == 1 && !c.AllowLastTry:
		return fmt.Errorf("%v: %w", which, ErrLastTry)
	}
	return nil
}

// Verify checks the user PIN for decryption and authentication, or the admin PIN
// (VERIFY, clause 7.2.2). It stays valid until the card is reset. Before sending
// it reads the tries left; a wrong PIN is a *PINError.
func (c *Card) Verify(ctx context.Context, which PIN, pin *secret.Buffer) error {
	switch which {
	case UserPIN:
		return c.verify(ctx, which, refOther, pin)
	case AdminPIN:
		return c.verify(ctx, which, refAdmin, pin)
	}
	return fmt.Errorf("%v cannot be verified by itself", which)
}

func (c *Card) verify(ctx context.Context, which PIN, ref byte, pin *secret.Buffer) error {
	if err := c.guard(ctx, which); err != nil {
		return err
	}
	p, err := c.encodePIN(which, pin)
	if err != nil {
		return err
	}
	defer p.Wipe()
	_, err = c.do(ctx, command{name: "VERIFY", ins: insVerify, p2: ref, data: p.Bytes()})
	c.verified = c.verified || err == nil
	return c.pinError(ctx, which, err)
}

// pinError turns a refusal into a *PINError with the tries that are left, as read
// from the card.
func (c *Card) pinError(ctx context.Context, which PIN, err error) error {
	var s *StatusError
	if !errors.As(err, &s) {
		return err
	}
	if s.SW != swSecurity && s.SW != swBlocked && s.SW != swWrongPIN && s.SW>>4 != 0x63c {
		return err
	}
	left := -1
	if st, e := c.pwStatus(ctx); e == nil {
		left = int(st.left[which.index()])
	} else if s.SW>>4 == 0x63c {
		left = int(s.SW & 15)
	}
	if s.SW == swBlocked {
		left = 0
	}
	return &PINError{Which: which, Left: left}
}

// ChangePIN replaces a PIN by a new one (CHANGE REFERENCE DATA, clause 7.2.3). The
// new PIN's length is checked for this card before anything is sent.
func (c *Card) ChangePIN(ctx context.Context, which PIN, old, new *secret.Buffer) error {
	if which != UserPIN && which != AdminPIN {
		return fmt.Errorf("%v cannot be changed by itself", which)
	}
	if err := c.CheckPIN(ctx, which, new); err != nil {
		return err
	}
	return c.changePIN(ctx, which, old, new)
}

// changePIN lets the card judge the length.
func (c *Card) changePIN(ctx context.Context, which PIN, old, new *secret.Buffer) error {
	if err := c.guard(ctx, which); err != nil {
		return err
	}
	o, err := c.encodePIN(which, old)
	if err != nil {
		return err
	}
	defer o.Wipe()
	n, err := c.encodePIN(which, new)
	if err != nil {
		return err
	}
	defer n.Wipe()
	both := secret.New(o.Len() + n.Len())
	defer both.Wipe()
	copy(both.Bytes(), o.Bytes())
	copy(both.Bytes()[o.Len():], n.Bytes())
	ref := byte(refSign)
	if which == AdminPIN {
		ref = refAdmin
	}
	_, err = c.do(ctx, command{name: "CHANGE REFERENCE DATA", ins: insChange, p2: ref, data: both.Bytes()})
	if isStatus(err, swConditions) || isStatus(err, swWrongData) || isStatus(err, swWrongLength) {
		lo, hi, _ := c.pinLimits(ctx, which)
		return fmt.Errorf("%w: %w", &PINLengthError{Which: which, Len: new.Len(), Min: lo, Max: hi, Refused: true}, err)
	}
	return c.pinError(ctx, which, err)
}

// CheckPIN says whether a new PIN suits this card, without sending anything: nil
// or a *PINLengthError.
func (c *Card) CheckPIN(ctx context.Context, which PIN, pin *secret.Buffer) error {
	lo, hi, err := c.pinLimits(ctx, which)
	if err != nil {
		return err
	}
	if e := c.pinLength(which, pin.Len(), lo, hi); e != nil {
		return e
	}
	return nil
}

func (c *Card) pinLength(which PIN, n, lo, hi int) *PINLengthError {
	if n >= lo && n <= hi {
		return nil
	}
	e := &PINLengthError{Which: which, Len: n, Min: lo, Max: hi}
	for _, q := range c.quirks {
		if n < q.MinPIN || q.MaxPIN > 0 && n > q.MaxPIN {
			e.Reason = q.ID + ": " + q.Text
		}
	}
	return e
}

// pinLimits returns the shortest and longest PIN, in bytes (clause 4.3.1, DO C4
// and the maker's quirks).
func (c *Card) pinLimits(ctx context.Context, which PIN) (shortest, longest int, err error) {
	st, err := c.pwStatus(ctx)
	if err != nil {
		return 0, 0, err
	}
	shortest, longest = c.limits(st, which)
	return shortest, longest, nil
}

func (c *Card) limits(st pwStatus, which PIN) (shortest, longest int) {
	return c.limitsWith(st, which, c.kdf != nil)
}

// limitsWith is limits with and without hashed PINs: a reset ends the hashing.
func (c *Card) limitsWith(st pwStatus, which PIN, kdf bool) (shortest, longest int) {
	shortest, longest = 6, int(st.maxLen[which.index()])
	if which != UserPIN {
		shortest = 8
	}
	if kdf {
		longest = maxKDFPIN // the card sees the hash only
	}
	for _, q := range c.quirks {
		if !kdf || !q.NotWithKDF {
			shortest = max(shortest, q.MinPIN)
		}
		if q.MaxPIN > 0 {
			longest = min(longest, q.MaxPIN)
		}
	}
	return shortest, longest
}

// Unblock sets a new user PIN with the admin PIN, and gives it all its tries back
// (RESET RETRY COUNTER, clause 7.2.4).
func (c *Card) Unblock(ctx context.Context, admin, new *secret.Buffer) error {
	if err := c.CheckPIN(ctx, UserPIN, new); err != nil {
		return err
	}
	if err := c.Verify(ctx, AdminPIN, admin); err != nil {
		return err
	}
	n, err := c.encodePIN(UserPIN, new)
	if err != nil {
		return err
	}
	defer n.Wipe()
	_, err = c.do(ctx, command{name: "RESET RETRY COUNTER", ins: insUnblock, p1: 2, p2: refSign, data: n.Bytes()})
	return err
}

// UnblockWithCode is Unblock with the reset code instead of the admin PIN.
func (c *Card) UnblockWithCode(ctx context.Context, code, new *secret.Buffer) error {
	if err := c.CheckPIN(ctx, UserPIN, new); err != nil {
		return err
	}
	if err := c.guard(ctx, ResetCode); err != nil {
		return err
	}
	o, err := c.encodePIN(ResetCode, code)
	if err != nil {
		return err
	}
	defer o.Wipe()
	n, err := c.encodePIN(UserPIN, new)
	if err != nil {
		return err
	}
	defer n.Wipe()
	both := secret.New(o.Len() + n.Len())
	defer both.Wipe()
	copy(both.Bytes(), o.Bytes())
	copy(both.Bytes()[o.Len():], n.Bytes())
	_, err = c.do(ctx, command{name: "RESET RETRY COUNTER", ins: insUnblock, p2: refSign, data: both.Bytes()})
	return c.pinError(ctx, ResetCode, err)
}

// SetResetCode sets the reset code; an empty or nil code removes it (DO D3).
func (c *Card) SetResetCode(ctx context.Context, admin, code *secret.Buffer) error {
	if err := c.Verify(ctx, AdminPIN, admin); err != nil {
		return err
	}
	if code.Len() == 0 {
		return c.putData(ctx, 0xd3, nil)
	}
	if err := c.CheckPIN(ctx, ResetCode, code); err != nil {
		return err
	}
	n, err := c.encodePIN(ResetCode, code)
	if err != nil {
		return err
	}
	defer n.Wipe()
	return c.putData(ctx, 0xd3, n.Bytes())
}

// SetPINs replaces the factory PINs by new ones, the admin PIN first: a Gnuk whose
// user PIN is changed first makes that PIN its admin PIN. It may be repeated after
// an interruption: each PIN that is set already is left alone. It costs no tries
// as long as each PIN is either the factory's or the new one; any other PIN is a
// *PINError with at least one try left. With two tries left, only the new one is
// tried, and with AllowLastTry then the factory's.
//
// The keys must be on the card before: a Gnuk without keys refuses a user PIN (ErrNoKey,
// before anything is changed). If the card refuses the user PIN after the admin PIN was
// set, the factory's is put back; a *HalfSetError says that this failed, too.
func (c *Card) SetPINs(ctx context.Context, user, admin *secret.Buffer) error {
	if err := c.CheckPIN(ctx, AdminPIN, admin); err != nil {
		return err
	}
	if err := c.CheckPIN(ctx, UserPIN, user); err != nil {
		return err
	}
	if err := c.keysFirst(ctx); err != nil {
		return err
	}
	changed, err := c.setPIN(ctx, AdminPIN, admin)
	if err != nil {
		return err
	}
	_, err = c.setPIN(ctx, UserPIN, user)
	if err == nil || !changed {
		return err
	}
	// One without the other is a state that nobody has on paper.
	factory := FactoryPIN(AdminPIN)
	defer factory.Wipe()
	if back := c.changePIN(ctx, AdminPIN, admin, factory); back != nil {
		return &HalfSetError{Err: err, Back: back}
	}
	return err
}

// keysFirst is ErrNoKey on a card that sets no user PIN before it has keys.
func (c *Card) keysFirst(ctx context.Context) error {
	if !c.quirk(func(q Quirk) bool { return q.KeysFirst }) {
		return nil
	}
	d, err := c.applicationData(ctx)
	if err == nil && d.fpr == [slots][20]byte{} {
		err = fmt.Errorf("%v: %w; a Gnuk changes its user PIN only when it has keys", UserPIN, ErrNoKey)
	}
	return err
}

// setPIN reports whether it has replaced the factory's.
func (c *Card) setPIN(ctx context.Context, which PIN, new *secret.Buffer) (changed bool, err error) {
	st, err := c.pwStatus(ctx)
	if err != nil {
		return false, err
	}
	// Two PINs may be tried, and one try has to remain. Where only one may be, it is
	// the new one: an earlier call was cut after the card had refused the factory's.
	var wrong *PINError
	few := st.left[which.index()] < 3
	if few {
		err = c.Verify(ctx, which, new)
		if !errors.As(err, &wrong) || wrong.Left == 0 || !c.AllowLastTry {
			return false, err
		}
	}
	factory := FactoryPIN(which)
	defer factory.Wipe()
	err = c.ChangePIN(ctx, which, factory, new)
	if few || !errors.As(err, &wrong) {
		return err == nil, err
	}
	return false, c.Verify(ctx, which, new)
}

// RequirePINPerSignature sets whether each signature needs the user PIN again (DO
// C4, first byte). It needs the admin PIN.
func (c *Card) RequirePINPerSignature(ctx context.Context, admin *secret.Buffer, each bool) error {
	if err := c.Verify(ctx, AdminPIN, admin); err != nil {
		return err
	}
	v := byte(1)
	if each {
		v = 0
	}
	if err := c.putData(ctx, 0xc4, []byte{v}); err != nil {
		return err
	}
	st, err := c.pwStatus(ctx)
	if err != nil {
		return err
	}
	if st.validOften == each {
		return fmt.Errorf("PUT DATA 00C4: %w: the flag did not change", ErrMalformed)
	}
	return nil
}
