package main

import (
	"fmt"
	"slices"
)

// The XTS kernel for amd64 processors without AES-NI (Core 2, and the i3 of
// ThinkPads up to the X230): bitsliced AES on SSSE3, eight blocks at a time.
// Register or word b of the state holds bit b of every byte: byte p of it has one
// bit from byte p of each block. No table is indexed by secrets.
//
//	DI dst  SI src  CX batches per sector  DX batches left
//	R8 next sector's tweak  BX batches left in the sector
//	R9 round keys, bitsliced: 128 bytes each  R11 this round's  AX rounds  R12 rounds left
//	R10 frame, aligned

// Offsets in the frame; the last spill slot keeps the next tweak.
const (
	slTweaks = 0
	slConst  = 128
	slSpill  = 384
	slFrame  = slSpill + 24*16
)

// Constants in the frame: byte shuffles and masks.
const (
	slSR       = iota // ShiftRows
	slSRUp1           // ShiftRows, then up one row
	slUp1             // up one row
	slUp2             // up two rows
	slInvSR           // InvShiftRows
	slInvSRUp2        // InvShiftRows, then up two rows
	slMask1           // for transpose
	slMask2
	slMask4
	slCarry // for doubling a tweak, see amd64.tweak
)

// slConsts gives byte 4c+r of each, that is row r of column c.
var slConsts = [...]func(c, r int) int{
	slSR:       func(c, r int) int { return 4*((c+r)%4) + r },
	slSRUp1:    func(c, r int) int { r = (r + 1) % 4; return 4*((c+r)%4) + r },
	slUp1:      func(c, r int) int { return 4*c + (r+1)%4 },
	slUp2:      func(c, r int) int { return 4*c + (r+2)%4 },
	slInvSR:    func(c, r int) int { return 4*((c-r+4)%4) + r },
	slInvSRUp2: func(c, r int) int { r = (r + 2) % 4; return 4*((c-r+4)%4) + r },
	slMask1:    func(c, r int) int { return 0x55 },
	slMask2:    func(c, r int) int { return 0x33 },
	slMask4:    func(c, r int) int { return 0x0f },
	slCarry:    func(c, r int) int { return map[[2]int]int{{0, 0}: 0x87, {2, 0}: 1}[[2]int{c, r}] },
}

var slNext = slAt(slSpill + 23*16)

func slAt(off int) string    { return fmt.Sprintf("%d(R10)", off) }
func slConstAt(i int) string { return slAt(slConst + 16*i) }
func slTweakAt(i int) string { return slAt(slTweaks + 16*i) }

// A program is straight-line code on values without registers.
type program struct {
	ops    []vop
	values int
}

type vop struct {
	kind string // instruction
	dst  int
	a, b int    // b is -1 if there is none
	mem  string // instead of b; or an immediate operand
}

func (p *program) add(kind string, a, b int, mem string) int {
	p.values++
	p.ops = append(p.ops, vop{kind, p.values - 1, a, b, mem})
	return p.values - 1
}
func (p *program) and(a, b int) int                   { return p.add("PAND", a, b, "") }
func (p *program) shuffle(a, c int) int               { return p.add("PSHUFB", a, -1, slConstAt(c)) }
func (p *program) mem(op string, a int, m string) int { return p.add(op, a, -1, m) }
func (p *program) xor(a int, more ...int) int {
	for _, b := range more {
		a = p.add("PXOR", a, b, "")
	}
	return a
}

// An allocator gives the values of a program registers. When there are too few,
// the value that is needed latest goes to the frame.
type allocator struct {
	*asm
	uses   [][]int     // by value: the operations that read it
	regs   [16]int     // value in each register, or -1
	spills [23]int     // value in each spill slot, or -1
	slot   map[int]int // value to spill slot
	now    int         // operation being written
}

const never = 1 << 30

// need is the first operation after t that reads v.
func (a *allocator) need(v, t int) int {
	for _, u := range a.uses[v] {
		if u > t {
			return u
		}
	}
	return never
}

func (a *allocator) dies(v int) bool { return a.need(v, a.now) == never }
func (a *allocator) where(v int) int { return slices.Index(a.regs[:], v) }

// take frees a register, but none of those that hold the values in keep.
func (a *allocator) take(keep ...int) int {
	if r := a.where(-1); r >= 0 {
		return r
	}
	worst, latest := -1, -1
	for r, v := range a.regs {
		if n := a.need(v, a.now-1); n > latest && !slices.Contains(keep, v) {
			worst, latest = r, n
		}
	}
	v := a.regs[worst]
	if _, ok := a.slot[v]; !ok {
		s := slices.IndexFunc(a.spills[:], func(w int) bool { return w < 0 || a.need(w, a.now-1) == never })
		a.spills[s], a.slot[v] = v, s
		a.op("MOVO X%d, %s", worst, a.spilled(v))
	}
	a.regs[worst] = -1
	return worst
}

