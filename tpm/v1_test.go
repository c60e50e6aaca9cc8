package tpm

import (
	"bytes"
	"context"
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

// startHeads12 needs Heads' own program, which no distribution has: its path is
// given in REOWN_TPMTOTP. What it made once is in testdata (TestHeads12State).
func startHeads12(t *testing.T, s *tpmtest.Sim) *tpmtest.Heads12 {
	t.Helper()
	program := os.Getenv("REOWN_TPMTOTP")
	if program == "" {
		t.Skip("REOWN_TPMTOTP does not name tpmtotp's `tpm`")
	}
	return must(tpmtest.NewHeads12(program, s, filepath.Join(filepath.Dir(s.Socket), "heads")))(t)
}

// The whole life of a TPM 1.2 with our own commands.
func TestLife12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	p := mustOpen(t, s.Socket)
	if i := must(p.Info(ctx))(t); i.Family != V12 || i.Owned || i.SetUp || !i.CanReset {
		t.Errorf("new: %+v", i)
	}
	_, err := p.UnsealOTP(ctx)
	wantErr(t, err, ErrNotSealed)
	var steps []int64
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{Progress: func(n, _ int64) { steps = append(steps, n) }}))
	if len(steps) != 4 {
		t.Errorf("progress %v", steps)
	}
	i := must(p.Info(ctx))(t)
	if !i.Owned || !i.SetUp || i.HasOTP || i.HasDUK || len(i.PCRs) != 8 || len(i.PrimaryName) != 40 {
		t.Errorf("after the reset: %+v", i)
	}
	check(t, p.CheckOwner(ctx, buf(ownerPass)))
	wantErr(t, p.CheckOwner(ctx, buf("wrong")), ErrWrongOwner)
	key := secret.Random(DUKSize)
	wantErr(t, p.SealOTP(ctx, buf("wrong"), buf(otpText), i.PCRs), ErrWrongOwner)
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), i.PCRs))
	check(t, p.SealDUK(ctx, buf(ownerPass), key, buf(dukPass), i.PCRs))
	if !must(p.OTPSealedTo(ctx, i.PCRs))(t) || !must(p.DUKSealedTo(ctx, i.PCRs))(t) {
		t.Error("not sealed to what it was sealed to")
	}
	if must(p.OTPSealedTo(ctx, i.PCRs.With(7, Hash(20, nil))))(t) {
		t.Error("sealed to any value")
	}
	if got := must(p.UnsealOTP(ctx))(t); string(got.Bytes()) != otpText {
		t.Errorf("unsealed %q", got.Bytes())
	}
	if got := must(p.UnsealDUK(ctx, buf(dukPass)))(t); !got.Equal(key) {
		t.Error("unsealed another key")
	}
	_, err = p.UnsealDUK(ctx, buf("wrong"))
	wantErr(t, err, ErrWrongPassphrase)
	n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	if want := fmt.Sprintf("%s: 000ebaddecaf%08x", n.ID, n.Value); n.Line != want {
		t.Errorf("counter line %q, want %q", n.Line, want)
	}
	if m := must(p.IncrementCounter(ctx, n.ID))(t); m.Value != n.Value+1 {
		t.Errorf("%+v after %+v", m, n)
	}
	_, err = p.ReadCounter(ctx, "77")
	wantErr(t, err, ErrNoCounter)
	_, err = p.IncrementCounter(ctx, "77")
	wantErr(t, err, ErrNoCounter)
	_, err = p.ReadCounter(ctx, "x")
	wantErr(t, err, ErrNoCounter)
	check(t, p.ExtendPCR(ctx, 4, []byte("recovery")))
	if got, want := must(p.ReadPCRs(ctx, 4))(t)[4],
		Extend(make([]byte, 20), Hash(20, []byte("recovery"))); !bytes.Equal(got, want) {
		t.Errorf("PCR 4: %x, want %x", got, want)
	}
	_, err = p.UnsealOTP(ctx)
	wantErr(t, err, ErrPCRMismatch)
	check(t, p.Shutdown(ctx))
	check(t, s.PowerCycle())
	must(p.UnsealOTP(ctx))(t)
	if i := must(p.Info(ctx))(t); !i.HasOTP || !i.HasDUK || len(i.Counters) != 1 {
		t.Errorf("at the end: %+v", i)
	}
}

