package luks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"reown/internal/secret"
)

// A Mark tells volume keys apart without showing them: HMAC-SHA256 under the volume key
// of a salt. Who has no key learns nothing from it, because the key is random; who has
// one can see whether it is the same. As text it is hex.
type Mark [sha256.Size]byte

// Equal compares in constant time.
func (m Mark) Equal(o Mark) bool { return hmac.Equal(m[:], o[:]) }

func (m Mark) String() string { return hex.EncodeToString(m[:]) }

// MarkMessage is what the HMAC of a mark covers, for other readers of a volume. A salt
// has at least 16 bytes.
func MarkMessage(salt []byte) []byte { return append([]byte("reown volume key mark 1\x00"), salt...) }

// minSalt is the least length of a mark's salt, in bytes.
const minSalt = 16

// Mark is that of the volume key that pass opens: of a volume in re-encryption the new
// one, which Info.KeyDigest is about, too. Nothing is written.
func (v *Volume) Mark(ctx context.Context, pass *secret.Buffer, salt []byte) (Mark, error) {
	var m Mark
	if len(salt) < minSalt {
		return m, errSalt
	}
	if err := v.load(); err != nil {
		return m, err
	}
	d, err := v.h.meta.dataDigest()
	if r, err2 := v.reencryption(); err2 == nil && r != nil {
		d, err = r.newDigest, nil
	}
	if err != nil {
		return m, err
	}
	_, key, err := v.find(ctx, pass, v.h.meta.slotsOf(d))
	if err != nil {
		return m, err
	}
	defer key.Wipe()
	return markOf(key, salt)
}

var errSalt = fmt.Errorf("a salt of fewer than %d bytes for a mark", minSalt)

// markOf is the mark of a volume key.
func markOf(key *secret.Buffer, salt []byte) (m Mark, err error) {
	if len(salt) < minSalt {
		return m, errSalt
	}
	mac := hmac.New(sha256.New, key.Bytes())
	mac.Write(MarkMessage(salt))
	mac.Sum(m[:0])
	return m, nil
}

// An OpensError says that a passphrase opens a keyslot that it must not open.
type OpensError struct{ Slot int }

func (e *OpensError) Error() string { return fmt.Sprintf("the passphrase opens keyslot %d", e.Slot) }

// OpensNothing tries pass on every keyslot there is, of whatever key and priority, and
// returns the digest of the keyslots that it was tried on (SlotsDigest). A slot that it
// opens is an *OpensError, and one that could not be tried an error, too: what was not
// tried is not known.
func (v *Volume) OpensNothing(ctx context.Context, pass *secret.Buffer) (string, error) {
	before, err := v.SlotsDigest(ctx)
	if err != nil {
		return "", err
	}
	for _, n := range v.h.meta.passSlots() {
		key, err := v.openSlot(ctx, n, pass)
		key.Wipe()
		switch {
		case err == nil:
			return "", &OpensError{n}
		case !errors.Is(err, ErrWrongPassphrase):
			return "", err
		}
	}
	for n, k := range v.h.meta.keyslots {
		if k.typ != slotLUKS2 && k.typ != slotReencrypt {
			return "", unsupported("keyslot %d of type %q", n, k.typ)
		}
	}
	after, err := v.SlotsDigest(ctx)
	if err == nil && after != before {
		err = errors.New("the keyslots changed while they were tried")
	}
	return after, err
}

// SlotsDigest is the SHA-256, in hex, of everything that decides which passphrases open
// the volume: UUID, keyslots and digests as the header has them, and the key material. As
// long as it is the same no keyslot was added, changed or put back. Tokens, labels, and the
// age of the header's copies do not count.
func (v *Volume) SlotsDigest(ctx context.Context) (string, error) {
	if err := v.load(); err != nil {
		return "", err
	}
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	part([]byte(v.h.uuid))
	for _, name := range []string{"keyslots", "digests"} {
		o := v.h.root.obj(name)
		keys := slices.Clone(o.keys)
		slices.Sort(keys)
		for _, k := range keys {
			part([]byte(k))
			part(o.obj(k).text())
		}
	}
	for _, n := range sortedIDs(v.h.meta.keyslots) {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		k := v.h.meta.keyslots[n]
		if k.typ == slotReencrypt || k.area.size == 0 {
			continue
		}
		b := make([]byte, k.area.size)
		if err := v.hdr.ReadAt(b, k.area.offset); err != nil {
			return "", err
		}
		part(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
