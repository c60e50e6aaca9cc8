package main

// The XTS kernel for POWER8 and later, little-endian: eight blocks at a time.
// LXVD2X leaves the bytes of each doubleword reversed with respect to what the
// AES instructions expect; tweaks are added in that order, and VPERM with V31
// turns the sum round.
//
//	R3 dst  R4 src  R5 batches per sector  R6 sectors left  R7 next sector's tweak
//	R8 round keys  R9 rounds  R10 batches left in the sector  R14, R15 tweak  R16, R17 scratch
//	R20-R26 16, 32 ... 112
//	V0-V7 data  V8-V15 tweaks  V16 first round key  V17-V30 the others; the last one is always V30
func aesPPC64LE(a *asm) {
	a.data("swap", 0x0706050403020100, 0x0f0e0d0c0b0a0908)
	a.ppcXTS("vcipherEncrypt", "VCIPHER")
	a.ppcXTS("vcipherDecrypt", "VNCIPHER")

	a.fn("vcipherBlocks"+ecbArgs, 0)
	a.ops(`MOVD p+0(FP), R3
		MOVD groups+8(FP), R6
		MOVD keys+16(FP), R8
		MOVD rounds+24(FP), R9`)
	a.ppcKeys()
	a.raw("")
	a.label("group")
	for i := range 8 {
		a.op("LXVD2X %s, VS%d", ppcAt("R3", i), 32+i)
		a.op("VPERM V%d, V%d, V31, V%d", i, i, i)
	}
	a.ppcRounds("VCIPHER")
	for i := range 8 {
		a.op("VPERM V%d, V%d, V31, V%d", i, i, i)
		a.op("STXVD2X VS%d, %s", 32+i, ppcAt("R3", i))
	}
	a.ops(`ADD $128, R3
		ADD $-1, R6
		CMP R6, $0
		BNE group
		RET`)
}

// ppcAt is the address of the i-th block from base.
func ppcAt(base string, i int) string {
	if i == 0 {
		return "(" + base + ")(R0)"
	}
	return "(" + base + ")(R" + string(rune('2')) + string(rune('0'+i-1)) + ")"
}

func (a *asm) ppcKeys() {
	for i := 1; i < 8; i++ {
		a.op("MOVD $%d, R%d", 16*i, 19+i)
	}
	load := func(v int) {
		a.op("LXVD2X (R8)(R0), VS%d", 32+v)
		a.op("VPERM V%d, V%d, V31, V%d", v, v, v)
		a.op("ADD $16, R8")
	}
	a.op("MOVD $swap<>(SB), R16")
	a.op("LXVD2X (R16)(R0), VS63")
	load(16)
	a.op("CMP R9, $12")
	a.op("BLT keys10")
	a.op("BEQ keys12")
	for v := 17; v <= 30; v++ {
		switch v {
		case 19:
			a.label("keys12")
		case 21:
			a.label("keys10")
		}
		load(v)
	}
}

func (a *asm) ppcRounds(op string) {
	for i := range 8 {
		a.op("VXOR V%d, V16, V%d", i, i)
	}
	a.op("CMP R9, $12")
	a.op("BLT rounds10")
	a.op("BEQ rounds12")
	for k := 17; k <= 30; k++ {
		switch k {
		case 19:
			a.label("rounds12")
		case 21:
			a.label("rounds10")
		case 30:
			op += "LAST"
		}
		for i := range 8 {
			a.op("%s V%d, V%d, V%d", op, i, k, i)
		}
	}
}

func (a *asm) ppcXTS(name, op string) {
	a.fn(name+xtsArgs, 0)
	a.ops(`MOVD dst+0(FP), R3
		MOVD src+8(FP), R4
		MOVD batches+16(FP), R5
		MOVD sectors+24(FP), R6
		MOVD tweaks+32(FP), R7
		MOVD keys+40(FP), R8
		MOVD rounds+48(FP), R9`)
	a.ppcKeys()
	a.raw("")
	a.label("sector")
	a.ops(`MOVD 0(R7), R14
		MOVD 8(R7), R15
		ADD $16, R7
		MOVD R5, R10`)
	a.raw("")
	a.label("batch")
	for i := range 8 {
		a.op("LXVD2X %s, VS%d", ppcAt("R4", i), 32+i)
		a.op("MTVSRD R14, VS%d", 2*i)
		a.op("MTVSRD R15, VS%d", 2*i+1)
		a.op("XXPERMDI VS%d, VS%d, $0, VS%d", 2*i, 2*i+1, 32+8+i)
		a.op("VXOR V%d, V%d, V%d", i, 8+i, i)
		a.op("VPERM V%d, V%d, V31, V%d", i, i, i)
		a.ops(`SRAD $63, R15, R16
			ANDCC $0x87, R16, R16
			SRD $63, R14, R17
			SLD $1, R15, R15
			OR R17, R15, R15
			SLD $1, R14, R14
			XOR R16, R14, R14`)
	}
	a.ppcRounds(op)
	for i := range 8 {
		a.op("VPERM V%d, V%d, V31, V%d", i, i, i)
		a.op("VXOR V%d, V%d, V%d", i, 8+i, i)
		a.op("STXVD2X VS%d, %s", 32+i, ppcAt("R3", i))
	}
	a.ops(`ADD $128, R3
		ADD $128, R4
		ADD $-1, R10
		CMP R10, $0
		BNE batch
		ADD $-1, R6
		CMP R6, $0
		BNE sector
		RET`)
}
