package hotpkey

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"reown/internal/ccid"
	"reown/internal/secret"
	"reown/internal/usb"
)

// HID commands (report_protocol.h).
const (
	hidGetStatus       = 0x00
	hidWriteToSlot     = 0x01
	hidReadSlot        = 0x03
	hidEraseSlot       = 0x06
	hidAuthenticate    = 0x07
	hidAdminTries      = 0x09
	hidUserTries       = 0x0f
	hidSendOTPData     = 0x17
	hidVerifyCode      = 0x18
	hidGenerateKeys    = 0x26 // Nitrokey Storage only
	hidGetDeviceStatus = 0x2e // Nitrokey Storage only
	hidNewAESKey       = 0x6b
)

// Status of the last command.
const (
	stOK            = 0
	stWrongCRC      = 1
	stNotProgrammed = 3
	stWrongPassword = 4
	stNotAuthorized = 5
)

var hidStatusText = map[uint16]string{
	1: "the report was garbled", 2: "no such slot", 3: "slot not programmed", 4: "wrong password", 5: "not authorized",
	6: "timestamp warning", 7: "no name given", 8: "not supported", 9: "unknown command", 10: "decryption failed",
	11: "making the AES key failed", 12: "changing the user PIN failed", 13: "changing the admin PIN failed",
	14: "unblocking the PIN failed",
}

const (
	reportLen  = 64
	maxPayload = 59
	resultLen  = 53

	proSlot   = 0x10 + 3 // HOTP slot 3, the one that VERIFY_OTP_CODE uses
	passField = 25       // bytes of a PIN or temporary password in a report
	dataField = 30       // bytes of SEND_OTP_DATA
	nameField = 15       // bytes that a slot keeps of its name
)

// How long the firmware may take. It talks to the smart card in between.
const (
	hidReady   = 10 * time.Second // to finish what it was at
	hidAnswer  = 2 * time.Minute  // for a command
	hidReport  = 5 * time.Second  // to take or give one report
	hidIgnored = 2 * time.Second  // after which an idle key has not seen the report
	hidResend  = 3                // times for a report that arrived garbled
)

// pro is a key of the Pro family. The card's reader is held, with the card off.
type pro struct {
	reader *ccid.Reader
	dev    usb.Device
	iface  uint16
	model  Model
	random func(n int) *secret.Buffer // for the temporary password
}

