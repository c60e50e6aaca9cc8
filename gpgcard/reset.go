package gpgcard

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"reown/internal/secret"
)

// ResetOptions says how a card is reset.
type ResetOptions struct {
	// Admin is the card's admin PIN, when it is known: cards that allow it are then
	// reset without blocking their PINs. nil: the PINs are blocked.
	Admin *secret.Buffer
}

// resettable reports that the card manages its life cycle (clause 6): only such
// a card comes back after TERMINATE DF, and blocking the PINs of another would
// make it useless.
func (c *Card) resettable() bool {
	return c.terminated || c.caps.lifeCycle == 5 || c.caps.lifeCycle == 3
}

// Reset destroys all keys and data of the OpenPGP application and sets the factory
// PINs (clauses 7.2.16 and 7.2.17). Other functions of a token (HOTP slots, the
// Nitrokey 3's secrets app) keep what they have.
//
// The card is asked first whether it can be reset; ErrNoReset means that nothing
// was changed. Then PINs that are certainly wrong are sent until both are blocked,
// never more often than the card says tries are left, and the card is terminated
// and activated. An interrupted Reset is finished by the next one, from any state.
// Success is measured: all tries back, no fingerprint left.
func (c *Card) Reset(ctx context.Context, o ResetOptions) error {
	if !c.resettable() {
		return ErrNoReset
	}
	if !c.terminated {
		if err := c.terminate(ctx, o); err != nil {
			return err
		}
	}
	if _, err := c.do(ctx, command{name: "ACTIVATE FILE", ins: insActivate}); err != nil {
		return fmt.Errorf("%w: %w", ErrResetFailed, err)
	}
	if err := c.powerCycle(ctx); err != nil {
		return err
	}
	return c.checkFresh(ctx)
}

// terminate brings the card into the terminated state.
func (c *Card) terminate(ctx context.Context, o ResetOptions) error {
	if o.Admin != nil {
		err := c.Verify(ctx, AdminPIN, o.Admin)
		if err == nil {
			err = c.terminateDF(ctx)
			if !refused(err) {
				return err
			}
		} else {
			var wrong *PINError
			if !errors.As(err, &wrong) && !errors.Is(err, ErrBlocked) && !errors.Is(err, ErrLastTry) {
				return err
			}
		}
	}
	for _, which := range []PIN{UserPIN, AdminPIN} {
		if err := c.block(ctx, which); err != nil {
			return err
		}
	}
	if err := c.terminateDF(ctx); err != nil {
		if isStatus(err, swNoINS) {
			return fmt.Errorf("%w: %w", ErrNoReset, err)
		}
		return fmt.Errorf("%w: %w", ErrResetFailed, err)
	}
	return nil
}

func (c *Card) terminateDF(ctx context.Context) error {
	_, err := c.do(ctx, command{name: "TERMINATE DF", ins: insTerminate})
	if errors.Is(err, ErrTerminated) {
		return nil
	}
	return err
}

// refused reports that TERMINATE DF wants both PINs blocked first. Cards use one
// word or the other.
func refused(err error) bool { return isStatus(err, swSecurity) || isStatus(err, swConditions) }

// wrongPIN is never anybody's PIN: 32 bytes of '@' are also no hash of one.
var wrongPIN = bytes.Repeat([]byte{0x40}, 32)

// block sends the wrong PIN as often as tries are left. The number is read from
// the card before; owners can raise it above the usual three.
func (c *Card) block(ctx context.Context, which PIN) error {
	ref := byte(refSign)
	if which == AdminPIN {
		ref = refAdmin
	}
	st, err := c.pwStatus(ctx)
	if err != nil {
		return err
	}
	wrong := wrongPIN
	for tries := int(st.left[which.index()]); tries > 0; tries-- {
		_, err := c.do(ctx, command{name: "VERIFY", ins: insVerify, p2: ref, data: wrong})
		var s *StatusError
		switch {
		case len(wrong) > 8 && (isStatus(err, swWrongData) || isStatus(err, swWrongLength)):
			wrong, tries = wrong[:8], tries+1 // too long for this card; it did not count
		case err == nil:
			return fmt.Errorf("%w: the card accepts any %v", ErrResetFailed, which)
		case isStatus(err, swBlocked):
			return nil
		case !errors.As(err, &s):
			return err
		}
	}
	if st, err = c.pwStatus(ctx); err != nil {
		return err
	}
	if left := st.left[which.index()]; left != 0 {
		return fmt.Errorf("%w: the %v has %d tries left after all were used", ErrResetFailed, which, left)
	}
	return nil
}

// checkFresh measures that the card is as new.
func (c *Card) checkFresh(ctx context.Context) error {
	if c.terminated {
		return fmt.Errorf("%w: still terminated", ErrResetFailed)
	}
	d, err := c.applicationData(ctx)
	if err != nil {
		return err
	}
	switch {
	case d.pw.left[0] == 0 || d.pw.left[2] == 0:
		return fmt.Errorf("%w: its PINs are blocked", ErrResetFailed)
	case d.fpr != [slots][20]byte{}:
		return fmt.Errorf("%w: its fingerprints are still there", ErrResetFailed)
	}
	return nil
}