// Between ForceClear and the end, a TPM 1.2 that loses power is deactivated.
func TestDeactivated12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	p, names := cutAt(t, s, 0, false)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	at := 0
	for i, n := range *names {
		if n == "TPM_ForceClear" {
			at = i + 1
		}
	}
	p, _ = cutAt(t, s, at, true)
	wantErr(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}), errPower)
	check(t, s.PowerCycle())
	p = mustOpen(t, s.Socket)
	if i := must(p.Info(ctx))(t); i.SetUp || i.Owned {
		t.Errorf("%+v", i)
	}
	wantErr(t, p.CheckOwner(ctx, buf(ownerPass)), ErrNotSetUp)
	wantErr(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}), ErrRestartNeeded)
	check(t, s.PowerCycle())
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
}

// What a former owner has sealed outlives a TPM 1.2's clearing, and must not be
// taken for ours.
func TestFormerOwner12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	p := mustOpen(t, s.Socket)
	check(t, p.Reset(ctx, buf("the seller's"), ResetOptions{}))
	pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
	check(t, p.SealOTP(ctx, buf("the seller's"), buf(otpText), pcrs))
	if !must(p.OTPSealedTo(ctx, pcrs))(t) {
		t.Fatal("not sealed")
	}
	var blob []byte
	raw := func(do func(*conn) error) { t.Helper(); check(t, p.with(ctx, do)) }
	raw(func(c *conn) error {
		r, err := c.call(v1NVRead, otpSlot.v1, uint32(0), uint32(v1BlobSize))
		if err == nil {
			blob = r.sized()
		}
		return err
	})
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	if i := must(p.Info(ctx))(t); i.HasOTP || i.HasDUK {
		t.Errorf("after the reset: %+v", i)
	}
	// As another program's reset leaves it.
	raw(func(c *conn) error { _, err := c.call(v1NVWrite, otpSlot.v1, uint32(0), sized(blob)); return err })
	if must(p.OTPSealedTo(ctx, pcrs))(t) {
		t.Error("the seller's secret is taken for ours")
	}
	_, err := p.UnsealOTP(ctx)
	wantErr(t, err, ErrNotSealed)
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
	must(p.UnsealOTP(ctx))(t)
}

func TestHeads12(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V12)
	h := startHeads12(t, s)
	p := mustOpen(t, s.Socket)
	key := secret.Random(DUKSize)

	// Ours, used by Heads.
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	check(t, p.ExtendPCR(ctx, 2, []byte("coreboot")))
	pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
	check(t, p.SealDUK(ctx, buf(ownerPass), key, buf(dukPass), pcrs))
	if got := must(h.Unseal("4d47", ""))(t); string(got) != otpText {
		t.Errorf("Heads unsealed %q", got)
	}
	if got := must(h.Unseal("3", dukPass))(t); !bytes.Equal(got, key.Bytes()) {
		t.Error("Heads unsealed another key")
	}
	if got, err := h.Unseal("3", "wrong"); err == nil {
		t.Errorf("Heads unsealed with a wrong passphrase: %x", got)
	}
	n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	if text := must(h.CounterRead(n.ID))(t); text != n.Line+"\n" {
		t.Errorf("counter: ours %q, Heads %q", n.Line, text)
	}
	text := must(h.CounterIncrement(n.ID))(t)
	if m := must(p.ReadCounter(ctx, n.ID))(t); m.Line+"\n" != text {
		t.Errorf("counter: ours %q, Heads %q", m.Line, text)
	}

	// Heads', used by us.
	check(t, h.Reset("heads owner"))
	check(t, s.PowerCycle())
	check(t, p.CheckOwner(ctx, buf("heads owner")))
	if i := must(p.Info(ctx))(t); !i.SetUp {
		t.Errorf("Heads' reset looks unfinished: %+v", i)
	}
	pcrs = must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
	check(t, h.Seal([]byte(otpText), "4d47", pcrs.Only(OTPPCRs()), "", "heads owner"))
	check(t, h.Seal(key.Bytes(), "3", pcrs, dukPass, "heads owner"))
	if !must(p.OTPSealedTo(ctx, pcrs))(t) || !must(p.DUKSealedTo(ctx, pcrs))(t) {
		t.Error("we read other values from Heads' blob")
	}
	if got := must(p.UnsealOTP(ctx))(t); string(got.Bytes()) != otpText {
		t.Errorf("unsealed %q", got.Bytes())
	}
	if got := must(p.UnsealDUK(ctx, buf(dukPass)))(t); !got.Equal(key) {
		t.Error("unsealed another key")
	}
	created := must(h.CounterCreate("heads owner"))(t)
	id, _, _ := strings.Cut(created, ":")
	n = must(p.IncrementCounter(ctx, id))(t)
	if text := must(h.CounterRead(id))(t); text != n.Line+"\n" {
		t.Errorf("counter: ours %q, Heads %q", n.Line, text)
	}
	if dir := os.Getenv("REOWN_TPMTOTP_STATE"); dir != "" { // makes testdata/heads12
		s.Stop()
		check(t, os.CopyFS(dir, os.DirFS(filepath.Join(filepath.Dir(s.Socket), "state"))))
	}
}

