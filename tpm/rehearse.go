package tpm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// Problem is something about a TPM that Rehearse has found.
type Problem struct {
	Err    error  // one of this package's errors: which kind of problem it is
	Stops  bool   // Reset or what follows it would fail; else something will be missing
	Detail string // what was measured
}

// error is the problem as Reset returns it.
func (p Problem) error() error { return fmt.Errorf("%w: %s", p.Err, p.Detail) }

// RehearseOptions say what is going to be made.
type RehearseOptions struct {
	PrimaryAlg PrimaryAlg // TPM 2.0 only; "" means RSA
	DUK        bool       // a disk unlock key as well
}

// Rehearse asks the TPM for everything that Reset, sealing, counter and anchor need,
// and leaves everything as it was: an area of a TPM 2.0 is made and removed, where none
// of its size will be freed. What no TPM tells beforehand is found at run time only: a
// maker's refusal of TPM2_DictionaryAttackParameters, with which Reset goes on.
//
// Kinds: ErrNoBank, ErrNoKeyType, ErrFewSlots, ErrNVFull, ErrPresence,
// ErrPlatformLocked, ErrNoEndorsementKey (stops a TPM 1.2 only), ErrRestartNeeded
// (TPM 1.2, switched off; Reset switches it on), ErrGuessingRule.
func (t *TPM) Rehearse(ctx context.Context, o RehearseOptions) (ps []Problem, err error) {
	err = t.with(ctx, func(c *conn) (err error) { ps, err = t.impl.rehearse(c, o); return })
	return ps, wrap("asking the TPM what it can do", err)
}

// stopping returns the first problem that stops, as an error.
func stopping(ps []Problem) error {
	for _, p := range ps {
		if p.Stops {
			return p.error()
		}
	}
	return nil
}

func (v *v2) rehearse(c *conn, o RehearseOptions) ([]Problem, error) {
	if err := v.tidy(c); err != nil {
		return nil, err
	}
	var out []Problem
	for _, ask := range []func(*conn, RehearseOptions) (*Problem, error){
		v.askPlatform, v.askPresence, v.askBank, v.askKeyType, v.askSlots, v.askRoom, v.askGuessing,
	} {
		p, err := ask(c, o)
		if err != nil {
			return nil, err
		}
		if p != nil {
			out = append(out, *p)
		}
	}
	return out, nil
}

// askPlatform uses the platform's passphrase for a command without effect.
func (v *v2) askPlatform(c *conn, _ RehearseOptions) (*Problem, error) {
	err := v.policySecret(c, tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)})
	if err = platformLocked(err); errors.Is(err, ErrPlatformLocked) {
		return &Problem{ErrPlatformLocked, true, "the platform's passphrase is not empty, or its hierarchy is off"}, nil
	}
	return nil, err
}

// capability asks for up to 64 values of one kind; a kind that the TPM does not know is none.
func (v *v2) capability(c *conn, what tpm2.TPMCap, first uint32) (*tpm2.TPMUCapabilities, error) {
	r, err := tpm2.GetCapability{Capability: what, Property: first, PropertyCount: 64}.Execute(c)
	if err = c.check(err); errors.As(err, new(*CommandError)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &r.CapabilityData.Data, nil
}

func (v *v2) askPresence(c *conn, _ RehearseOptions) (*Problem, error) {
	d, err := v.capability(c, tpm2.TPMCapPPCommands, uint32(tpm2.TPMCCClear))
	if d == nil || err != nil {
		return nil, err
	}
	l, err := d.PPCommands()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrProtocol, err)
	}
	for _, cc := range l.CommandCodes {
		if cc == tpm2.TPMCCClear || cc == tpm2.TPMCCClearControl {
			return &Problem{ErrPresence, true, v2Names[uint32(cc)]}, nil
		}
	}
	return nil, nil
}

func (v *v2) askBank(c *conn, _ RehearseOptions) (*Problem, error) {
	d, err := v.capability(c, tpm2.TPMCapPCRs, 0)
	if d == nil || err != nil {
		return nil, err
	}
	l, err := d.AssignedPCR()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrProtocol, err)
	}
	for _, s := range l.PCRSelections {
		if s.Hash == tpm2.TPMAlgSHA256 && len(s.PCRSelect) > 0 && s.PCRSelect[0] == 0xff {
			return nil, nil
		}
	}
	return &Problem{ErrNoBank, true, "registers 0 to 7 are not in the SHA-256 bank"}, nil
}

