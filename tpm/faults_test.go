package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reown/internal/secret"
	"reown/tpm/tpmtest"
)

// tamperer is a Device with somebody on the wires.
type tamperer struct {
	Device
	change func(cmd, reply []byte) []byte // nil result: pass on
}

func (d *tamperer) Transmit(cmd []byte) ([]byte, error) {
	r, err := d.Device.Transmit(cmd)
	if err != nil {
		return nil, err
	}
	if c := d.change(cmd, r); c != nil {
		return c, nil
	}
	return r, nil
}

func tampered(t *testing.T, s *tpmtest.Sim, change func(cmd, reply []byte) []byte) *TPM {
	t.Helper()
	p, err := New(func() (Device, error) {
		d, err := openPath(s.Socket)
		return &tamperer{d, change}, err
	})
	check(t, err)
	return p
}

// flip changes one bit near the end of a successful reply to the named command.
func flip(name string, fromEnd int) func(cmd, reply []byte) []byte {
	return func(cmd, reply []byte) []byte {
		if CommandName(cmd) != name || binary.BigEndian.Uint32(reply[6:]) != 0 {
			return nil
		}
		reply[len(reply)-fromEnd] ^= 1
		return reply
	}
}

func setUp20(t *testing.T) (*tpmtest.Sim, *TPM, PCRValues) {
	t.Helper()
	s := startSim(t, tpmtest.V20)
	p := mustOpen(t, s.Socket)
	check(t, p.Reset(context.Background(), buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
	return s, p, must(p.ReadPCRs(context.Background(), DUKPCRs()...))(t)
}

// A changed bit in a reply is noticed, whatever it says.
func TestTampering20(t *testing.T) {
	ctx := context.Background()
	s, p, pcrs := setUp20(t)
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
	n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	const session = 2 + 32 + 1 + 2 + 32 // nonce, attributes and HMAC at the end of a reply
	for _, c := range []struct {
		name    string
		fromEnd int
		do      func(*TPM) error
	}{
		{"TPM2_Unseal", session + 1, func(p *TPM) error { _, err := p.UnsealOTP(ctx); return err }},
		{"TPM2_Unseal", 1, func(p *TPM) error { _, err := p.UnsealOTP(ctx); return err }},
		{"TPM2_PCR_Read", session + 1, func(p *TPM) error { _, err := p.ReadPCRs(ctx, 7); return err }},
		{"TPM2_NV_Read", session + 1, func(p *TPM) error { _, err := p.ReadCounter(ctx, n.ID); return err }},
		{"TPM2_Create", 2*session + 5, func(p *TPM) error { return p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs) }},
		{"TPM2_EvictControl", 1, func(p *TPM) error { return p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs) }},
		{"TPM2_PolicySecret", 1, func(p *TPM) error { return p.CheckOwner(ctx, buf(ownerPass)) }},
		{"TPM2_ReadPublic", 40, func(p *TPM) error { _, err := p.PrimaryHandleFile(ctx); return err }},
		{"TPM2_DictionaryAttackParameters", 1,
			func(p *TPM) error { return p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}) }},
	} {
		t.Run(fmt.Sprintf("%s-%d", c.name, c.fromEnd), func(t *testing.T) {
			hit := false
			change := flip(c.name, c.fromEnd)
			p := tampered(t, s, func(cmd, reply []byte) []byte {
				r := change(cmd, reply)
				hit = hit || r != nil
				return r
			})
			err := c.do(p)
			if !hit {
				t.Fatalf("the command was never sent (%v)", err)
			}
			wantErr(t, err, ErrTampered)
		})
	}
}

// A TPM that shows another primary key later in the same run is not the same TPM.
func TestPrimaryIsPinned(t *testing.T) {
	ctx := context.Background()
	s, p, _ := setUp20(t)
	check(t, mustOpen(t, s.Socket).Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC})) // somebody else
	_, err := p.UnsealOTP(ctx)
	wantErr(t, err, ErrTampered)
	_, err = mustOpen(t, s.Socket).UnsealOTP(ctx)
	wantErr(t, err, ErrNotSealed)
}

