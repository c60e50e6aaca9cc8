package tpm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/tpm/tpmtest"
)

var errPower = errors.New("power lost")

// cutter is a Device on a TPM whose power goes at the n-th command, counted from 1:
// before the TPM has it, or after the TPM has executed it but before the reply.
type cutter struct {
	dev   Device
	sim   *tpmtest.Sim
	count *int
	n     int
	after bool
	names *[]string
}

func (c *cutter) Transmit(cmd []byte) ([]byte, error) {
	*c.count++
	*c.names = append(*c.names, CommandName(cmd))
	if *c.count < c.n || c.n == 0 {
		return c.dev.Transmit(cmd)
	}
	if *c.count == c.n && c.after {
		_, _ = c.dev.Transmit(cmd)
	}
	c.sim.Stop()
	return nil, errPower
}

func (c *cutter) Close() error { return c.dev.Close() }

// cutAt opens the TPM so that the power goes at command n; n = 0 never.
func cutAt(t *testing.T, s *tpmtest.Sim, n int, after bool) (*TPM, *[]string) {
	t.Helper()
	names, armed, count := &[]string{}, false, 0
	p, err := New(func() (Device, error) {
		d, err := openPath(s.Socket)
		if err != nil || !armed {
			return d, err
		}
		return &cutter{d, s, &count, n, after, names}, nil
	})
	check(t, err)
	armed = true
	return p, names
}

// everyCut runs do with the power cut at each of its commands, before and after the
// TPM has executed it, and then calls again. Without REOWN_SOAK it takes a sample.
func everyCut(t *testing.T, s *tpmtest.Sim, prepare func(), do func(*TPM) error, again func(*testing.T)) {
	prepare()
	p, names := cutAt(t, s, 0, false)
	check(t, do(p))
	total := len(*names)
	if total < 3 {
		t.Fatalf("only %d commands seen", total)
	}
	all := *names
	sample := os.Getenv("REOWN_SOAK") == ""
	for n := 1; n <= total; n++ {
		for _, after := range []bool{false, true} {
			// Three of them, before and after in turn.
			if i := 2*n + map[bool]int{true: 1}[after]; sample && i%max(1, total*2/3|1) != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%02d-%s-after=%v", n, all[n-1], after), func(t *testing.T) {
				prepare()
				p, _ := cutAt(t, s, n, after)
				// Tidying up and the announcement at the end are no part of the work.
				if err := do(p); err != nil || all[n-1] != "TPM2_FlushContext" && all[n-1] != "TPM2_Shutdown" {
					wantErr(t, err, errPower)
				}
				check(t, s.PowerCycle())
				again(t)
			})
		}
	}
}

// restarting calls do and, as often as it asks for a restart, restarts.
func restarting(t *testing.T, s *tpmtest.Sim, do func() error) {
	t.Helper()
	for range 3 {
		err := do()
		if !errors.Is(err, ErrRestartNeeded) {
			check(t, err)
			return
		}
		check(t, s.PowerCycle())
	}
	t.Fatal("still wants a restart")
}

func TestPowerCutInReset(t *testing.T) {
	for name, v := range map[string]tpmtest.Version{"2.0": tpmtest.V20, "1.2": tpmtest.V12} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s := startSim(t, v)
			do := func(p *TPM) error { return p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}) }
			// The seller's TPM, with the seller's passphrase.
			check(t, mustOpen(t, s.Socket).Reset(ctx, buf("the seller's"), ResetOptions{PrimaryAlg: ECC}))
			snapshot := filepath.Join(filepath.Dir(s.Socket), "sold")
			check(t, s.Snapshot(snapshot))
			sold := func() { check(t, s.Restore(snapshot)) }
			var want string
			state := func(t *testing.T) string {
				i := must(mustOpen(t, s.Socket).Info(ctx))(t)
				i.PrimaryName = ""
				i.Lockout.Tries = 0
				return fmt.Sprintf("%+v", i)
			}
			everyCut(t, s, sold, func(p *TPM) error {
				err := do(p)
				if err == nil && want == "" {
					want = state(t)
				}
				return err
			}, func(t *testing.T) {
				p := mustOpen(t, s.Socket)
				// What the wizard sees: finished only when it is, and then ours.
				if i := must(p.Info(ctx))(t); i.SetUp {
					err := p.CheckOwner(ctx, buf(ownerPass))
					if err != nil && p.CheckOwner(ctx, buf("the seller's")) != nil {
						t.Errorf("looks set up, but belongs to nobody: %v", err)
					}
				}
				restarting(t, s, func() error { return do(p) })
				check(t, p.CheckOwner(ctx, buf(ownerPass)))
				if got := state(t); got != want {
					t.Errorf("state after resuming:\n got %s\nwant %s", got, want)
				}
				check(t, s.PowerCycle()) // and it stays so
				check(t, p.CheckOwner(ctx, buf(ownerPass)))
			})
		})
	}
}

