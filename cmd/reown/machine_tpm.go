package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"

	"reown/internal/secret"
	"reown/tpm"
	"reown/wizard"
)

// tpmAdapter shows a tpm.TPM to the wizard.
type tpmAdapter struct {
	t   *tpm.TPM
	alg tpm.PrimaryAlg
}

func (a *tpmAdapter) Info(ctx context.Context) (wizard.TPMInfo, error) {
	i, err := a.t.Info(ctx)
	if err != nil {
		return wizard.TPMInfo{}, err
	}
	return wizard.TPMInfo{
		Family: string(i.Family), Vendor: i.Manufacturer, Owned: i.Owned, PrimaryName: i.PrimaryName,
		Lockout: i.Lockout.Locked, Recovery: spoilt(i.PCRs[4]),
	}, nil
}

// spoilt says whether PCR 4 holds more than the marks that Heads leaves on the
// way to its menu: nothing, or "usb" once the USB drivers are loaded. The
// recovery shell adds its own mark.
func spoilt(pcr4 []byte) bool {
	zero := make([]byte, len(pcr4))
	return !bytes.Equal(pcr4, zero) && !bytes.Equal(pcr4, tpm.Extend(zero, tpm.Hash(len(pcr4), []byte("usb"))))
}

func (a *tpmAdapter) Reset(ctx context.Context, owner *secret.Buffer) error {
	return a.t.Reset(ctx, owner, tpm.ResetOptions{PrimaryAlg: a.alg})
}

func (a *tpmAdapter) CheckOwner(ctx context.Context, owner *secret.Buffer) error {
	err := a.t.CheckOwner(ctx, owner)
	if errors.Is(err, tpm.ErrWrongOwner) {
		return fmt.Errorf("%w: %w", wizard.ErrWrongSecret, err)
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
		if n, err := a.t.ReadCounter(ctx, id); err == nil {
			return n.RollbackFile(), nil
		}
	}
	n, err := a.t.CreateCounter(ctx, owner)
	if err != nil {
		return nil, err
	}
	return n.RollbackFile(), nil
}

func (a *tpmAdapter) PrimaryHash(ctx context.Context) ([]byte, error) {
	return a.t.PrimaryHashFile(ctx)
}

// otpPCRs are the registers as they will be when Heads unseals at the next start:
// 0 to 3 as they are, 4 as the firmware's event log replays it (nothing on x86),
// 7 as the new image makes it.
func (a *tpmAdapter) otpPCRs(ctx context.Context, pcr7 wizard.Measurement) (tpm.PCRValues, error) {
	bank, size := "sha256", sha256.Size
	if a.t.Family() == tpm.V12 {
		bank, size = "sha1", sha1.Size
	}
	if len(pcr7[bank]) != size {
		return nil, fmt.Errorf("%w: PCR 7 is not known in the %s bank", wizard.ErrSealImpossible, bank)
	}
	v, err := a.t.ReadPCRs(ctx, 0, 1, 2, 3, 4)
	if err != nil {
		return nil, err
	}
	if spoilt(v[4]) {
		return nil, fmt.Errorf("%w: this start went through the recovery shell (PCR 4)", wizard.ErrSealImpossible)
	}
	return v.With(4, make([]byte, size)).With(7, pcr7[bank]), nil
}

func (a *tpmAdapter) SealOTP(ctx context.Context, owner, otp *secret.Buffer, pcr7 wizard.Measurement) error {
	v, err := a.otpPCRs(ctx, pcr7)
	if err != nil {
		return err
	}
	return a.t.SealOTP(ctx, owner, otp, v)
}

func (a *tpmAdapter) OTPSealed(ctx context.Context, pcr7 wizard.Measurement) (bool, error) {
	v, err := a.otpPCRs(ctx, pcr7)
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