func openPro(ctx context.Context, bus usb.Bus, i usb.Info, m Model) (impl, error) {
	dev, err := bus.Open(i)
	if err != nil {
		return nil, err
	}
	hid, ok := dev.Descriptors().Find(usb.ClassHID)
	if !ok {
		dev.Close()
		return nil, fmt.Errorf("%w: no HID interface", ErrProtocol)
	}
	r, err := ccid.Open(dev) // closes dev when it fails
	if err != nil {
		return nil, err
	}
	p := &pro{reader: r, dev: dev, iface: uint16(hid.Number), model: m, random: secret.Random}
	if err := r.PowerOff(ctx); err != nil {
		r.Close()
		return nil, err
	}
	err = dev.Claim(hid.Number)
	if err == nil {
		err = pause(ctx, p.settle())
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return p, nil
}

// settle is how long the firmware is left alone between the card's side and the HID
// side.
func (p *pro) settle() time.Duration { return 2 * p.model.poll }

func (p *pro) close() error {
	time.Sleep(p.settle())
	return p.reader.Close()
}

// tries reads a counter of the OpenPGP card; -1 when the firmware could not.
func (p *pro) tries(ctx context.Context, cmd byte) (int, error) {
	n := -1
	err := p.command(ctx, cmd, nil, true, func(r []byte) {
		if r[0] != 0xff {
			n = int(r[0])
		}
	})
	return n, err
}

// A version is what a key says of its firmware, and the serial number of its card.
type version struct {
	major, minor byte
	serial       uint32
	known        bool
}

func (p *pro) version(ctx context.Context) (v version, err error) {
	err = p.command(ctx, hidGetStatus, nil, true, func(r []byte) {
		v = version{r[1], r[0], binary.LittleEndian.Uint32(r[2:]), !p.model.storage}
	})
	if err != nil || !p.model.storage {
		return v, err
	}
	// A Storage answers as an old Pro here and has a command of its own.
	err = p.command(ctx, hidGetDeviceStatus, nil, true, func(r []byte) {
		s := r[22:]
		v = version{s[4], s[5], binary.LittleEndian.Uint32(s[20:]), true}
	})
	var se *StatusError
	if errors.As(err, &se) {
		err = nil
	}
	return v, err
}

// tooOld says that the firmware is from before VERIFY_OTP_CODE. To ask with a code would
// light the key red.
func (p *pro) tooOld(v version) bool { return v.known && v.major == 0 && v.minor < p.model.since }

func (p *pro) info(ctx context.Context, i *Info) error {
	v, err := p.version(ctx)
	if err != nil {
		return err
	}
	i.Firmware, i.Serial, i.PINSet = fmt.Sprintf("%d.%d", v.major, v.minor), fmt.Sprintf("%08X", v.serial), true
	i.TooOld = p.tooOld(v)
	if i.AdminTries, err = p.tries(ctx, hidAdminTries); err != nil {
		return err
	}
	if i.UserTries, err = p.tries(ctx, hidUserTries); err != nil {
		return err
	}
	i.PINTries = i.AdminTries
	err = p.command(ctx, hidReadSlot, []byte{proSlot}, true, func(r []byte) {
		i.Slot = SlotSet
		if n := binary.LittleEndian.Uint64(r[29:]); !p.model.storage && n < 1<<63 {
			i.Counter = int64(n)
		}
	})
	var se *StatusError
	switch {
	case errors.Is(err, ErrNoSlot):
		i.Slot = SlotEmpty
	case errors.As(err, &se): // older firmware hides this slot
	case err != nil:
		return err
	}
	return nil
}

// mayTry says whether the admin PIN may be tried.
func (p *pro) mayTry(ctx context.Context, lastTry bool) error {
	left, err := p.tries(ctx, hidAdminTries)
	switch {
	case err != nil:
		return err
	case left == 0:
		return ErrPINBlocked
	case left == 1 && !lastTry:
		return ErrLastTry
	}
	return nil
}

// wrongPIN turns the status of a wrong PIN into a PINError.
func (p *pro) wrongPIN(ctx context.Context, err error) error {
	var se *StatusError
	if !errors.As(err, &se) || se.Status != stWrongPassword {
		return err
	}
	e := &PINError{Which: adminPIN, Left: -1}
	if n, err := p.tries(ctx, hidAdminTries); err == nil {
		e.Left = n
	}
	return e
}

// authenticate shows the admin PIN to the card and gives the key a random password
// that stands for it in the commands that follow.
func (p *pro) authenticate(ctx context.Context, pin *secret.Buffer, lastTry bool) (temp *secret.Buffer, err error) {
	if err := p.mayTry(ctx, lastTry); err != nil {
		return nil, err
	}
	temp = p.random(passField)
	payload := secret.New(2 * passField)
	defer payload.Wipe()
	copy(payload.Bytes(), pin.Bytes())
	copy(payload.Bytes()[passField:], temp.Bytes())
	if err := p.command(ctx, hidAuthenticate, payload.Bytes(), false, nil); err != nil {
		temp.Wipe()
		return nil, p.wrongPIN(ctx, err)
	}
	return temp, nil
}

func (p *pro) set(ctx context.Context, pin, key *secret.Buffer, counter uint64, o SetOptions) error {
	if v, err := p.version(ctx); err != nil {
		return err
	} else if p.tooOld(v) {
		return fmt.Errorf("%w: version %d.%d, and %d.%d is needed", ErrOldFirmware, v.major, v.minor, 0, p.model.since)
	}
	temp, err := p.authenticate(ctx, pin, o.LastTry)
	if err != nil {
		return err
	}
	defer temp.Wipe()
	payload := secret.New(maxPayload)
	defer payload.Wipe()
	b := payload.Bytes()
	// cmd_send_OTP_data: password[25] type id data[30]. Nothing changes on the key
	// before WRITE_TO_SLOT.
	send := func(typ, id byte, data []byte) error {
		clear(b)
		copy(b, temp.Bytes())
		b[passField], b[passField+1] = typ, id
		copy(b[passField+2:], data)
		return p.command(ctx, hidSendOTPData, b[:passField+2+dataField], true, nil)
	}
	for id, rest := byte(0), key.Bytes(); len(rest) > 0; id++ {
		n := min(len(rest), dataField)
		if err := send('S', id, rest[:n]); err != nil {
			return fmt.Errorf("sending the secret: %w", err)
		}
		rest = rest[n:]
	}
	if err := send('N', 0, []byte(slotName[:nameField])); err != nil {
		return fmt.Errorf("sending the slot's name: %w", err)
	}
	// write_to_slot_payload: password[25] slot counter[8] config token_id[13].
	clear(b)
	copy(b, temp.Bytes())
	b[passField] = proSlot
	binary.LittleEndian.PutUint64(b[passField+1:], counter)
	if err := p.command(ctx, hidWriteToSlot, b[:passField+1+8+1+13], false, nil); err != nil {
		return fmt.Errorf("writing the slot: %w", err)
	}
	return nil
}

func (p *pro) check(ctx context.Context, code uint32) (int, error) {
	ok, ahead := false, 0
	// Not repeated: the counter moves with every right code.
	err := p.command(ctx, hidVerifyCode, binary.LittleEndian.AppendUint32(nil, code), false, func(r []byte) {
		ok, ahead = r[0] == 1, int(r[1])
	})
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, ErrWrongCode
	}
	if ahead >= Window {
		ahead = -1
	}
	return ahead, nil
}

