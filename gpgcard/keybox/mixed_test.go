package keybox_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/keybox"
)

// rekeyed is a blob whose first key packet is of another version.
func rekeyed(t *testing.T, blob []byte, version byte) []byte {
	t.Helper()
	blob = bytes.Clone(blob)
	off := binary.BigEndian.Uint32(blob[8:])
	at := off // tag, length, version
	switch head := blob[off]; {
	case head&0x40 == 0: // old form
		at += 2 + map[byte]uint32{0: 0, 1: 1, 2: 3}[head&3]
	case blob[off+1] < 192:
		at += 2
	default:
		at += 3
	}
	if blob[at] != 4 {
		t.Fatalf("version %d at %d", blob[at], at)
	}
	blob[at] = version
	sum := sha1.Sum(blob[:len(blob)-20])
	copy(blob[len(blob)-20:], sum[:])
	return blob
}

// TestOtherKeysStayReadable: a key of another version, an X.509 blob, an empty one and
// zeros at the end of a key box leave its other keys readable; the one that is not read is
// named.
func TestOtherKeysStayReadable(t *testing.T) {
	list, _ := certs(t, 3)
	kbx, err := keybox.Write(created, list...)
	if err != nil {
		t.Fatal(err)
	}
	var blobs [][]byte
	for b := kbx; len(b) > 0; {
		n := binary.BigEndian.Uint32(b)
		blobs = append(blobs, b[:n])
		b = b[n:]
	}
	x509 := bytes.Clone(blobs[1])
	x509[4] = 3
	empty := []byte{0, 0, 0, 12, 0, 1, 0, 0, 0, 0, 0, 0}
	zeros := make([]byte, 777)
	for _, version := range []byte{2, 3, 5, 6} {
		ring := bytes.Join([][]byte{blobs[0], blobs[1], x509, rekeyed(t, blobs[2], version), empty, blobs[3], zeros}, nil)
		got, err := keybox.Read(ring)
		var some *gpgcard.UnusableKeysError
		if !errors.As(err, &some) || len(some.Keys) != 1 {
			t.Errorf("version %d: %v", version, err)
		}
		if len(got) != 2 || got[0].Fingerprint() != list[0].Fingerprint() || got[1].Fingerprint() != list[2].Fingerprint() {
			t.Errorf("version %d: %d keys, %v", version, len(got), err)
		}
	}
	got, err := keybox.Read(bytes.Join([][]byte{blobs[0], x509, blobs[1], empty, zeros}, nil))
	if err != nil || len(got) != 1 || got[0].Fingerprint() != list[0].Fingerprint() {
		t.Errorf("without one that is not read: %d keys, %v", len(got), err)
	}
}
