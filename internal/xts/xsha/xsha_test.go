package xsha

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestSumBlocks(t *testing.T) {
	for _, blockSize := range []int{1, 55, 56, 63, 64, 65, 119, 120, 512, 520, 1000, 1024, 2048, 4096} {
		for _, blocks := range []int{0, 1, 2, 3, 4, 7, 8, 9, 17} {
			data := make([]byte, blockSize*blocks)
			_, _ = rand.NewChaCha8([32]byte{byte(blockSize), byte(blocks)}).Read(data)
			want := make([]byte, blocks*Size)
			generic(want, data, blockSize)
			got := bytes.Repeat([]byte{0xA5}, blocks*Size+8)
			SumBlocks(got, data, blockSize)
			if !bytes.Equal(got, append(want, bytes.Repeat([]byte{0xA5}, 8)...)) {
				t.Fatalf("%d blocks of %d bytes differ", blocks, blockSize)
			}
		}
	}
}
