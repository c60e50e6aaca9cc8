package tpm

import (
	"context"
	"crypto/sha1"
	"fmt"
	"os"
	"testing"

	"reown/internal/secret"
	"reown/tpm/tpmtest"
)

// area is an NV area that somebody else has made where Heads' are.
type area struct {
	what     string
	attrs    uint32
	size     uint32
	pcr      bool // readable and writable with some other PCR 16 only
	locality byte
	lock     bool // until the next start
}

func (a area) define(t *testing.T, p *TPM, index uint32) {
	t.Helper()
	check(t, p.with(context.Background(), func(c *conn) error {
		s, err := c.osap(v1EntityOwner, v1Owner, passwordAuth(buf(ownerPass)))
		if err != nil {
			return err
		}
		pcrs := pack(uint16(0), a.locality, digest{})
		if a.pcr {
			pcrs = pack(uint16(3), []byte{0, 0, 1}, a.locality, digest{1})
		}
		public := pack(uint16(v1TagNVDataPublic), index, pcrs, pcrs,
			uint16(v1TagNVAttributes), a.attrs, byte(0), byte(0), byte(0), a.size)
		_, err = c.authorised(v1NVDefine, s, nil, pack(public, s.hide(digest{1})))
		return err
	}))
}

// enforceNV sets nvLocked, as makers ship their chips: what an area's public part says is
// enforced.
func enforceNV(t *testing.T, p *TPM) {
	t.Helper()
	check(t, p.with(context.Background(), func(c *conn) error {
		anyPCR := pack(uint16(0), byte(v1LocalityZero), digest{})
		_, err := c.call(v1NVDefine, pack(uint16(v1TagNVDataPublic), ^uint32(0), anyPCR, anyPCR,
			uint16(v1TagNVAttributes), uint32(0), byte(0), byte(0), byte(0), uint32(0)), digest{})
		return err
	}))
}

// Areas of another form where Heads' are stand in nobody's way: they hold nothing of
// ours, and the first sealing puts Heads' own in their place.
func TestForeignAreas12(t *testing.T) {
	ctx := context.Background()
	for _, a := range []area{
		{"small", v1NVAuthNone, 16, false, v1LocalityZero, false},
		{"with a passphrase", 0x40004, v1BlobSize, false, v1LocalityZero, false},
		{"with a passphrase to write", 0x4, v1BlobSize, false, v1LocalityZero, false},
		{"the owner's", 0x20002, v1BlobSize, false, v1LocalityZero, false},
		{"by presence", 0x10001, v1BlobSize, false, v1LocalityZero, false},
		{"bound to measurements", v1NVAuthNone, v1BlobSize, true, v1LocalityZero, false},
		{"of another locality", v1NVAuthNone, v1BlobSize, false, 2, false},
		{"locked", 0x4000, v1BlobSize, false, v1LocalityZero, true},
	} {
		t.Run(a.what, func(t *testing.T) {
			if os.Getenv("REOWN_SOAK") == "" && a.attrs != 0x40004 && !a.lock {
				t.Skip("each reset of an emulated TPM 1.2 takes a second: REOWN_SOAK=1")
			}
			s := startSim(t, tpmtest.V12)
			p := mustOpen(t, s.Socket)
			enforceNV(t, p)
			check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
			for _, slot := range []slot{otpSlot, dukSlot} {
				a.define(t, p, slot.v1)
			}
			check(t, s.PowerCycle())
			if a.lock {
				check(t, p.with(ctx, func(c *conn) error {
					_, err := c.call(v1NVWrite, otpSlot.v1, uint32(0), sized(nil))
					return err
				}))
			}
			looks := func() *Info {
				t.Helper()
				i, err := p.Info(ctx)
				if err != nil || i.HasOTP || i.HasDUK {
					t.Errorf("%+v, %v", i, err)
				}
				return i
			}
			looks()
			_, err := p.UnsealOTP(ctx)
			wantErr(t, err, ErrNotSealed)
			check(t, p.Clear(ctx))
			check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
			i := looks()
			if a.lock {
				check(t, s.PowerCycle())
			}
			check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), i.PCRs))
			check(t, p.SealDUK(ctx, buf(ownerPass), secret.Random(DUKSize), buf(dukPass), i.PCRs))
			must(p.UnsealOTP(ctx))(t)
			must(p.UnsealDUK(ctx, buf(dukPass)))(t)
		})
	}
}

// Where another counter has moved in this start, ours is kept for the next one.
func TestCounterIsKeptForTheNextStart12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	p := mustOpen(t, s.Socket)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	ours := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	check(t, s.PowerCycle())
	var other uint32 // of another label
	check(t, p.with(ctx, func(c *conn) error {
		session, err := c.osap(v1EntityOwner, v1Owner, passwordAuth(buf(ownerPass)))
		if err != nil {
			return err
		}
		r, err := c.authorised(v1CreateCounter, session, nil, pack(session.hide(sha1.Sum(nil)), uint32(1)))
		if err == nil {
			other = r.u32()
		}
		return err
	}))
	must(p.IncrementCounter(ctx, fmt.Sprint(other)))(t)
	for range 2 {
		_, err := p.CreateCounter(ctx, buf(ownerPass))
		wantErr(t, err, ErrCounterBusy)
	}
	if i := must(p.Info(ctx))(t); len(i.Counters) != 2 {
		t.Errorf("counters %v", i.Counters)
	}
	check(t, s.PowerCycle())
	if n := must(p.CreateCounter(ctx, buf(ownerPass)))(t); n.ID != ours.ID || n.Value <= ours.Value {
		t.Errorf("%+v after %+v", n, ours)
	}
}
