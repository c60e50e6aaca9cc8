package tpm

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"reown/tpm/tpmtest"
)

// TestNoRoom: somebody's areas, which clearing leaves, fill the TPM. That is known before it is cleared, and
// nothing has changed then; where clearing makes room it stops nobody. What a cut of the trial has left goes.
func TestNoRoom(t *testing.T) {
	ctx := context.Background()
	s, p, _ := setUp20(t)
	h := startHeads(t, s)
	all := RehearseOptions{PrimaryAlg: ECC, DUK: true}
	stops := func() []error {
		t.Helper()
		stop, _ := kinds(must(p.Rehearse(ctx, all))(t))
		return stop
	}
	if stop := stops(); len(stop) > 0 {
		t.Fatal(stop)
	}
	trial := fmt.Sprintf("%#x", uint32(v2TrialIndex))
	must(h.Tool("nvdefine", "-C", "p", "-s", "34", "-a", "ppwrite|ppread|platformcreate", trial))(t)
	if stop := stops(); len(stop) > 0 {
		t.Fatal(stop)
	}
	if out := must(h.Tool("getcap", "handles-nv-index"))(t); bytes.Contains(bytes.ToLower(out), []byte(trial[2:])) {
		t.Errorf("what a trial has left is still there:\n%s", out)
	}
	n := 0
	fill := func() {
		for _, size := range []string{"2048", "512", "64", "34", "8"} {
			for err := error(nil); err == nil; n++ {
				_, err = h.Tool("nvdefine", "-C", "p", "-s", size, "-a", "ppwrite|ppread|platformcreate",
					fmt.Sprintf("%#x", 0x1400000+n))
			}
		}
	}
	fill()
	before := must(p.Info(ctx))(t)
	if stop := stops(); !slices.Equal(stop, []error{ErrNVFull}) {
		t.Errorf("a full TPM: %v", stop)
	}
	wantErr(t, p.Reset(ctx, buf("another"), ResetOptions{PrimaryAlg: ECC}), ErrNVFull)
	if i := must(p.Info(ctx))(t); i.PrimaryName != before.PrimaryName || !i.SetUp {
		t.Errorf("changed: %+v", i)
	}
	check(t, p.CheckOwner(ctx, buf(ownerPass)))
	// Owner's areas of that size go with the owner.
	must(h.Tool("nvundefine", "-C", "p", "0x1400000"))(t)
	check(t, p.DefineAnchor(ctx, buf(ownerPass), [32]byte{1}))
	must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	fill()
	if stop := stops(); len(stop) > 0 {
		t.Errorf("full, but for what clearing frees: %v", stop)
	}
	check(t, p.Reset(ctx, buf("another"), ResetOptions{PrimaryAlg: ECC}))
	must(p.CreateCounter(ctx, buf("another")))(t)
	check(t, p.DefineAnchor(ctx, buf("another"), [32]byte{2}))
}

// TestNoRoom12 is the same with a TPM 1.2, which tells how much there is.
func TestNoRoom12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	p := mustOpen(t, s.Socket)
	enforceNV(t, p)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	avail := func() (n uint32) {
		t.Helper()
		check(t, p.with(ctx, func(c *conn) error {
			r, err := c.capability(v1CapProperty, uint32(v1PropMaxNV))
			if err == nil {
				n = r.u32()
			}
			return err
		}))
		return n
	}
	stops := func(duk bool) []error {
		t.Helper()
		stop, _ := kinds(must(p.Rehearse(ctx, RehearseOptions{DUK: duk}))(t))
		return stop
	}
	const need = 2*(v1BlobSize+v1PerArea) + anchorSize
	presence := area{attrs: 0x10001, locality: v1LocalityZero}
	presence.size = avail() - need - v1PerArea
	presence.define(t, p, 0x10000)
	if stop := stops(true); len(stop) > 0 {
		t.Errorf("%d bytes are left, %d are needed: %v", avail(), need, stop)
	}
	presence.size = 8
	presence.define(t, p, 0x10001)
	if stop := stops(true); !slices.Equal(stop, []error{ErrNVFull}) {
		t.Errorf("%d bytes are left, %d are needed: %v", avail(), need, stop)
	}
	if stop := stops(false); len(stop) > 0 {
		t.Errorf("without a disk unlock key: %v", stop)
	}
	i := must(p.Info(ctx))(t)
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), i.PCRs))
	check(t, p.DefineAnchor(ctx, buf(ownerPass), [32]byte{1}))
	if stop := stops(false); len(stop) > 0 {
		t.Errorf("what is needed is there: %v", stop)
	}
}
