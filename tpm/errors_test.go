package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"reown/tpm/tpmtest"
)

// answer is a reply without sessions: a response code, and parameters.
func answer(v Family, code uint32, params ...byte) []byte {
	tag := uint16(0x8001)
	if v == V12 {
		tag = 0x00c4
	}
	b := binary.BigEndian.AppendUint16(nil, tag)
	b = binary.BigEndian.AppendUint32(b, uint32(headerLen+len(params)))
	return append(binary.BigEndian.AppendUint32(b, code), params...)
}

// A chip whose self-test has failed answers nothing else, and says so.
func TestBroken(t *testing.T) {
	for v, code := range map[Family]uint32{V20: v2Failure, V12: v1FailedSelfTest} {
		p := &TPM{open: func() (Device, error) { return fixed(answer(v, code)), nil }, family: v, impl: &v2{}}
		if v == V12 {
			p.impl = &v1{}
		}
		_, err := p.ReadPCRs(context.Background(), 0)
		wantErr(t, err, ErrBroken)
		var refusal *CommandError
		if !errors.As(err, &refusal) || refusal.Code != code {
			t.Errorf("%s: %v", v, err)
		}
	}
}

// A TPM 2.0 may keep its measurements in SHA-1 only.
func TestNoBank(t *testing.T) {
	s := startSim(t, tpmtest.V20) // nobody's yet: registers are read without a session
	p := tampered(t, s, func(cmd, reply []byte) []byte {
		if CommandName(cmd) != "TPM2_PCR_Read" {
			return nil
		}
		return answer(V20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // update counter, no selection, no digest
	})
	_, err := p.ReadPCRs(context.Background(), 0)
	wantErr(t, err, ErrNoBank)
}

// A TPM 1.2 moves one counter in a start: if another one was first, ours is there and
// does not move.
func TestCounterBusy12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	own := mustOpen(t, s.Socket)
	check(t, own.Reset(ctx, buf(ownerPass), ResetOptions{}))
	n := must(own.CreateCounter(ctx, buf(ownerPass)))(t)
	p := tampered(t, s, func(cmd, reply []byte) []byte {
		if CommandName(cmd) != "TPM_IncrementCounter" {
			return nil
		}
		return answer(V12, v1BadCounter)
	})
	_, err := p.IncrementCounter(ctx, n.ID)
	wantErr(t, err, ErrCounterBusy)
	_, err = p.IncrementCounter(ctx, "7")
	wantErr(t, err, ErrNoCounter)
}

func TestNoEventLog(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/security/tpm0/binary_bios_measurements"); err == nil {
		t.Skip("this machine has one")
	}
	t.Setenv("PATH", t.TempDir())
	_, err := ReadEventLog(context.Background())
	wantErr(t, err, ErrNoEventLog)
}

// The kernel gives the device without resource manager to one program at a time.
func TestBusyDevice(t *testing.T) {
	wantErr(t, pathError("opening", "/dev/tpm0", unix.EBUSY), ErrBusy)
	if err := pathError("opening", "/dev/tpm0", unix.EACCES); errors.Is(err, ErrBusy) || errors.Is(err, ErrNoTPM) {
		t.Error(err)
	}
}
