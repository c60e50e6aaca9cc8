package luks

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"strings"

	camellia "github.com/dgryski/go-camellia"
	//lint:ignore SA1019 LUKS headers name it
	"golang.org/x/crypto/twofish"
	slowxts "golang.org/x/crypto/xts"

	"reown/internal/xts"
)

// A sectorCipher encrypts runs of sectors. firstIV counts 512-byte units whatever
// the sector size, as dm-crypt does without iv_large_sectors.
type sectorCipher interface {
	EncryptSectors(dst, src []byte, sectorSize int, firstIV uint64)
	DecryptSectors(dst, src []byte, sectorSize int, firstIV uint64)
	Wipe()
}

// newSectorCipher makes the cipher that dm-crypt calls by the name encryption,
// "aes-xts-plain64" for instance. The key is copied.
func newSectorCipher(encryption string, key []byte) (sectorCipher, error) {
	name, rest, _ := strings.Cut(encryption, "-")
	mode, iv, _ := strings.Cut(rest, "-")
	newBlock, ok := map[string]func([]byte) (cipher.Block, error){
		"aes":      aes.NewCipher,
		"camellia": camellia.New,
		"twofish":  func(k []byte) (cipher.Block, error) { return twofish.NewCipher(k) },
	}[name]
	if !ok {
		return nil, unsupported("cipher %q", encryption)
	}
	switch {
	case name == "aes" && mode == "xts" && iv == "plain64":
		c, err := xts.New(key)
		if err != nil {
			return nil, unsupported("key of %d bits for %s", len(key)*8, encryption)
		}
		return c, nil
	case mode == "xts" && (iv == "plain64" || iv == "plain"):
		c, err := slowxts.NewCipher(newBlock, key)
		if err != nil {
			return nil, unsupported("key of %d bits for %s", len(key)*8, encryption)
		}
		return &slowXTS{c: c, narrow: iv == "plain"}, nil
	case mode == "cbc":
		b, err := newBlock(key)
		if err != nil {
			return nil, unsupported("key of %d bits for %s", len(key)*8, encryption)
		}
		ivs, err := ivGenerator(iv, newBlock, key)
		if err != nil {
			return nil, err
		}
		return &cbc{b, ivs}, nil
	}
	return nil, unsupported("cipher %q", encryption)
}

// slowXTS serves the ciphers internal/xts has no fast code for.
type slowXTS struct {
	c      *slowxts.Cipher
	narrow bool // "plain": 32-bit sector numbers
}

func (x *slowXTS) iv(n uint64) uint64 {
	if x.narrow {
		return n & 0xffffffff
	}
	return n
}

func (x *slowXTS) EncryptSectors(dst, src []byte, size int, iv uint64) {
	eachSector(dst, src, size, iv, func(d, s []byte, n uint64) { x.c.Encrypt(d, s, x.iv(n)) })
}

func (x *slowXTS) DecryptSectors(dst, src []byte, size int, iv uint64) {
	eachSector(dst, src, size, iv, func(d, s []byte, n uint64) { x.c.Decrypt(d, s, x.iv(n)) })
}

func (x *slowXTS) Wipe() {}

type cbc struct {
	block cipher.Block
	iv    func(dst []byte, n uint64)
}

func (c *cbc) EncryptSectors(dst, src []byte, size int, first uint64) {
	iv := make([]byte, c.block.BlockSize())
	eachSector(dst, src, size, first, func(d, s []byte, n uint64) {
		c.iv(iv, n)
		cipher.NewCBCEncrypter(c.block, iv).CryptBlocks(d, s)
	})
}

func (c *cbc) DecryptSectors(dst, src []byte, size int, first uint64) {
	iv := make([]byte, c.block.BlockSize())
	eachSector(dst, src, size, first, func(d, s []byte, n uint64) {
		c.iv(iv, n)
		cipher.NewCBCDecrypter(c.block, iv).CryptBlocks(d, s)
	})
}

func (c *cbc) Wipe() {}

func eachSector(dst, src []byte, size int, iv uint64, f func(d, s []byte, n uint64)) {
	for off := 0; off < len(src); off += size {
		f(dst[off:off+size], src[off:off+size], iv+uint64(off)/512)
	}
}

// ivGenerator makes the initial vectors of CBC: plain, plain64, plain64be and
// essiv:HASH (the sector number encrypted under the hash of the key).
func ivGenerator(name string, newBlock func([]byte) (cipher.Block, error), key []byte) (func([]byte, uint64), error) {
	little := func(mask uint64) func([]byte, uint64) {
		return func(dst []byte, n uint64) {
			clear(dst)
			binary.LittleEndian.PutUint64(dst, n&mask)
		}
	}
	hashName, essiv := strings.CutPrefix(name, "essiv:")
	switch {
	case name == "plain":
		return little(0xffffffff), nil
	case name == "plain64":
		return little(^uint64(0)), nil
	case name == "plain64be":
		return func(dst []byte, n uint64) {
			clear(dst)
			binary.BigEndian.PutUint64(dst[len(dst)-8:], n)
		}, nil
	case essiv:
		newHash, err := hashByName(hashName)
		if err != nil {
			return nil, err
		}
		h := newHash()
		h.Write(key)
		b, err := newBlock(h.Sum(nil))
		if err != nil {
			return nil, unsupported("IV %q", name)
		}
		plain := little(^uint64(0))
		return func(dst []byte, n uint64) {
			plain(dst, n)
			b.Encrypt(dst, dst)
		}, nil
	}
	return nil, unsupported("IV %q", name)
}