// askKeyType asks TPM2_TestParms about the storage root's template.
func (v *v2) askKeyType(c *conn, o RehearseOptions) (*Problem, error) {
	alg, other := RSA, ECC
	if o.PrimaryAlg == ECC {
		alg, other = ECC, RSA
	}
	ok, err := v.makes(c, alg)
	if ok || err != nil {
		return nil, err
	}
	detail := string(alg)
	if ok, err := v.makes(c, other); err != nil {
		return nil, err
	} else if ok {
		detail += "; it makes " + string(other)
	}
	return &Problem{ErrNoKeyType, true, detail}, nil
}

func (v *v2) makes(c *conn, alg PrimaryAlg) (bool, error) {
	t := primaryTemplate(alg)
	_, err := tpm2.TestParms{Parameters: tpm2.TPMTPublicParms{Type: t.Type, Parameters: t.Parameters}}.Execute(c)
	if err = c.check(err); errors.As(err, new(*CommandError)) {
		return refused(err, v2CommandCode), nil
	}
	return err == nil, err
}

const (
	ptPersistentAvail = 0x209
	ptCounters        = 0x20a
	ptCountersAvail   = 0x20b
)

// askSlots counts the persistent handles that there will be after clearing, which frees
// the owner's and the endorsement hierarchy's (below 0x81800000).
func (v *v2) askSlots(c *conn, o RehearseOptions) (*Problem, error) {
	p, err := v.properties(c, ptPermanent, 0x20)
	if err != nil {
		return nil, err
	}
	avail, ok := p[ptPersistentAvail]
	if !ok {
		return nil, nil
	}
	hs, err := v.handles(c, uint32(primaryHandle))
	if err != nil {
		return nil, err
	}
	for _, h := range hs {
		if h < 0x81800000 {
			avail++
		}
	}
	need := uint32(2) // root and TOTP secret
	if o.DUK {
		need++
	}
	detail := fmt.Sprintf("%d persistent places, %d needed, one more for the endorsement key", avail, need)
	switch {
	case avail < need:
		return &Problem{ErrFewSlots, true, detail}, nil
	case avail < slotsWithEK:
		return &Problem{ErrNoEndorsementKey, false, detail}, nil
	}
	return nil, nil
}

// slotsWithEK are storage root, TOTP secret, disk unlock key and endorsement key.
const slotsWithEK = 4

// askRoom looks for room for counter and anchor. No property of a TPM tells how much there is: an area of that
// size is defined by the platform and undefined again, unless clearing will free one.
func (v *v2) askRoom(c *conn, _ RehearseOptions) (*Problem, error) {
	p, err := v.properties(c, ptPermanent, 0x20)
	if err != nil {
		return nil, err
	}
	if avail, ok := p[ptCountersAvail]; ok && avail+p[ptCounters] == 0 {
		return &Problem{ErrNVFull, true, "no counter can be made"}, nil
	}
	if err := v.endTrial(c); err != nil {
		return nil, err
	}
	freed, err := v.freed(c)
	if err != nil {
		return nil, err
	}
	need := []uint16{anchorSize, counterSize}
	for _, have := range freed {
		if i := slices.IndexFunc(need, func(size uint16) bool { return size <= have }); i >= 0 {
			need = slices.Delete(need, i, i+1)
		}
	}
	full := false
	for n, size := range need {
		if full, err = v.try(c, v2TrialIndex+tpm2.TPMHandle(n), size); full || err != nil {
			break
		}
	}
	if err := errors.Join(err, v.endTrial(c)); err != nil {
		return nil, err
	}
	if full {
		return &Problem{ErrNVFull, true, "no area of the size that is needed can be made, and clearing frees none"}, nil
	}
	return nil, nil
}

// v2TrialIndex is the first of the indices of a trial, which nobody else uses: a cut leaves it, and the next
// rehearsal removes it.
const v2TrialIndex = v2AnchorIndex + 1

// freed are the sizes of the NV areas that clearing removes.
func (v *v2) freed(c *conn) (sizes []uint16, err error) {
	hs, err := v.handles(c, counterFirst)
	for _, h := range hs {
		i, err := v.nvPublic(c, tpm2.TPMHandle(h))
		switch {
		case errors.As(err, new(*CommandError)): // shown to nobody, so nobody knows that it goes
		case err != nil:
			return nil, err
		case !i.pub.Attributes.PlatformCreate:
			sizes = append(sizes, i.pub.DataSize)
		}
	}
	return sizes, err
}

