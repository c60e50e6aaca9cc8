package tpm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"reown/tpm/tpmtest"
)

// A machine that is given away: nothing of its owner's is left in the TPM, whatever
// moment the power goes at, and somebody else can take it.
func TestClear(t *testing.T) {
	for name, v := range map[string]tpmtest.Version{"2.0": tpmtest.V20, "1.2": tpmtest.V12} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s := startSim(t, v)
			p := mustOpen(t, s.Socket)
			check(t, p.Clear(ctx)) // a TPM without owner
			check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
			pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
			check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
			check(t, p.SealDUK(ctx, buf(ownerPass), buf(otpText), buf(dukPass), pcrs))
			must(p.CreateCounter(ctx, buf(ownerPass)))(t)
			owned := filepath.Join(filepath.Dir(s.Socket), "owned")
			check(t, s.Snapshot(owned))
			everyCut(t, s, func() { check(t, s.Restore(owned)) }, func(p *TPM) error { return p.Clear(ctx) },
				func(t *testing.T) {
					p := mustOpen(t, s.Socket)
					restarting(t, s, func() error { return p.Clear(ctx) })
					check(t, s.PowerCycle())
					i := must(p.Info(ctx))(t)
					if i.Owned || i.SetUp || i.PrimaryName != "" || i.HasOTP || i.HasDUK || len(i.Counters) != 0 || !i.CanReset {
						t.Errorf("%+v", i)
					}
					_, err := p.UnsealOTP(ctx)
					if !errors.Is(err, ErrNotSealed) && !errors.Is(err, ErrNotSetUp) {
						t.Errorf("unsealing: %v", err)
					}
					check(t, p.Reset(ctx, buf("the next owner's"), ResetOptions{PrimaryAlg: ECC}))
					check(t, p.CheckOwner(ctx, buf("the next owner's")))
				})
		})
	}
}

// tpm2-tools' view of a cleared TPM 2.0: empty hierarchies, nothing persistent.
func TestClearedForTPM2Tools(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V20)
	h := must(tpmtest.NewHeads(s, filepath.Join(filepath.Dir(s.Socket), "heads")))(t)
	check(t, h.Reset(ownerPass, "ecc"))
	p := mustOpen(t, s.Socket)
	check(t, p.Clear(ctx))
	for _, c := range []string{"handles-persistent", "handles-nv-index"} {
		if out := must(h.Tool("getcap", c))(t); strings.TrimSpace(string(out)) != "" {
			t.Errorf("%s: %s", c, out)
		}
	}
	out := string(must(h.Tool("getcap", "properties-variable"))(t))
	for _, auth := range []string{"ownerAuthSet", "endorsementAuthSet", "lockoutAuthSet", "disableClear"} {
		if i := strings.Index(out, auth+":"); i < 0 ||
			strings.TrimSpace(strings.SplitN(out[i+len(auth)+1:], "\n", 2)[0]) != "0" {
			t.Errorf("%s is not 0:\n%s", auth, out)
		}
	}
	// What Heads does when it starts the operating system takes the power away.
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
	if _, err := h.Tool("changeauth", "-c", "platform", "hex:01020304"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, p.Clear(ctx), ErrPlatformLocked)
	if err := p.CheckOwner(ctx, buf(ownerPass)); err != nil {
		t.Error(fmt.Errorf("after a refused clear: %w", err))
	}
}
