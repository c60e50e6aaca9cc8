package main

import (
	"fmt"
	"math/big"
)

func shaAMD64(a *asm) {
	a.data("roundConst", roundConstants()...)
	// Reverses the bytes of each 32-bit word.
	a.data("flip", 0x0405060700010203, 0x0c0d0e0f08090a0b, 0x0405060700010203, 0x0c0d0e0f08090a0b)
	a.shaNI()
	a.shaLanes("X", 4)
	a.shaLanes("Y", 8)
}

const shaArgs = "(state *uint32, p *byte, stride, chunks int)"

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

	a.fn("sha2"+shaArgs, 64)
	a.ops(`MOVQ state+0(FP), DI
		MOVQ p+8(FP), SI
		MOVQ stride+16(FP), DX
		MOVQ chunks+24(FP), CX
		ADDQ SI, DX
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

// shaLanes hashes one message in each 32-bit lane of the vector registers, for
// processors that have AVX (four lanes) or AVX2 (eight) but no SHA extensions.
// Names of variables are those of FIPS 180-4 6.2.2.
//
//	DI state, word by word  SI, R11 messages 0 and 4  R9, R10 one and three strides
//	CX 64-byte chunks  R8 constants  BX the words W[t%16]  AX turns of 16 rounds
//	0-7 a to h  8-13 scratch  14, 15 a^b of this and the last round
func (a *asm) shaLanes(reg string, lanes int) {
	size := 4 * lanes
	r := func(i int) string { return fmt.Sprintf("%s%d", reg, i) }
	word := func(t int) string { return fmt.Sprintf("%d(BX)", (t+16)%16*size) }
	// op3 is dst = x op y.
	op3 := func(op string, y, x, dst any) {
		f := func(v any) any {
			if i, ok := v.(int); ok {
				return r(i)
			}
			return v
		}
		a.op("%s %v, %v, %v", op, f(y), f(x), f(dst))
	}
	// rotations sets dst to the XOR of src rotated right by each of the counts
	// and, if shift is not 0, shifted right by shift.
	rotations := func(src, dst, tmp, shift int, counts ...int) {
		if shift != 0 {
			a.op("VPSRLD $%d, %s, %s", shift, r(src), r(dst))
		}
		for i, n := range counts {
			if i == 0 && shift == 0 {
				a.op("VPSRLD $%d, %s, %s", n, r(src), r(dst))
			} else {
				a.op("VPSRLD $%d, %s, %s", n, r(src), r(tmp))
				op3("VPXOR", tmp, dst, dst)
			}
			a.op("VPSLLD $%d, %s, %s", 32-n, r(src), r(tmp))
			op3("VPXOR", tmp, dst, dst)
		}
	}

	a.fn(fmt.Sprintf("sha%d%s", lanes, shaArgs), 16*size+size)
	a.ops(`MOVQ state+0(FP), DI
		MOVQ p+8(FP), SI
		MOVQ stride+16(FP), R9
		MOVQ chunks+24(FP), CX
		LEAQ (R9)(R9*2), R10
		LEAQ (SI)(R9*4), R11`)
	a.op("LEAQ %d(SP), BX", size)
	a.op("ANDQ $~%d, BX", size-1)

	a.raw("")
	a.label("chunk")
	a.say("Turn rows (messages) into columns (words), 16 bytes of each at a time.")
	a.op("VMOVDQU flip<>(SB), %s", r(15))
	lane := []string{"", "(R9*1)", "(R9*2)", "(R10*1)"}
	for q := range 4 {
		for i, at := range lane {
			a.op("VMOVDQU %d(SI)%s, X%d", 16*q, at, i)
			if lanes == 8 {
				a.op("VINSERTI128 $1, %d(R11)%s, Y%d, Y%d", 16*q, at, i, i)
			}
			op3("VPSHUFB", 15, i, i)
		}
		op3("VPUNPCKLDQ", 1, 0, 4)
		op3("VPUNPCKLDQ", 3, 2, 5)
		op3("VPUNPCKHDQ", 1, 0, 6)
		op3("VPUNPCKHDQ", 3, 2, 7)
		for i, op := range []string{"VPUNPCKLQDQ", "VPUNPCKHQDQ", "VPUNPCKLQDQ", "VPUNPCKHQDQ"} {
			op3(op, 5+i/2*2, 4+i/2*2, 8)
			a.op("VMOVDQA %s, %s", r(8), word(4*q+i))
		}
	}
	for i := range 8 {
		a.op("VMOVDQU %d(DI), %s", i*size, r(i))
	}
	op3("VPXOR", 2, 1, 15)

	round := func(t int) {
		v := func(i int) int { return (i - t%8 + 8) % 8 } // a to h move along by one each round
		va, vb, vd, ve, vf, vg, vh := v(0), v(1), v(3), v(4), v(5), v(6), v(7)
		ab, bc := 14+t%2, 15-t%2
		if t >= 16 { // W[t] = s1(W[t-2]) + W[t-7] + s0(W[t-15]) + W[t-16]
			a.op("VMOVDQA %s, %s", word(t-15), r(9))
			rotations(9, 10, 11, 3, 7, 18)
			a.op("VMOVDQA %s, %s", word(t-2), r(9))
			rotations(9, 12, 11, 10, 17, 19)
			op3("VPADDD", word(t-16), 10, 10)
			op3("VPADDD", word(t-7), 12, 12)
			op3("VPADDD", 12, 10, 8)
			a.op("VMOVDQA %s, %s", r(8), word(t))
			op3("VPADDD", 8, vh, vh)
		} else {
			op3("VPADDD", word(t), vh, vh)
		}
		a.op("VBROADCASTSS %d(R8), %s", 4*(t%16), r(9))
		op3("VPADDD", 9, vh, vh)
		rotations(ve, 10, 11, 0, 6, 11, 25)
		op3("VPXOR", vg, vf, 12) // Ch(e, f, g)
		op3("VPAND", ve, 12, 12)
		op3("VPXOR", vg, 12, 12)
		op3("VPADDD", 10, vh, vh)
		op3("VPADDD", 12, vh, vh)
		op3("VPADDD", vh, vd, vd)
		rotations(va, 10, 11, 0, 2, 13, 22)
		op3("VPXOR", vb, va, ab) // Maj(a, b, c) = ((a^b) & (b^c)) ^ b
		op3("VPAND", ab, bc, bc)
		op3("VPXOR", vb, bc, bc)
		op3("VPADDD", 10, vh, vh)
		op3("VPADDD", bc, vh, vh)
	}
	a.op("LEAQ roundConst<>(SB), R8")
	for t := range 16 {
		round(t)
	}
	a.op("MOVQ $3, AX")
	a.raw("")
	a.label("rounds")
	a.op("ADDQ $64, R8")
	for t := 16; t < 32; t++ {
		round(t)
	}
	a.op("DECQ AX")
	a.op("JNZ rounds")
	for i := range 8 {
		op3("VPADDD", fmt.Sprintf("%d(DI)", i*size), i, i)
		a.op("VMOVDQU %s, %d(DI)", r(i), i*size)
	}
	a.ops(`ADDQ $64, SI
		ADDQ $64, R11
		DECQ CX
		JNZ chunk`)
	if lanes == 8 {
		a.op("VZEROUPPER")
	}
	a.op("RET")
}
