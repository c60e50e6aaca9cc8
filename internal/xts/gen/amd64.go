package main

import "fmt"

// The XTS kernels for amd64. Both work on eight registers of data at a time:
// one block each with AES-NI, two with VAES. While a batch goes through its AES
// rounds, the tweaks of the next batch (of the next sector, at a sector's end)
// are made between them and kept in the half of the stack frame that the current
// batch does not use.
//
//	DI dst  SI src  CX batches per sector  DX batches left
//	R8 next sector's tweak  BX batches left in the sector that tweaks are made for
//	R9 first round key  R12 last round key  AX rounds
//	R10 this batch's tweaks  R11 next batch's
//	0-7 data  8-11 scratch  13 round key  14 next tweak(s)  15 constant

type amd64 struct {
	*asm
	reg   string // X or Y
	wide  int    // bytes in a register
	batch int    // bytes in a batch
}

func aesAMD64(a *asm) {
	a.data("carry", 0x87, 1)
	a.data("poly", 0x87, 0, 0x87, 0)
	// Shift counts that turn (T, T) into (T, T*x) and the bits that fall out.
	a.data("shl", 0, 0, 1, 1)
	a.data("shr", 64, 64, 63, 63)
	for _, g := range []amd64{{a, "X", 16, 128}, {a, "Y", 32, 256}} {
		p := map[string]string{"X": "aesni", "Y": "vaes"}[g.reg]
		g.xts(p+"Encrypt", "ENC")
		g.xts(p+"Decrypt", "DEC")
		g.ecb(p + "Blocks")
	}
}

// r names register i.
func (g amd64) r(i int) string { return fmt.Sprintf("%s%d", g.reg, i) }

// key loads the round key at the address into register 13.
func (g amd64) key(at string) {
	if g.reg == "X" {
		g.op("MOVOU %s, X13", at)
	} else {
		g.op("VBROADCASTI128 %s, Y13", at)
	}
}

// round is one AES step on all eight registers.
func (g amd64) round(op string) (l []string) {
	for i := range 8 {
		if g.reg == "X" {
			l = append(l, fmt.Sprintf("AES%s X13, X%d", op, i))
		} else {
			l = append(l, fmt.Sprintf("VAES%s Y13, Y%d, Y%d", op, i, i))
		}
	}
	return l
}

// rounds is all of AES but the whitening at the start; side[r] goes between the
// steps of round r.
func (g amd64) rounds(op string, side [10][]string) {
	g.op("CMPQ AX, $12")
	for r := 1; r <= 13; r++ {
		switch r { // no instruction of a round changes the flags
		case 10:
			g.op("JB last")
		case 12:
			g.op("JE last")
		}
		g.key(fmt.Sprintf("%d(R9)", 16*r))
		if r < len(side) {
			g.weave(g.round(op), side[r])
		} else {
			g.weave(g.round(op), nil)
		}
	}
	g.label("last")
	g.key("(R12)")
	g.weave(g.round(op+"LAST"), nil)
}

// sector loads the tweak of the next sector.
func (g amd64) sector() {
	if g.reg == "X" {
		g.op("MOVOU (R8), X14")
	} else {
		g.ops(`VBROADCASTI128 (R8), Y14
			VPSRLVQ shr<>(SB), Y14, Y9
			VPSLLVQ shl<>(SB), Y14, Y14`)
		for _, l := range g.fold(14) {
			g.op("%s", l)
		}
	}
	g.op("ADDQ $16, R8")
}

// fold adds to Y14, shifted left within each half of a block, the bits that
// fell out (Y9): those of the low half move up, those of the high half come back
// multiplied by 0x87. The sum goes to Y<to>.
func (g amd64) fold(to int) []string {
	return lines(`VPCLMULQDQ $0x01, Y15, Y9, Y10; VPSLLDQ $8, Y9, Y9;
		VPXOR Y10, Y%d, Y%d; VPXOR Y9, Y%d, Y%d`, to, to, to, to)
}

// tweak makes the i-th tweaks of a batch and stores them at base; the 8th also
// moves register 14 on to the next batch.
func (g amd64) tweak(i int, base string) []string {
	at := fmt.Sprintf("%d(%s)", i*g.wide, base)
	if g.reg == "X" { // one doubling at a time
		return lines(`MOVO X14, %s; PSHUFD $0x13, X14, X8; PADDQ X14, X14;
			PSRAL $31, X8; PAND X15, X8; PXOR X8, X14`, at)
	}
	if i == 0 {
		return lines("VMOVDQA Y14, %s", at)
	}
	l := lines("VPSRLQ $%d, Y14, Y9; VPSLLQ $%d, Y14, Y8", 64-2*i, 2*i)
	l = append(l, g.fold(8)...)
	l = append(l, fmt.Sprintf("VMOVDQA Y8, %s", at))
	if i == 7 {
		l = append(l, lines("VPSRLQ $48, Y14, Y9; VPSLLQ $16, Y14, Y14")...)
		l = append(l, g.fold(14)...)
	}
	return l
}