// Nor is one that shows none any more: without it nothing that it says could be checked.
func TestPrimaryIsGone(t *testing.T) {
	ctx := context.Background()
	s, _, _ := setUp20(t)
	hide := false
	p := tampered(t, s, func(cmd, _ []byte) []byte {
		if !hide || CommandName(cmd) != "TPM2_ReadPublic" ||
			binary.BigEndian.Uint32(cmd[headerLen:]) != uint32(primaryHandle) {
			return nil
		}
		return []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x8b}
	})
	check(t, p.CheckOwner(ctx, buf(ownerPass)))
	hide = true
	_, err := p.ReadPCRs(ctx, 7)
	wantErr(t, err, ErrTampered)
	wantErr(t, p.CheckOwner(ctx, buf(ownerPass)), ErrTampered)
	_, err = p.Info(ctx)
	wantErr(t, err, ErrTampered)
	hide = false
	check(t, p.Clear(ctx))
	if i := must(p.Info(ctx))(t); i.PrimaryName != "" {
		t.Errorf("after clearing: %+v", i)
	}
}

func TestTampering12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	p := mustOpen(t, s.Socket)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	pcrs := must(p.ReadPCRs(ctx, OTPPCRs()...))(t)
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
	n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	for _, c := range []struct {
		name    string
		fromEnd int
		do      func(*TPM) error
	}{
		{"TPM_Unseal", 1, func(p *TPM) error { _, err := p.UnsealOTP(ctx); return err }},
		{"TPM_Unseal", 45, func(p *TPM) error { _, err := p.UnsealOTP(ctx); return err }},
		{"TPM_Seal", 45, func(p *TPM) error { return p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs) }},
		{"TPM_IncrementCounter", 42, func(p *TPM) error { _, err := p.IncrementCounter(ctx, n.ID); return err }},
		{"TPM_OwnerReadInternalPub", 60, func(p *TPM) error { return p.CheckOwner(ctx, buf(ownerPass)) }},
		// The last one, because it clears the TPM before it notices.
		{"TPM_ReadPubek", 60, func(p *TPM) error { return p.Reset(ctx, buf(ownerPass), ResetOptions{}) }},
	} {
		t.Run(fmt.Sprintf("%s-%d", c.name, c.fromEnd), func(t *testing.T) {
			wantErr(t, c.do(tampered(t, s, flip(c.name, c.fromEnd))), ErrTampered)
		})
	}
}

func TestErrors20(t *testing.T) {
	ctx := context.Background()
	s, p, pcrs := setUp20(t)
	_, err := p.UnsealOTP(ctx)
	wantErr(t, err, ErrNotSealed)
	wantErr(t, p.SealOTP(ctx, buf("wrong"), buf(otpText), pcrs), ErrWrongOwner)
	wantErr(t, p.SealOTP(ctx, buf(ownerPass), secret.New(129), pcrs), ErrTooLarge)
	wantErr(t, p.SealOTP(ctx, buf(ownerPass), &secret.Buffer{}, pcrs), ErrTooLarge)
	if err := p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs.Only([]int{0, 1})); err == nil {
		t.Error("sealed to values that were not given")
	}
	for _, bad := range []string{"", "a\x00b", strings.Repeat("x", 33)} {
		wantErr(t, p.Reset(ctx, buf(bad), ResetOptions{}), ErrBadPassphrase)
	}
	check(t, p.SealDUK(ctx, buf(ownerPass), secret.Random(DUKSize), buf(dukPass), pcrs))
	_, err = p.UnsealDUK(ctx, buf("wrong passphrase"))
	wantErr(t, err, ErrWrongPassphrase)
	check(t, p.ExtendPCR(ctx, 5, []byte("a module more")))
	_, err = p.UnsealDUK(ctx, buf(dukPass))
	wantErr(t, err, ErrPCRMismatch)
	_, err = p.IncrementCounter(ctx, "1fffff0")
	wantErr(t, err, ErrNoCounter)
	_, err = p.ReadCounter(ctx, "0x81")
	wantErr(t, err, ErrNoCounter)
	if _, err := p.ReadPCRs(ctx, 24); err == nil {
		t.Error("read PCR 24")
	}

	// A wrong owner passphrase costs nothing: twice as many as would lock.
	for range 2 * daMaxTries {
		wantErr(t, p.CheckOwner(ctx, buf("wrong")), ErrWrongOwner)
	}
	check(t, p.CheckOwner(ctx, buf(ownerPass)))

	// A cancelled context stops before the next command.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	wantErr(t, p.CheckOwner(gone, buf(ownerPass)), context.Canceled)

	// The firmware gives the platform away at the end, as Heads' kexec_finalize does.
	h := startHeads(t, s)
	must(h.Tool("changeauth", "-c", "platform", "0badcafe"))(t)
	if i := must(p.Info(ctx))(t); i.CanReset || !i.SetUp {
		t.Errorf("with a locked platform: %+v", i)
	}
	wantErr(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}), ErrPlatformLocked)
	check(t, p.Shutdown(ctx))
	check(t, s.PowerCycle())
	if i := must(p.Info(ctx))(t); !i.CanReset {
		t.Errorf("after a restart: %+v", i)
	}
}

