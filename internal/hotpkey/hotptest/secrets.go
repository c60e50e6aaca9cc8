package hotptest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"sync"
)

// A Credential is what the secrets app keeps under a name.
type Credential struct {
	Kind    byte // kind and algorithm: 0x31 is reverse HOTP with SHA-1
	Digits  byte
	Secret  []byte
	Touch   bool
	Counter uint32
}

// Secrets is the secrets app of a Nitrokey 3. It implements cardtest.Applet.
type Secrets struct {
	// Touched is asked for every touch; nil is a person who always touches.
	Touched func() bool
	// Version is the app's: from 0.13 on it wants the PIN for reverse HOTP, a touch
	// for every deletion, and does not overwrite.
	Version [3]byte
	// KeepsPIN makes a verified PIN last until the next SELECT, unlike the real one.
	KeepsPIN bool
	// Force, if set, replaces the status word of a command.
	Force func(ins byte) (sw uint16, ok bool)
	// Split answers with 61xx and GET RESPONSE after so many bytes; 0: never.
	Split int
	// Serial is the key's serial number.
	Serial [4]byte
	// Changed, if set, gets the saved state after each command.
	Changed func(saved []byte)

	mu          sync.Mutex
	creds       map[string]*Credential
	pin         []byte
	tries       byte
	authorized  bool
	pending     []byte
	touches     int
	executed    []byte
	pinAttempts int
}

// DefaultTries is what a new PIN starts with.
const DefaultTries = 8

// NewSecrets returns an empty app.
func NewSecrets() *Secrets {
	return &Secrets{Version: [3]byte{4, 14, 0}, Serial: [4]byte{0x4e, 0x4b, 0x33, 0x01}, creds: map[string]*Credential{}}
}

// state is what the app keeps without power.
type state struct {
	Credentials map[string]*Credential
	PIN         []byte
	Tries       byte
}

// Save returns what the app keeps without power.
func (s *Secrets) Save() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.save()
}

func (s *Secrets) save() []byte {
	js, _ := json.Marshal(state{s.creds, s.pin, s.tries}) // bytes and numbers: it cannot fail
	return js
}

// LoadSecrets returns an app with a saved state.
func LoadSecrets(saved []byte) (*Secrets, error) {
	var st state
	if err := json.Unmarshal(saved, &st); err != nil {
		return nil, err
	}
	s := NewSecrets()
	s.pin, s.tries = st.PIN, st.Tries
	maps.Copy(s.creds, st.Credentials)
	return s, nil
}

// SetPIN sets the PIN and the tries that are left.
func (s *Secrets) SetPIN(pin string, tries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pin, s.tries = []byte(pin), byte(tries)
}

// PIN returns the PIN, nil if there is none, and the tries left.
func (s *Secrets) PIN() ([]byte, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.pin), int(s.tries)
}

// Credential returns a copy of a credential.
func (s *Secrets) Credential(name string) (Credential, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.creds[name]
	if c == nil {
		return Credential{}, false
	}
	return *c, true
}

// Touches returns how often a touch was asked for since the last call.
func (s *Secrets) Touches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.touches
	s.touches = 0
	return n
}

// Commands returns the instructions that were executed since the last call.
func (s *Secrets) Commands() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.executed
	s.executed = nil
	return c
}

// AID implements cardtest.Applet.
func (s *Secrets) AID() []byte { return []byte{0xa0, 0, 0, 5, 0x27, 0x21, 1} }

// Select implements cardtest.Applet.
func (s *Secrets) Select() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authorized, s.pending = false, nil
	b := append([]byte{0x79, 3}, s.Version[:]...)
	if s.pin != nil {
		b = append(b, 0x82, 1, s.tries)
	} else {
		b = append(b, 0x71, 8, 1, 2, 3, 4, 1, 2, 3, 4) // salt
	}
	b = append(append(b, 0x8f, 4), s.Serial[:]...)
	return s.answer(append(b, 0x90, 0))
}

// answer splits a long answer.
func (s *Secrets) answer(b []byte) []byte {
	if n := s.Split; n > 0 && len(b)-2 > n {
		s.pending = b[n:]
		return append(bytes.Clone(b[:n]), 0x61, byte(len(b)-2-n))
	}
	return b
}

