package xts

// A kernel is one of the ways to run AES-XTS. Which of them a machine has is
// said by kernels, one per architecture.
type kernel uint8

const (
	generic kernel = iota
	ssse3
	aesNI
	vaes
	armCE
	vcipher
)

func (k kernel) String() string {
	return [...]string{"generic", "ssse3", "aes-ni", "vaes", "armv8-ce", "vcipher"}[k]
}
