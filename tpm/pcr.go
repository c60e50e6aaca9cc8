package tpm

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// OTPPCRs are the registers Heads seals the TOTP and HOTP secret to.
func OTPPCRs() []int { return []int{0, 1, 2, 3, 4, 7} }

// DUKPCRs are the registers Heads seals the disk unlock key to.
func DUKPCRs() []int { return []int{0, 1, 2, 3, 4, 5, 6, 7} }

// PCRValues maps a platform configuration register (0 to 23) to its value: 32
// bytes with TPM 2.0 (SHA-256 bank), 20 bytes with TPM 1.2 (SHA-1).
type PCRValues map[int][]byte

// With returns a copy with one register's value replaced.
func (v PCRValues) With(pcr int, value []byte) PCRValues {
	c := maps.Clone(v)
	if c == nil {
		c = PCRValues{}
	}
	c[pcr] = bytes.Clone(value)
	return c
}

// Only returns a copy that holds the given registers; those without a value are
// left out.
func (v PCRValues) Only(pcrs []int) PCRValues {
	c := PCRValues{}
	for _, p := range pcrs {
		if val, ok := v[p]; ok {
			c[p] = bytes.Clone(val)
		}
	}
	return c
}

// Equal says whether both have the same registers with the same values.
func (v PCRValues) Equal(o PCRValues) bool { return maps.EqualFunc(v, o, bytes.Equal) }

// MarshalJSON writes {"0":"<hex>",...}.
func (v PCRValues) MarshalJSON() ([]byte, error) {
	m := map[string]string{}
	for p, val := range v {
		m[strconv.Itoa(p)] = hex.EncodeToString(val)
	}
	return json.Marshal(m)
}

// concat returns the values of the given registers one after the other, and checks
// that each is there and has the right size.
func (v PCRValues) concat(pcrs []int, size int) ([]byte, error) {
	var b []byte
	for _, p := range pcrs {
		if len(v[p]) != size {
			return nil, fmt.Errorf("PCR %d: value of %d bytes where %d are needed", p, len(v[p]), size)
		}
		b = append(b, v[p]...)
	}
	return b, nil
}

// Extend returns the value of a register after a digest is extended into it. The
// hash is chosen by the register's size, 20 bytes (SHA-1) or 32 (SHA-256).
func Extend(pcr, digest []byte) []byte { return Hash(len(pcr), append(slices.Clip(pcr), digest...)) }

// Hash hashes data as the TPM with registers of the given size does: SHA-1 for 20
// bytes, SHA-256 for all others.
func Hash(size int, data []byte) []byte {
	if size == sha1.Size {
		h := sha1.Sum(data)
		return h[:]
	}
	h := sha256.Sum256(data)
	return h[:]
}
