//go:build !amd64 && !arm64 && !ppc64le

package xts

// kernels lists what this machine can run, best first.
func kernels() []kernel { return []kernel{generic} }

func (k kernel) run(*schedule, []byte, []byte, int, int, *tweaks, bool) {
	panic("xts: no such kernel: " + k.String())
}
