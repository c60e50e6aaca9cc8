package xts

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	refxts "golang.org/x/crypto/xts"
)

var allKernels = []kernel{vaes, aesNI, ssse3, armCE, vcipher, generic}

// eachKernel runs f once for every kernel, and says which this machine lacks.
func eachKernel(t *testing.T, f func(t *testing.T, k kernel)) {
	have := map[kernel]bool{}
	for _, k := range kernels() {
		have[k] = true
	}
	for _, k := range allKernels {
		t.Run(k.String(), func(t *testing.T) {
			if !have[k] {
				t.Skip("this processor does not have it")
			}
			f(t, k)
		})
	}
}

// reference encrypts with golang.org/x/crypto/xts.
func reference(t testing.TB, key, plain []byte, sectorSize int, iv uint64) []byte {
	t.Helper()
	c, err := refxts.NewCipher(aes.NewCipher, key)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, len(plain))
	for i := 0; i < len(plain); i += sectorSize {
		c.Encrypt(out[i:i+sectorSize], plain[i:i+sectorSize], iv+uint64(i/512))
	}
	return out
}

func random(n int, seed uint64) []byte {
	var s [32]byte
	s[0], s[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(s).Read(b)
	return b
}

// check compares both directions, in place and into another buffer, and that
// nothing beyond the output is touched.
func check(t *testing.T, k kernel, key, plain []byte, sectorSize int, iv uint64) {
	t.Helper()
	c, err := newCipher(key, k)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Wipe()
	want := reference(t, key, plain, sectorSize, iv)
	what := fmt.Sprintf("key %d, sector %d, %d bytes, iv %#x", len(key)*8, sectorSize, len(plain), iv)

	const guard = 96
	// An odd offset: callers align their buffers, correctness may not depend on it.
	dst := bytes.Repeat([]byte{0xA5}, 1+len(plain)+guard)
	fence := bytes.Repeat([]byte{0xA5}, guard)
	out := dst[1 : 1+len(plain)]
	check := func(how string, got, want []byte) {
		t.Helper()
		if i := firstDifference(got, want); i >= 0 {
			t.Fatalf("%s, %s: differs from byte %d (sector %d)", what, how, i, i/sectorSize)
		}
		if dst[0] != 0xA5 || !bytes.Equal(dst[1+len(plain):], fence) {
			t.Fatalf("%s, %s: wrote beyond the output", what, how)
		}
	}
	c.EncryptSectors(out, plain, sectorSize, iv)
	check("encrypt", out, want)
	c.DecryptSectors(out, out, sectorSize, iv)
	check("decrypt in place", out, plain)
	c.EncryptSectors(out, out, sectorSize, iv)
	check("encrypt in place", out, want)
	c.DecryptSectors(out, want, sectorSize, iv)
	check("decrypt", out, plain)
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func TestAgainstReference(t *testing.T) {
	sectorSizes := []int{512, 1024, 1536, 2048, 4096}
	counts := []int{0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 130}
	if testing.Short() {
		sectorSizes, counts = []int{512, 4096}, []int{1, 9, 65}
	}
	eachKernel(t, func(t *testing.T, k kernel) {
		for _, keyLen := range []int{32, 48, 64} {
			for _, sectorSize := range sectorSizes {
				for _, sectors := range counts {
					for _, iv := range []uint64{0, 1 << 33, 1<<64 - 3} {
						seed := uint64(keyLen + sectorSize + sectors)
						check(t, k, random(keyLen, seed), random(sectors*sectorSize, seed+1), sectorSize, iv)
					}
				}
			}
		}
	})
}

// IEEE 1619-2018, Annex B, vector 10: the only check here that does not rest on
// x/crypto. (Its keys are the digits of e and pi.)
func TestStandardVector(t *testing.T) {
	key := unhex(t, "2718281828459045235360287471352662497757247093699959574966967627"+
		"3141592653589793238462643383279502884197169399375105820974944592")
	first := unhex(t, "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b")
	last := unhex(t, "a755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151")
	plain := make([]byte, 512)
	for i := range plain {
		plain[i] = byte(i)
	}
	eachKernel(t, func(t *testing.T, k kernel) {
		c, err := newCipher(key, k)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Wipe()
		got := make([]byte, 512)
		c.EncryptSectors(got, plain, 512, 0xff)
		if !bytes.HasPrefix(got, first) || !bytes.HasSuffix(got, last) {
			t.Fatalf("got %x", got)
		}
	})
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The engine runs one Cipher in several workers, without garbage.
func TestConcurrentUseWithoutAllocation(t *testing.T) {
	key, plain := random(64, 1), random(64<<10, 2)
	want := reference(t, key, plain, 4096, 7)
	eachKernel(t, func(t *testing.T, k kernel) {
		c, err := newCipher(key, k)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Wipe()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				buf := make([]byte, len(plain))
				for range 8 {
					c.EncryptSectors(buf, plain, 4096, 7)
					if !bytes.Equal(buf, want) {
						t.Error("wrong bytes")
					}
					c.DecryptSectors(buf, buf, 4096, 7)
					if !bytes.Equal(buf, plain) {
						t.Error("wrong bytes back")
					}
				}
			})
		}
		wg.Wait()
		buf := make([]byte, len(plain))
		if n := testing.AllocsPerRun(5, func() { c.EncryptSectors(buf, buf, 512, 0) }); n > 0 && k != generic {
			t.Errorf("%v allocations for a call", n)
		}
	})
}

