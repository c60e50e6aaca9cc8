//go:build !amd64

package xsha

// kernels lists what this machine can run, best first.
func kernels() []kernel { return []kernel{generic} }

func (k kernel) compress(*state, *byte, int, int) { panic("xsha: no such kernel: " + k.String()) }
