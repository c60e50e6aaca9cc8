package xts

// A kernel is one of the ways to run AES-XTS. Which of them a machine has is
// said by kernels, one per architecture.
type kernel uint8

const (
	generic kernel = iota
	aesNI
	vaes
	armCE
	vcipher
)

func (k kernel) String() string {
	return [...]string{"generic", "aes-ni", "vaes", "armv8-ce", "vcipher"}[k]
}

// straightInverse reports which decryption schedule the kernel wants.
func (k kernel) straightInverse() bool { return k == vcipher }
