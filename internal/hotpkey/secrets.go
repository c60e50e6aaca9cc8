package hotpkey

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"reown/internal/ccid"
	"reown/internal/secret"
	"reown/internal/usb"
)

// Applications on a Nitrokey 3.
var (
	aidSecrets = []byte{0xa0, 0x00, 0x00, 0x05, 0x27, 0x21, 0x01}
	aidAdmin   = []byte{0xa0, 0x00, 0x00, 0x08, 0x47, 0x00, 0x00, 0x00, 0x01}
	aidOpenPGP = []byte{0xd2, 0x76, 0x00, 0x01, 0x24, 0x01}
)

// Instructions and tags of the secrets app (trussed-secrets-app, oath.rs).
const (
	insPut           = 0x01
	insDelete        = 0x02
	insReset         = 0x04
	insVerifyCode    = 0xb1
	insVerifyPIN     = 0xb2
	insSetPIN        = 0xb4
	insGetCredential = 0xb5

	tagName       = 0x71
	tagKey        = 0x73
	tagResponse   = 0x75
	tagProperties = 0x78
	tagVersion    = 0x79
	tagCounter    = 0x7a
	tagPassword   = 0x80
	tagPINCounter = 0x82
	tagSerial     = 0x8f

	kindHOTPReverseSHA1 = 0x31
	codeDigits          = 6
)

// Status words (ISO/IEC 7816-4, 5.6).
const (
	swOK          = 0x9000
	swWrong       = 0x6300 // wrong PIN, wrong code
	swSecurity    = 0x6982 // not touched, not authorised
	swBlocked     = 0x6983 // the name is taken
	swNotFound    = 0x6a82
	swNoMemory    = 0x6a84
	swNoInsn      = 0x6d00
	maxGetMore    = 64 // GET RESPONSE in a row
	touchAttempts = 3  // announcements of one touch
)

// secrets is a Nitrokey 3.
type secrets struct {
	model Model
	conn  *ccid.Conn
	touch func(Touch)
}

func openSecrets(ctx context.Context, bus usb.Bus, i usb.Info, m Model, touch func(Touch)) (impl, error) {
	c, err := ccid.Connect(ctx, bus, i)
	if err != nil {
		return nil, err
	}
	return &secrets{model: m, conn: c, touch: touch}, nil
}

func (s *secrets) close() error { return s.conn.Close() }

// apdu sends one command and collects the answer. The command is wiped: it may hold a
// PIN or the secret.
func (s *secrets) apdu(ctx context.Context, ins, p1, p2 byte, data *secret.Buffer, le int) (body []byte, sw uint16,
	err error) {
	cmd := secret.New(4 + 1 + data.Len() + 1)
	defer cmd.Wipe()
	b := append(cmd.Bytes()[:0], 0, ins, p1, p2)
	if data.Len() > 255 {
		panic("hotpkey: command too long")
	}
	if data.Len() > 0 {
		b = append(append(b, byte(data.Len())), data.Bytes()...)
	}
	if le >= 0 {
		b = append(b, byte(le))
	}
	for n := 0; ; n++ {
		r, err := s.conn.Transmit(ctx, b)
		if err != nil {
			return nil, 0, err
		}
		body = append(body, r[:len(r)-2]...)
		sw = binary.BigEndian.Uint16(r[len(r)-2:])
		if sw>>8 != 0x61 {
			return body, sw, nil
		}
		if n == maxGetMore {
			return nil, 0, fmt.Errorf("%w: an answer without end", ErrProtocol)
		}
		b = []byte{0, 0xc0, 0, 0, byte(sw)}
	}
}

// public wraps what need not be secret.
func public(b []byte) *secret.Buffer {
	p := secret.New(len(b))
	copy(p.Bytes(), b)
	return p
}

// tlv appends one data object with a length of one byte (at most 127).
func tlv(dst []byte, tag byte, value []byte) []byte {
	return append(append(dst, tag, byte(len(value))), value...)
}

// build makes the data of a command in locked memory.
func build(f func(dst []byte) []byte) *secret.Buffer {
	b := secret.New(255)
	b.SetLen(len(f(b.Bytes()[:0])))
	return b
}

// nameObject is the credential's name as a data object.
func nameObject() *secret.Buffer { return public(tlv(nil, tagName, []byte(slotName))) }

func (s *secrets) selectApp(ctx context.Context, aid []byte) ([]byte, error) {
	d := public(aid)
	defer d.Wipe()
	body, sw, err := s.apdu(ctx, 0xa4, 4, 0, d, -1)
	if err != nil {
		return nil, err
	}
	if sw != swOK {
		return nil, &StatusError{Command: 0xa4, Status: sw}
	}
	return body, nil
}

// An appState is the secrets app's answer to SELECT.
type appState struct {
	version string
	pinSet  bool
	tries   int // -1: no PIN
	serial  []byte
}

