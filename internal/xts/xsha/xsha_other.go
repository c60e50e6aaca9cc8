package xsha

func sumBlocks(dst, data []byte, blockSize int) { generic(dst, data, blockSize) }
