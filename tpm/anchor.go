package tpm

import (
	"context"
	"errors"
	"fmt"

	"reown/internal/secret"
)

// The anchor is a small area in the TPM that says whether a run is open, where no
// file can say otherwise: only the owner passphrase writes it, everybody reads it,
// wrong tries do not count, and once it is locked nobody can write it again, over
// any restart. Clearing the TPM removes it.
//
// It lies where none of Heads' areas do. Its content is 34 bytes: format (1),
// state (1 open, 2 closing), and a SHA-256 that the caller chooses.
const (
	v2AnchorIndex = 0x0180524f // owner's range of the TCG's registry
	v1AnchorIndex = 0x0000524f
	anchorSize    = 34
	anchorFormat  = 1
)

// AnchorState is what the anchor says.
type AnchorState string

// The states of an anchor. A run only goes forward: absent, open, closing, closed.
const (
	AnchorAbsent     AnchorState = "absent"     // no area, or one that was never written
	AnchorOpen       AnchorState = "open"       // a run is under way
	AnchorClosing    AnchorState = "closing"    // its last act is under way
	AnchorClosed     AnchorState = "closed"     // locked for good, whatever it says
	AnchorForeign    AnchorState = "foreign"    // an area of another form, or with content that is not ours
	AnchorUnreadable AnchorState = "unreadable" // could not be measured
	// AnchorUnavailable is said of a TPM 1.2 that does not enforce who may write
	// (nvLocked is not set): it can keep no anchor.
	AnchorUnavailable AnchorState = "unavailable"
)

var anchorCodes = map[AnchorState]byte{AnchorOpen: 1, AnchorClosing: 2}

// Anchor is what the anchor says, and the digest that was written with it (32
// bytes; nil where there is none).
type Anchor struct {
	State  AnchorState `json:"state"`
	Digest Digest      `json:"digest,omitempty"`
}

// Errors of the anchor.
var (
	ErrNoAnchor      = errors.New("the TPM keeps no anchor")
	ErrAnchorClosed  = errors.New("the TPM's anchor is closed")
	ErrAnchorOrder   = errors.New("the TPM's anchor does not go backwards")
	ErrAnchorForeign = errors.New("the place of the TPM's anchor holds something else")
	ErrNoAnchorHere  = errors.New("this TPM cannot keep an anchor")
)

func anchorContent(s AnchorState, digest [32]byte) []byte {
	return append([]byte{anchorFormat, anchorCodes[s]}, digest[:]...)
}

// parseAnchor reads an area of the right form.
func parseAnchor(b []byte, locked bool) Anchor {
	if len(b) != anchorSize || b[0] != anchorFormat {
		return Anchor{State: AnchorForeign}
	}
	for s, code := range anchorCodes {
		if b[1] == code {
			if locked {
				s = AnchorClosed
			}
			return Anchor{State: s, Digest: append(Digest(nil), b[2:]...)}
		}
	}
	return Anchor{State: AnchorForeign}
}

// DefineAnchor makes the anchor of a new run: what stood there, even a closed one
// or a stranger's, is removed, and the state is AnchorOpen. The steps are
// "undefine", "define" and "write"; after a cut between them the anchor is absent,
// and the call can be repeated. Errors: ErrWrongOwner, ErrNotSetUp, ErrNVFull,
// ErrAnchorForeign (a stranger's area that only the firmware may remove),
// ErrNoAnchorHere.
func (t *TPM) DefineAnchor(ctx context.Context, owner *secret.Buffer, digest [32]byte) error {
	return wrap("making the TPM's anchor", t.with(ctx, func(c *conn) error {
		if err := t.impl.anchorRemove(c, owner); err != nil {
			return err
		}
		if err := t.impl.anchorDefine(c, owner); err != nil {
			return err
		}
		return t.impl.anchorWrite(c, owner, anchorContent(AnchorOpen, digest))
	}, owner))
}

// AdvanceAnchor writes a new state, AnchorOpen or AnchorClosing, and digest. It
// may be repeated. Errors: ErrNoAnchor, ErrAnchorClosed, ErrAnchorOrder,
// ErrAnchorForeign, ErrNoAnchorHere, ErrWrongOwner.
func (t *TPM) AdvanceAnchor(ctx context.Context, owner *secret.Buffer, to AnchorState, digest [32]byte) error {
	if anchorCodes[to] == 0 {
		return fmt.Errorf("%w: to %q", ErrAnchorOrder, to)
	}
	return wrap("writing the TPM's anchor", t.with(ctx, func(c *conn) error {
		now, err := t.impl.anchor(c)
		if err != nil {
			return err
		}
		if err := now.usable(); err != nil {
			return err
		}
		if now.State == AnchorClosing && to == AnchorOpen {
			return ErrAnchorOrder
		}
		if now.State == to && [32]byte(now.Digest) == digest {
			return nil
		}
		return t.impl.anchorWrite(c, owner, anchorContent(to, digest))
	}, owner))
}

// LockAnchor closes the anchor for good; it is one command, and may be repeated.
// An open anchor must go through AnchorClosing first. Errors: as AdvanceAnchor,
// but for ErrAnchorClosed.
func (t *TPM) LockAnchor(ctx context.Context, owner *secret.Buffer) error {
	return wrap("locking the TPM's anchor", t.with(ctx, func(c *conn) error {
		now, err := t.impl.anchor(c)
		if err != nil {
			return err
		}
		switch err := now.usable(); {
		case errors.Is(err, ErrAnchorClosed):
			return nil
		case err != nil:
			return err
		case now.State != AnchorClosing:
			return fmt.Errorf("%w: from %q to %q", ErrAnchorOrder, now.State, AnchorClosed)
		}
		return t.impl.anchorLock(c, owner)
	}, owner))
}

// RemoveAnchor removes the anchor, closed or not, and whatever else stands in its
// place. It may be repeated. Errors: ErrWrongOwner, ErrAnchorForeign.
func (t *TPM) RemoveAnchor(ctx context.Context, owner *secret.Buffer) error {
	return wrap("removing the TPM's anchor", t.with(ctx, func(c *conn) error {
		return t.impl.anchorRemove(c, owner)
	}, owner))
}

// orUnreadable turns the TPM's refusal into a state; other errors stay.
func (a Anchor) orUnreadable(err error) (Anchor, error) {
	if errors.As(err, new(*CommandError)) {
		return Anchor{State: AnchorUnreadable}, nil
	}
	return a, err
}

// usable says why an anchor cannot be written.
func (a Anchor) usable() error {
	switch a.State {
	case AnchorOpen, AnchorClosing:
		return nil
	case AnchorAbsent:
		return ErrNoAnchor
	case AnchorClosed:
		return ErrAnchorClosed
	case AnchorUnavailable:
		return ErrNoAnchorHere
	}
	return ErrAnchorForeign
}