func (p *pro) reset(ctx context.Context, pin *secret.Buffer) error {
	if err := p.model.checkPIN(pin, false); err != nil {
		return err
	}
	temp, err := p.authenticate(ctx, pin, false)
	if err != nil {
		return err
	}
	defer temp.Wipe()
	payload := secret.New(1 + passField)
	defer payload.Wipe()
	payload.Bytes()[0] = proSlot
	copy(payload.Bytes()[1:], temp.Bytes())
	if err := p.command(ctx, hidEraseSlot, payload.Bytes(), true, nil); err != nil {
		return fmt.Errorf("erasing the slot: %w", err)
	}
	return nil
}

// Values of the Storage's own device status, a byte of the result.
const (
	storageStatusAt = 15
	storageIdle     = 0
	storageOK       = 1
	storageBusy     = 2
)

// regenerate makes new AES keys; see Token.RegenerateAES.
func (p *pro) regenerate(ctx context.Context, pin *secret.Buffer) error {
	if err := p.model.checkPIN(pin, false); err != nil {
		return err
	}
	if err := p.mayTry(ctx, false); err != nil {
		return err
	}
	payload := secret.New(1 + dataField)
	defer payload.Wipe()
	cmd, b := byte(hidNewAESKey), payload.Bytes()[:passField]
	copy(b, pin.Bytes())
	if p.model.storage {
		cmd, b = hidGenerateKeys, payload.Bytes()
		b[0] = 'A'
		copy(b[1:], pin.Bytes())
	}
	state := byte(storageIdle)
	if err := p.command(ctx, cmd, b, false, func(r []byte) { state = r[storageStatusAt] }); err != nil {
		return p.wrongPIN(ctx, err)
	}
	in := secret.New(reportLen)
	defer in.Wipe()
	for end := time.Now().Add(hidAnswer); p.model.storage && state == storageBusy; {
		if time.Now().After(end) {
			return fmt.Errorf("%w: it stays busy", ErrNoAnswer)
		}
		if err := pause(ctx, p.model.poll); err != nil {
			return err
		}
		a, ok, err := p.read(ctx, in)
		if err != nil {
			return err
		}
		if ok {
			state = a.result[storageStatusAt]
		}
	}
	if p.model.storage && state != storageIdle && state != storageOK {
		return &StatusError{Command: cmd, Status: uint16(state)}
	}
	// The card is dead until its power is cut (hotp-verification issue 27); a reset of
	// the port does that. Where it does not, the person pulls the key out.
	_ = p.dev.Reset()
	return nil
}
