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
// and writes nothing. What no TPM tells beforehand is found at run time only: room
// for the NV areas of a TPM 1.2, and a maker's refusal of
// TPM2_DictionaryAttackParameters, with which Reset goes on.
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

func (v *v2) askRoom(c *conn, _ RehearseOptions) (*Problem, error) {
	p, err := v.properties(c, ptPermanent, 0x20)
	if avail, ok := p[ptCountersAvail]; ok && err == nil && avail+p[ptCounters] == 0 {
		return &Problem{ErrNVFull, true, "no counter can be made"}, nil
	}
	return nil, err
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

func (v *v1) rehearse(c *conn, _ RehearseOptions) ([]Problem, error) {
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
	return out, nil
}
