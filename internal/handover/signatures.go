package handover

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

const (
	armorBegin    = "-----BEGIN PGP SIGNATURE-----"
	armorEnd      = "-----END PGP SIGNATURE-----"
	maxSignatures = 2 * MaxLinks
	tagSignature  = 2
)

// verifyAny accepts a file of signatures if one of them is good and by the key. A
// file may hold several: seller and receiver, in one block of armour or in several
// that were appended to each other.
func verifyAny(file, data []byte, fingerprint string, verify Verifier) error {
	sigs, err := splitSignatures(file)
	if err != nil {
		return err
	}
	var all []error
	for _, s := range sigs {
		if err := verify(s, data, fingerprint); err == nil {
			return nil
		} else {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// Signatures takes a file of detached signatures, armoured or not, apart into armoured
// ones, each of its own.
func Signatures(file []byte) ([][]byte, error) {
	if len(file) > MaxStatement {
		return nil, fmt.Errorf("%w: the limit is %d bytes", ErrTooLarge, MaxStatement)
	}
	sigs, err := splitSignatures(file)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, s := range sigs {
		var b bytes.Buffer
		w, err := armor.Encode(&b, "PGP SIGNATURE", nil)
		if err == nil {
			_, err = w.Write(s)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("writing a signature's armour: %w", err)
		}
		out = append(out, append(bytes.TrimSpace(b.Bytes()), '\n'))
	}
	return out, nil
}

// splitSignatures takes a file of detached signatures apart into binary packets. It
// accepts signature packets and nothing else (RFC 9580, 4.2 and 6.2), at least one.
func splitSignatures(file []byte) ([][]byte, error) {
	raw := file
	if bytes.Contains(file, []byte(armorBegin)) {
		var err error
		if raw, err = dearmor(file); err != nil {
			return nil, err
		}
	}
	var out [][]byte
	for len(raw) > 0 {
		n, err := packetLength(raw)
		if err != nil {
			return nil, err
		}
		if out = append(out, raw[:n]); len(out) > maxSignatures {
			return nil, fmt.Errorf("%w: more than %d signatures", ErrTooLarge, maxSignatures)
		}
		raw = raw[n:]
	}
	if out == nil {
		return nil, errors.New("there is no signature")
	}
	return out, nil
}

// dearmor joins the content of every block of armour; text around them is passed
// over, as gpg does. The CRC is ignored, as RFC 9580 asks.
func dearmor(file []byte) ([]byte, error) {
	var out []byte
	for {
		_, rest, ok := bytes.Cut(file, []byte(armorBegin))
		if !ok {
			return out, nil
		}
		body, after, ok := bytes.Cut(rest, []byte(armorEnd))
		if !ok {
			return nil, errors.New("a signature is cut off")
		}
		file = after
		body = bytes.ReplaceAll(body, []byte("\r"), nil)
		_, body, ok = bytes.Cut(body, []byte("\n\n")) // headers end with an empty line
		if !ok {
			return nil, errors.New("a signature's armour has no content")
		}
		var text []byte
		for l := range bytes.Lines(body) {
			if l = bytes.TrimSpace(l); len(l) == 5 && l[0] == '=' {
				break
			}
			text = append(text, l...)
		}
		b, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
		if err != nil {
			return nil, fmt.Errorf("a signature's armour is damaged: %w", err)
		}
		out = append(out, b...)
	}
}

// packetLength is the size of the signature packet at the head of b, header included.
func packetLength(b []byte) (int, error) {
	errCut := errors.New("a signature packet is cut off")
	if len(b) < 2 || b[0]&0x80 == 0 {
		return 0, errors.New("not a signature packet")
	}
	var tag byte
	var header, body int
	be := func(n int) (v int) { // big-endian length field after the first octet
		for _, c := range b[1 : 1+n] {
			v = v<<8 | int(c)
		}
		return v
	}
	if b[0]&0x40 == 0 { // legacy format
		tag = b[0] >> 2 & 0xf
		size := 1 << (b[0] & 3)
		if size == 8 {
			return 0, errors.New("a signature packet of indeterminate length")
		}
		if len(b) < 1+size {
			return 0, errCut
		}
		header, body = 1+size, be(size)
	} else {
		tag = b[0] & 0x3f
		switch l := b[1]; {
		case l < 192:
			header, body = 2, int(l)
		case l < 224:
			if len(b) < 3 {
				return 0, errCut
			}
			header, body = 3, (int(l)-192)<<8+int(b[2])+192
		case l == 255:
			if len(b) < 6 {
				return 0, errCut
			}
			b := b[1:]
			header, body = 6, int(b[1])<<24|int(b[2])<<16|int(b[3])<<8|int(b[4])
		default:
			return 0, errors.New("a signature packet in parts")
		}
	}
	if tag != tagSignature {
		return 0, fmt.Errorf("a packet of type %d instead of a signature", tag)
	}
	if body <= 0 || body > len(b)-header {
		return 0, errCut
	}
	return header + body, nil
}