func (a *allocator) spilled(v int) string { return slAt(slSpill + 16*a.slot[v]) }

// fetch brings v into a register.
func (a *allocator) fetch(v int, keep ...int) int {
	r := a.where(v)
	if r < 0 {
		r = a.take(keep...)
		a.op("MOVO %s, X%d", a.spilled(v), r)
		a.regs[r] = v
	}
	return r
}

func (a *allocator) write(o vop) {
	x, y := o.a, o.b
	if y >= 0 && !(a.dies(x) && a.where(x) >= 0) && a.dies(y) && a.where(y) >= 0 {
		x, y = y, x // overwrite what dies; PXOR and PAND commute
	}
	r := a.fetch(x, y)
	if !a.dies(x) {
		n := a.take(x, y)
		a.op("MOVO X%d, X%d", r, n)
		r = n
	}
	from := o.mem
	if y >= 0 {
		if i := a.where(y); i >= 0 {
			from = fmt.Sprintf("X%d", i)
		} else {
			from = a.spilled(y)
		}
	}
	a.op("%s %s, X%d", o.kind, from, r)
	a.regs[r] = o.dst
	for i, v := range a.regs {
		if v >= 0 && a.dies(v) {
			a.regs[i] = -1
		}
	}
}

// emit writes a program. Values 0 to 7 are in X0 to X7 at the start, and the
// eight values out at the end.
func (a *asm) emit(p *program, out []int) {
	al := &allocator{asm: a, uses: make([][]int, p.values), slot: map[int]int{}}
	for i, o := range p.ops {
		al.uses[o.a] = append(al.uses[o.a], i)
		if o.b >= 0 {
			al.uses[o.b] = append(al.uses[o.b], i)
		}
	}
	for i := range al.regs {
		al.regs[i] = -1
	}
	for i := range al.spills {
		al.spills[i] = -1
	}
	for i, v := range out {
		al.regs[i] = i
		al.uses[v] = append(al.uses[v], len(p.ops))
	}
	for i, o := range p.ops {
		al.now = i
		al.write(o)
	}
	al.now = len(p.ops)
	for _, v := range out {
		al.fetch(v, out...)
	}
	for i, v := range out {
		from := al.where(v)
		if from == i {
			continue
		}
		if al.regs[i] >= 0 { // another output is in the way
			free := al.where(-1)
			a.op("MOVO X%d, X%d", i, free)
			al.regs[free] = al.regs[i]
		}
		a.op("MOVO X%d, X%d", from, i)
		al.regs[i], al.regs[from] = v, -1
	}
}

// transpose exchanges block number and bit number; it is its own inverse.
func (p *program) transpose(q []int) {
	for s, mask := range []int{slMask1, slMask2, slMask4} {
		n := 1 << s
		for i := range 8 {
			if i&n != 0 {
				continue
			}
			a, b := q[i], q[i+n]
			t := p.mem("PSRLQ", a, fmt.Sprintf("$%d", n))
			t = p.mem("PAND", p.xor(t, b), slConstAt(mask))
			q[i+n] = p.xor(b, t)
			q[i] = p.xor(p.mem("PSLLQ", t, fmt.Sprintf("$%d", n)), a)
		}
	}
}

