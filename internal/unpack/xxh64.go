package unpack

import (
	"encoding/binary"
	"math/bits"
)

// xxh64 is the checksum of zstd frames, with seed zero.
type xxh64 struct {
	v     [4]uint64
	rest  [32]byte
	n     int // of rest
	total uint64
}

const (
	prime1 uint64 = 11400714785074694791
	prime2 uint64 = 14029467366897019727
	prime3 uint64 = 1609587929392839161
	prime4 uint64 = 9650029242287828579
	prime5 uint64 = 2870177450012600261
)

func (x *xxh64) reset() {
	p1, p2 := prime1, prime2
	*x = xxh64{v: [4]uint64{p1 + p2, p2, 0, -p1}}
}

func round(acc, v uint64) uint64 { return bits.RotateLeft64(acc+v*prime2, 31) * prime1 }

func (x *xxh64) write(b []byte) {
	x.total += uint64(len(b))
	if x.n > 0 {
		m := copy(x.rest[x.n:], b)
		x.n, b = x.n+m, b[m:]
		if x.n < 32 {
			return
		}
		x.lanes(x.rest[:])
		x.n = 0
	}
	whole := len(b) &^ 31
	x.lanes(b[:whole])
	x.n = copy(x.rest[:], b[whole:])
}

func (x *xxh64) lanes(b []byte) {
	v := x.v
	for ; len(b) >= 32; b = b[32:] {
		for i := range v {
			v[i] = round(v[i], binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
	x.v = v
}

func (x *xxh64) sum() uint64 {
	h := x.v[2] + prime5
	if x.total >= 32 {
		h = bits.RotateLeft64(x.v[0], 1) + bits.RotateLeft64(x.v[1], 7) + bits.RotateLeft64(x.v[2], 12) +
			bits.RotateLeft64(x.v[3], 18)
		for _, v := range x.v {
			h = (h^round(0, v))*prime1 + prime4
		}
	}
	h += x.total
	b := x.rest[:x.n]
	for ; len(b) >= 8; b = b[8:] {
		h = bits.RotateLeft64(h^round(0, binary.LittleEndian.Uint64(b)), 27)*prime1 + prime4
	}
	if len(b) >= 4 {
		h = bits.RotateLeft64(h^uint64(binary.LittleEndian.Uint32(b))*prime1, 23)*prime2 + prime3
		b = b[4:]
	}
	for _, c := range b {
		h = bits.RotateLeft64(h^uint64(c)*prime5, 11) * prime1
	}
	h ^= h >> 33
	h *= prime2
	h ^= h >> 29
	h *= prime3
	return h ^ h>>32
}
