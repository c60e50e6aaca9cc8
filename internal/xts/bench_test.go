package xts

import (
	"fmt"
	"testing"

	"reown/internal/xts/internal/peer"
)

// benchSize is the piece that the re-encryption engine works in: it stays in
// the second-level cache.
const benchSize = 64 << 10

func newBench(b testing.TB, k kernel) *Cipher {
	c, err := newCipher(random(64, 1), k)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func eachBench(b *testing.B, f func(b *testing.B, k kernel, sectorSize int, decrypt bool)) {
	for _, k := range kernels() { // best first
		for _, sectorSize := range []int{512, 4096} {
			for _, decrypt := range []bool{false, true} {
				b.Run(fmt.Sprintf("%v/%d/%s", k, sectorSize, map[bool]string{false: "encrypt", true: "decrypt"}[decrypt]),
					func(b *testing.B) { f(b, k, sectorSize, decrypt) })
			}
		}
	}
}

// AES-256-XTS on one core.
func BenchmarkSectors(b *testing.B) {
	eachBench(b, func(b *testing.B, k kernel, sectorSize int, decrypt bool) {
		c, buf := newBench(b, k), make([]byte, benchSize)
		b.SetBytes(benchSize)
		for b.Loop() {
			c.crypt(buf, buf, sectorSize, 0, decrypt)
		}
	})
}

// The same against `openssl speed`, in turns, both by processor time; the metric
// is the ratio of the medians (above 1: we are faster).
func BenchmarkVersusOpenSSL(b *testing.B) {
	eachBench(b, func(b *testing.B, k kernel, sectorSize int, decrypt bool) {
		if k == generic && len(kernels()) > 1 {
			b.Skip("OpenSSL would use instructions that this kernel does without")
		}
		if k == ssse3 {
			b.Setenv("OPENSSL_ia32cap", "~0x200000200000000") // neither AES-NI nor PCLMULQDQ
		}
		c, buf := newBench(b, k), make([]byte, benchSize)
		args := []string{"-evp", "aes-256-xts"}
		if decrypt {
			args = append(args, "-decrypt")
		}
		peer.Compare(b, sectorSize, args, func() int {
			c.crypt(buf, buf, sectorSize, 0, decrypt)
			return benchSize
		})
	})
}
