package keybox

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"reown/gpgcard"
)

// ErrMalformed says that a keybox is damaged or not a keybox.
var ErrMalformed = errors.New("malformed keybox")

// MaxSize bounds a keybox, in bytes.
const MaxSize = 4 << 20

// maxCerts bounds the keys of a keybox.
const maxCerts = 32

const (
	blobHeader  = 1
	blobOpenPGP = 2

	headerLen = 32
	magic     = "KBXf"
	openPGP   = 0x02 // header flag: OpenPGP blobs are inside
	checksum  = 20
)

var be = binary.BigEndian

// Write returns a keybox with the certificates. created is written into it and
// decides nothing; a fixed time makes the file reproducible.
func Write(created time.Time, certs ...*gpgcard.Cert) ([]byte, error) {
	t := uint32(created.Unix())
	b := make([]byte, headerLen)
	be.PutUint32(b, headerLen)
	b[4], b[5] = blobHeader, 1
	be.PutUint16(b[6:], openPGP)
	copy(b[8:], magic)
	be.PutUint32(b[16:], t)
	be.PutUint32(b[20:], t)
	for _, c := range certs {
		blob, err := openPGPBlob(c, t)
		if err != nil {
			return nil, err
		}
		b = append(b, blob...)
	}
	return b, nil
}

// openPGPBlob makes one blob: the index of keys and user ids, then the certificate.
func openPGPBlob(c *gpgcard.Cert, created uint32) ([]byte, error) {
	p, err := scan(c)
	if err != nil {
		return nil, err
	}
	n := len(p.keys)
	b := make([]byte, 20)
	b[4], b[5] = blobOpenPGP, 1
	be.PutUint16(b[16:], uint16(n))
	be.PutUint16(b[18:], 28)
	for _, fpr := range p.keys {
		at := len(b)
		b = append(b, fpr[:]...)
		b = be.AppendUint32(b, uint32(at+12)) // where the key id, its end, stands
		b = append(b, 0, 0, 0, 0)
	}
	b = be.AppendUint16(b, 0) // no serial number
	b = be.AppendUint16(b, uint16(len(p.uids)))
	b = be.AppendUint16(b, 12)
	uidsAt := len(b)
	b = append(b, make([]byte, 12*len(p.uids))...)
	b = be.AppendUint16(b, uint16(p.sigs))
	b = be.AppendUint16(b, 4)
	b = append(b, make([]byte, 4*p.sigs)...) // 0: not checked yet
	b = append(b, make([]byte, 12)...)       // ownertrust, validity, recheck, latest: GnuPG keeps them in the trustdb
	b = be.AppendUint32(b, created)
	b = be.AppendUint32(b, 0) // no reserved space
	at := len(b)
	for i, u := range p.uids {
		be.PutUint32(b[uidsAt+12*i:], uint32(at+u.Offset))
		be.PutUint32(b[uidsAt+12*i+4:], uint32(len(u.Body)))
	}
	b = append(b, c.Bytes()...)
	be.PutUint32(b[8:], uint32(at))
	be.PutUint32(b[12:], uint32(len(c.Bytes())))
	be.PutUint32(b, uint32(len(b)+checksum))
	sum := sha1.Sum(b)
	return append(b, sum[:]...), nil
}

// parts is what the index needs of a certificate.
type parts struct {
	keys [][20]byte // primary first
	uids []gpgcard.Packet
	sigs int
}

func scan(c *gpgcard.Cert) (p parts, err error) {
	for _, k := range c.Packets() {
		switch k.Tag {
		case 6, 14:
			n := len(k.Body)
			if n == 0 || k.Body[0] != 4 {
				return p, fmt.Errorf("%w: not a version 4 key", ErrMalformed)
			}
			p.keys = append(p.keys, sha1.Sum(append([]byte{0x99, byte(n >> 8), byte(n)}, k.Body...)))
		case 13:
			p.uids = append(p.uids, k)
		case 2:
			p.sigs++
		}
	}
	if len(p.keys) == 0 || len(p.keys) > 1000 || len(p.uids) > 1000 || p.sigs > 0xffff {
		return p, fmt.Errorf("%w: %d keys, %d user ids", ErrMalformed, len(p.keys), len(p.uids))
	}
	return p, nil
}

// Read returns the certificates of a keybox. Deleted blobs and those that hold X.509
// certificates are left out, and zeros at the end; a blob whose checksum or lengths are
// wrong is ErrMalformed. Where OpenPGP keys cannot be used, the others come with a
// *gpgcard.UnusableKeysError.
func Read(b []byte) ([]*gpgcard.Cert, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	if len(b) < headerLen || be.Uint32(b) != headerLen || b[4] != blobHeader || string(b[8:12]) != magic {
		return nil, fmt.Errorf("%w: no keybox header", ErrMalformed)
	}
	if b[5] != 1 {
		return nil, fmt.Errorf("%w: version %d", ErrMalformed, b[5])
	}
	var out []*gpgcard.Cert
	var unusable []gpgcard.UnusableKey
	for b = b[headerLen:]; len(bytes.TrimLeft(b, "\x00")) > 0; {
		if len(b) < 5 {
			return nil, fmt.Errorf("%w: it ends inside a blob", ErrMalformed)
		}
		n := be.Uint32(b)
		if n < 5 || uint64(n) > uint64(len(b)) {
			return nil, fmt.Errorf("%w: blob of %d bytes", ErrMalformed, n)
		}
		blob := b[:n]
		b = b[n:]
		if blob[4] != blobOpenPGP {
			continue
		}
		certs, err := readBlob(blob)
		var some *gpgcard.UnusableKeysError
		if errors.As(err, &some) {
			unusable = append(unusable, some.Keys...)
		} else if err != nil {
			return nil, err
		}
		if out = append(out, certs...); len(out)+len(unusable) > maxCerts {
			return nil, fmt.Errorf("%w: more than %d keys", ErrMalformed, maxCerts)
		}
	}
	if len(unusable) > 0 {
		return out, &gpgcard.UnusableKeysError{Keys: unusable}
	}
	return out, nil
}

// readBlob takes the certificate out of one blob. An UnusableKeysError says that it is
// one, of a kind that is not read.
func readBlob(blob []byte) ([]*gpgcard.Cert, error) {
	if len(blob) < 20+checksum {
		return nil, fmt.Errorf("%w: blob of %d bytes", ErrMalformed, len(blob))
	}
	off, n := uint64(be.Uint32(blob[8:])), uint64(be.Uint32(blob[12:]))
	if off < 20 || off+n > uint64(len(blob)-checksum) {
		return nil, fmt.Errorf("%w: certificate outside its blob", ErrMalformed)
	}
	body, sum := blob[:len(blob)-checksum], blob[len(blob)-checksum:]
	if want := sha1.Sum(body); !bytes.Equal(sum, want[:]) {
		return nil, fmt.Errorf("%w: checksum", ErrMalformed)
	}
	certs, err := gpgcard.ParseCerts(blob[off : off+n])
	if some := (*gpgcard.UnusableKeysError)(nil); err != nil && !errors.As(err, &some) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return certs, err
}
