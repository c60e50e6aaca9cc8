package wizard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// ErrLeftToFirmware says that what the disk unlock key would be sealed to is not known
// for sure, in this start or another: the firmware's own menu can still set it up.
var ErrLeftToFirmware = errors.New("what the firmware measures before it opens the disk is not known for sure")

// ErrOwnName goes with ErrLeftToFirmware where the reason is the installed system: it would
// not find its disk under the name that the firmware opens it with.
var ErrOwnName = errors.New("the installed system names its disk in its own way")

// DUK is Heads' TPM disk unlock key: 128 random bytes that open the volumes, and that
// the TPM gives only to the unchanged machine and to who knows a passphrase of its
// own. Heads then asks for that one at each start instead of the disk's. Volumes are
// named by their UUIDs.
type DUK interface {
	// Possible says whether the values that the key must be sealed to are known now:
	// nil, ErrSealImpossible (not in this start) or ErrLeftToFirmware.
	Possible(ctx context.Context) error
	// State measures.
	State(ctx context.Context, volumes []string, pcr7 Measurement) (DUKState, error)
	// Set makes a new key, gives it a keyslot of each volume in the place of an older
	// one's, and seals it to pass and to the registers of the next start. disk opens
	// the volumes. It may be repeated, and leaves disk's own keyslots alone.
	Set(ctx context.Context, volumes []string, disk, owner, pass *secret.Buffer, pcr7 Measurement) error
	// Remove destroys the keyslots and what is sealed. It may be repeated.
	Remove(ctx context.Context, volumes []string, disk, owner *secret.Buffer) error
	// Files returns the files of /boot that Heads needs for it, by name. They name the
	// volumes' headers as they are now.
	Files(ctx context.Context, volumes []string) (map[string][]byte, error)
}

// DUKState is how far a disk unlock key is.
type DUKState struct {
	// Sealed: each volume has the keyslot, and the object in the TPM has the policy of
	// the next start and of the headers as they are: nothing was changed after it was
	// sealed.
	Sealed bool
	// Present: each volume has the keyslot, and the TPM an object.
	Present bool
	// Rests: a volume has the keyslot, or the TPM an object.
	Rests bool
	// Unknown is why Sealed could not be found out, as from Possible; nil: it could.
	Unknown error
}

// duk measures the disk unlock key for the volumes of the run.
func (s *Snapshot) duk(r *Receipt) (DUKState, error) {
	return s.dukState.get(func() (DUKState, error) {
		p, err := s.Plan()
		if err != nil {
			return DUKState{}, err
		}
		return s.m.DUK.State(s.ctx, r.uuids(), p.PCR7)
	})
}

func (r *Receipt) uuids() (all []string) {
	for _, v := range r.Volumes {
		all = append(all, v.UUID)
	}
	return all
}

// wantsDUK says whether the owner of this run chose a disk unlock key that the machine
// can have.
func (s *Snapshot) wantsDUK(r *Receipt) bool {
	return s.m.DUK != nil && s.m.TPM != nil && r != nil && r.DUK && len(r.Volumes) > 0
}

func stepDUK() Step {
	return Step{
		ID: "duk", Title: msg.StepDUK, Does: msg.DoesDUK,
		Needs: NeedDisk | NeedOwner | NeedDUK, Optional: true, Late: true,
		Chosen: func(c Choices) bool { return c.DUK }, Probe: probeDUK,
		Rehearse: rehearseDUK, Apply: applyDUK,
	}
}

func probeDUK(s *Snapshot) (State, error) {
	r, err := s.Receipt()
	if err != nil || !s.wantsDUK(r) {
		return State{Status: ui.NotNeeded, Detail: msg.DUKNotChosen}, nil
	}
	for _, before := range []func(*Snapshot) (State, error){probeDisk, probeTPM} {
		if st, err := before(s); err != nil {
			return State{}, err
		} else if !finished(st) {
			return notStarted(msg.SealLater), nil
		}
	}
	d, err := s.duk(r)
	switch {
	case err != nil:
		return State{}, err
	case errors.Is(d.Unknown, ErrLeftToFirmware) && !d.Rests:
		return State{Status: ui.NotNeeded, Detail: msg.DUKLeft}, nil
	case errors.Is(d.Unknown, ErrLeftToFirmware):
		return State{Status: ui.InProgress, Detail: msg.DUKLeft}, nil
	case errors.Is(d.Unknown, ErrSealImpossible):
		return afterRestart(), nil
	case d.Sealed:
		return completed(msg.DUKDone), nil
	}
	return notStarted(msg.DUKNotYours), nil
}

// rehearseDUK finds out whether it can be known what the key would be sealed to. Not in
// this start, and not at all, is none of its problems: the run goes on without.
func rehearseDUK(r *Rehearsal) {
	if r.m.DUK == nil || r.m.TPM == nil || !r.duk() || r.done(probeDUK) {
		return
	}
	err := r.m.DUK.Possible(r.ctx)
	if err != nil && !errors.Is(err, ErrSealImpossible) && !errors.Is(err, ErrLeftToFirmware) {
		r.fail("duk", err)
	}
}

func applyDUK(ctx context.Context, j *Job) error {
	s := j.look(ctx)
	r, err := s.Receipt()
	if err != nil {
		return err
	}
	d, err := s.duk(r)
	if err != nil {
		return err
	}
	if errors.Is(d.Unknown, ErrLeftToFirmware) {
		// One that an earlier start has made would open for nobody.
		if err := j.M.DUK.Remove(ctx, r.uuids(), j.Secrets.Disk, j.Secrets.Owner); err != nil {
			return fmt.Errorf("removing the disk unlock key: %w", err)
		}
		return nil
	}
	plan, err := s.Plan()
	if err != nil {
		return err
	}
	if err := j.M.DUK.Set(ctx, r.uuids(), j.Secrets.Disk, j.Secrets.Owner, j.Secrets.DUK, plan.PCR7); err != nil {
		return fmt.Errorf("making the disk unlock key: %w", err)
	}
	return nil
}

// dukFiles are the files of /boot for the disk unlock key that is there; none where
// there is none. It asks what is there, not what can be verified in this start: a
// signed set stays good while the machine is in the recovery shell.
func (s *Snapshot) dukFiles(r *Receipt) (map[string][]byte, error) {
	if !s.wantsDUK(r) {
		return nil, nil
	}
	d, err := s.duk(r)
	if err != nil || !d.Present {
		return nil, err
	}
	return s.m.DUK.Files(s.ctx, r.uuids())
}

// digestOfFiles is one value for a set of files.
func digestOfFiles(files map[string][]byte) string {
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	h := sha256.New()
	for _, n := range names {
		fmt.Fprintf(h, "%s %x\n", n, sha256.Sum256(files[n]))
	}
	return hex.EncodeToString(h.Sum(nil))
}
