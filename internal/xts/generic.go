package xts

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"reflect"
	"unsafe"
)

func newBlocks(dataKey, tweakKey []byte) (b [2]cipher.Block, err error) {
	if b[0], err = aes.NewCipher(dataKey); err != nil {
		return b, err
	}
	b[1], err = aes.NewCipher(tweakKey)
	return b, err
}

// wipeBlocks clears the round keys inside crypto/aes's blocks, for which the
// standard library has no call, and drops them. Should a later Go version put
// anything but plain words into its block type, it is left alone, and
// TestGenericWipe fails.
func wipeBlocks(b *[2]cipher.Block) {
	clear(memory(b[0]))
	clear(memory(b[1]))
	*b = [2]cipher.Block{}
}

// memory returns the memory of the struct that b points to, or nil if it is not
// a pointer to a struct free of pointers.
func memory(b cipher.Block) []byte {
	v := reflect.ValueOf(b)
	if v.Kind() != reflect.Pointer || !plain(v.Type().Elem()) {
		return nil
	}
	return unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size())
}

// plain reports whether values of type t hold no pointers.
func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if !plain(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Array:
		return plain(t.Elem())
	default:
		return t.Kind() <= reflect.Complex128
	}
}

// genericSector encrypts or decrypts one sector with crypto/aes, block by block.
func (c *Cipher) genericSector(dst, src []byte, iv uint64, decrypt bool) {
	var t [16]byte
	binary.LittleEndian.PutUint64(t[:], iv)
	c.blocks[1].Encrypt(t[:], t[:])
	lo, hi := binary.LittleEndian.Uint64(t[:]), binary.LittleEndian.Uint64(t[8:])
	for len(src) >= 16 {
		s, d := src[:16], dst[:16]
		a, b := binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[8:])
		binary.LittleEndian.PutUint64(d, a^lo)
		binary.LittleEndian.PutUint64(d[8:], b^hi)
		if decrypt {
			c.blocks[0].Decrypt(d, d)
		} else {
			c.blocks[0].Encrypt(d, d)
		}
		a, b = binary.LittleEndian.Uint64(d), binary.LittleEndian.Uint64(d[8:])
		binary.LittleEndian.PutUint64(d, a^lo)
		binary.LittleEndian.PutUint64(d[8:], b^hi)
		// T*x in GF(2^128), IEEE 1619-2018 5.2: the carry folds back as 0x87.
		carry := uint64(int64(hi)>>63) & 0x87
		lo, hi = lo<<1^carry, hi<<1|lo>>63
		src, dst = src[16:], dst[16:]
	}
}

// overlap reports whether a and b, of equal length, share memory without
// starting at the same byte.
func overlap(a, b []byte) bool {
	if len(a) == 0 || &a[0] == &b[0] {
		return false
	}
	pa, pb := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	n := uintptr(len(a))
	return pa < pb+n && pb < pa+n
}