// The lockout counts as Heads sets it up; it is shown, named, and ends with a reset.
func TestLockout20(t *testing.T) {
	ctx := context.Background()
	_, p, pcrs := setUp20(t)
	check(t, p.SealDUK(ctx, buf(ownerPass), secret.Random(DUKSize), buf(dukPass), pcrs))
	for n := range uint32(daMaxTries) {
		if i := must(p.Info(ctx))(t); i.Lockout.Tries != n || i.Lockout.Max != daMaxTries || i.Lockout.Locked {
			t.Fatalf("after %d wrong tries: %+v", n, i.Lockout)
		}
		_, err := p.UnsealDUK(ctx, buf("wrong passphrase"))
		wantErr(t, err, ErrWrongPassphrase)
	}
	_, err := p.UnsealDUK(ctx, buf(dukPass))
	var le *LockoutError
	if !errors.As(err, &le) || le.Tries != daMaxTries || le.Max != daMaxTries || le.Wait.Seconds() != daRecovery {
		t.Fatalf("got %v (%+v)", err, le)
	}
	if i := must(p.Info(ctx))(t); !i.Lockout.Locked {
		t.Errorf("%+v", i.Lockout)
	}
	check(t, p.CheckOwner(ctx, buf(ownerPass))) // the owner hierarchy is not locked
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
	if i := must(p.Info(ctx))(t); i.Lockout.Locked || i.Lockout.Tries != 0 {
		t.Errorf("after a reset: %+v", i.Lockout)
	}
}

// An announced restart costs no try.
func TestShutdownIsClean(t *testing.T) {
	ctx := context.Background()
	s, p, pcrs := setUp20(t)
	check(t, p.SealDUK(ctx, buf(ownerPass), secret.Random(DUKSize), buf(dukPass), pcrs))
	for range 3 {
		must(p.UnsealDUK(ctx, buf(dukPass)))(t)
		check(t, p.Shutdown(ctx))
		check(t, s.PowerCycle())
	}
	if i := must(p.Info(ctx))(t); i.Lockout.Tries != 0 {
		t.Errorf("%d tries after three clean restarts", i.Lockout.Tries)
	}
}

// Nor does a pulled plug, once the operation is over.
func TestPulledPlugCostsNoTry(t *testing.T) {
	ctx := context.Background()
	s, p, pcrs := setUp20(t)
	for range 3 {
		check(t, p.SealDUK(ctx, buf(ownerPass), secret.Random(DUKSize), buf(dukPass), pcrs))
		must(p.UnsealDUK(ctx, buf(dukPass)))(t)
		check(t, p.CheckOwner(ctx, buf(ownerPass)))
		must(p.CreateCounter(ctx, buf(ownerPass)))(t)
		check(t, p.ExtendPCR(ctx, 16, nil))
		check(t, s.PowerCycle())
	}
	if i := must(p.Info(ctx))(t); i.Lockout.Tries != 0 {
		t.Errorf("%d tries after three pulled plugs", i.Lockout.Tries)
	}
}

