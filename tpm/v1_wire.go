package tpm

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"math/big"
	"time"
)

// The TPM 1.2 command set as far as Heads uses it. The legacy half of go-tpm does
// not serve: its owner gets a storage root that Heads cannot use, its sealed blobs
// do not fit Heads' NV areas, and its NV writes and counters are broken or absent.

const (
	v1CommandTag = 0x00c1 // without authorisation
	v1AuthTag    = 0x00c2 // with one
	v1ReplyTag   = 0x00c4 // reply without authorisation, thus every error

	v1OIAP               = 0x0a
	v1OSAP               = 0x0b
	v1TakeOwnership      = 0x0d
	v1Extend             = 0x14
	v1PCRRead            = 0x15
	v1Seal               = 0x17
	v1Unseal             = 0x18
	v1ContinueSelfTest   = 0x53
	v1ForceClear         = 0x5d
	v1GetCapability      = 0x65
	v1PhysicalEnable     = 0x6f
	v1SetDeactivated     = 0x72
	v1ReadPubEK          = 0x7c
	v1OwnerReadPub       = 0x81
	v1GetPubKey          = 0x21
	v1SetCapability      = 0x3f
	v1FlushSpecific      = 0xba
	v1NVDefine           = 0xcc
	v1NVWrite            = 0xcd
	v1NVRead             = 0xcf
	v1CreateCounter      = 0xdc
	v1IncrementCounter   = 0xdd
	v1ReadCounter        = 0xde
	v1PhysicalPresence   = 0x4000000a
	v1SRK                = 0x40000000
	v1Owner              = 0x40000001
	v1EntityOwner        = 2
	v1EntitySRK          = 4
	v1ResourceAuth       = 2
	v1ResourceCounter    = 6
	v1CapFlag            = 0x04
	v1CapProperty        = 0x05
	v1CapNVList          = 0x0d
	v1CapHandle          = 0x14
	v1CapDALogic         = 0x19
	v1PermanentFlags     = 0x108
	v1VolatileFlags      = 0x109
	v1PropManufacturer   = 0x103
	v1PropOwner          = 0x111
	v1PropMaxNV          = 0x123
	v1PresenceCMDEnable  = 0x0020
	v1PresencePresent    = 0x0008
	v1ProtocolOwner      = 0x0005
	v1TagNVAttributes    = 0x0017
	v1TagNVDataPublic    = 0x0018
	v1AlgRSA             = 1
	v1EncOAEPSHA1MGF1    = 3
	v1SigNone            = 1
	v1KeyStorage         = 0x11
	v1Version11          = 0x01010000
	v1LocalityZero       = 1
	v1NVAuthNone         = 0
	v1KeyBits, v1NPrimes = 2048, 2
)

var v1Names = map[uint32]string{
	v1OIAP: "TPM_OIAP", v1OSAP: "TPM_OSAP", v1TakeOwnership: "TPM_TakeOwnership", v1Extend: "TPM_Extend",
	v1PCRRead: "TPM_PCRRead", v1Seal: "TPM_Seal", v1Unseal: "TPM_Unseal", v1ContinueSelfTest: "TPM_ContinueSelfTest",
	v1ForceClear: "TPM_ForceClear", v1GetCapability: "TPM_GetCapability", v1PhysicalEnable: "TPM_PhysicalEnable",
	v1SetDeactivated: "TPM_PhysicalSetDeactivated", v1ReadPubEK: "TPM_ReadPubek",
	v1OwnerReadPub: "TPM_OwnerReadInternalPub",
	v1GetPubKey:    "TPM_GetPubKey", v1SetCapability: "TPM_SetCapability",
	v1FlushSpecific: "TPM_FlushSpecific", v1NVDefine: "TPM_NV_DefineSpace", v1NVWrite: "TPM_NV_WriteValue",
	v1NVRead: "TPM_NV_ReadValue", v1CreateCounter: "TPM_CreateCounter", v1IncrementCounter: "TPM_IncrementCounter",
	v1ReadCounter: "TPM_ReadCounter", v1PhysicalPresence: "TSC_PhysicalPresence", 0x99: "TPM_Startup",
}

