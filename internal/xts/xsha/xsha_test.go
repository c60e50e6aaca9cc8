package xsha

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"

	"reown/internal/xts/internal/peer"
)

// check compares one kernel with crypto/sha256, and sees that nothing beyond the
// digests is written.
func check(t *testing.T, k kernel, data []byte, blockSize int) {
	t.Helper()
	var want []byte
	for i := 0; i < len(data); i += blockSize {
		d := sha256.Sum256(data[i : i+blockSize])
		want = append(want, d[:]...)
	}
	fence := bytes.Repeat([]byte{0xA5}, 8)
	got := bytes.Repeat([]byte{0xA5}, len(want)+len(fence))
	k.sum(got, data, blockSize)
	if !bytes.Equal(got, append(want, fence...)) {
		t.Fatalf("%v: %d blocks of %d bytes differ from crypto/sha256", k, len(data)/blockSize, blockSize)
	}
}

func TestAgainstReference(t *testing.T) {
	have := map[kernel]bool{}
	for _, k := range kernels() {
		have[k] = true
	}
	for _, k := range []kernel{shaNI, avx2, avx, generic} {
		t.Run(k.String(), func(t *testing.T) {
			if !have[k] {
				t.Skip("this processor does not have it")
			}
			for _, blockSize := range []int{1, 55, 56, 63, 64, 65, 119, 120, 128, 512, 520, 1000, 1024, 2048, 4096} {
				for _, blocks := range []int{0, 1, 2, 3, 4, 7, 8, 9, 17} {
					data := make([]byte, blockSize*blocks+1)
					_, _ = rand.NewChaCha8([32]byte{byte(blockSize), byte(blocks)}).Read(data)
					check(t, k, data[1:], blockSize) // [1:]: alignment may not matter
				}
			}
		})
	}
}

func FuzzAgainstReference(f *testing.F) {
	f.Add([]byte("abc"), uint16(64), uint8(9))
	f.Add([]byte{0}, uint16(512), uint8(8))
	f.Add([]byte{0xff, 0x80}, uint16(4096), uint8(3))
	f.Fuzz(func(t *testing.T, fill []byte, blockSize uint16, blocks uint8) {
		if len(fill) == 0 || blockSize == 0 || blockSize > 4096 {
			t.Skip()
		}
		data := make([]byte, int(blockSize)*(int(blocks)%20))
		for i := range data {
			data[i] = fill[i%len(fill)] + byte(i/len(fill))
		}
		for _, k := range kernels() {
			check(t, k, data, int(blockSize))
		}
	})
}

func TestMisusePanics(t *testing.T) {
	for name, f := range map[string]func(){
		"block size 0":    func() { SumBlocks(make([]byte, 32), make([]byte, 512), 0) },
		"part of a block": func() { SumBlocks(make([]byte, 64), make([]byte, 1000), 512) },
		"short output":    func() { SumBlocks(make([]byte, 63), make([]byte, 1024), 512) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

const benchSize = 64 << 10

func eachBench(b *testing.B, f func(b *testing.B, k kernel, blockSize int)) {
	for _, k := range kernels() {
		for _, blockSize := range []int{512, 4096} {
			b.Run(fmt.Sprintf("%v/%d", k, blockSize), func(b *testing.B) { f(b, k, blockSize) })
		}
	}
}

// One core.
func BenchmarkSumBlocks(b *testing.B) {
	eachBench(b, func(b *testing.B, k kernel, blockSize int) {
		data, dst := make([]byte, benchSize), make([]byte, benchSize/blockSize*Size)
		b.SetBytes(benchSize)
		for b.Loop() {
			k.sum(dst, data, blockSize)
		}
	})
}

// See peer.Compare. OpenSSL gets no more than the kernel has: neither the SHA
// extensions nor, for avx, AVX2.
func BenchmarkVersusOpenSSL(b *testing.B) {
	eachBench(b, func(b *testing.B, k kernel, blockSize int) {
		switch k {
		case avx2:
			b.Setenv("OPENSSL_ia32cap", ":~0x20000000")
		case avx:
			b.Setenv("OPENSSL_ia32cap", ":~0x20000020")
		case generic:
			if len(kernels()) > 1 {
				b.Skip("this is crypto/sha256")
			}
		}
		data, dst := make([]byte, benchSize), make([]byte, benchSize/blockSize*Size)
		peer.Compare(b, blockSize, []string{"-evp", "sha256"}, func() int {
			k.sum(dst, data, blockSize)
			return benchSize
		})
	})
}