func TestPowerCutInSealAndCounter(t *testing.T) {
	for name, v := range map[string]tpmtest.Version{"2.0": tpmtest.V20, "1.2": tpmtest.V12} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s := startSim(t, v)
			p := mustOpen(t, s.Socket)
			check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
			pcrs := must(p.ReadPCRs(ctx, OTPPCRs()...))(t)
			const old = "old OTP secret, 20 b"
			everyCut(t, s,
				func() {
					// A cut while the primary is in use counts as a wrong try.
					if must(p.Info(ctx))(t).Lockout.Tries > 5 {
						check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
					}
					check(t, p.SealOTP(ctx, buf(ownerPass), buf(old), pcrs))
				},
				func(p *TPM) error { return p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs) },
				func(t *testing.T) {
					got, err := p.UnsealOTP(ctx)
					switch {
					case errors.Is(err, ErrNotSealed):
						if v == tpmtest.V12 {
							t.Error("the secret is gone")
						}
					case err != nil || (string(got.Bytes()) != old && string(got.Bytes()) != otpText):
						t.Errorf("after the cut: %q %v", got.Bytes(), err)
					}
					check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
					if got := must(p.UnsealOTP(ctx))(t); string(got.Bytes()) != otpText {
						t.Errorf("after sealing again: %q", got.Bytes())
					}
				})
			check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
			snapshot := filepath.Join(filepath.Dir(s.Socket), "owned")
			check(t, s.Snapshot(snapshot))
			// The first secret, for which a TPM 1.2 needs a new area.
			everyCut(t, s,
				func() { check(t, s.Restore(snapshot)) },
				func(p *TPM) error { return p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs) },
				func(t *testing.T) {
					if got, err := p.UnsealOTP(ctx); err == nil && string(got.Bytes()) != otpText {
						t.Errorf("after the cut: %q", got.Bytes())
					} else if err != nil {
						wantErr(t, err, ErrNotSealed)
					}
					check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
					if got := must(p.UnsealOTP(ctx))(t); string(got.Bytes()) != otpText {
						t.Errorf("after sealing again: %q", got.Bytes())
					}
				})
			everyCut(t, s,
				func() { check(t, s.Restore(snapshot)) },
				func(p *TPM) error { _, err := p.CreateCounter(ctx, buf(ownerPass)); return err },
				func(t *testing.T) {
					n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
					if again := must(p.ReadCounter(ctx, n.ID))(t); again != n {
						t.Errorf("counter %+v reads as %+v", n, again)
					}
					if i := must(p.Info(ctx))(t); len(i.Counters) != 1 || !strings.EqualFold(i.Counters[0], n.ID) {
						t.Errorf("counters %v, want only %s", i.Counters, n.ID)
					}
				})
		})
	}
}

// Sealing again has one moment without a secret, between two commands that cannot be
// one: Heads looks at a fixed handle, TPM2_EvictControl refuses a handle that is taken,
// and what is persistent cannot be moved (part 3, 28.5). Cut there, nothing is sealed,
// which the caller sees and makes good; cut anywhere else, the old or the new is.
func TestOneCommandWithoutASecret(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V20)
	p := mustOpen(t, s.Socket)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
	pcrs := must(p.ReadPCRs(ctx, OTPPCRs()...))(t)
	const old, new = "the old secret", "the new secret"
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(old), pcrs))
	sealed := filepath.Join(filepath.Dir(s.Socket), "sealed")
	check(t, s.Snapshot(sealed))
	whole, names := cutAt(t, s, 0, false)
	check(t, whole.SealOTP(ctx, buf(ownerPass), buf(new), pcrs))
	var evicts []int
	for i, n := range *names {
		if n == "TPM2_EvictControl" {
			evicts = append(evicts, i+1)
		}
	}
	if len(evicts) != 2 {
		t.Fatalf("stored by %v", *names)
	}
	for _, c := range []struct {
		n     int
		after bool
		want  string
	}{{evicts[0], false, old}, {evicts[0], true, ""}, {evicts[1], false, ""}, {evicts[1], true, new}} {
		check(t, s.Restore(sealed))
		cut, _ := cutAt(t, s, c.n, c.after)
		wantErr(t, cut.SealOTP(ctx, buf(ownerPass), buf(new), pcrs), errPower)
		check(t, s.PowerCycle())
		got, err := p.UnsealOTP(ctx)
		if c.want == "" {
			wantErr(t, err, ErrNotSealed)
			if must(p.OTPSealedTo(ctx, pcrs))(t) {
				t.Error("nothing is sealed, and it is said to be")
			}
		} else if err != nil || string(got.Bytes()) != c.want {
			t.Errorf("cut at %d, after=%v: %q %v", c.n, c.after, got.Bytes(), err)
		}
		check(t, p.SealOTP(ctx, buf(ownerPass), buf(new), pcrs))
	}
}

// A disk unlock key that is removed is gone, and removing it again does no harm.
func TestRemoveDUK(t *testing.T) {
	for name, v := range map[string]tpmtest.Version{"2.0": tpmtest.V20, "1.2": tpmtest.V12} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s := startSim(t, v)
			p := mustOpen(t, s.Socket)
			check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
			pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
			check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
			check(t, p.SealDUK(ctx, buf(ownerPass), buf(otpText), buf(dukPass), pcrs))
			if v == tpmtest.V20 {
				wantErr(t, p.RemoveDUK(ctx, buf("wrong")), ErrWrongOwner)
			}
			for range 2 {
				check(t, p.RemoveDUK(ctx, buf(ownerPass)))
				_, err := p.UnsealDUK(ctx, buf(dukPass))
				wantErr(t, err, ErrNotSealed)
			}
			must(p.UnsealOTP(ctx))(t)
		})
	}
}
