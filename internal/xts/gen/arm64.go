package main

import "fmt"

// The XTS kernel for arm64: eight blocks at a time. All round keys stay in
// registers, and tweaks are doubled in general registers, which the AES units
// leave idle.
//
//	R0 dst  R1 src  R2 batches per sector  R3 sectors left  R4 next sector's tweak
//	R5 round keys, R6 rounds  R7 batches left in the sector  R8, R9 tweak  R10 scratch
//	V0-V7 data  V8-V15 tweaks  V16-V30 round keys; the last one is always V30
func aesARM64(a *asm) {
	a.armXTS("ceEncrypt", "AESE", "AESMC")
	a.armXTS("ceDecrypt", "AESD", "AESIMC")

	a.fn("ceBlocks"+ecbArgs, 0)
	a.ops(`MOVD p+0(FP), R0
		MOVD groups+8(FP), R3
		MOVD keys+16(FP), R5
		MOVD rounds+24(FP), R6`)
	a.armKeys()
	a.raw("")
	a.label("group")
	a.ops(`MOVD R0, R1
		VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]
		VLD1 (R1), [V4.B16, V5.B16, V6.B16, V7.B16]`)
	a.armRounds("AESE", "AESMC")
	for i := range 8 {
		a.op("VEOR V30.B16, V%d.B16, V%d.B16", i, i)
	}
	a.ops(`VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
		VST1.P [V4.B16, V5.B16, V6.B16, V7.B16], 64(R0)
		SUBS $1, R3, R3
		BNE group
		RET`)
}

// armKeys loads the round keys so that the last lies in V30, however many there are.
func (a *asm) armKeys() {
	a.ops(`CMP $12, R6
		BLT keys10
		BEQ keys12
		VLD1.P 32(R5), [V16.B16, V17.B16]`)
	a.label("keys12")
	a.op("VLD1.P 32(R5), [V18.B16, V19.B16]")
	a.label("keys10")
	a.ops(`VLD1.P 64(R5), [V20.B16, V21.B16, V22.B16, V23.B16]
		VLD1.P 64(R5), [V24.B16, V25.B16, V26.B16, V27.B16]
		VLD1 (R5), [V28.B16, V29.B16, V30.B16]`)
}

// armRounds is all of AES but the whitening at the end.
func (a *asm) armRounds(aes, mix string) {
	a.op("CMP $12, R6")
	a.op("BLT rounds10")
	a.op("BEQ rounds12")
	for k := 16; k <= 29; k++ {
		switch k {
		case 18:
			a.label("rounds12")
		case 20:
			a.label("rounds10")
		}
		for i := range 8 {
			a.op("%s V%d.B16, V%d.B16", aes, k, i)
			if k < 29 {
				a.op("%s V%d.B16, V%d.B16", mix, i, i)
			}
		}
	}
}

func (a *asm) armXTS(name, aes, mix string) {
	a.fn(name+xtsArgs, 0)
	a.ops(`MOVD dst+0(FP), R0
		MOVD src+8(FP), R1
		MOVD batches+16(FP), R2
		MOVD sectors+24(FP), R3
		MOVD tweaks+32(FP), R4
		MOVD keys+40(FP), R5
		MOVD rounds+48(FP), R6`)
	a.armKeys()
	a.raw("")
	a.label("sector")
	a.op("LDP.P 16(R4), (R8, R9)")
	a.op("MOVD R2, R7")
	a.raw("")
	a.label("batch")
	a.op("VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]")
	a.op("VLD1.P 64(R1), [V4.B16, V5.B16, V6.B16, V7.B16]")
	for i := range 8 {
		t := fmt.Sprintf("V%d", 8+i)
		a.op("VMOV R8, %s.D[0]", t)
		a.op("VMOV R9, %s.D[1]", t)
		a.op("VEOR %s.B16, V%d.B16, V%d.B16", t, i, i)
		a.op("VEOR %s.B16, V30.B16, %s.B16", t, t) // for the end: tweak and last key at once
		a.ops(`ASR $63, R9, R10
			AND $0x87, R10, R10
			EXTR $63, R8, R9, R9
			EOR R8<<1, R10, R8`)
	}
	a.armRounds(aes, mix)
	for i := range 8 {
		a.op("VEOR V%d.B16, V%d.B16, V%d.B16", 8+i, i, i)
	}
	a.ops(`VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
		VST1.P [V4.B16, V5.B16, V6.B16, V7.B16], 64(R0)
		SUBS $1, R7, R7
		BNE batch
		SUBS $1, R3, R3
		BNE sector
		RET`)
}