// digest is a SHA-1 value, also the size of every nonce and authorisation.
type digest = [sha1.Size]byte

// pack lays values end to end, big endian.
func pack(vs ...any) []byte {
	var b []byte
	for _, v := range vs {
		switch v := v.(type) {
		case byte:
			b = append(b, v)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, v)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, v)
		case []byte:
			b = append(b, v...)
		case digest:
			b = append(b, v[:]...)
		default:
			panic(fmt.Sprintf("tpm: cannot pack %T", v))
		}
	}
	return b
}

// sized is data behind its length in four bytes.
func sized(data []byte) []byte { return pack(uint32(len(data)), data) }

// parser reads a reply from front to back; after the first read beyond its end,
// bad is set and everything reads as zero.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) take(n int) []byte {
	if n < 0 || n > len(p.b) {
		p.bad, p.b = true, nil
		return nil
	}
	v := p.b[:n]
	p.b = p.b[n:]
	return v
}

func (p *parser) u8() byte {
	if v := p.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (p *parser) u16() uint16 {
	if v := p.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (p *parser) u32() uint32 {
	if v := p.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (p *parser) digest() (d digest) { copy(d[:], p.take(len(d))); return }

// sized reads four bytes of length and as many of data.
func (p *parser) sized() []byte { return p.take(int(min(p.u32(), maxMessage+1))) }

func (p *parser) err() error {
	if p.bad {
		return ErrProtocol
	}
	return nil
}

// v1Command builds a command without authorisation.
func v1Command(ordinal uint32, params []byte) []byte {
	return pack(uint16(v1CommandTag), uint32(headerLen+len(params)), ordinal, params)
}

// call runs a command without authorisation and returns the reply's parameters.
func (c *conn) call(ordinal uint32, params ...any) (*parser, error) {
	r, err := c.Send(v1Command(ordinal, pack(params...)))
	if err != nil {
		return nil, err
	}
	if err := c.v1Refused(); err != nil {
		return nil, err
	}
	return &parser{b: r[headerLen:]}, nil
}

func (c *conn) v1Refused() error {
	switch c.code {
	case 0:
		return nil
	case v1DefendLock:
		bad := c.last
		l, err := c.daLogic()
		if err != nil {
			return fmt.Errorf("%s: %w", bad, &LockoutError{})
		}
		return fmt.Errorf("%s: %w", bad, &LockoutError{Tries: l.Tries, Max: l.Max,
			Wait: time.Duration(l.Interval) * time.Second})
	}
	return &CommandError{c.last, c.code}
}

// authSession is an OIAP or OSAP session, used for one command.
type authSession struct {
	handle uint32
	even   digest // the TPM's nonce
	key    digest // what the HMACs are made with
}

// startSession opens a session; one that an interrupted program left open may have
// to go first.
func (c *conn) startSession(ordinal uint32, params ...any) (*parser, error) {
	p, err := c.call(ordinal, params...)
	if !refused(err, v1Resources) {
		return p, err
	}
	left, lerr := c.v1Handles(v1ResourceAuth)
	if lerr != nil {
		return nil, err
	}
	for _, h := range left {
		_, _ = c.call(v1FlushSpecific, h, uint32(v1ResourceAuth))
	}
	return c.call(ordinal, params...)
}

// oiap opens a session that proves knowledge of auth.
func (c *conn) oiap(auth digest) (*authSession, error) {
	p, err := c.startSession(v1OIAP)
	if err != nil {
		return nil, err
	}
	s := &authSession{handle: p.u32(), even: p.digest(), key: auth}
	return s, p.err()
}

// osap opens a session tied to one entity, in which new authorisations can travel
// hidden (TPM 1.2 part 1, 13.3).
func (c *conn) osap(entity uint16, handle uint32, auth digest) (*authSession, error) {
	odd := nonce()
	p, err := c.startSession(v1OSAP, entity, handle, odd)
	if err != nil {
		return nil, err
	}
	s := &authSession{handle: p.u32(), even: p.digest()}
	evenOSAP := p.digest()
	s.key = mac(auth, evenOSAP[:], odd[:])
	return s, p.err()
}

// hide encrypts a new authorisation for the command this session is used for.
func (s *authSession) hide(auth digest) digest {
	x := sha1.Sum(pack(s.key, s.even))
	for i := range x {
		x[i] ^= auth[i]
	}
	return x
}

// authorised runs a command with one authorisation. Handles are sent but, as the
// specification has it, not part of what is authenticated. A wrong HMAC in the
// reply is tampering and is never tried again.
func (c *conn) authorised(ordinal uint32, s *authSession, handles, params []byte) (*parser, error) {
	odd := nonce()
	in := sha1.Sum(pack(ordinal, params))
	auth := mac(s.key, in[:], s.even[:], odd[:], []byte{0})
	body := pack(handles, params, s.handle, odd, byte(0), auth)
	r, err := c.Send(pack(uint16(v1AuthTag), uint32(headerLen+len(body)), ordinal, body))
	if err != nil {
		return nil, err
	}
	if err := c.v1Refused(); err != nil {
		return nil, err
	}
	const trailer = sha1.Size + 1 + sha1.Size // nonceEven, continueAuthSession, HMAC
	n := len(r) - trailer
	if n < headerLen {
		return nil, fmt.Errorf("%s: %w", c.last, ErrProtocol)
	}
	out := sha1.Sum(pack(r[6:headerLen], ordinal, r[headerLen:n]))
	want := mac(s.key, out[:], r[n:n+sha1.Size], odd[:], r[n+sha1.Size:n+sha1.Size+1])
	if !hmac.Equal(want[:], r[n+sha1.Size+1:]) {
		return nil, fmt.Errorf("%s: %w", c.last, ErrTampered)
	}
	return &parser{b: r[headerLen:n]}, nil
}

func mac(key digest, parts ...[]byte) (d digest) {
	m := hmac.New(sha1.New, key[:])
	for _, p := range parts {
		m.Write(p)
	}
	copy(d[:], m.Sum(nil))
	return
}

func nonce() (d digest) {
	if _, err := rand.Read(d[:]); err != nil {
		panic(err)
	}
	return
}

// capability asks TPM_GetCapability.
func (c *conn) capability(capability uint32, sub ...any) (*parser, error) {
	p, err := c.call(v1GetCapability, capability, sized(pack(sub...)))
	if err != nil {
		return nil, err
	}
	data := p.sized()
	return &parser{b: data}, p.err()
}

func (c *conn) v1Handles(kind uint32) ([]uint32, error) {
	p, err := c.capability(v1CapHandle, kind)
	if err != nil {
		return nil, err
	}
	hs := make([]uint32, p.u16())
	for i := range hs {
		hs[i] = p.u32()
	}
	return hs, p.err()
}

// endorsementKey reads the public half of the TPM's endorsement key.
func (c *conn) endorsementKey() (*rsa.PublicKey, error) {
	n := nonce()
	p, err := c.call(v1ReadPubEK, n)
	if err != nil {
		return nil, err
	}
	all := p.b
	p.take(4 + 2 + 2) // algorithm and schemes
	parms := parser{b: p.sized()}
	modulus := p.sized()
	key := all[:len(all)-len(p.b)]
	sum := p.digest()
	if want := sha1.Sum(pack(key, n)); p.bad || want != sum {
		return nil, fmt.Errorf("%s: %w", c.last, ErrTampered)
	}
	parms.take(4 + 4) // key length, number of primes
	exponent := 65537
	if e := parms.sized(); len(e) > 0 {
		v := new(big.Int).SetBytes(e)
		if !v.IsInt64() || v.Int64() > 1<<31-1 {
			return nil, fmt.Errorf("%s: %w: exponent", c.last, ErrProtocol)
		}
		exponent = int(v.Int64())
	}
	if parms.bad || len(modulus) < 128 {
		return nil, fmt.Errorf("%s: %w: endorsement key", c.last, ErrProtocol)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: exponent}, nil
}