// parseAppState parses simple TLV with lengths of one byte.
func parseAppState(b []byte) (appState, error) {
	st := appState{tries: -1}
	for len(b) > 0 {
		if len(b) < 2 || b[1] > 127 || len(b) < 2+int(b[1]) {
			return st, fmt.Errorf("%w: answer to SELECT", ErrProtocol)
		}
		v := b[2 : 2+int(b[1])]
		switch {
		case b[0] == tagVersion && len(v) == 3:
			st.version = fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
		case b[0] == tagPINCounter && len(v) == 1:
			st.pinSet, st.tries = true, int(v[0])
		case b[0] == tagSerial:
			st.serial = v
		}
		b = b[2+len(v):]
	}
	if st.version == "" {
		return st, fmt.Errorf("%w: answer to SELECT without a version", ErrProtocol)
	}
	return st, nil
}

func (s *secrets) state(ctx context.Context) (appState, error) {
	b, err := s.selectApp(ctx, aidSecrets)
	var refused *StatusError
	if errors.As(err, &refused) && refused.Status == swNotFound {
		return appState{}, fmt.Errorf("%w: %w", ErrNoApp, err)
	} else if err != nil {
		return appState{}, fmt.Errorf("selecting the secrets app: %w", err)
	}
	return parseAppState(b)
}

// slot asks whether the credential is there. It needs no touch.
func (s *secrets) slot(ctx context.Context) (Slot, error) {
	d := nameObject()
	defer d.Wipe()
	_, sw, err := s.apdu(ctx, insGetCredential, 0, 0, d, -1)
	switch {
	case err != nil:
		return SlotUnknown, err
	case sw == swOK:
		return SlotSet, nil
	case sw == swNotFound:
		return SlotEmpty, nil
	}
	return SlotUnknown, nil // before version 0.13
}

func (s *secrets) info(ctx context.Context, i *Info) error {
	// The other applications first: the secrets app stays selected.
	if _, err := s.selectApp(ctx, aidAdmin); err == nil {
		if b, sw, err := s.apdu(ctx, 0x61, 0, 0, nil, 4); err != nil {
			return err
		} else if sw == swOK && len(b) >= 4 {
			v := binary.BigEndian.Uint32(b)
			i.Firmware = fmt.Sprintf("%d.%d.%d", v>>22, v>>6&0xffff, v&0x3f)
		}
	} else if !isStatus(err) {
		return err
	}
	if _, err := s.selectApp(ctx, aidOpenPGP); err == nil {
		if b, sw, err := s.apdu(ctx, 0xca, 0, 0xc4, nil, 0); err != nil {
			return err
		} else if sw == swOK && len(b) >= 7 {
			i.UserTries, i.AdminTries = int(b[4]), int(b[6])
		}
	} else if !isStatus(err) {
		return err
	}
	st, err := s.state(ctx)
	if err != nil {
		return err
	}
	i.SecretsApp, i.PINSet, i.PINTries = st.version, st.pinSet, st.tries
	if len(st.serial) > 0 {
		i.Serial = fmt.Sprintf("%X", st.serial)
	}
	i.Slot, err = s.slot(ctx)
	return err
}

func isStatus(err error) bool {
	var se *StatusError
	return errors.As(err, &se)
}

// A session counts the touches of one operation.
type session struct {
	s     *secrets
	n, of int
}

// touched runs a command that begins by waiting for a touch, and repeats it a few times
// when nobody touched: nothing has happened then.
func (t *session) touched(ctx context.Context, why string, ins, p1, p2 byte, data *secret.Buffer) (uint16, error) {
	t.n++
	t.of = max(t.of, t.n)
	for try := 1; ; try++ {
		t.s.touch(Touch{N: t.n, Of: t.of, Why: why, Again: try > 1})
		_, sw, err := t.s.apdu(ctx, ins, p1, p2, data, -1)
		if err != nil || sw != swSecurity {
			return sw, err
		}
		if try == touchAttempts {
			return sw, fmt.Errorf("%w (%s)", ErrNoTouch, why)
		}
	}
}

// verify shows the PIN. It is right or costs one try, after a touch.
func (t *session) verify(ctx context.Context, data *secret.Buffer) error {
	sw, err := t.touched(ctx, "to confirm the PIN", insVerifyPIN, 0, 0, data)
	switch {
	case err != nil:
		return err
	case sw == swOK:
		return nil
	case sw == swWrong:
		e := &PINError{Which: secretsPIN, Left: -1}
		if st, err := t.s.state(ctx); err == nil {
			e.Left = st.tries
		}
		return e
	}
	return &StatusError{Command: insVerifyPIN, Status: sw}
}

func (t *session) deleteSlot(ctx context.Context) error {
	d := nameObject()
	defer d.Wipe()
	sw, err := t.touched(ctx, "to remove the old secret", insDelete, 0, 0, d)
	if err == nil && sw != swOK && sw != swNotFound {
		err = &StatusError{Command: insDelete, Status: sw}
	}
	if err != nil {
		return fmt.Errorf("removing the old secret: %w", err)
	}
	return nil
}

