package xsha

import "reown/internal/xts/internal/cpuid"

// The functions below add chunks of 64 bytes to the states of two, four or eight
// messages that lie stride bytes apart.

//go:noescape
func sha2(state *uint32, p *byte, stride, chunks int)

//go:noescape
func sha4(state *uint32, p *byte, stride, chunks int)

//go:noescape
func sha8(state *uint32, p *byte, stride, chunks int)

var available = func() (k []kernel) {
	if cpuid.SHA {
		k = append(k, shaNI)
	}
	if cpuid.AVX2 {
		k = append(k, avx2)
	}
	if cpuid.AVX {
		k = append(k, avx)
	}
	return append(k, generic)
}()

// kernels lists what this machine can run, best first.
func kernels() []kernel { return available }

func (k kernel) compress(s *state, p *byte, stride, chunks int) {
	switch k {
	case shaNI:
		sha2(&s[0], p, stride, chunks)
	case avx2:
		sha8(&s[0], p, stride, chunks)
	case avx:
		sha4(&s[0], p, stride, chunks)
	}
}
