package xts

import (
	"encoding/binary"

	"reown/internal/secret"
)

// maxSchedule is the length of AES-256's round keys: 15 of 16 bytes.
const maxSchedule = 15 * 16

// A schedule holds the round keys that the kernels read, in locked memory that
// can be wiped: data key for encryption, data key for decryption, tweak key.
type schedule struct {
	mem    *secret.Buffer
	size   int // bytes for each of the three
	rounds int // 10, 12 or 14
}

func (s *schedule) encrypt() []byte { return s.mem.Bytes()[:s.size] }
func (s *schedule) decrypt() []byte { return s.mem.Bytes()[s.size : 2*s.size] }
func (s *schedule) tweak() []byte   { return s.mem.Bytes()[2*s.size:] }

func (s *schedule) wipe() {
	if s != nil {
		s.mem.Wipe()
	}
}

// newSchedule expands the keys into the form that the kernel wants. The
// decryption keys are those of the equivalent inverse cipher (FIPS 197 5.3.5),
// except for POWER's vncipher: it wants the encryption keys in reverse order
// (FIPS 197 5.3).
func newSchedule(dataKey, tweakKey []byte, k kernel) *schedule {
	s := &schedule{mem: secret.New(3 * maxSchedule), size: maxSchedule, rounds: len(dataKey)/4 + 6}
	expand(s.encrypt(), dataKey)
	expand(s.tweak(), tweakKey)
	enc, dec := s.encrypt(), s.decrypt()
	for r := 0; r <= s.rounds; r++ {
		w := dec[16*r : 16*r+16]
		copy(w, enc[16*(s.rounds-r):])
		if k != vcipher && r != 0 && r != s.rounds {
			for i := 0; i < 16; i += 4 {
				binary.BigEndian.PutUint32(w[i:], invMixColumn(binary.BigEndian.Uint32(w[i:])))
			}
		}
	}
	if k == ssse3 {
		return s.sliced()
	}
	return s
}

// sliced returns s, which it wipes, in the form of the bitsliced kernel: eight
// times as long, with bit b of byte p of a round key spread over byte p of word
// b. The constant 0x63 that the kernel's S-box leaves out is added here: after
// each SubBytes, and before each InvSubBytes.
func (s *schedule) sliced() *schedule {
	l := &schedule{mem: secret.New(8 * 3 * maxSchedule), size: 8 * s.size, rounds: s.rounds}
	in, out := s.mem.Bytes(), l.mem.Bytes()
	for i := range in {
		part, r := i/maxSchedule, i%maxSchedule/16
		v := in[i]
		if decrypt := part == 1; !decrypt && r > 0 || decrypt && r < s.rounds {
			v ^= 0x63
		}
		for b := range 8 {
			out[i/16*128+16*b+i%16] = -(v >> b & 1)
		}
	}
	s.wipe()
	return l
}

// expand is AES key expansion, FIPS 197 5.2. No table is indexed by key bytes, so
// the cache learns nothing; it takes microseconds and runs once per key.
func expand(dst, key []byte) {
	nk := len(key) / 4
	words := 4 * (nk + 7)
	copy(dst, key)
	rcon := byte(1)
	for i := nk; i < words; i++ {
		t := binary.BigEndian.Uint32(dst[4*i-4:])
		if i%nk == 0 {
			t = subWord(t<<8|t>>24) ^ uint32(rcon)<<24
			rcon = mul(rcon, 2)
		} else if nk > 6 && i%nk == 4 {
			t = subWord(t)
		}
		binary.BigEndian.PutUint32(dst[4*i:], binary.BigEndian.Uint32(dst[4*(i-nk):])^t)
	}
}

func subWord(w uint32) uint32 {
	return uint32(sbox(byte(w>>24)))<<24 | uint32(sbox(byte(w>>16)))<<16 |
		uint32(sbox(byte(w>>8)))<<8 | uint32(sbox(byte(w)))
}

// sbox is the AES S-box by its definition (FIPS 197 5.1.1): the inverse in
// GF(2^8), which is x^254, then an affine map.
func sbox(x byte) byte {
	inv := byte(1)
	for range 7 { // 254 = 2+4+...+128
		x = mul(x, x)
		inv = mul(inv, x)
	}
	r := inv
	for i := 1; i <= 4; i++ {
		r ^= inv<<i | inv>>(8-i)
	}
	return r ^ 0x63
}

// mul multiplies in GF(2^8) modulo x^8+x^4+x^3+x+1, in constant time.
func mul(a, b byte) (p byte) {
	for range 8 {
		p ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
		b >>= 1
	}
	return p
}

// invMixColumn is InvMixColumns on one column, FIPS 197 5.3.3.
func invMixColumn(w uint32) (r uint32) {
	b := [4]byte{byte(w >> 24), byte(w >> 16), byte(w >> 8), byte(w)}
	for i := range 4 {
		v := mul(b[i], 14) ^ mul(b[(i+1)%4], 11) ^ mul(b[(i+2)%4], 13) ^ mul(b[(i+3)%4], 9)
		r = r<<8 | uint32(v)
	}
	return r
}
