package xts

import "golang.org/x/sys/cpu"

//go:noescape
func ceEncrypt(dst, src *byte, batches, sectors int, tweaks *[2]uint64, keys *byte, rounds int)

//go:noescape
func ceDecrypt(dst, src *byte, batches, sectors int, tweaks *[2]uint64, keys *byte, rounds int)

//go:noescape
func ceBlocks(p *[2]uint64, groups int, keys *byte, rounds int)

// kernels lists what this machine can run, best first.
func kernels() []kernel {
	if cpu.ARM64.HasAES {
		return []kernel{armCE, generic}
	}
	return []kernel{generic}
}

// run encrypts or decrypts n sectors; tweaks holds their IVs.
func (k kernel) run(s *schedule, dst, src []byte, sectorSize, n int, tweaks *tweaks, decrypt bool) {
	t := &tweaks[0]
	ceBlocks(t, (n+7)/8, &s.tweak()[0], s.rounds)
	if decrypt {
		ceDecrypt(&dst[0], &src[0], sectorSize/128, n, t, &s.decrypt()[0], s.rounds)
	} else {
		ceEncrypt(&dst[0], &src[0], sectorSize/128, n, t, &s.encrypt()[0], s.rounds)
	}
}
