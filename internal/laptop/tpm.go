package laptop

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"reown/internal/judge"
	"reown/internal/secret"
	"reown/tpm"
	"reown/wizard"
)

// tpmAdapter shows a tpm.TPM to the wizard.
type tpmAdapter struct {
	t   *tpm.TPM
	alg tpm.PrimaryAlg
	log func(context.Context) ([]byte, error) // reads this TPM's event log; nil: there is none
	// whole are the values of PCR 7 after starts that measured a whole image; none: the
	// firmware has not been written.
	whole func(context.Context) ([]wizard.Measurement, error)
	ek    string // once it was read; it never changes
}

func (a *tpmAdapter) Info(ctx context.Context) (wizard.TPMInfo, error) {
	i, err := a.t.Info(ctx)
	if err != nil {
		return wizard.TPMInfo{}, err
	}
	info := wizard.TPMInfo{
		Family: string(i.Family), Vendor: i.Manufacturer, Owned: i.Owned, SetUp: i.SetUp, PrimaryName: i.PrimaryName,
		Lockout: i.Lockout.Locked,
	}
	if a.ek == "" {
		// None is told apart by its containers; one that cannot be read is not none.
		if a.ek, err = a.t.EndorsementKey(ctx); err != nil {
			return wizard.TPMInfo{}, err
		}
	}
	info.EK = a.ek
	// No image is known here. If it is the one that this start has measured, only the shell counts.
	impossible := func(pcr7 wizard.Measurement) bool {
		_, _, err := a.otpPCRs(ctx, pcr7)
		return errors.Is(err, wizard.ErrSealImpossible)
	}
	info.Recovery = impossible(anyPCR7)
	info.Shell = info.Recovery && impossible(wizard.Measurement{"sha1": i.PCRs[7], "sha256": i.PCRs[7]})
	return info, nil
}

func (a *tpmAdapter) Reset(ctx context.Context, owner *secret.Buffer) error {
	return restart(a.t.Reset(ctx, owner, tpm.ResetOptions{PrimaryAlg: a.alg}))
}

// restart gives the TPM's wish for a restart the wizard's name.
func restart(err error) error {
	if errors.Is(err, tpm.ErrRestartNeeded) || errors.Is(err, tpm.ErrCounterBusy) {
		return fmt.Errorf("%w: %w", wizard.ErrRestart, err)
	}
	return err
}

func (a *tpmAdapter) CheckOwner(ctx context.Context, owner *secret.Buffer) error {
	err := a.t.CheckOwner(ctx, owner)
	if errors.Is(err, tpm.ErrWrongOwner) {
		return fmt.Errorf("%w: %w", wizard.ErrWrongSecret, err)
	}
	return err
}

// HasRoot reads what every TPM answers at once.
func (a *tpmAdapter) HasRoot(ctx context.Context, name string) (bool, error) {
	_, err := a.t.Reader(name).EndorsementKey(ctx)
	return root(err)
}

// RootOf answers for a TPM 2.0 alone: Heads keeps no such file for others. One that was cleared has no root.
func (a *tpmAdapter) RootOf(ctx context.Context, primaryHash []byte) (string, error) {
	name, err := a.t.RootName(ctx, primaryHash)
	if other(err) {
		return "", nil
	}
	return name, err
}

// root turns a reading that failed because the TPM shows another storage root into an answer.
func root(err error) (bool, error) {
	if re := (*tpm.ReadingError)(nil); errors.As(err, &re) && re.Kind == tpm.ReadingOtherRoot {
		return false, nil
	}
	return err == nil, err
}

// shown is the name of the storage root that the TPM shows, where root is "", and whether there is any.
func (a *tpmAdapter) shown(ctx context.Context, root string) (string, bool, error) {
	if root != "" {
		return root, true, nil
	}
	i, err := a.t.Info(ctx)
	return i.PrimaryName, i.PrimaryName != "" || i.Owned, err
}

// other says that a reading failed because the TPM has another storage root than asked for, or none.
func other(err error) bool {
	re := (*tpm.ReadingError)(nil)
	return errors.As(err, &re) && (re.Kind == tpm.ReadingOtherRoot || re.Kind == tpm.ReadingNoRoot)
}

