package unpack

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
)

// Format: "The .xz File Format" 1.2.1. Section numbers are that document's.

var (
	xzMagic    = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
	xzFooter   = []byte("YZ")
	crc64Table = crc64.MakeTable(crc64.ECMA)
)

// XZ reads one xz stream.
func XZ(r *bufio.Reader) io.Reader { return &xz{r: r} }

type xz struct {
	r    *bufio.Reader
	n    int64 // bytes read
	err  error
	open bool // within a block

	check  byte
	sum    hash.Hash // of the block; nil: none
	began  int64     // the block
	headed uint64    // the length of its header
	size   uint64    // what the block's header says that it holds; sized
	sized  bool
	packed uint64 // how long it says it is; 0: it does not
	got    uint64
	blocks []xzBlock // as the index must tell them

	lzma lzma
}

type xzBlock struct{ packed, size uint64 }

// maxBlocks bounds what is kept of a stream's blocks: 1.5 TB as `xz -0 -T0` makes them.
const maxBlocks = 1 << 19

func (x *xz) Read(p []byte) (int, error) {
	for x.lzma.w.read == len(x.lzma.w.buf) {
		if x.err == nil {
			x.err = x.more()
		}
		if x.err != nil {
			return 0, x.err
		}
	}
	return x.lzma.w.take(p), nil
}

// more decompresses a chunk, or reads what stands around chunks.
func (x *xz) more() error {
	if x.n == 0 {
		b, err := x.bytes(12)
		if err != nil {
			return err
		}
		if !bytes.Equal(b[:6], xzMagic) || binary.LittleEndian.Uint32(b[8:]) != crc32.ChecksumIEEE(b[6:8]) {
			return fmt.Errorf("%w: not xz", ErrCorrupt)
		}
		if b[6] != 0 || b[7]&0xf0 != 0 {
			return fmt.Errorf("%w: another version of xz", ErrUnsupported)
		}
		x.check = b[7]
	}
	if !x.open {
		return x.header()
	}
	x.lzma.w.slide()
	from := len(x.lzma.w.buf)
	last, err := x.lzma.chunk(x.bytes)
	if err != nil {
		return err
	}
	fresh := x.lzma.w.buf[from:]
	x.got += uint64(len(fresh))
	if x.sum != nil {
		x.sum.Write(fresh)
	}
	if !last {
		return nil
	}
	x.open = false
	packed := uint64(x.n - x.began)
	if x.sized && x.got != x.size || x.packed != 0 && packed-x.headed != x.packed {
		return fmt.Errorf("%w: a block of another size", ErrCorrupt)
	}
	if err := x.padding(packed); err != nil {
		return err
	}
	length := 0
	if x.check > 0 {
		length = 4 << ((x.check - 1) / 3)
	}
	b, err := x.bytes(length)
	if err != nil {
		return err
	}
	if x.sum != nil {
		want := x.sum.Sum(nil)
		if x.check == 1 || x.check == 4 { // stored from the low byte on
			for i, j := 0, len(want)-1; i < j; i, j = i+1, j-1 {
				want[i], want[j] = want[j], want[i]
			}
		}
		if !bytes.Equal(b, want) {
			return fmt.Errorf("%w: its checksum is another", ErrCorrupt)
		}
	}
	if len(x.blocks) == maxBlocks {
		return fmt.Errorf("%w: too many blocks", ErrUnsupported)
	}
	x.blocks = append(x.blocks, xzBlock{packed + uint64(length), x.got})
	return nil
}

// bytes reads n bytes, which last until the next call.
func (x *xz) bytes(n int) ([]byte, error) {
	if cap(x.lzma.in) < n {
		x.lzma.in = make([]byte, n, max(n, 4<<10))
	}
	b := x.lzma.in[:n]
	m, err := io.ReadFull(x.r, b)
	x.n += int64(m)
	return b, unexpected(err)
}

// padding reads the zeros that fill n bytes up to a multiple of four.
func (x *xz) padding(n uint64) error {
	b, err := x.bytes(int(-n & 3))
	if err == nil && len(bytes.Trim(b, "\x00")) > 0 {
		err = fmt.Errorf("%w: something in the padding", ErrCorrupt)
	}
	return err
}

