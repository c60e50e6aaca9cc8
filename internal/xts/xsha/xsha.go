package xsha

import (
	"crypto/sha256"
	"encoding/binary"
)

// Size is the length of one digest in bytes.
const Size = sha256.Size

// chunkSize is the length in bytes of what SHA-256 takes in at once.
const chunkSize = sha256.BlockSize

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
	kernels()[0].sum(dst, data, blockSize)
}

// Implementation names the code that SumBlocks runs on this machine.
func Implementation() string { return kernels()[0].String() }

// A kernel is one of the ways to hash blocks side by side.
type kernel uint8

const (
	generic kernel = iota
	avx            // four blocks
	avx2           // eight blocks
	shaNI          // two blocks
)

func (k kernel) String() string { return [...]string{"generic", "avx", "avx2", "sha-ni"}[k] }

// lanes is how many blocks the kernel hashes at once.
func (k kernel) lanes() int { return [...]int{1, 4, 8, 2}[k] }

const maxLanes = 8

// A state holds the eight words of each lane. Word w of lane l is at index
// order(w, l).
type state [8 * maxLanes]uint32

// order says how the kernel wants the state: shaNI as A B E F, C D G H from the
// high word down, lane by lane; the others word by word.
func (k kernel) order(w, l int) int {
	if k == shaNI {
		return 8*l + abefcdgh[w]
	}
	return w*k.lanes() + l
}

var abefcdgh = [8]int{3, 2, 7, 6, 1, 0, 5, 4}

// initial is SHA-256's H(0), FIPS 180-4 5.3.3.
var initial = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

func (k kernel) sum(dst, data []byte, blockSize int) {
	if lanes := k.lanes(); lanes > 1 && blockSize%chunkSize == 0 {
		// All blocks end in the same padding, FIPS 180-4 5.1.1.
		var pad [chunkSize]byte
		pad[0] = 0x80
		binary.BigEndian.PutUint64(pad[chunkSize-8:], uint64(blockSize)*8)
		var start, s state
		var order [8 * maxLanes]int // of the words, as digests list them
		for l := range lanes {
			for w, v := range initial {
				order[8*l+w] = k.order(w, l)
				start[k.order(w, l)] = v
			}
		}
		for len(data) >= lanes*blockSize {
			s = start
			k.compress(&s, &data[0], blockSize, blockSize/chunkSize)
			k.compress(&s, &pad[0], 0, 1)
			for _, w := range order[:8*lanes] {
				// Not encoding/binary: releases are built without inlining.
				v := s[w%len(s)]
				dst[0], dst[1], dst[2], dst[3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
				dst = dst[4:]
			}
			data = data[lanes*blockSize:]
		}
	}
	for len(data) > 0 {
		d := sha256.Sum256(data[:blockSize])
		dst = dst[copy(dst, d[:]):]
		data = data[blockSize:]
	}
}
