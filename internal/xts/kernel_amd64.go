package xts

import "reown/internal/xts/internal/cpuid"

//go:noescape
func aesniEncrypt(dst, src *byte, batches, sectors int, tweaks *[2]uint64, keys *byte, rounds int)

//go:noescape
func aesniDecrypt(dst, src *byte, batches, sectors int, tweaks *[2]uint64, keys *byte, rounds int)

//go:noescape
func aesniBlocks(p *[2]uint64, groups int, keys *byte, rounds int)

//go:noescape
func vaesEncrypt(dst, src *byte, batches, sectors int, tweaks *[2]uint64, keys *byte, rounds int)

//go:noescape
func vaesDecrypt(dst, src *byte, batches, sectors int, tweaks *[2]uint64, keys *byte, rounds int)

//go:noescape
func vaesBlocks(p *[2]uint64, groups int, keys *byte, rounds int)

//go:noescape
func sliceEncrypt(dst, src *byte, batches, sectors int, tweaks *[2]uint64, keys *byte, rounds int)

//go:noescape
func sliceDecrypt(dst, src *byte, batches, sectors int, tweaks *[2]uint64, keys *byte, rounds int)

//go:noescape
func sliceBlocks(p *[2]uint64, groups int, keys *byte, rounds int)

var available = func() (k []kernel) {
	if cpuid.VAES {
		k = append(k, vaes)
	}
	if cpuid.AESNI {
		k = append(k, aesNI)
	}
	if cpuid.SSSE3 {
		k = append(k, ssse3)
	}
	return append(k, generic)
}()

// kernels lists what this machine can run, best first.
func kernels() []kernel { return available }

// run encrypts or decrypts n sectors; tweaks holds their IVs.
func (k kernel) run(s *schedule, dst, src []byte, sectorSize, n int, tweaks *tweaks, decrypt bool) {
	t, tk := &tweaks[0], &s.tweak()[0]
	switch k {
	case vaes:
		vaesBlocks(t, (n+15)/16, tk, s.rounds)
		if decrypt {
			vaesDecrypt(&dst[0], &src[0], sectorSize/256, n, t, &s.decrypt()[0], s.rounds)
		} else {
			vaesEncrypt(&dst[0], &src[0], sectorSize/256, n, t, &s.encrypt()[0], s.rounds)
		}
	case aesNI:
		aesniBlocks(t, (n+7)/8, tk, s.rounds)
		if decrypt {
			aesniDecrypt(&dst[0], &src[0], sectorSize/128, n, t, &s.decrypt()[0], s.rounds)
		} else {
			aesniEncrypt(&dst[0], &src[0], sectorSize/128, n, t, &s.encrypt()[0], s.rounds)
		}
	case ssse3:
		sliceBlocks(t, (n+7)/8, tk, s.rounds)
		if decrypt {
			sliceDecrypt(&dst[0], &src[0], sectorSize/128, n, t, &s.decrypt()[0], s.rounds)
		} else {
			sliceEncrypt(&dst[0], &src[0], sectorSize/128, n, t, &s.encrypt()[0], s.rounds)
		}
	}
}
