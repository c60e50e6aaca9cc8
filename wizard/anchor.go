package wizard

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"reown/internal/judge"
	"reown/internal/secret"
)

// AnchorState is what the owner's area in the TPM says of a run.
type AnchorState uint8

// The states. The zero value is none of them: it could not be read.
const (
	AnchorUnread  AnchorState = iota
	AnchorNever               // this TPM can protect no such area
	AnchorAbsent              // there is none
	AnchorOpen                // a run is open
	AnchorClosing             // it is over but for its last second
	AnchorClosed              // locked
	AnchorStrange             // not of our making
)

// Anchor is that area: where /boot cannot reach. Only the owner passphrase writes it; everybody
// may read it; a reset of the TPM removes it.
type Anchor struct {
	State AnchorState
	Run   [32]byte // which run, see Receipt.anchor
}

// anchor names a run in the TPM: by what does not change while it is under way.
func (r *Receipt) anchor(owner string) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "reown anchor 1\n%s\n%s\n%s\n", r.Run, owner, r.Statement))
}

// newRun chooses the name of a run.
func newRun() string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // never returns one
	}
	return hex.EncodeToString(b[:])
}

// judged is what the area says about the run of a receipt; nil: there is none.
func (a Anchor) judged(r *Receipt, owner string) judge.Anchor {
	switch a.State {
	case AnchorNever:
		return judge.AnchorNoTPM
	case AnchorAbsent:
		if r != nil && r.SRK != "" {
			return judge.AnchorGone
		}
		return judge.AnchorAbsent
	case AnchorClosed:
		return judge.AnchorClosed
	case AnchorStrange:
		return judge.AnchorForeign
	case AnchorOpen, AnchorClosing:
		switch {
		case r == nil || a.Run != r.anchor(owner):
			return judge.AnchorForeign
		case a.State == AnchorOpen:
			return judge.AnchorOpen
		}
		return judge.AnchorClosing
	}
	return judge.AnchorUnknown
}

// Rekey is what becomes of one volume that takes part in a run. What is meant to be is written
// down before the write that begins it, and what was reached afterwards.
type Rekey struct {
	Volume         // before the run
	Salt    string `json:"salt,omitempty"`    // of the mark, hex
	Mark    string `json:"mark,omitempty"`    // of the key before; see Disk.Mark
	New     string `json:"new,omitempty"`     // digest of the key that it is re-encrypted to
	Bind    string `json:"bind,omitempty"`    // mark of that key, by the run and its owner's key
	Begun   bool   `json:"begun,omitempty"`   // the header has said so
	Reached bool   `json:"reached,omitempty"` // wholly, and no longer otherwise
	Trial          // of the passphrases that opened it before

	Fill bool      `json:"fill,omitempty"` // what was never written is overwritten, too
	Lost []Stretch `json:"lost,omitempty"` // could not be read, and the owner gave it up
}

// A Trial says when the passphrases of before were tried on a volume and opened nothing, and on which
// keyslots that was (Disk.SlotsDigest). It holds as long as the volume has these.
type Trial struct {
	Tried string `json:"tried,omitempty"` // RFC 3339; "": not tried, or one opened something
	Slots string `json:"slots,omitempty"`
}

// volume says how far a volume is. A digest that only differs is nobody's proof, and nothing goes
// backwards: the header of before, put back, would have sectors encrypted twice.
func (v Rekey) volume(d DiskInfo) judge.Volume {
	switch {
	case v.New == "" && d.Reencrypting:
		return judge.VolumeFlagged
	case v.New == "" && d.KeyDigest == v.KeyDigest:
		return judge.VolumeSeller
	case v.New == "":
		return judge.VolumeOther
	case d.KeyDigest == v.New && !d.Reencrypting:
		return judge.VolumeOurs
	case d.KeyDigest == v.New && !v.Reached:
		return judge.VolumeUnderWay
	case d.KeyDigest == v.KeyDigest && !d.Reencrypting && !v.Begun && !v.Reached:
		return judge.VolumeSet
	case d.KeyDigest == v.KeyDigest || d.KeyDigest == v.New:
		return judge.VolumeRegressed
	case d.Reencrypting:
		return judge.VolumeFlagged
	}
	return judge.VolumeOther
}

// binding is the salt of the mark that ties a run and its key to a disk: who makes it has the new
// key of the disk, which the owner's passphrase alone opens.
func (r *Receipt) binding(owner string) []byte {
	h := sha256.Sum256(fmt.Appendf(nil, "reown binding 1\n%s\n%s\n", r.Run, owner))
	return h[:]
}

// rekey finds the entry for a volume; nil: it does not take part.
func (r *Receipt) rekey(uuid string) *Rekey {
	if r == nil {
		return nil
	}
	if i := slices.IndexFunc(r.Volumes, func(v Rekey) bool { return v.UUID == uuid }); i >= 0 {
		return &r.Volumes[i]
	}
	return nil
}

// here says whether a receipt names the machine that it was found on. A TPM that names itself
// decides; otherwise one container of those that were there. One that does not name itself any more
// counts as that only where the receipt says that this run was about to clear it.
func (r *Receipt) here(t *TPMInfo, disks []DiskInfo) bool {
	if cleared := r.Clearing && t != nil && t.EK == ""; r.EK != "" && !cleared {
		return t != nil && r.EK == t.EK
	}
	if len(r.Disks) == 0 {
		return r.EK == ""
	}
	return slices.ContainsFunc(disks, func(d DiskInfo) bool { return slices.Contains(r.Disks, d.UUID) })
}

// signReceipt gives a receipt the number of the signature that it gets, has it signed, and finds
// out whether the card counts.
func signReceipt(ctx context.Context, card Card, cert []byte, userPIN *secret.Buffer, r *Receipt,
	marshal func(*Receipt) ([]byte, error)) ([]byte, error) {
	before, err := card.Info(ctx)
	if err != nil {
		return nil, err
	}
	r.Number, r.Card = before.Signatures+1, before.Serial
	for {
		doc, err := marshal(r)
		if err != nil {
			return nil, err
		}
		sig, err := card.Sign(ctx, cert, userPIN, doc)
		if err != nil {
			return nil, err
		}
		after, err := card.Info(ctx)
		if err != nil {
			return nil, err
		}
		if r.Number == 0 || after.Signatures == r.Number {
			return signed(doc, sig), nil
		}
		r.Number = 0 // what does not count tells nothing of the newest
	}
}

// count says what the card in the reader tells of a receipt.
func (r *Receipt) count(c CardInfo, owner string) judge.Count {
	switch {
	case c.Terminated || c.Fingerprints[0] != owner:
		return judge.CountOtherKey
	case r.Number == 0 || c.Serial != r.Card: // the other card with the same keys counts for itself
		return judge.CountNone
	}
	return judge.Counted(r.Number, c.Signatures)
}
