package xsha

import "crypto/sha256"

// Size is the length of one digest in bytes.
const Size = sha256.Size

// SumBlocks writes the SHA-256 of each blockSize bytes of data to dst, one digest
// after the other. len(data) must be a multiple of blockSize, and dst hold Size
// bytes for each block; it panics otherwise. dst and data must not overlap.
func SumBlocks(dst, data []byte, blockSize int) {
	if blockSize <= 0 || len(data)%blockSize != 0 {
		panic("xsha: data is not whole blocks")
	}
	if len(dst) < len(data)/blockSize*Size {
		panic("xsha: output too small")
	}
	sumBlocks(dst, data, blockSize)
}

func generic(dst, data []byte, blockSize int) {
	for len(data) > 0 {
		d := sha256.Sum256(data[:blockSize])
		dst = dst[copy(dst, d[:]):]
		data = data[blockSize:]
	}
}
