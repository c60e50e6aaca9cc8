package xts

import (
	"crypto/cipher"
	"fmt"
	"runtime"
)

// ivUnit is the length in bytes that one step of a plain64 IV stands for,
// whatever the sector size.
const ivUnit = 512

// A Cipher encrypts and decrypts sectors under one key. It may be used by
// several goroutines at once, up to Wipe.
type Cipher struct {
	kernel kernel
	sched  *schedule       // for the kernels in assembly
	blocks [2]cipher.Block // for the generic kernel: data, tweak
}

// New returns a Cipher for a volume key: the data key followed by the tweak key,
// 16 (AES-128), 24 or 32 (AES-256) bytes each. Any other length is
// an error. The key is read, not kept.
func New(key []byte) (*Cipher, error) { return newCipher(key, kernels()[0]) }

// Implementation names the code that New's ciphers run on this machine: one of
// the names in the package comment.
func Implementation() string { return kernels()[0].String() }

func newCipher(key []byte, k kernel) (*Cipher, error) {
	switch len(key) {
	case 32, 48, 64:
	default:
		return nil, fmt.Errorf("AES-XTS key of %d bytes: must be 32, 48 or 64", len(key))
	}
	n := len(key) / 2
	c := &Cipher{kernel: k}
	if k == generic {
		var err error
		c.blocks, err = newBlocks(key[:n], key[n:])
		return c, err
	}
	c.sched = newSchedule(key[:n], key[n:], k)
	return c, nil
}

// Wipe clears the round keys. The Cipher can't be used after it; it may be
// called more than once, but not while another goroutine uses the Cipher.
func (c *Cipher) Wipe() {
	if c == nil {
		return
	}
	c.sched.wipe()
	wipeBlocks(&c.blocks)
	c.sched = nil
}

// EncryptSectors encrypts src, a run of sectors of sectorSize bytes, into dst.
//
// The IV of sector i is firstIV + i*sectorSize/512: plain64 counts 512-byte
// units from the start of the segment even when sectors are larger (cryptsetup's
// default; iv_large_sectors is not supported).
//
// dst must be at least as long as src, and either start at the same byte or not
// overlap it. EncryptSectors panics unless sectorSize is a positive multiple of
// 512 and len(src) a multiple of sectorSize, or if c has been wiped.
func (c *Cipher) EncryptSectors(dst, src []byte, sectorSize int, firstIV uint64) {
	c.crypt(dst, src, sectorSize, firstIV, false)
}

// DecryptSectors is the inverse of EncryptSectors, under the same rules.
func (c *Cipher) DecryptSectors(dst, src []byte, sectorSize int, firstIV uint64) {
	c.crypt(dst, src, sectorSize, firstIV, true)
}

// chunk is how many sectors a kernel is given at once: enough to hide the start
// of the pipeline, few enough that the tweaks fit on the stack.
const chunk = 64

// tweaks holds the IVs of a chunk of sectors and then, encrypted, their first
// tweaks, as little-endian words: so is every architecture that has a kernel. The
// kernels may read one more than there are sectors, and encrypt them sixteen at a
// time.
type tweaks [chunk + 16][2]uint64

func (c *Cipher) crypt(dst, src []byte, sectorSize int, iv uint64, decrypt bool) {
	switch {
	case sectorSize <= 0 || sectorSize%ivUnit != 0:
		panic("xts: sector size is not a multiple of 512")
	case len(src)%sectorSize != 0:
		panic("xts: input is not whole sectors")
	case len(dst) < len(src):
		panic("xts: output smaller than input")
	case overlap(dst[:len(src)], src):
		panic("xts: input and output overlap")
	case c.sched == nil && c.blocks[0] == nil:
		panic("xts: use of a wiped cipher")
	}
	step := uint64(sectorSize / ivUnit)
	if c.kernel == generic {
		for ; len(src) > 0; iv += step {
			c.genericSector(dst[:sectorSize], src[:sectorSize], iv, decrypt)
			dst, src = dst[sectorSize:], src[sectorSize:]
		}
		return
	}
	var tweaks tweaks
	for len(src) > 0 {
		n := min(len(src)/sectorSize, chunk)
		for i := range n {
			tweaks[i] = [2]uint64{iv, 0}
			iv += step
		}
		c.kernel.run(c.sched, dst, src, sectorSize, n, &tweaks, decrypt)
		dst, src = dst[n*sectorSize:], src[n*sectorSize:]
	}
	// The schedule lies outside the Go heap: without this the collector could
	// unmap it under a kernel that runs on the last reference to c.
	runtime.KeepAlive(c)
}
