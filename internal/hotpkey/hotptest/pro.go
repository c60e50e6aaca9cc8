package hotptest

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"

	"crypto/hmac"
	"crypto/sha1"
)

// A Card is the smart card inside a Pro; the HID firmware talks to it as CCID does.
type Card interface {
	Transmit(apdu []byte) []byte
}

// An OTPSlot is one HOTP slot of a Pro.
type OTPSlot struct {
	Programmed bool
	Name       [15]byte
	Secret     [40]byte
	Config     byte // bit 0: eight digits
	TokenID    [13]byte
	Counter    uint64
}

// A Pro is the HID side of a Nitrokey Pro, Pro 2, Storage or Librem Key. It implements
// usbdev.Reports.
type Pro struct {
	// Busy is how long a command takes.
	Busy time.Duration
	// Storage makes it answer as a Nitrokey Storage does.
	Storage bool
	// Version is the firmware's: major, minor. Zero is the newest of the make.
	Version [2]byte
	// Serial is the card's serial number.
	Serial uint32
	// Force, if set, replaces the status of a command: for statuses that nothing else
	// provokes. It returns false to leave the command alone.
	Force func(command byte) (status byte, ok bool)
	// AESKeys counts the times that new AES keys were made.
	AESKeys int
	// Garble damages the next so many reports from the host.
	Garble int
	// Drop ignores the next so many reports from the host.
	Drop int
	// Log sees every report: true is from the host.
	Log func(fromHost bool, report []byte)

	card Card

	mu       sync.Mutex
	slots    [4]OTPSlot
	temp     [25]byte
	tempSet  bool
	local    OTPSlot
	started  bool
	status   byte // device_status
	report   [64]byte
	commands []byte // that were executed
}

// NewPro returns a fresh key with the given card.
func NewPro(card Card) *Pro {
	p := &Pro{card: card, Serial: 0xA1B2}
	p.seal()
	return p
}

func (p *Pro) version() [2]byte {
	switch {
	case p.Version != [2]byte{}:
		return p.Version
	case p.Storage:
		return [2]byte{0, 57}
	}
	return [2]byte{0, 15}
}

// Slot returns HOTP slot 3.
func (p *Pro) Slot() OTPSlot { p.mu.Lock(); defer p.mu.Unlock(); return p.slots[3] }

// Commands returns the commands that were executed since the last call.
func (p *Pro) Commands() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.commands
	p.commands = nil
	return c
}

// Restart is a loss of power: everything but the slots is forgotten.
func (p *Pro) Restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.temp, p.tempSet, p.local, p.started, p.status = [25]byte{}, false, OTPSlot{}, false, 0
	p.report = [64]byte{}
	p.seal()
}

// CRC is the CRC unit of an STM32F1 over 32-bit words.
func CRC(b []byte) uint32 {
	reg := uint32(0xffffffff)
	for i := 0; i+4 <= len(b); i += 4 {
		word := uint32(b[i]) | uint32(b[i+1])<<8 | uint32(b[i+2])<<16 | uint32(b[i+3])<<24
		for bit := 31; bit >= 0; bit-- {
			top := reg>>31 ^ word>>uint(bit)&1
			reg <<= 1
			if top != 0 {
				reg ^= 0x04C11DB7
			}
		}
	}
	return reg
}

// seal writes the report's check value, which is made with a device status of 0.
func (p *Pro) seal() { binary.LittleEndian.PutUint32(p.report[60:], CRC(p.report[:60])) }

// SetReport takes one command. While another is at work it is dropped.
func (p *Pro) SetReport(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Log != nil {
		p.Log(true, b)
	}
	if len(b) != 64 || p.status != 0 {
		return
	}
	if p.Drop > 0 {
		p.Drop--
		return
	}
	b = bytes.Clone(b)
	if p.Garble > 0 {
		p.Garble--
		b[7] ^= 0x20
	}
	p.status = 3 // received
	go func() {
		p.mu.Lock()
		p.status = 1 // busy
		p.mu.Unlock()
		time.Sleep(p.Busy)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.status != 1 {
			return // restarted meanwhile
		}
		p.parse(b)
		p.status = 0
	}()
}

// GetReport returns the current report.
func (p *Pro) GetReport() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := bytes.Clone(p.report[:])
	b[0] = p.status
	if p.Log != nil {
		p.Log(false, b)
	}
	return b
}

// parse executes one command.
func (p *Pro) parse(b []byte) {
	p.report = [64]byte{}
	sum := CRC(b[:60])
	p.report[1] = b[0]
	binary.LittleEndian.PutUint32(p.report[2:], sum)
	if sum != binary.LittleEndian.Uint32(b[60:]) {
		p.report[6] = 1
	} else {
		p.commands = append(p.commands, b[0])
		forced := false
		if p.Force != nil {
			p.report[6], forced = p.Force(b[0])
		}
		if !forced {
			p.report[6] = p.execute(b, p.report[7:60])
		}
	}
	p.seal()
}

func (p *Pro) authorized(temp []byte) bool { return p.tempSet && bytes.Equal(temp, p.temp[:]) }

