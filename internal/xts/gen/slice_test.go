package main

import "testing"

// The S-box circuit on all 256 bytes, against the S-box's definition.
func TestCircuit(t *testing.T) {
	mul := func(a, b byte) (p byte) {
		for ; b != 0; b >>= 1 {
			if b&1 != 0 {
				p ^= a
			}
			a = a<<1 ^ a>>7*0x1b
		}
		return p
	}
	xor, and := func(a, b byte) byte { return a ^ b }, func(a, b byte) byte { return a & b }
	bits := func(x byte) (q [8]byte) {
		for i := range q {
			q[i] = x >> i & 1
		}
		return q
	}
	value := func(q [8]byte) (x byte) {
		for i, b := range q {
			x |= b << i
		}
		return x
	}
	for i := range 256 {
		x := byte(i)
		inverse := byte(0)
		for y := range 256 {
			if mul(x, byte(y)) == 1 {
				inverse = byte(y)
			}
		}
		want := inverse
		for r := 1; r <= 4; r++ {
			want ^= inverse<<r | inverse>>(8-r)
		}
		got := subBytes(bits(x), xor, and)
		if value(got) != want {
			t.Fatalf("S(%#x)^0x63 = %#x, want %#x", x, value(got), want)
		}
		if back := value(unaffine(got, xor)); back != inverse {
			t.Fatalf("1/%#x = %#x, want %#x", x, back, inverse)
		}
	}
}