// subBytes is the S-box without its constant 0x63, which is added to the round
// keys instead: the circuit of J. Boyar and R. Peralta, "A depth-16 circuit for
// the AES S-box", 2011. TestCircuit runs it on all bytes.
func subBytes[T any](q [8]T, xor, and func(a, b T) T) [8]T {
	x0, x1, x2, x3, x4, x5, x6, x7 := q[7], q[6], q[5], q[4], q[3], q[2], q[1], q[0]
	y14, y13, y9, y8, t0 := xor(x3, x5), xor(x0, x6), xor(x0, x3), xor(x0, x5), xor(x1, x2)
	y1 := xor(t0, x7)
	y4, y12, y2, y5 := xor(y1, x3), xor(y13, y14), xor(y1, x0), xor(y1, x6)
	y3, t1 := xor(y5, y8), xor(x4, y12)
	y15, y20 := xor(t1, x5), xor(t1, x1)
	y6, y10, y11 := xor(y15, x7), xor(y15, t0), xor(y20, y9)
	y7, y17, y19, y16 := xor(x7, y11), xor(y10, y11), xor(y10, y8), xor(t0, y11)
	y21, y18 := xor(y13, y16), xor(x0, y16)

	t2 := and(y12, y15)
	t4, t6 := xor(and(y3, y6), t2), xor(and(y4, x7), t2)
	t7 := and(y13, y16)
	t9, t11 := xor(and(y5, y1), t7), xor(and(y2, y7), t7)
	t12 := and(y9, y11)
	t14, t16 := xor(and(y14, y17), t12), xor(and(y8, y10), t12)
	t21, t22 := xor(xor(t4, t14), y20), xor(xor(t6, t16), y19)
	t23, t24 := xor(xor(t9, t14), y21), xor(xor(t11, t16), y18)

	t25, t26 := xor(t21, t22), and(t21, t23)
	t27 := xor(t24, t26)
	t29 := xor(and(t25, t27), t22)
	t33 := xor(and(xor(t22, t26), xor(t23, t24)), t24)
	t34, t35 := xor(t23, t33), xor(t27, t33)
	t36 := and(t24, t35)
	t37, t38 := xor(t36, t34), xor(t27, t36)
	t40 := xor(t25, and(t29, t38))
	t41, t42, t43, t44 := xor(t40, t37), xor(t29, t33), xor(t29, t40), xor(t33, t37)
	t45 := xor(t42, t41)

	z0, z1, z2, z3, z4, z5 := and(t44, y15), and(t37, y6), and(t33, x7), and(t43, y16), and(t40, y1), and(t29, y7)
	z6, z7, z8, z9, z10, z11 := and(t42, y11), and(t45, y17), and(t41, y10), and(t44, y12), and(t37, y3), and(t33, y4)
	z12, z13, z14, z15, z16, z17 := and(t43, y13), and(t40, y5), and(t29, y2), and(t42, y9), and(t45, y14), and(t41, y8)

	t46, t47, t48, t49 := xor(z15, z16), xor(z10, z11), xor(z5, z13), xor(z9, z10)
	t50, t51, t52, t53, t54 := xor(z2, z12), xor(z2, z5), xor(z7, z8), xor(z0, z3), xor(z6, z7)
	t55, t56, t57, t58, t59 := xor(z16, z17), xor(z12, t48), xor(t50, t53), xor(z4, t46), xor(z3, t54)
	t60, t61, t62, t63, t64 := xor(t46, t57), xor(z14, t57), xor(t52, t58), xor(t49, t58), xor(z4, t59)
	t65, t66 := xor(t61, t62), xor(z1, t63)
	s3, t67 := xor(t53, t66), xor(t64, t65)
	return [8]T{xor(t48, t60), xor(t56, t62), xor(t47, t65), xor(t51, t66), s3, xor(t55, t67), xor(t64, s3), xor(t59, t63)}
}

// unaffine is the inverse of the linear map in the S-box (FIPS 197 5.3.2).
func unaffine[T any](q [8]T, xor func(a, b T) T) (r [8]T) {
	for i := range r {
		r[i] = xor(xor(q[(i+2)%8], q[(i+5)%8]), q[(i+7)%8])
	}
	return r
}

// round is one round on values 0 to 7; it returns the results. The round key is
// at R11.
func (p *program) round(decrypt, last bool) []int {
	xor := func(a, b int) int { return p.xor(a, b) }
	q := [8]int{0, 1, 2, 3, 4, 5, 6, 7}
	sr := slSR
	if decrypt {
		sr = slInvSR
		q = unaffine(q, xor)
	}
	q = subBytes(q, xor, p.and)
	if decrypt {
		q = unaffine(q, xor)
	}
	var a, up [8]int // the column, and the column one row up
	switch {
	case last:
		for b := range q {
			a[b] = p.shuffle(q[b], sr)
		}
	case !decrypt:
		for b := range q {
			a[b], up[b] = p.shuffle(q[b], slSR), p.shuffle(q[b], slSRUp1)
		}
	default:
		// InvMixColumns is MixColumns after a + 4(a + a two rows up).
		var u [8]int
		for b := range q {
			a[b] = p.shuffle(q[b], slInvSR)
			u[b] = p.xor(p.shuffle(q[b], slInvSRUp2), a[b])
		}
		u67 := p.xor(u[6], u[7])
		for b, v := range [8][]int{{u[6]}, {u67}, {u[0], u[7]}, {u[1], u[6]}, {u[2], u67}, {u[3], u[7]}, {u[4]}, {u[5]}} {
			a[b] = p.xor(a[b], v...)
			up[b] = p.shuffle(a[b], slUp1)
		}
	}
	if !last { // 2(a + a1) + a1 + (a2 + a3)
		var t [8]int
		for b := range a {
			t[b] = p.xor(a[b], up[b])
		}
		for b := range a {
			a[b] = p.xor(up[b], p.shuffle(t[b], slUp2), t[(b+7)%8])
			if b == 1 || b == 3 || b == 4 {
				a[b] = p.xor(a[b], t[7])
			}
		}
	}
	for b := range a {
		a[b] = p.mem("PXOR", a[b], fmt.Sprintf("%d(R11)", 16*b))
	}
	if last {
		p.transpose(a[:])
	}
	return a[:]
}