// A TPM 1.2 that Heads' own program has set up, kept as the emulator's state file.
func TestHeads12State(t *testing.T) {
	ctx := context.Background()
	dir := must(os.MkdirTemp("", "tpm"))(t)
	defer os.RemoveAll(dir)
	check(t, os.CopyFS(filepath.Join(dir, "state"), os.DirFS("testdata/heads12")))
	s, err := tpmtest.StartVersion(dir, tpmtest.V12)
	if err != nil {
		missing(t, err)
	}
	defer s.Stop()
	p := mustOpen(t, s.Socket)
	i := must(p.Info(ctx))(t)
	if !i.SetUp || !i.HasOTP || !i.HasDUK || len(i.Counters) != 1 {
		t.Fatalf("%+v", i)
	}
	check(t, p.CheckOwner(ctx, buf("heads owner")))
	zero := PCRValues{}
	for _, n := range DUKPCRs() {
		zero[n] = make([]byte, 20)
	}
	if !must(p.OTPSealedTo(ctx, zero))(t) || !must(p.DUKSealedTo(ctx, zero))(t) {
		t.Error("we read other values from Heads' blob")
	}
	if got := must(p.UnsealOTP(ctx))(t); string(got.Bytes()) != otpText {
		t.Errorf("unsealed %q", got.Bytes())
	}
	if got := must(p.UnsealDUK(ctx, buf(dukPass)))(t); got.Len() != DUKSize {
		t.Errorf("unsealed %d bytes", got.Len())
	}
	_, err = p.UnsealDUK(ctx, buf("wrong"))
	wantErr(t, err, ErrWrongPassphrase)
	if n := must(p.IncrementCounter(ctx, i.Counters[0]))(t); n.Line != "0: 000ebaddecaf00000006" {
		t.Errorf("counter %q", n.Line)
	}
	check(t, p.SealOTP(ctx, buf("not needed: the area is there"), buf("another secret of ours"), zero))
	if got := must(p.UnsealOTP(ctx))(t); string(got.Bytes()) != "another secret of ours" {
		t.Errorf("unsealed %q", got.Bytes())
	}
}

func FuzzParseBlob(f *testing.F) {
	f.Add(pack(uint32(v1Version11), sized(pack(uint16(2), []byte{0x9f, 0}, digest{1}, digest{})),
		sized(make([]byte, 256))))
	f.Add(make([]byte, v1BlobSize))
	f.Fuzz(func(t *testing.T, area []byte) {
		b, err := parseBlob(area)
		if err != nil && !errors.Is(err, ErrNotSealed) {
			t.Fatal(err)
		}
		if err == nil && len(b.raw) > len(area) {
			t.Fatal("blob is longer than its area")
		}
	})
}

// The distributions' own tools for TPM 1.2 find our NV areas as Heads' program
// makes them, and our owner passphrase is theirs.
func TestTrousers12(t *testing.T) {
	ctx := context.Background()
	for _, tool := range []string{"tcsd", "tpm_nvinfo"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("tcsd starts only as root")
	}
	s := startSim(t, tpmtest.V12)
	p := mustOpen(t, s.Socket)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{}))
	pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
	check(t, p.SealDUK(ctx, buf(ownerPass), secret.Random(DUKSize), buf(dukPass), pcrs))
	r := must(tpmtest.NewTrousers(s, filepath.Join(filepath.Dir(s.Socket), "tcsd")))(t)
	defer r.Stop()
	out := string(must(r.Tool("tpm_version"))(t))
	if !strings.Contains(out, "1.2") {
		t.Errorf("tpm_version:\n%s", out)
	}
	for _, index := range []string{"0x00004d47", "0x00000003"} {
		out := string(must(r.Tool("tpm_nvinfo", "-i", index))(t))
		if !strings.Contains(out, "312 (0x138)") || !strings.Contains(out, "Permissions   : 0x00000000") {
			t.Errorf("tpm_nvinfo %s:\n%s", index, out)
		}
	}
	file := filepath.Join(filepath.Dir(s.Socket), "blob")
	must(r.Tool("tpm_nvread", "-i", "0x4d47", "-s", "312", "-f", file))(t)
	blob := must(parseBlob(must(os.ReadFile(file))(t)))(t)
	if _, d, err := composite(OTPPCRs(), pcrs); err != nil || blob.release != d || len(blob.raw) != v1BlobSize {
		t.Errorf("blob of %d bytes, sealed to %x, want %x", len(blob.raw), blob.release, d)
	}
}
