// Package cpuid reports the instruction sets of an amd64 processor that
// golang.org/x/sys/cpu does not report (SHA), or only together with AVX-512
// (VAES).
package cpuid
