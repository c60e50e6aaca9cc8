package xts

//go:noescape
func vcipherEncrypt(dst, src *byte, batches, sectors int, tweaks *[2]uint64, keys *byte, rounds int)

//go:noescape
func vcipherDecrypt(dst, src *byte, batches, sectors int, tweaks *[2]uint64, keys *byte, rounds int)

//go:noescape
func vcipherBlocks(p *[2]uint64, groups int, keys *byte, rounds int)

// kernels lists what this machine can run, best first.
func kernels() []kernel {
	return []kernel{vcipher, generic} // POWER8, the least that Go supports, has it
}

// run encrypts or decrypts n sectors; tweaks holds their IVs.
func (k kernel) run(s *schedule, dst, src []byte, sectorSize, n int, tweaks *tweaks, decrypt bool) {
	t := &tweaks[0]
	vcipherBlocks(t, (n+7)/8, &s.tweak()[0], s.rounds)
	if decrypt {
		vcipherDecrypt(&dst[0], &src[0], sectorSize/128, n, t, &s.decrypt()[0], s.rounds)
	} else {
		vcipherEncrypt(&dst[0], &src[0], sectorSize/128, n, t, &s.encrypt()[0], s.rounds)
	}
}