func TestFullNV20(t *testing.T) {
	ctx := context.Background()
	s, p, _ := setUp20(t)
	h := startHeads(t, s)
	// Large areas first, then counters like ours but for an attribute.
	next := 0
	fill := func(args ...string) {
		for ; next < 500; next++ {
			args := append([]string{"nvdefine", "-Q", "-C", "o", fmt.Sprintf("0x15%05x", next), "-P", "str:" + ownerPass},
				args...)
			if _, err := h.Tool(args...); err != nil {
				return
			}
		}
		t.Fatal("the emulator's memory does not fill")
	}
	fill("-s", "2048", "-a", "ownerread|ownerwrite")
	fill("-s", "8", "-a", "ownerread|authread|ownerwrite|nt=1")
	_, err := p.CreateCounter(ctx, buf(ownerPass))
	wantErr(t, err, ErrNVFull)
	// The emulator keeps room for objects; a chip need not.
	pcrs := must(p.ReadPCRs(ctx, OTPPCRs()...))(t)
	full := tampered(t, s, func(cmd, _ []byte) []byte {
		if CommandName(cmd) != "TPM2_EvictControl" {
			return nil
		}
		return pack(uint16(v2ReplyTag), uint32(headerLen), uint32(v2NVSpace))
	})
	wantErr(t, full.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs), ErrNVFull)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC})) // makes room
	_, err = p.CreateCounter(ctx, buf(ownerPass))
	check(t, err)
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
}

// A TPM 1.2 whose memory is full says so, wherever that is noticed.
func TestFullNV12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	p := mustOpen(t, s.Socket)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	pcrs := must(p.ReadPCRs(ctx, OTPPCRs()...))(t)
	refusing := func(name string, code uint32) *TPM {
		return tampered(t, s, func(cmd, _ []byte) []byte {
			if CommandName(cmd) != name {
				return nil
			}
			return pack(uint16(v1ReplyTag), uint32(headerLen), code)
		})
	}
	wantErr(t, refusing("TPM_NV_DefineSpace", v1NoSpace).SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs), ErrNVFull)
	_, err := refusing("TPM_CreateCounter", v1Resources).CreateCounter(ctx, buf(ownerPass))
	wantErr(t, err, ErrNVFull)
}

// A TPM 1.2 defends itself against guessing by its own rule. That is named as what it is,
// the owner is not locked out of a reset, and a reset ends it.
func TestLockout12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	p := mustOpen(t, s.Socket)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
	check(t, p.SealDUK(ctx, buf(ownerPass), secret.Random(DUKSize), buf(dukPass), pcrs))
	var le *LockoutError
	for n := 0; ; n++ {
		_, err := p.UnsealDUK(ctx, buf("wrong passphrase"))
		if errors.As(err, &le) {
			break
		}
		wantErr(t, err, ErrWrongPassphrase)
		if n > 200 {
			t.Fatal("it never defends itself")
		}
	}
	if _, err := p.UnsealDUK(ctx, buf(dukPass)); !errors.As(err, &le) {
		t.Errorf("the right passphrase while it is locked: %v", err)
	}
	if i := must(p.Info(ctx))(t); !i.CanReset {
		t.Errorf("%+v", i)
	}
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	check(t, p.CheckOwner(ctx, buf(ownerPass)))
	check(t, p.SealDUK(ctx, buf(ownerPass), secret.Random(DUKSize), buf(dukPass), pcrs))
	must(p.UnsealDUK(ctx, buf(dukPass)))(t)
}

// A TPM that says "again" is asked again, with the same bytes.
func TestRetry(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		v    tpmtest.Version
		code uint32
	}{"2.0 retry": {tpmtest.V20, v2Retry}, "2.0 testing": {tpmtest.V20, v2Testing}, "1.2 retry": {tpmtest.V12, v1Retry},
		"1.2 self test": {tpmtest.V12, v1NeedsSelfTest}} {
		t.Run(name, func(t *testing.T) {
			s := startSim(t, c.v)
			asked, count := map[string]int{}, 0
			p, err := New(func() (Device, error) {
				d, err := openPath(s.Socket)
				return &busy{d, asked, c.code, &count}, err
			})
			check(t, err)
			check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
			check(t, p.CheckOwner(ctx, buf(ownerPass)))
			pcrs := must(p.ReadPCRs(ctx, OTPPCRs()...))(t)
			check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
			must(p.UnsealOTP(ctx))(t)
			if count < 10 {
				t.Errorf("only %d commands were put off", count)
			}
		})
	}
}