// try defines an area by the platform's authority, and says whether there was no room. A platform that
// refuses for another reason has told nothing.
func (v *v2) try(c *conn, h tpm2.TPMHandle, size uint16) (full bool, err error) {
	_, err = tpm2.NVDefineSpace{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)},
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: h, NameAlg: tpm2.TPMAlgSHA256, DataSize: size,
			Attributes: tpm2.TPMANV{PlatformCreate: true, PPWrite: true, PPRead: true, NoDA: true}}),
	}.Execute(c)
	err = c.check(err)
	if errors.As(err, new(*CommandError)) {
		return refused(err, v2NVSpace), nil
	}
	return false, err
}

// endTrial removes what a trial has made.
func (v *v2) endTrial(c *conn) error {
	hs, err := v.handles(c, uint32(v2TrialIndex))
	for _, h := range hs {
		if h > uint32(v2TrialIndex)+1 {
			break
		}
		i, err := v.nvPublic(c, tpm2.TPMHandle(h))
		if err == nil {
			_, err = tpm2.NVUndefineSpace{
				AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)},
				NVIndex:    tpm2.NamedHandle{Handle: i.handle, Name: i.name},
			}.Execute(c)
			err = c.check(err)
		}
		if err != nil && !errors.As(err, new(*CommandError)) {
			return err
		}
	}
	return err
}

func (v *v2) askGuessing(c *conn, _ RehearseOptions) (*Problem, error) {
	d, err := v.capability(c, tpm2.TPMCapCommands, uint32(tpm2.TPMCCDictionaryAttackParameters))
	if d == nil || err != nil {
		return nil, err
	}
	l, err := d.Command()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrProtocol, err)
	}
	if slices.ContainsFunc(l.CommandAttributes, func(a tpm2.TPMACC) bool {
		return uint16(a.CommandIndex) == uint16(tpm2.TPMCCDictionaryAttackParameters)
	}) {
		return nil, nil
	}
	return &Problem{ErrGuessingRule, false, "TPM2_DictionaryAttackParameters is not implemented"}, nil
}

func (v *v1) rehearse(c *conn, o RehearseOptions) ([]Problem, error) {
	f, err := c.flags()
	if err != nil {
		return nil, err
	}
	var out []Problem
	if !f.canReset() {
		out = append(out, Problem{ErrPlatformLocked, true, "physical presence cannot be shown"})
	}
	if f.disabled || f.nowDeactivated {
		return append(out, Problem{ErrRestartNeeded, false, "it is switched off"}), nil
	}
	// An owned TPM shows its endorsement key to the owner only.
	if _, err := c.endorsementKey(); refused(err, v1NoEndorsement) {
		out = append(out, Problem{ErrNoEndorsementKey, true, "without it nobody can take ownership"})
	} else if err != nil && !errors.As(err, new(*CommandError)) {
		return nil, err
	}
	full, err := v.askRoom(c, f, o)
	return append(out, full...), err
}

// v1PerArea is what an area costs beside its content, in bytes: libtpms takes 47.
const v1PerArea = 48

// askRoom compares the room that the TPM tells (part 2, 21.2, TPM_CAP_PROP_MAX_NV_AVAILABLE) with the areas that
// are not there yet. Those that are stay when the TPM is cleared, or make room for ours.
func (v *v1) askRoom(c *conn, f v1Flags, o RehearseOptions) ([]Problem, error) {
	p, err := c.capability(v1CapProperty, uint32(v1PropMaxNV))
	if errors.As(err, new(*CommandError)) {
		return nil, nil // one that does not tell
	} else if err != nil {
		return nil, err
	}
	avail := p.u32()
	if p.bad {
		return nil, ErrProtocol
	}
	sizes := map[uint32]uint32{otpSlot.v1: v1BlobSize}
	if o.DUK {
		sizes[dukSlot.v1] = v1BlobSize
	}
	if f.nvLocked {
		sizes[v1AnchorIndex] = anchorSize
	}
	need := uint32(0)
	for index, size := range sizes {
		a, err := c.area(index)
		switch {
		case err != nil:
			return nil, err
		case a == nil:
			need += size + v1PerArea
		case a.size < size:
			need += size - a.size
		}
	}
	if need <= avail+v1PerArea { // the TPM has counted one already
		return nil, nil
	}
	return []Problem{{ErrNVFull, true, fmt.Sprintf("%d bytes are needed, %d are left", need, avail)}}, nil
}
