package tpm

import (
	"context"
	"testing"

	"reown/internal/secret"
	"reown/tpm/tpmtest"
)

func TestSmoke12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	p := mustOpen(t, s.Socket)
	i, err := p.Info(ctx)
	t.Logf("%+v %v", i, err)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	i, err = p.Info(ctx)
	t.Logf("%+v %v", i, err)
	t.Log(p.CheckOwner(ctx, buf(ownerPass)), p.CheckOwner(ctx, buf("wrong")))
	v := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
	t.Log(p.SealOTP(ctx, buf(ownerPass), buf(otpText), v), p.SealDUK(ctx, buf(ownerPass), secret.Random(128), buf(dukPass), v))
	t.Log(p.OTPSealedTo(ctx, v))
	b, err := p.UnsealOTP(ctx)
	t.Logf("%q %v", b.Bytes(), err)
	b, err = p.UnsealDUK(ctx, buf(dukPass))
	t.Logf("%d %v", b.Len(), err)
	_, err = p.UnsealDUK(ctx, buf("wrong"))
	t.Log(err)
	n, err := p.CreateCounter(ctx, buf(ownerPass))
	t.Log(n, err)
	n, err = p.IncrementCounter(ctx, n.ID)
	t.Log(n, err)
	n, err = p.ReadCounter(ctx, n.ID)
	t.Log(n, err)
	t.Log(p.ReadCounter(ctx, "77"))
	check(t, p.ExtendPCR(ctx, 4, []byte("recovery")))
	_, err = p.UnsealOTP(ctx)
	t.Log(err)
	i, err = p.Info(ctx)
	t.Logf("%+v %v", i, err)
}