// header reads a block's header (3.1), or the index and the end of the stream.
func (x *xz) header() error {
	x.began = x.n
	b, err := x.bytes(1)
	if err != nil {
		return err
	}
	if b[0] == 0 {
		if err := x.index(); err != nil {
			return err
		}
		return io.EOF
	}
	size := int(b[0])*4 + 4
	head := make([]byte, size)
	head[0] = b[0]
	if b, err = x.bytes(size - 1); err != nil {
		return err
	}
	copy(head[1:], b)
	if binary.LittleEndian.Uint32(head[size-4:]) != crc32.ChecksumIEEE(head[:size-4]) {
		return fmt.Errorf("%w: a block's header", ErrCorrupt)
	}
	flags, rest := head[1], bytes.NewReader(head[2:size-4])
	x.packed, x.size, x.sized = 0, 0, flags&0x80 != 0
	if flags&0x40 != 0 {
		if x.packed, err = number(rest); err != nil {
			return err
		}
	}
	if x.sized {
		if x.size, err = number(rest); err != nil {
			return err
		}
	}
	filter, err1 := number(rest)
	props, err2 := number(rest)
	dict, err3 := rest.ReadByte()
	if flags&0x3f != 0 || filter != 0x21 || props != 1 || err1 != nil || err2 != nil || err3 != nil || dict > 40 {
		return fmt.Errorf("%w: other filters than LZMA2", ErrUnsupported)
	}
	window := uint64(2|dict&1) << (dict/2 + 11)
	if window > MaxWindow {
		return fmt.Errorf("%w: a window of %d bytes", ErrUnsupported, window)
	}
	switch x.check {
	case 0:
		x.sum = nil
	case 1:
		x.sum = crc32.NewIEEE()
	case 4:
		x.sum = crc64.New(crc64Table)
	case 10:
		x.sum = sha256.New()
	default:
		return fmt.Errorf("%w: no such checksum", ErrUnsupported)
	}
	x.lzma.reset(int(window))
	x.headed, x.got, x.open = uint64(size), 0, true
	return nil
}

// index reads the stream's index and footer (4, 2.1.2), which tell once more what the
// blocks were.
func (x *xz) index() error {
	r := &indexReader{x: x, sum: crc32.Update(0, crc32.IEEETable, []byte{0})}
	n, err := number(r)
	if err != nil {
		return err
	}
	if n != uint64(len(x.blocks)) {
		return fmt.Errorf("%w: %d blocks of %d", ErrCorrupt, len(x.blocks), n)
	}
	for _, b := range x.blocks {
		packed, err := number(r)
		if err != nil {
			return err
		}
		size, err := number(r)
		if err != nil {
			return err
		}
		if (xzBlock{packed, size}) != b {
			return fmt.Errorf("%w: a block is not as the index says", ErrCorrupt)
		}
	}
	for (x.n-x.began)%4 != 0 {
		if c, err := r.ReadByte(); err != nil {
			return err
		} else if c != 0 {
			return fmt.Errorf("%w: something in the padding", ErrCorrupt)
		}
	}
	length := uint32(x.n-x.began) / 4 // of the index with its checksum, in words, less one
	b, err := x.bytes(16)
	if err != nil {
		return err
	}
	foot := b[4:]
	if binary.LittleEndian.Uint32(b) != r.sum || binary.LittleEndian.Uint32(foot) != crc32.ChecksumIEEE(foot[4:10]) ||
		binary.LittleEndian.Uint32(foot[4:]) != length || foot[8] != 0 || foot[9] != x.check ||
		!bytes.Equal(foot[10:], xzFooter) {
		return fmt.Errorf("%w: the end of the stream", ErrCorrupt)
	}
	return nil
}

type indexReader struct {
	x   *xz
	sum uint32
}

func (r *indexReader) ReadByte() (byte, error) {
	b, err := r.x.bytes(1)
	if err != nil {
		return 0, err
	}
	r.sum = crc32.Update(r.sum, crc32.IEEETable, b)
	return b[0], nil
}

// number reads a number of variable length (1.2).
func number(r io.ByteReader) (v uint64, err error) {
	for shift := 0; shift < 63; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, unexpected(err)
		}
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			if b == 0 && shift > 0 {
				break
			}
			return v, nil
		}
	}
	return 0, fmt.Errorf("%w: a number", ErrCorrupt)
}