func (g amd64) xts(name, op string) {
	g.fn(name+xtsArgs, 2*g.batch+g.wide)
	g.ops(`MOVQ dst+0(FP), DI
		MOVQ src+8(FP), SI
		MOVQ batches+16(FP), CX
		MOVQ sectors+24(FP), DX
		MOVQ tweaks+32(FP), R8
		MOVQ keys+40(FP), R9
		MOVQ rounds+48(FP), AX
		MOVQ AX, R12
		SHLQ $4, R12
		ADDQ R9, R12
		IMULQ CX, DX`)
	g.op("LEAQ %d(SP), R10", g.wide)
	g.op("ANDQ $~%d, R10", g.wide-1)
	g.op("LEAQ %d(R10), R11", g.batch)
	if g.reg == "X" {
		g.op("MOVOU carry<>(SB), X15")
	} else {
		g.op("VMOVDQU poly<>(SB), Y15")
	}
	g.sector()
	for i := range 8 {
		for _, l := range g.tweak(i, "R10") {
			g.op("%s", l)
		}
	}
	g.op("LEAQ -1(CX), BX")

	g.raw("")
	g.label("batch")
	g.op("TESTQ BX, BX")
	g.op("JNZ same")
	g.sector()
	g.op("MOVQ CX, BX")
	g.label("same")
	g.op("DECQ BX")
	g.key("(R9)")
	for i := range 8 {
		d, t, s := g.r(i), fmt.Sprintf("%d(R10)", i*g.wide), fmt.Sprintf("%d(SI)", i*g.wide)
		if g.reg == "X" {
			g.op("MOVOU %s, %s", s, d)
			g.op("PXOR X13, %s", d)
			g.op("PXOR %s, %s", t, d)
		} else {
			g.op("VPXOR %s, Y13, %s", t, d)
			g.op("VPXOR %s, %s, %s", s, d, d)
		}
	}
	var side [10][]string
	for i := range 8 {
		side[i+1] = g.tweak(i, "R11")
	}
	g.rounds(op, side)
	for i := range 8 {
		d, t, o := g.r(i), fmt.Sprintf("%d(R10)", i*g.wide), fmt.Sprintf("%d(DI)", i*g.wide)
		if g.reg == "X" {
			g.op("PXOR %s, %s", t, d)
			g.op("MOVOU %s, %s", d, o)
		} else {
			g.op("VPXOR %s, %s, %s", t, d, d)
			g.op("VMOVDQU %s, %s", d, o)
		}
	}
	g.op("XCHGQ R10, R11")
	g.op("ADDQ $%d, SI", g.batch)
	g.op("ADDQ $%d, DI", g.batch)
	g.op("DECQ DX")
	g.op("JNZ batch")
	g.end()
}

// ecb encrypts groups of eight registers of blocks in place.
func (g amd64) ecb(name string) {
	g.fn(name+ecbArgs, 0)
	g.ops(`MOVQ p+0(FP), DI
		MOVQ groups+8(FP), DX
		MOVQ keys+16(FP), R9
		MOVQ rounds+24(FP), AX
		MOVQ AX, R12
		SHLQ $4, R12
		ADDQ R9, R12`)
	g.raw("")
	g.label("group")
	g.key("(R9)")
	for i := range 8 {
		if g.reg == "X" {
			g.op("MOVOU %d(DI), X%d", 16*i, i)
			g.op("PXOR X13, X%d", i)
		} else {
			g.op("VPXOR %d(DI), Y13, Y%d", 32*i, i)
		}
	}
	g.rounds("ENC", [10][]string{})
	for i := range 8 {
		if g.reg == "X" {
			g.op("MOVOU X%d, %d(DI)", i, 16*i)
		} else {
			g.op("VMOVDQU Y%d, %d(DI)", i, 32*i)
		}
	}
	g.op("ADDQ $%d, DI", g.batch)
	g.op("DECQ DX")
	g.op("JNZ group")
	g.end()
}

func (g amd64) end() {
	if g.reg == "Y" {
		g.op("VZEROUPPER")
	}
	g.op("RET")
}