func FuzzAgainstReference(f *testing.F) {
	f.Add(random(64, 1), uint64(0), uint8(1), uint8(1), []byte("reown"))
	f.Add(random(32, 2), uint64(1)<<63, uint8(8), uint8(3), []byte{0})
	f.Add(random(48, 3), ^uint64(0), uint8(2), uint8(70), []byte{0xff})
	f.Fuzz(func(t *testing.T, key []byte, iv uint64, units, sectors uint8, fill []byte) {
		if _, err := New(key); err != nil {
			t.Skip()
		}
		sectorSize := 512 * (1 + int(units)%8)
		plain := make([]byte, sectorSize*(int(sectors)%140))
		for i := range plain {
			if len(fill) > 0 {
				plain[i] = fill[i%len(fill)]
			}
		}
		for _, k := range kernels() {
			check(t, k, key, plain, sectorSize, iv)
		}
	})
}

func TestKeySizes(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33, 40, 63, 65, 128} {
		if _, err := New(random(n, 1)); err == nil {
			t.Errorf("a key of %d bytes was accepted", n)
		}
	}
}

func TestMisusePanics(t *testing.T) {
	buf := make([]byte, 4096)
	for name, f := range map[string]func(*Cipher){
		"sector size 0":    func(c *Cipher) { c.EncryptSectors(buf, buf, 0, 0) },
		"sector size 520":  func(c *Cipher) { c.EncryptSectors(buf[:520], buf[:520], 520, 0) },
		"part of a sector": func(c *Cipher) { c.DecryptSectors(buf[:1000], buf[:1000], 512, 0) },
		"short output":     func(c *Cipher) { c.EncryptSectors(buf[:512], buf[:1024], 512, 0) },
		"overlap":          func(c *Cipher) { c.EncryptSectors(buf[16:1040], buf[:1024], 512, 0) },
		"after Wipe":       func(c *Cipher) { c.Wipe(); c.Wipe(); c.EncryptSectors(buf, buf, 512, 0) },
	} {
		for _, k := range kernels() {
			c, err := newCipher(random(64, 1), k)
			if err != nil {
				t.Fatal(err)
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s, %v: no panic", name, k)
					}
				}()
				f(c)
			}()
		}
	}
}

func TestGenericWipe(t *testing.T) {
	c, err := newCipher(random(64, 1), generic)
	if err != nil {
		t.Fatal(err)
	}
	blocks := c.blocks
	for i, b := range blocks {
		if m := memory(b); len(m) < 240 || firstDifference(m, make([]byte, len(m))) < 0 {
			t.Fatalf("block %d: its %d bytes hold no round keys: Wipe would clear nothing", i, len(m))
		}
	}
	c.Wipe()
	for i, b := range blocks {
		if m := memory(b); firstDifference(m, make([]byte, len(m))) >= 0 {
			t.Errorf("block %d: round keys are left after Wipe", i)
		}
	}
}
