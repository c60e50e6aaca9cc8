package cpuid

import "golang.org/x/sys/cpu"

// What the processor has and, for the wide registers, the kernel saves.
var (
	AESNI = cpu.X86.HasAES
	SSSE3 = cpu.X86.HasSSSE3
	AVX   = cpu.X86.HasAVX
	AVX2  = cpu.X86.HasAVX2
	SHA   = SSSE3 && leaf7.ebx>>29&1 == 1
	// VAES is 256-bit VAES and VPCLMULQDQ.
	VAES = AVX2 && leaf7.ecx>>9&1 == 1 && leaf7.ecx>>10&1 == 1
)

type registers struct{ eax, ebx, ecx, edx uint32 }

var leaf7 = func() (r registers) {
	if highest, _, _, _ := query(0, 0); highest >= 7 {
		r.eax, r.ebx, r.ecx, r.edx = query(7, 0)
	}
	return r
}()

// query is the CPUID instruction.
func query(leaf, sub uint32) (eax, ebx, ecx, edx uint32)
