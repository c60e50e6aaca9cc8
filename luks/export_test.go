package luks

import (
	"context"

	"reown/internal/secret"
)

// Plaintext decrypts a volume at rest as its header says. Tests that count on an
// independent judge use lukstest.XTS instead.
func Plaintext(v *Volume, pass *secret.Buffer) ([]byte, error) {
	ctx := context.Background()
	d, err := v.h.meta.dataDigest()
	if err != nil {
		return nil, err
	}
	_, vk, err := v.find(ctx, pass, v.h.meta.slotsOf(d))
	if err != nil {
		return nil, err
	}
	defer vk.Wipe()
	s := v.h.meta.segments0()
	c, err := newSectorCipher(s.encryption, vk.Bytes())
	if err != nil {
		return nil, err
	}
	b := make([]byte, v.segmentSize(s))
	if err := v.data.ReadAt(b, s.offset); err != nil {
		return nil, err
	}
	c.DecryptSectors(b, b, s.sectorSize, s.ivTweak)
	return b, nil
}
