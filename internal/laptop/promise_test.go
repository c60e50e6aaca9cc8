package laptop

import (
	"context"
	"errors"
	"maps"
	"os"
	"testing"

	"reown/boot"
	"reown/internal/handover"
	"reown/internal/secret"
	"reown/tpm"
	"reown/tpm/tpmtest"
)

// TestPromisedTPM: what a statement promises of the TPM is read in a session that is salted to
// the root of that statement. Without the TPM, with another root, with none named, or with the
// sealed secret gone, nothing of it passes; a TPM 1.2 protects nothing, and proves nothing.
func TestPromisedTPM(t *testing.T) {
	for name, version := range map[string]tpmtest.Version{"2.0": tpmtest.V20, "1.2": tpmtest.V12} {
		t.Run(name, func(t *testing.T) { promisedTPM(t, version) })
	}
}

func promisedTPM(t *testing.T, version tpmtest.Version) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "promise") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := tpmtest.StartVersion(dir, version)
	if errors.Is(err, tpmtest.ErrNoSwtpm) && os.Getenv("REOWN_REQUIRE_PEERS") != "1" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	p, err := tpm.Open(s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	owner, otp := secret.From([]byte("owner")), secret.From([]byte("01234567890123456789"))
	defer owner.Wipe()
	defer otp.Wipe()
	set := func() {
		t.Helper()
		pcrs, err := p.ReadPCRs(ctx, tpm.OTPPCRs()...)
		if err := errors.Join(err, p.Reset(ctx, owner, tpm.ResetOptions{PrimaryAlg: tpm.ECC}),
			p.SealOTP(ctx, owner, otp, pcrs)); err != nil {
			t.Fatal(err)
		}
	}
	set()
	boots := t.TempDir()
	bd, err := boot.Open(boots)
	if err != nil {
		t.Fatal(err)
	}
	h := &handoverReader{dir: bd, tpm: &tpmAdapter{t: p}}
	read := func(want *handover.Reference) (m handover.Measured, err error) {
		m.Subjects = map[string]string{handover.SubjectROM: "a"}
		err = h.measureTPM(ctx, want, &m)
		return m, err
	}
	made, err := read(nil)
	if err != nil {
		t.Fatal(err)
	}
	st := &handover.Statement{Subjects: maps.Clone(made.Subjects), Reference: made.Reference}
	if len(made.Reference.TOTP) < 40 || len(made.Reference.PCRs) != 2 {
		t.Fatalf("%+v", made)
	}
	v12 := version == tpmtest.V12
	if v12 {
		st.Reference.SRKName = "" // as the seller writes it
	}
	lines := func() handover.Comparison {
		t.Helper()
		m, _ := read(&st.Reference)
		return st.Compare(m)
	}
	good := lines()
	var mm *handover.MismatchError
	if err := good.Err(); errors.As(err, &mm) || v12 != errors.Is(err, handover.ErrNothingCompared) {
		t.Errorf("%v: %+v", err, good)
	}
	if n := good.Count(handover.Unprotected); v12 != (n == 3) {
		t.Errorf("%d lines that nothing protects: %+v", n, good)
	}
	refused := func(what string) {
		t.Helper()
		if c := lines(); !errors.As(c.Err(), &mm) || c.Count(handover.Pass) != 1 {
			t.Errorf("%s: %v: %+v", what, c.Err(), c)
		}
	}
	if !v12 {
		was := st.Reference.SRKName
		st.Reference.SRKName = ""
		refused("no root is named")
		st.Reference.SRKName = was
	}
	set()
	refused("another secret, and another root")
	// While a run of ours is under way the root that it made is asked; the line of the root
	// fails all the same.
	if err := os.WriteFile(boots+"/kexec_reown.receipt", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if c := lines(); !errors.As(c.Err(), &mm) || !v12 && mm.Failed[0].Name != "srk" {
		t.Errorf("a run is under way: %v", c.Err())
	}
	if err := os.Remove(boots + "/kexec_reown.receipt"); err != nil {
		t.Fatal(err)
	}
	if err := p.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	refused("cleared")
	s.Stop()
	refused("no answer")
	h.tpm = nil
	refused("--tpm none")
}
