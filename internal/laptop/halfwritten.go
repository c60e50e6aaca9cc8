package laptop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"

	"reown/internal/rom"
	"reown/wizard"
)

// blocksHint keeps, while the chip is being written, what the changed blocks held
// before: after a power cut the old image can be put together again from it. It
// holds no secret. Whom the firmware trusted, and what its settings were, follows from
// it, and anybody can write to /boot: it is believed only if the key on the card that is
// plugged in has signed it.
const blocksHint = hintPrefix + "blocks"

// oldBlocks encodes what the changed blocks of the chip hold before a write: the
// digests of the whole old and new image, then offset, length and bytes of each
// block.
func oldBlocks(p *rom.Plan) []byte {
	before, after := sha256.Sum256(p.Old), sha256.Sum256(p.New)
	out := append(before[:], after[:]...)
	for _, r := range p.Blocks {
		out = binary.BigEndian.AppendUint32(out, r.Start)
		out = binary.BigEndian.AppendUint32(out, r.Len())
		out = append(out, p.Old[r.Start:r.End]...)
	}
	return out
}

// signedBlocks puts a certificate, a signature by it, and what is signed into one file.
func signedBlocks(cert, sig, doc []byte) (file []byte) {
	for _, part := range [][]byte{cert, sig} {
		file = append(binary.BigEndian.AppendUint32(file, uint32(len(part))), part...)
	}
	return append(file, doc...)
}

// blocks are the old blocks of a write that has begun, if the hint can be believed.
func (f *firmware) blocks(ctx context.Context) []byte {
	file, err := f.boot.ReadHint(ctx, blocksHint)
	if err != nil {
		return nil
	}
	rest := file
	var parts [2][]byte
	for i := range parts {
		if len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return nil
		}
		n := binary.BigEndian.Uint32(rest)
		parts[i], rest = rest[4:4+n], rest[4+n:]
	}
	if f.mine != nil && !bytes.Equal(file, f.hint) && !f.mine(ctx, parts[0], rest, parts[1]) {
		return nil
	}
	f.hint = file
	return rest
}

// torn returns the old image if the chip is what an interrupted write left between old
// and new, nil otherwise.
func (f *firmware) torn(ctx context.Context) []byte {
	hint := f.blocks(ctx)
	if len(hint) < 2*sha256.Size {
		return nil
	}
	now := sha256.Sum256(f.chip)
	if bytes.Equal(now[:], hint[:sha256.Size]) || bytes.Equal(now[:], hint[sha256.Size:2*sha256.Size]) {
		return nil
	}
	return undone(hint, f.chip)
}

// undone returns the image as it was before a write that has begun, nil where that
// cannot be known.
func undone(hint, img []byte) []byte {
	if len(hint) < 2*sha256.Size {
		return nil
	}
	before, rest := hint[:sha256.Size], hint[2*sha256.Size:]
	old := bytes.Clone(img)
	for len(rest) > 0 {
		if len(rest) < 8 {
			return nil
		}
		at, n := binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:])
		rest = rest[8:]
		if uint64(n) > uint64(len(rest)) || uint64(at)+uint64(n) > uint64(len(old)) {
			return nil
		}
		copy(old[at:], rest[:n])
		rest = rest[n:]
	}
	if sum := sha256.Sum256(old); !bytes.Equal(sum[:], before) {
		return nil
	}
	return old
}

// whole are the values of PCR 7 after a start that measured a whole image: the one
// before a write of the chip that has begun, and the one after it once the chip holds
// that; nil if no write has begun. A start with another value has measured a chip that
// was half written: what else it has measured will not come again, either.
func (f *firmware) whole(ctx context.Context) ([]wizard.Measurement, error) {
	hint := f.blocks(ctx)
	if hint == nil {
		return nil, nil
	}
	img, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	old := undone(hint, img)
	if old == nil {
		return nil, nil
	}
	images := [][]byte{old}
	if now := sha256.Sum256(img); bytes.Equal(now[:], hint[sha256.Size:2*sha256.Size]) {
		images = append(images, img)
	}
	var all []wizard.Measurement
	for _, i := range images {
		sum1, sum256, err := rom.PCR7(i)
		if err != nil {
			return nil, nil // a write begins and ends with an image that can be read
		}
		all = append(all, wizard.Measurement{"sha1": sum1[:], "sha256": sum256[:]})
	}
	return all, nil
}
