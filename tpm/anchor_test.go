package tpm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/tpm/tpmtest"
)

var families = []struct {
	name string
	v    tpmtest.Version
}{{"2.0", tpmtest.V20}, {"1.2", tpmtest.V12}}

// owned12 is the state of a TPM 1.2 that setUp has made; taking ownership costs seconds.
var owned12 string

// setUp is a TPM of the owner's that can keep an anchor.
func setUp(t *testing.T, v tpmtest.Version) (*tpmtest.Sim, *TPM) {
	t.Helper()
	s := startSim(t, v)
	if v == tpmtest.V12 && owned12 != "" {
		check(t, s.Restore(owned12))
		return s, mustOpen(t, s.Socket)
	}
	p := mustOpen(t, s.Socket)
	if v == tpmtest.V12 {
		enforceNV(t, p)
	}
	check(t, p.Reset(context.Background(), buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
	if v == tpmtest.V12 {
		owned12 = filepath.Join(endorsed.dir, "owned")
		check(t, s.Snapshot(owned12))
	}
	return s, p
}

func isAnchor(t *testing.T, p *TPM, want AnchorState, digest byte) {
	t.Helper()
	i := must(p.Info(context.Background()))(t)
	r := must(p.Reader(i.PrimaryName).Anchor(context.Background()))(t)
	if r.Value.State != want || i.Anchor.State != want || r.Protected != (p.Family() == V20) {
		t.Fatalf("anchor %+v (Info: %+v), want %q", r, i.Anchor, want)
	}
	if digest != 0 && !bytes.Equal(r.Value.Digest, bytes.Repeat([]byte{digest}, 32)) {
		t.Fatalf("digest %x, want of %x", []byte(r.Value.Digest), digest)
	}
}

func digestOf(b byte) [32]byte { return [32]byte(bytes.Repeat([]byte{b}, 32)) }

// The life of an anchor, with restarts between: it goes forward only, by the owner
// only, and a lock is for ever.
func TestAnchor(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			ctx := context.Background()
			s, p := setUp(t, f.v)
			owner := buf(ownerPass)
			isAnchor(t, p, AnchorAbsent, 0)
			wantErr(t, p.AdvanceAnchor(ctx, owner, AnchorOpen, digestOf(1)), ErrNoAnchor)
			wantErr(t, p.LockAnchor(ctx, owner), ErrNoAnchor)
			check(t, p.RemoveAnchor(ctx, owner))
			wantErr(t, p.DefineAnchor(ctx, buf("wrong"), digestOf(1)), ErrWrongOwner)
			check(t, p.DefineAnchor(ctx, owner, digestOf(1)))
			isAnchor(t, p, AnchorOpen, 1)
			wantErr(t, p.AdvanceAnchor(ctx, buf("wrong"), AnchorOpen, digestOf(2)), ErrWrongOwner)
			wantErr(t, p.AdvanceAnchor(ctx, owner, AnchorClosed, digestOf(2)), ErrAnchorOrder)
			wantErr(t, p.LockAnchor(ctx, owner), ErrAnchorOrder)
			wantErr(t, p.RemoveAnchor(ctx, buf("wrong")), ErrWrongOwner)
			check(t, s.PowerCycle())
			check(t, p.AdvanceAnchor(ctx, owner, AnchorOpen, digestOf(2)))
			isAnchor(t, p, AnchorOpen, 2)
			check(t, p.AdvanceAnchor(ctx, owner, AnchorClosing, digestOf(3)))
			check(t, p.AdvanceAnchor(ctx, owner, AnchorClosing, digestOf(3)))
			isAnchor(t, p, AnchorClosing, 3)
			wantErr(t, p.AdvanceAnchor(ctx, owner, AnchorOpen, digestOf(3)), ErrAnchorOrder)
			wantErr(t, p.LockAnchor(ctx, buf("wrong")), ErrWrongOwner)
			isAnchor(t, p, AnchorClosing, 3)
			for range 2 { // the lock outlives a restart
				check(t, p.LockAnchor(ctx, owner))
				isAnchor(t, p, AnchorClosed, 3)
				for _, to := range []AnchorState{AnchorOpen, AnchorClosing} {
					wantErr(t, p.AdvanceAnchor(ctx, owner, to, digestOf(4)), ErrAnchorClosed)
				}
				check(t, s.PowerCycle())
			}
			// Even the owner's own software cannot write a locked area.
			err := p.with(ctx, func(c *conn) error {
				return p.impl.anchorWrite(c, owner, anchorContent(AnchorOpen, digestOf(1)))
			})
			if err == nil {
				t.Error("a locked anchor was written")
			}
			isAnchor(t, p, AnchorClosed, 3)
			// A new run of the owner's begins with a new one.
			check(t, p.DefineAnchor(ctx, owner, digestOf(5)))
			isAnchor(t, p, AnchorOpen, 5)
			check(t, p.Clear(ctx))
			if f.v == tpmtest.V20 {
				wantErr(t, p.DefineAnchor(ctx, owner, digestOf(6)), ErrNotSetUp)
			}
			check(t, s.PowerCycle())
			if f.v == tpmtest.V20 { // a TPM 1.2 shows it without an owner, too
				check(t, p.Reset(ctx, owner, ResetOptions{PrimaryAlg: ECC}))
			}
			isAnchor(t, p, AnchorAbsent, 0)
		})
	}
}