// execute fills in the result and returns the status.
func (p *Pro) execute(b, out []byte) byte {
	switch b[0] {
	case 0x00: // GET_STATUS
		v := p.version()
		out[0], out[1] = v[1], v[0]
		if p.Storage {
			out[0], out[1] = 1, 0
		}
		binary.LittleEndian.PutUint32(out[2:], p.Serial)
		out[6], out[7], out[8], out[9] = 0xff, 0xff, 0xff, 0xff
	case 0x2e: // GET_DEVICE_STATUS
		if !p.Storage {
			return 9
		}
		s := out[22:]
		v := p.version()
		s[4], s[5] = v[0], v[1]
		binary.LittleEndian.PutUint32(s[20:], p.Serial)
	case 0x09:
		out[0] = p.tries(6)
	case 0x0f:
		out[0] = p.tries(4)
	case 0x07: // FIRST_AUTHENTICATE
		p.temp, p.tempSet = [25]byte{}, false
		pin, _, _ := bytes.Cut(b[1:26], []byte{0}) // a C string
		if !p.verify(pin) {
			return 4
		}
		copy(p.temp[:], b[26:51])
		p.tempSet = true
	case 0x17: // SEND_OTP_DATA
		if !p.authorized(b[1:26]) {
			return 5
		}
		if !p.started {
			p.local = OTPSlot{}
		}
		p.started = true
		switch data := b[28:58]; b[26] {
		case 'N':
			copy(p.local.Name[:], data)
			copy(out, p.local.Name[:])
		case 'S':
			at := int(b[27]) * 30
			if at > 40 {
				at = 0
			}
			copy(p.local.Secret[at:], data)
			copy(out, p.local.Secret[:])
		}
	case 0x01: // WRITE_TO_SLOT
		if !p.authorized(b[1:26]) || !p.started {
			return 5
		}
		p.started = false
		p.local.Config = b[35]
		copy(p.local.TokenID[:], b[36:49])
		if p.local.Name[0] == 0 {
			return 7
		}
		if n := b[26]; n >= 0x10 && n < 0x14 {
			p.local.Counter = binary.LittleEndian.Uint64(b[27:])
			p.local.Programmed = true
			p.slots[n-0x10] = p.local
		} else if n < 0x20 || n >= 0x20+15 {
			return 2
		}
	case 0x02, 0x03: // READ_SLOT_NAME, READ_SLOT
		n := b[1]
		if n < 0x10 || n >= 0x14 {
			return 2
		}
		s := p.slots[n-0x10]
		if !s.Programmed {
			return 3
		}
		copy(out, s.Name[:])
		if b[0] == 0x03 {
			out[15] = s.Config
			copy(out[16:29], s.TokenID[:])
			binary.LittleEndian.PutUint64(out[29:], s.Counter)
		}
	case 0x06: // ERASE_SLOT
		if !p.authorized(b[2:27]) {
			return 5
		}
		n := b[1]
		if n < 0x10 || n >= 0x14 {
			return 2
		}
		p.slots[n-0x10] = OTPSlot{}
	case 0x6b: // NEW_AES_KEY
		if p.Storage {
			return 9
		}
		return p.newKeys(b[1:26])
	case 0x26: // GENERATE_NEW_KEYS: the answer to the command comes before the keys
		if !p.Storage || b[1] != 'A' {
			return 9
		}
		if st := p.newKeys(b[2:32]); st != 0 {
			return st
		}
		out[15] = 2
		go func() {
			time.Sleep(3 * p.Busy)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.report[7+15] = 1
			p.seal()
		}()
	case 0x18: // VERIFY_OTP_CODE
		s := &p.slots[3]
		if !s.Programmed {
			return 3
		}
		mod := uint32(1e6)
		if s.Config&1 != 0 {
			mod = 1e8
		}
		code := binary.LittleEndian.Uint32(b[1:])
		ahead := -2
		for i := range 10 {
			if truncated(s.Secret[:], s.Counter+uint64(i))%mod == code {
				ahead = i
				s.Counter += uint64(i) + 1
				break
			}
		}
		if ahead >= 0 {
			out[0] = 1
		}
		out[1] = byte(ahead)
	default:
		return 9
	}
	return 0
}

func (p *Pro) newKeys(field []byte) byte {
	pin, _, _ := bytes.Cut(field, []byte{0})
	if !p.verify(pin) {
		return 4
	}
	p.AESKeys++
	return 0
}

// truncated is RFC 4226's dynamic truncation.
func truncated(key []byte, counter uint64) uint32 {
	m := hmac.New(sha1.New, key)
	m.Write(binary.BigEndian.AppendUint64(nil, counter))
	h := m.Sum(nil)
	o := h[19] & 15
	return binary.BigEndian.Uint32(h[o:]) & 0x7fffffff
}

// power switches the card on for the firmware's own use.
func (p *Pro) power() {
	if c, ok := p.card.(interface{ PowerOn() []byte }); ok {
		c.PowerOn()
	}
	p.card.Transmit([]byte{0, 0xa4, 4, 0, 6, 0xd2, 0x76, 0, 1, 0x24, 1})
}

// tries reads a retry counter from DO C4 of the OpenPGP card.
func (p *Pro) tries(at int) byte {
	p.power()
	r := p.card.Transmit([]byte{0, 0xca, 0, 0xc4, 0})
	if len(r) != 7+2 {
		return 0xff
	}
	return r[at]
}

func (p *Pro) verify(pin []byte) bool {
	p.power()
	r := p.card.Transmit(append([]byte{0, 0x20, 0, 0x83, byte(len(pin))}, pin...))
	return bytes.Equal(r, []byte{0x90, 0})
}
