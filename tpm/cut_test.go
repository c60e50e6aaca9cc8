package tpm

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	step := 1
	if os.Getenv("REOWN_SOAK") == "" {
		step = 5
	}
	for n := 1; n <= total; n += step {
		for _, after := range []bool{false, true} {
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
			sold := func() { // the seller's TPM, with the seller's passphrase
				p := mustOpen(t, s.Socket)
				restarting(t, s, func() error { return p.Reset(ctx, buf("the seller's"), ResetOptions{PrimaryAlg: ECC}) })
			}
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
			everyCut(t, s,
				func() {
					restarting(t, s, func() error { return p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}) })
					check(t, s.PowerCycle()) // TPM 1.2: one counter per start
				},
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