// tpm2-tools judge who may write, and that Heads' areas and commands are undisturbed.
func TestAnchorByTpm2Tools(t *testing.T) {
	ctx := context.Background()
	s, p := setUp(t, tpmtest.V20)
	h := startHeads(t, s)
	owner := buf(ownerPass)
	check(t, p.DefineAnchor(ctx, owner, digestOf(1)))
	out := string(must(h.Tool("nvreadpublic", "0x180524f"))(t))
	if !strings.Contains(out, "ownerwrite|writedefine|authread|no_da|written") || !strings.Contains(out, "size: 34") {
		t.Errorf("public area:\n%s", out)
	}
	read := func() string { return string(must(h.Tool("nvread", "0x180524f"))(t)) } // with nobody's passphrase
	if want := string(anchorContent(AnchorOpen, digestOf(1))); read() != want {
		t.Errorf("read %x", read())
	}
	file := filepath.Join(t.TempDir(), "f")
	check(t, os.WriteFile(file, anchorContent(AnchorClosing, digestOf(9)), 0o600))
	refuse := func(args ...string) {
		t.Helper()
		if out, err := h.Tool(args...); err == nil {
			t.Errorf("tpm2 %v worked: %s", args, out)
		}
	}
	for _, auth := range [][]string{{}, {"-C", "0x180524f"}, {"-C", "o"}, {"-C", "p"}, {"-C", "o", "-P", "wrong"}} {
		refuse(append([]string{"nvwrite", "-i", file, "0x180524f"}, auth...)...)
		refuse(append([]string{"nvwritelock", "0x180524f"}, auth...)...)
	}
	refuse("nvundefine", "0x180524f", "-C", "o")
	refuse("nvdefine", "0x180524f", "-s", "34", "-C", "p")
	isAnchor(t, p, AnchorOpen, 1)
	if i := must(p.Info(ctx))(t); i.Lockout.Tries != 0 {
		t.Errorf("%d wrong tries counted", i.Lockout.Tries)
	}

	// Heads goes on: counter, secrets, with the anchor open, closing and closed.
	check(t, h.StartSession())
	check(t, h.CounterCreate("1a2b3c4", ownerPass))
	use := func() {
		t.Helper()
		check(t, h.StartSession())
		must(h.CounterIncrement("1a2b3c4"))(t)
		pcrs := must(p.ReadPCRs(ctx, OTPPCRs()...))(t)
		check(t, h.Seal([]byte(otpText), "4d47", "0,1,2,3,4,7", joined(pcrs, OTPPCRs()), "", ownerPass))
		if b := must(h.Unseal("4d47", "0,1,2,3,4,7", ""))(t); string(b) != otpText {
			t.Errorf("unsealed %q", b)
		}
		if i := must(p.Info(ctx))(t); fmt.Sprint(i.Counters) != "[1a2b3c4]" {
			t.Errorf("counters %v", i.Counters)
		}
	}
	use()
	check(t, p.AdvanceAnchor(ctx, owner, AnchorClosing, digestOf(2)))
	use()
	check(t, p.LockAnchor(ctx, owner))
	use()
	check(t, s.PowerCycle())
	refuse("nvwrite", "-i", file, "0x180524f", "-C", "o", "-P", hexOf(ownerPass))
	if want := string(anchorContent(AnchorClosing, digestOf(2))); read() != want {
		t.Errorf("read %x", read())
	}
	use()
	check(t, h.Reset(ownerPass, "ecc"))
	refuse("nvreadpublic", "0x180524f")
}

