package tpm

import (
	"context"
	"os"
	"testing"

	"reown/internal/secret"
	"reown/tpm/tpmtest"
)

func startSim(t *testing.T, v tpmtest.Version) *tpmtest.Sim {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm") // t.TempDir's names can be too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	s, err := tpmtest.StartVersion(dir, v)
	if err != nil {
		os.RemoveAll(dir)
		if err == tpmtest.ErrNoSwtpm && os.Getenv("REOWN_REQUIRE_PEERS") != "1" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(); os.RemoveAll(dir) })
	return s
}

func buf(s string) *secret.Buffer { return secret.From([]byte(s)) }

func TestSmoke(t *testing.T) {
	s := startSim(t, tpmtest.V20)
	ctx := context.Background()
	p, err := Open(s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	i, err := p.Info(ctx)
	t.Logf("%+v %v", i, err)
	if err := p.Reset(ctx, buf("ownerpass"), ResetOptions{PrimaryAlg: ECC}); err != nil {
		t.Fatal(err)
	}
	i, err = p.Info(ctx)
	t.Logf("%+v %v", i, err)
	t.Log(p.CheckOwner(ctx, buf("ownerpass")), p.CheckOwner(ctx, buf("wrong")))
	v, err := p.ReadPCRs(ctx, OTPPCRs()...)
	t.Log(err, p.SealOTP(ctx, buf("ownerpass"), buf("0123456789abcdefghij"), v))
	t.Log(p.OTPSealedTo(ctx, v))
	b, err := p.UnsealOTP(ctx)
	t.Logf("%q %v", b.Bytes(), err)
	n, err := p.CreateCounter(ctx, buf("ownerpass"))
	t.Log(n, err)
	n, err = p.IncrementCounter(ctx, n.ID)
	t.Log(n, err)
	n, err = p.ReadCounter(ctx, n.ID)
	t.Log(n, err)
	t.Log(p.ReadCounter(ctx, "1000000"))
	h, err := p.PrimaryHashFile(ctx)
	t.Logf("%s %v", h, err)
	v, err = p.ReadPCRs(ctx, DUKPCRs()...)
	t.Log(p.SealDUK(ctx, buf("ownerpass"), secret.Random(128), buf("a long passphrase"), v))
	b, err = p.UnsealDUK(ctx, buf("a long passphrase"))
	t.Log(b.Len(), err)
	_, err = p.UnsealDUK(ctx, buf("wrong"))
	t.Log(err)
	t.Log(p.ExtendPCR(ctx, 4, []byte("recovery")))
	_, err = p.UnsealOTP(ctx)
	t.Log(err)
	i, err = p.Info(ctx)
	t.Logf("%+v %v", i, err)
	t.Log(p.Shutdown(ctx))
}