func sw(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// new reports whether the app is version 0.13 or later (the major number is that of the
// firmware's protocol).
func (s *Secrets) new() bool { return s.Version[1] >= 13 }

// Transmit implements cardtest.Applet.
func (s *Secrets) Transmit(apdu []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(apdu) < 4 || apdu[0] != 0 {
		return sw(0x6e00)
	}
	ins, data := apdu[1], []byte(nil)
	if len(apdu) > 5 {
		n := int(apdu[4])
		if len(apdu) < 5+n || len(apdu) > 6+n {
			return sw(0x6700)
		}
		data = apdu[5 : 5+n]
	}
	if ins == 0xc0 {
		r := s.pending
		s.pending = nil
		if r == nil {
			return sw(0x6985)
		}
		return s.answer(r)
	}
	before, fresh := s.authorized, false
	s.executed = append(s.executed, ins)
	var r []byte
	if v, ok := s.force(ins); ok {
		r = sw(v)
	} else {
		r, fresh = s.execute(ins, apdu[2], apdu[3], data)
	}
	// A verified PIN is good for the next command only.
	if before || !fresh {
		s.authorized = s.KeepsPIN && before && s.authorized
	}
	if fresh {
		s.authorized = true
	}
	if s.Changed != nil {
		s.Changed(s.save())
	}
	return s.answer(r)
}

func (s *Secrets) force(ins byte) (uint16, bool) {
	if s.Force == nil {
		return 0, false
	}
	return s.Force(ins)
}

// touched waits for the person without holding the lock.
func (s *Secrets) touched() bool {
	s.touches++
	if s.Touched == nil {
		return true
	}
	f := s.Touched
	s.mu.Unlock()
	defer s.mu.Lock()
	return f()
}

// execute runs one command. fresh reports that it verified or set the PIN.
func (s *Secrets) execute(ins, p1, p2 byte, data []byte) (resp []byte, fresh bool) {
	f, ok := fields(data)
	if !ok {
		return sw(0x6a80), false
	}
	name := string(f[0x71])
	switch ins {
	case 0x01: // PUT
		return s.put(name, f), false
	case 0x02: // DELETE
		if s.new() && !s.touched() {
			return sw(0x6982), false
		}
		if s.creds[name] == nil {
			return sw(0x6a82), false
		}
		delete(s.creds, name)
	case 0x04: // RESET
		if p1 != 0xde || p2 != 0xad {
			return sw(0x6b00), false
		}
		if !s.touched() {
			return sw(0x6982), false
		}
		s.creds, s.pin, s.tries = map[string]*Credential{}, nil, 0
	case 0xb1: // VERIFY_CODE
		return s.verify(name, f[0x75]), false
	case 0xb2: // VERIFY_PIN
		if s.pin == nil || !s.touched() {
			return sw(0x6982), false
		}
		if s.tries == 0 {
			return sw(0x6300), false
		}
		s.pinAttempts++
		if !bytes.Equal(f[0x80], s.pin) {
			s.tries--
			return sw(0x6300), false
		}
		s.tries = DefaultTries
		return sw(0x9000), true
	case 0xb4: // SET_PIN
		if s.pin != nil || !s.touched() {
			return sw(0x6982), false
		}
		s.pin, s.tries = bytes.Clone(f[0x80]), DefaultTries
		return sw(0x9000), true
	case 0xb5: // GET_CREDENTIAL
		c := s.creds[name]
		switch {
		case !s.new():
			return sw(0x6d00), false
		case c == nil:
			return sw(0x6a82), false
		case c.Touch && !s.touched():
			return sw(0x6982), false
		}
		r := append([]byte{0x78, 1, c.Kind, 0x71, byte(len(name))}, name...)
		return append(r, 0x90, 0), false
	default:
		return sw(0x6d00), false
	}
	return sw(0x9000), false
}

func (s *Secrets) put(name string, f map[byte][]byte) []byte {
	k, ctr := f[0x73], f[0x7a]
	if len(k) < 3 || name == "" || len(ctr) != 4 {
		return sw(0x6a80)
	}
	if s.new() && s.creds[name] != nil {
		return sw(0x6983)
	}
	if s.new() && k[0]&0xf0 == 0x30 && !s.authorized {
		return sw(0x6982)
	}
	touch := len(f[0x78]) == 1 && f[0x78][0]&2 != 0
	s.creds[name] = &Credential{Kind: k[0], Digits: k[1], Secret: bytes.Clone(k[2:]), Touch: touch,
		Counter: binary.BigEndian.Uint32(ctr)}
	return sw(0x9000)
}

func (s *Secrets) verify(name string, code []byte) []byte {
	if len(code) != 4 {
		return sw(0x6a80)
	}
	c := s.creds[name]
	if c == nil {
		return sw(0x6a82)
	}
	if c.Touch && !s.touched() {
		return sw(0x6982)
	}
	if c.Kind != 0x31 {
		return sw(0x6985)
	}
	mod := uint32(1e6)
	if c.Digits == 8 {
		mod = 1e8
	}
	for i := range uint32(10) {
		if truncated(c.Secret, uint64(c.Counter+i))%mod == binary.BigEndian.Uint32(code) {
			c.Counter += i + 1
			return []byte{0x77, 0, 0x90, 0}
		}
	}
	return sw(0x6300)
}

// fields parses the data objects of a command. Properties (78) have no length.
func fields(b []byte) (map[byte][]byte, bool) {
	f := map[byte][]byte{}
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, false
		}
		if b[0] == 0x78 {
			f[0x78], b = b[1:2], b[2:]
			continue
		}
		n := int(b[1])
		if n > 127 || len(b) < 2+n {
			return nil, false
		}
		f[b[0]], b = b[2:2+n], b[2+n:]
	}
	return f, true
}

// Admin is the admin app of a Nitrokey 3: it tells the firmware's version.
type Admin struct{ Version [3]int }

// AID implements cardtest.Applet.
func (Admin) AID() []byte { return []byte{0xa0, 0, 0, 8, 0x47, 0, 0, 0, 1} }

// Select implements cardtest.Applet.
func (Admin) Select() []byte { return sw(0x9000) }

// Transmit implements cardtest.Applet.
func (a Admin) Transmit(apdu []byte) []byte {
	if len(apdu) < 4 || apdu[1] != 0x61 {
		return sw(0x6d00)
	}
	v := uint32(a.Version[0])<<22 | uint32(a.Version[1])<<6 | uint32(a.Version[2])
	return append(binary.BigEndian.AppendUint32(nil, v), 0x90, 0)
}
