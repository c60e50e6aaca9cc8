package main

import "math/big"

func shaAMD64(a *asm) {
	a.data("roundConst", roundConstants()...)
	// Reverses the bytes of each 32-bit word.
	a.data("flip", 0x0405060700010203, 0x0c0d0e0f08090a0b)
	a.shaNI()
}

// roundConstants are SHA-256's K, two to a 64-bit word: the first 32 bits of the
// fractional parts of the cube roots of the first 64 primes (FIPS 180-4 4.2.2).
func roundConstants() (words []uint64) {
	var k []uint64
	for p := int64(2); len(k) < 64; p++ {
		if !big.NewInt(p).ProbablyPrime(0) {
			continue
		}
		// The largest r with r^3 <= p * 2^96 is the cube root times 2^32.
		n := new(big.Int).Lsh(big.NewInt(p), 96)
		lo, hi := int64(0), int64(1)<<36
		for lo+1 < hi {
			mid := (lo + hi) / 2
			if m := big.NewInt(mid); new(big.Int).Exp(m, big.NewInt(3), nil).Cmp(n) <= 0 {
				lo = mid
			} else {
				hi = mid
			}
		}
		k = append(k, uint64(uint32(lo)))
	}
	for i := 0; i < 64; i += 2 {
		words = append(words, k[i]|k[i+1]<<32)
	}
	return words
}

// shaNI hashes two messages side by side with the SHA extensions: each
// SHA256RNDS2 waits for the one before, so one message alone leaves the unit idle
// half of the time.
//
// The state of each message is two registers, ABEF and CDGH.
//
//	DI state  SI, DX messages  CX 64-byte chunks  R8 constants
//	X1, X2 state and X3-X6 words of the first  X7, X8 and X9-X12 of the second
//	X0 words plus constants (SHA256RNDS2 insists)  X13 scratch  X15 byte flip
func (a *asm) shaNI() {
	streams := []struct {
		abef, cdgh int
		w          [4]int
		p          string
	}{{1, 2, [4]int{3, 4, 5, 6}, "SI"}, {7, 8, [4]int{9, 10, 11, 12}, "DX"}}

	a.fn("sha2ni(state *byte, p, q *byte, chunks int)", 64)
	a.ops(`MOVQ state+0(FP), DI
		MOVQ p+8(FP), SI
		MOVQ q+16(FP), DX
		MOVQ chunks+24(FP), CX
		LEAQ roundConst<>(SB), R8
		MOVOU flip<>(SB), X15
		MOVOU (DI), X1
		MOVOU 16(DI), X2
		MOVOU 32(DI), X7
		MOVOU 48(DI), X8`)
	a.raw("")
	a.label("chunk")
	a.ops(`MOVOU X1, (SP)
		MOVOU X2, 16(SP)
		MOVOU X7, 32(SP)
		MOVOU X8, 48(SP)`)
	for g := range 16 { // four rounds each
		for _, s := range streams {
			cur, prev, next := s.w[g%4], s.w[(g+3)%4], s.w[(g+1)%4]
			if g < 4 {
				a.op("MOVOU %d(%s), X%d", 16*g, s.p, cur)
				a.op("PSHUFB X15, X%d", cur)
			}
			a.op("MOVOU %d(R8), X0", 16*g)
			a.op("PADDL X%d, X0", cur)
			a.op("SHA256RNDS2 X0, X%d, X%d", s.abef, s.cdgh)
			if g >= 3 && g <= 14 {
				a.op("MOVO X%d, X13", cur)
				a.op("PALIGNR $4, X%d, X13", prev)
				a.op("PADDL X13, X%d", next)
				a.op("SHA256MSG2 X%d, X%d", cur, next)
			}
			a.op("PSHUFD $0x0E, X0, X0")
			a.op("SHA256RNDS2 X0, X%d, X%d", s.cdgh, s.abef)
			if g >= 1 && g <= 12 {
				a.op("SHA256MSG1 X%d, X%d", cur, prev)
			}
		}
	}
	for i, x := range []int{1, 2, 7, 8} {
		a.op("MOVOU %d(SP), X13", 16*i)
		a.op("PADDL X13, X%d", x)
	}
	a.ops(`ADDQ $64, SI
		ADDQ $64, DX
		DECQ CX
		JNZ chunk
		MOVOU X1, (DI)
		MOVOU X2, 16(DI)
		MOVOU X7, 32(DI)
		MOVOU X8, 48(DI)
		RET`)
}