func hexOf(s string) string { return fmt.Sprintf("hex:%x", s) }

// What others put at the anchor's index is foreign, stops nothing, and goes with the
// next DefineAnchor: the owner's by the owner's passphrase, the platform's by the
// platform's while that is free.
func TestForeignAnchor20(t *testing.T) {
	ctx := context.Background()
	s, p := setUp(t, tpmtest.V20)
	h := startHeads(t, s)
	owner := buf(ownerPass)
	file := filepath.Join(t.TempDir(), "f")
	check(t, os.WriteFile(file, anchorContent(AnchorOpen, digestOf(9)), 0o600))
	for _, define := range [][]string{
		{"-s", "34", "-C", "p", "-a", "authread|authwrite|no_da|platformcreate"},
		{"-s", "34", "-C", "o", "-P", hexOf(ownerPass), "-a", "authread|authwrite|no_da"},
		{"-s", "34", "-C", "o", "-P", hexOf(ownerPass), "-a", "authread|ownerwrite|no_da"}, // a lock would not last
		{"-s", "8", "-C", "o", "-P", hexOf(ownerPass), "-a", "ownerread|authread|authwrite|nt=1"},
		{"-s", "64", "-C", "o", "-P", hexOf(ownerPass), "-a", "authread|ownerwrite|no_da|writedefine"},
	} {
		must(h.Tool(append([]string{"nvdefine", "0x180524f"}, define...)...))(t)
		_, _ = h.Tool("nvwrite", "-i", file, "0x180524f", "-C", "0x180524f")
		isAnchor(t, p, AnchorForeign, 0)
		wantErr(t, p.AdvanceAnchor(ctx, owner, AnchorClosing, digestOf(1)), ErrAnchorForeign)
		check(t, p.DefineAnchor(ctx, owner, digestOf(1)))
		isAnchor(t, p, AnchorOpen, 1)
		check(t, p.RemoveAnchor(ctx, owner))
	}
	// The right form with content that is not ours.
	must(h.Tool("nvdefine", "0x180524f", "-s", "34", "-C", "o", "-P", hexOf(ownerPass),
		"-a", "ownerwrite|writedefine|authread|no_da"))(t)
	isAnchor(t, p, AnchorAbsent, 0)
	check(t, os.WriteFile(file, make([]byte, 34), 0o600))
	must(h.Tool("nvwrite", "-i", file, "0x180524f", "-C", "o", "-P", hexOf(ownerPass)))(t)
	isAnchor(t, p, AnchorForeign, 0)
	check(t, p.RemoveAnchor(ctx, owner))
	// An area of the platform's outlives the clearing; once Heads has given the platform
	// away only the next start can remove it.
	must(h.Tool("nvdefine", "0x180524f", "-s", "34", "-C", "p", "-a", "authread|authwrite|platformcreate"))(t)
	must(h.Tool("changeauth", "-c", "platform", "0badcafe"))(t)
	wantErr(t, p.DefineAnchor(ctx, owner, digestOf(1)), ErrAnchorForeign)
	check(t, s.PowerCycle())
	check(t, p.DefineAnchor(ctx, owner, digestOf(1)))
	isAnchor(t, p, AnchorOpen, 1)
}

// A TPM 1.2 that enforces nothing keeps no anchor; one that does lets nobody else
// write, and the counter is Heads' alone.
func TestAnchor12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	p := mustOpen(t, s.Socket)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	isAnchor(t, p, AnchorUnavailable, 0)
	wantErr(t, p.DefineAnchor(ctx, buf(ownerPass), digestOf(1)), ErrNoAnchorHere)
	wantErr(t, p.AdvanceAnchor(ctx, buf(ownerPass), AnchorClosing, digestOf(1)), ErrNoAnchorHere)
	s, p = setUp(t, tpmtest.V12)
	check(t, p.DefineAnchor(ctx, buf(ownerPass), digestOf(1)))
	write := func(data []byte) error {
		return p.with(ctx, func(c *conn) error {
			_, err := c.call(v1NVWrite, uint32(v1AnchorIndex), uint32(0), sized(data))
			return err
		})
	}
	for _, data := range [][]byte{nil, anchorContent(AnchorClosing, digestOf(2))} {
		if err := write(data); err == nil {
			t.Error("written without the owner")
		}
	}
	isAnchor(t, p, AnchorOpen, 1)
	if i := must(p.Info(ctx))(t); len(i.Counters) != 0 {
		t.Errorf("counters %v", i.Counters)
	}
	must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	check(t, s.PowerCycle())
	area{"a stranger's", v1NVAuthNone, 34, false, v1LocalityZero, false}.define(t, p, v1AnchorIndex)
	isAnchor(t, p, AnchorForeign, 0)
	check(t, p.DefineAnchor(ctx, buf(ownerPass), digestOf(3)))
	isAnchor(t, p, AnchorOpen, 3)
}