// Counts passes over what Heads has not written: nothing is known of that.
func (a *tpmAdapter) Counts(ctx context.Context, root string, rollback []byte) (judge.Comparison, error) {
	id := tpm.RollbackCounter(rollback)
	if id == "" {
		return judge.ComparisonNotProvided, nil
	}
	root, there, err := a.shown(ctx, root)
	if err != nil || !there {
		return judge.ComparisonDiffers, err
	}
	n, err := a.t.Reader(root).Counter(ctx, id)
	switch {
	case other(err):
		return judge.ComparisonDiffers, nil
	case err != nil:
		return judge.ComparisonUnknown, err
	case bytes.Equal(n.Value.RollbackFile(), rollback):
		return judge.ComparisonEqual, nil
	}
	return judge.ComparisonDiffers, nil
}

// Anchor is read in a session salted to the storage root; a TPM without one can keep no area.
func (a *tpmAdapter) Anchor(ctx context.Context, root string) (wizard.Anchor, error) {
	root, there, err := a.shown(ctx, root)
	if err != nil {
		return wizard.Anchor{}, err
	}
	if !there {
		return wizard.Anchor{State: wizard.AnchorAbsent}, nil
	}
	r, err := a.t.Reader(root).Anchor(ctx)
	if other(err) {
		return wizard.Anchor{State: wizard.AnchorAbsent}, nil
	} else if err != nil {
		return wizard.Anchor{}, err
	}
	out := wizard.Anchor{State: anchorStates[r.Value.State]}
	copy(out.Run[:], r.Value.Digest)
	return out, nil
}

var anchorStates = map[tpm.AnchorState]wizard.AnchorState{
	tpm.AnchorAbsent: wizard.AnchorAbsent, tpm.AnchorOpen: wizard.AnchorOpen, tpm.AnchorClosing: wizard.AnchorClosing,
	tpm.AnchorClosed: wizard.AnchorClosed, tpm.AnchorForeign: wizard.AnchorStrange,
	tpm.AnchorUnavailable: wizard.AnchorNever,
}

func (a *tpmAdapter) OpenAnchor(ctx context.Context, owner *secret.Buffer, run [32]byte) error {
	return possible(a.t.DefineAnchor(ctx, owner, run))
}

func (a *tpmAdapter) CloseAnchor(ctx context.Context, owner *secret.Buffer, run [32]byte) error {
	err := possible(a.t.AdvanceAnchor(ctx, owner, tpm.AnchorClosing, run))
	if errors.Is(err, tpm.ErrAnchorClosed) {
		return nil // and that for good
	}
	return err
}

func (a *tpmAdapter) LockAnchor(ctx context.Context, owner *secret.Buffer) error {
	return possible(a.t.LockAnchor(ctx, owner))
}

// possible passes over a TPM that can keep no area, which Anchor tells.
func possible(err error) error {
	if errors.Is(err, tpm.ErrNoAnchorHere) {
		return nil
	}
	return err
}

// Counter uses the counter that an interrupted run made after its reset; the
// reset removes every older one.
func (a *tpmAdapter) Counter(ctx context.Context, owner *secret.Buffer) ([]byte, error) {
	i, err := a.t.Info(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range i.Counters {
		n, err := a.t.ReadCounter(ctx, id)
		if err == nil {
			return n.RollbackFile(), nil
		}
		if !errors.Is(err, tpm.ErrNoCounter) { // which is how one looks that was never moved
			return nil, err
		}
	}
	n, err := a.t.CreateCounter(ctx, owner)
	if err != nil {
		return nil, restart(err)
	}
	return n.RollbackFile(), nil
}

func (a *tpmAdapter) PrimaryHash(ctx context.Context) ([]byte, error) {
	return a.t.PrimaryHashFile(ctx)
}

func (a *tpmAdapter) SealOTP(ctx context.Context, owner, otp *secret.Buffer, pcr7 wizard.Measurement) error {
	v, _, err := a.otpPCRs(ctx, pcr7)
	if err != nil {
		return err
	}
	return a.t.SealOTP(ctx, owner, otp, v)
}

func (a *tpmAdapter) OTPSealed(ctx context.Context, pcr7 wizard.Measurement) (bool, error) {
	v, _, err := a.otpPCRs(ctx, pcr7)
	if err != nil {
		return false, err
	}
	return a.t.OTPSealedTo(ctx, v)
}

func (a *tpmAdapter) UnsealOTP(ctx context.Context) (*secret.Buffer, error) {
	b, err := a.t.UnsealOTP(ctx)
	if errors.Is(err, tpm.ErrNotSealed) || errors.Is(err, tpm.ErrNotSetUp) {
		return nil, fmt.Errorf("%w: %w", wizard.ErrNoTPMState, err)
	}
	return b, err
}