// mayVerify says whether the PIN may be shown, or set, with these options.
func (st appState) mayVerify(o SetOptions) error {
	switch {
	case st.pinSet && st.tries == 0:
		return ErrPINBlocked
	case st.pinSet && st.tries == 1 && !o.LastTry:
		return ErrLastTry
	case !st.pinSet && !o.NewPIN:
		return ErrNoPIN
	}
	return nil
}

// makeRoom shows the PIN, then deletes an old credential.
func (t *session) makeRoom(ctx context.Context, password *secret.Buffer, old Slot) error {
	if old != SlotEmpty {
		t.of = 3
	}
	if err := t.verify(ctx, password); err != nil || old == SlotEmpty {
		return err
	}
	return t.deleteSlot(ctx)
}

// firstPIN sets the PIN of a key that has none; an old credential goes before.
func (t *session) firstPIN(ctx context.Context, password *secret.Buffer, old Slot) error {
	if old != SlotEmpty {
		t.of = 2
		if err := t.deleteSlot(ctx); err != nil {
			return err
		}
	}
	sw, err := t.touched(ctx, "to set the PIN", insSetPIN, 0, 0, password)
	if err == nil && sw != swOK {
		err = &StatusError{Command: insSetPIN, Status: sw}
	}
	if err != nil {
		return fmt.Errorf("setting the PIN: %w", err)
	}
	return nil
}

// set replaces the credential. The firmware forgets a verified PIN after the next
// command, so an old credential costs two touches more: one to delete it, one to show
// the PIN again. The PIN comes first all the same: a wrong one must not cost the old
// credential.
func (s *secrets) set(ctx context.Context, pin, key *secret.Buffer, counter uint64, o SetOptions) error {
	if counter > math.MaxUint32-2*Window {
		return fmt.Errorf("%w: %d, the key counts to %d", ErrBadCounter, counter, uint32(math.MaxUint32))
	}
	st, err := s.state(ctx)
	if err != nil {
		return err
	}
	if err := st.mayVerify(o); err != nil {
		return err
	}
	old, err := s.slot(ctx)
	if err != nil {
		return err
	}
	password := build(func(b []byte) []byte { return tlv(b, tagPassword, pin.Bytes()) })
	defer password.Wipe()
	put := build(func(b []byte) []byte {
		b = tlv(b, tagName, []byte(slotName))
		b = append(b, tagKey, byte(2+key.Len()), kindHOTPReverseSHA1, codeDigits)
		b = append(b, key.Bytes()...)
		b = append(b, tagProperties, 0) // no length: no touch for a check
		return tlv(b, tagCounter, binary.BigEndian.AppendUint32(nil, uint32(counter)))
	})
	defer put.Wipe()

	t := &session{s: s, of: 1}
	if st.pinSet {
		err = t.makeRoom(ctx, password, old)
	} else if err = s.model.checkPIN(pin, true); err == nil {
		err = t.firstPIN(ctx, password, old)
	}
	if err != nil {
		return err
	}
	for again := false; ; again = true {
		_, sw, err := s.apdu(ctx, insPut, 0, 0, put, -1)
		switch {
		case err != nil:
			return err
		case sw == swOK:
			return nil
		case sw == swSecurity && !again: // it has forgotten the PIN
			if err := t.verify(ctx, password); err != nil {
				return err
			}
			continue
		case sw == swSecurity:
			return ErrNotAuthorized
		case sw == swNotFound:
			return ErrPINBlocked
		case sw == swNoMemory:
			return ErrFull
		}
		return &StatusError{Command: insPut, Status: sw}
	}
}

func (s *secrets) check(ctx context.Context, code uint32) (int, error) {
	if _, err := s.state(ctx); err != nil {
		return 0, err
	}
	d := build(func(b []byte) []byte {
		return tlv(tlv(b, tagName, []byte(slotName)), tagResponse, binary.BigEndian.AppendUint32(nil, code))
	})
	defer d.Wipe()
	_, sw, err := s.apdu(ctx, insVerifyCode, 0, 0, d, -1)
	switch {
	case err != nil:
		return 0, err
	case sw == swOK:
		return -1, nil
	case sw == swWrong:
		return 0, ErrWrongCode
	case sw == swNotFound:
		return 0, ErrNoSlot
	case sw == swSecurity:
		return 0, ErrRefused
	}
	return 0, &StatusError{Command: insVerifyCode, Status: sw}
}

func (s *secrets) reset(ctx context.Context, _ *secret.Buffer) error {
	if _, err := s.state(ctx); err != nil {
		return err
	}
	t := &session{s: s, of: 1}
	sw, err := t.touched(ctx, "to erase everything in the secrets app", insReset, 0xde, 0xad, nil)
	if err == nil && sw != swOK {
		err = &StatusError{Command: insReset, Status: sw}
	}
	return err
}