// Power is lost at every command of each write of the anchor's life: what is read
// afterwards is the state before or after, or absent, and the run can go on.
func TestPowerCutInAnchor(t *testing.T) {
	define := func(p *TPM) error { return p.DefineAnchor(context.Background(), buf(ownerPass), digestOf(2)) }
	closing := func(p *TPM) error {
		return p.AdvanceAnchor(context.Background(), buf(ownerPass), AnchorClosing, digestOf(2))
	}
	lock := func(p *TPM) error { return p.LockAnchor(context.Background(), buf(ownerPass)) }
	for _, f := range families {
		for _, w := range []struct {
			name   string
			before AnchorState
			do     func(*TPM) error
			after  AnchorState
		}{
			{"define", AnchorAbsent, define, AnchorOpen},
			{"define anew", AnchorClosed, define, AnchorOpen},
			{"closing", AnchorOpen, closing, AnchorClosing},
			{"lock", AnchorClosing, lock, AnchorClosed},
		} {
			t.Run(f.name+" "+w.name, func(t *testing.T) {
				if f.v == tpmtest.V12 && w.name != "define anew" && os.Getenv("REOWN_SOAK") == "" {
					t.Skip("REOWN_SOAK is not set")
				}
				ctx := context.Background()
				s, p := setUp(t, f.v)
				if w.before != AnchorAbsent {
					check(t, p.DefineAnchor(ctx, buf(ownerPass), digestOf(1)))
				}
				if w.before == AnchorClosing || w.before == AnchorClosed {
					check(t, p.AdvanceAnchor(ctx, buf(ownerPass), AnchorClosing, digestOf(1)))
				}
				if w.before == AnchorClosed {
					check(t, p.LockAnchor(ctx, buf(ownerPass)))
				}
				snapshot := filepath.Join(filepath.Dir(s.Socket), "before")
				check(t, s.Snapshot(snapshot))
				everyCut(t, s, func() { check(t, s.Restore(snapshot)) }, w.do, func(t *testing.T) {
					p := mustOpen(t, s.Socket)
					now := must(p.Info(ctx))(t).Anchor.State
					between := w.after == AnchorOpen && now == AnchorAbsent
					if now != w.before && now != w.after && !between {
						t.Errorf("after the cut: %q", now)
					}
					check(t, w.do(p))
					isAnchor(t, p, w.after, 0)
				})
			})
		}
	}
}

// Between a clearing and the new anchor there is none, no matter who cuts the power: the old
// one does not come back.
func TestPowerCutBetweenClearAndAnchor(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			if f.v == tpmtest.V12 && os.Getenv("REOWN_SOAK") == "" {
				t.Skip("REOWN_SOAK is not set: each reset of an emulated TPM 1.2 takes seconds")
			}
			ctx := context.Background()
			s, p := setUp(t, f.v)
			check(t, p.DefineAnchor(ctx, buf(ownerPass), digestOf(1)))
			old := must(p.Info(ctx))(t).PrimaryName
			snapshot := filepath.Join(filepath.Dir(s.Socket), "before")
			check(t, s.Snapshot(snapshot))
			do := func(p *TPM) error {
				err := p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC})
				if err == nil {
					err = p.DefineAnchor(ctx, buf(ownerPass), digestOf(2))
				}
				return err
			}
			everyCut(t, s, func() { check(t, s.Restore(snapshot)) }, do, func(t *testing.T) {
				p := mustOpen(t, s.Socket)
				i := must(p.Info(ctx))(t)
				if f.v == tpmtest.V20 && i.PrimaryName != old {
					if bytes.Equal(i.Anchor.Digest, bytes.Repeat([]byte{1}, 32)) {
						t.Errorf("the old anchor under another root: %+v", i.Anchor)
					}
					_, err := p.Reader(old).Anchor(ctx)
					var re *ReadingError
					if !errors.As(err, &re) {
						t.Errorf("the old root reads: %v", err)
					}
				}
				restarting(t, s, func() error { return do(p) })
				isAnchor(t, p, AnchorOpen, 2)
			})
		})
	}
}