// busy puts every command off once.
type busy struct {
	Device
	asked map[string]int
	code  uint32
	count *int
}

func (d *busy) Transmit(cmd []byte) ([]byte, error) {
	name := CommandName(cmd)
	if name == "TPM_ContinueSelfTest" || name == "TPM2_GetCapability" {
		return d.Device.Transmit(cmd)
	}
	if d.asked[string(cmd)]++; d.asked[string(cmd)] == 1 {
		*d.count++
		tag := uint16(v2ReplyTag)
		if cmd[0] == 0 {
			tag = v1ReplyTag
		}
		return pack(tag, uint32(headerLen), d.code), nil
	}
	return d.Device.Transmit(cmd)
}

func TestDeadAndAbsent(t *testing.T) {
	for name, v := range map[string]tpmtest.Version{"2.0": tpmtest.V20, "1.2": tpmtest.V12} {
		t.Run(name, func(t *testing.T) {
			s := startSim(t, v)
			check(t, s.PowerCycleUnstarted())
			p, err := Open(s.Socket)
			if err == nil {
				_, err = p.Info(context.Background())
			}
			wantErr(t, err, ErrNotStarted)
			s.Stop()
			_, err = Open(s.Socket)
			wantErr(t, err, ErrNoTPM)
		})
	}
	_, err := Open(filepath.Join(t.TempDir(), "absent"))
	wantErr(t, err, ErrNoTPM)
	regular := filepath.Join(t.TempDir(), "regular")
	check(t, os.WriteFile(regular, nil, 0o600))
	_, err = Open(regular)
	wantErr(t, err, ErrNoTPM)
	// Devices that are there and are no TPM.
	_, err = Open("/dev/zero")
	wantErr(t, err, ErrProtocol)
	if _, err = Open("/dev/null"); err == nil {
		t.Error("/dev/null is a TPM")
	}
}

// Replies of a mad TPM change nothing and crash nothing.
func FuzzReplies(f *testing.F) {
	for _, v := range []byte{0x80, 0x00} {
		f.Add(v, []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0}, uint8(0))
	}
	f.Fuzz(func(t *testing.T, family byte, reply []byte, op uint8) {
		if len(reply) < headerLen {
			return
		}
		binary.BigEndian.PutUint32(reply[2:], uint32(len(reply)))
		p := &TPM{open: func() (Device, error) { return fixed(reply), nil }, family: V20, impl: &v2{}}
		if family&0x80 == 0 {
			p.family, p.impl = V12, &v1{}
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if c := binary.BigEndian.Uint32(reply[6:]); c == v2Retry || c == v2Testing || c == v2Yielded || c == v2NVRate ||
			c == v1Retry || c == v1NeedsSelfTest || c == v1DoingSelfTest {
			return // would wait
		}
		switch op % 6 {
		case 0:
			_, _ = p.Info(ctx)
		case 1:
			_, _ = p.UnsealOTP(ctx)
		case 2:
			_, _ = p.ReadCounter(ctx, "1000000")
		case 3:
			_, _ = p.OTPSealedTo(ctx, PCRValues{})
		case 4:
			_ = p.CheckOwner(ctx, buf("x"))
		case 5:
			_, _ = p.ReadPCRs(ctx, 0, 7)
		}
	})
}

type fixed []byte

func (r fixed) Transmit([]byte) ([]byte, error) { return append([]byte(nil), r...), nil }
func (r fixed) Close() error                    { return nil }

// Other programs' leftovers do not stop us: three loaded objects fill a TPM.
func TestLeftovers(t *testing.T) {
	ctx := context.Background()
	s, p, pcrs := setUp20(t)
	h := startHeads(t, s)
	// One connection for all three, without a resource manager that would tidy up.
	for range 3 {
		_, err := h.Tool("createprimary", "-Q", "-C", "n", "-G", "ecc")
		if err != nil && !strings.Contains(err.Error(), exec.ErrNotFound.Error()) {
			break // full
		}
	}
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
	must(p.UnsealOTP(ctx))(t)
}