// slCipher encrypts or decrypts the eight blocks in X0 to X7.
func (a *asm) slCipher(decrypt bool) {
	in, body, last := &program{values: 8}, &program{values: 8}, &program{values: 8}
	q := []int{0, 1, 2, 3, 4, 5, 6, 7}
	in.transpose(q)
	for b := range q {
		q[b] = in.mem("PXOR", q[b], fmt.Sprintf("%d(R9)", 16*b))
	}
	a.emit(in, q)
	a.op("LEAQ 128(R9), R11")
	a.op("LEAQ -1(AX), R12")
	a.label("round")
	a.emit(body, body.round(decrypt, false))
	a.ops(`ADDQ $128, R11
		DECQ R12
		JNZ round`)
	a.emit(last, last.round(decrypt, true))
}

func (a *asm) slProlog() {
	a.ops(`LEAQ 16(SP), R10
		ANDQ $~15, R10`)
	for i := range slConsts {
		a.op("MOVOU slice<>+%d(SB), X0", 16*i)
		a.op("MOVO X0, %s", slConstAt(i))
	}
}

func sliceAMD64(a *asm) {
	var words []uint64
	for _, f := range slConsts {
		var w [2]uint64
		for i := range 16 {
			w[i/8] |= uint64(f(i/4, i%4)) << (i % 8 * 8)
		}
		words = append(words, w[:]...)
	}
	a.data("slice", words...)
	a.slXTS("sliceEncrypt", false)
	a.slXTS("sliceDecrypt", true)

	a.fn("sliceBlocks"+ecbArgs, slFrame+16)
	a.ops(`MOVQ p+0(FP), DI
		MOVQ groups+8(FP), DX
		MOVQ keys+16(FP), R9
		MOVQ rounds+24(FP), AX`)
	a.slProlog()
	a.raw("")
	a.label("group")
	for i := range 8 {
		a.op("MOVOU %d(DI), X%d", 16*i, i)
	}
	a.slCipher(false)
	for i := range 8 {
		a.op("MOVOU X%d, %d(DI)", i, 16*i)
	}
	a.ops(`ADDQ $128, DI
		DECQ DX
		JNZ group
		RET`)
}

func (a *asm) slXTS(name string, decrypt bool) {
	a.fn(name+xtsArgs, slFrame+16)
	a.ops(`MOVQ dst+0(FP), DI
		MOVQ src+8(FP), SI
		MOVQ batches+16(FP), CX
		MOVQ sectors+24(FP), DX
		MOVQ tweaks+32(FP), R8
		MOVQ keys+40(FP), R9
		MOVQ rounds+48(FP), AX
		IMULQ CX, DX
		XORQ BX, BX`)
	a.slProlog()
	a.raw("")
	a.label("batch")
	a.ops(`TESTQ BX, BX
		JNZ same
		MOVOU (R8), X14
		ADDQ $16, R8
		MOVQ CX, BX
		JMP tweaked`)
	a.label("same")
	a.op("MOVO %s, X14", slNext)
	a.label("tweaked")
	a.op("DECQ BX")
	for i := range 8 {
		a.op("MOVO X14, %s", slTweakAt(i))
		a.op("MOVOU %d(SI), X%d", 16*i, i)
		a.op("PXOR X14, X%d", i)
		a.op("PSHUFD $0x13, X14, X8")
		a.op("PADDQ X14, X14")
		a.op("PSRAL $31, X8")
		a.op("PAND %s, X8", slConstAt(slCarry))
		a.op("PXOR X8, X14")
	}
	a.op("MOVO X14, %s", slNext)
	a.slCipher(decrypt)
	for i := range 8 {
		a.op("PXOR %s, X%d", slTweakAt(i), i)
		a.op("MOVOU X%d, %d(DI)", i, 16*i)
	}
	a.ops(`ADDQ $128, SI
		ADDQ $128, DI
		DECQ DX
		JNZ batch
		RET`)
}
