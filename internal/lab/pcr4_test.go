package lab

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"reown/internal/secret"
	"reown/tpm"
	"reown/tpm/tpmtest"
)

// TestTheSystemCannotUnseal: before Heads starts a system it extends PCR 4
// (kexec-select-boot.sh, and kexec-insert-key.sh once it has the disk unlock key).
// From then on neither the secret of TOTP and HOTP, which is one object, nor the disk
// unlock key opens, no matter who asks; until the next start.
func TestTheSystemCannotUnseal(t *testing.T) {
	for name, v := range map[string]tpmtest.Version{"2.0": tpmtest.V20, "1.2": tpmtest.V12} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			dir, err := os.MkdirTemp("", "pcr4") // short, for the socket
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			s, err := tpmtest.StartVersion(dir, v)
			if err != nil {
				if errors.Is(err, tpmtest.ErrNoSwtpm) && os.Getenv("REOWN_REQUIRE_PEERS") != "1" {
					t.Skip(err)
				}
				t.Fatal(err)
			}
			t.Cleanup(s.Stop)
			heads := &HeadsTPM{TCTI: s.TCTI(), Dir: filepath.Join(dir, "heads")}
			if v == tpmtest.V12 {
				heads.Socket = s.Socket
			}
			chip, err := tpm.Open(s.Socket)
			if err != nil {
				t.Fatal(err)
			}
			const passphrase = "for the disk unlock key"
			owner, pass := secret.From([]byte("owner passphrase")), secret.From([]byte(passphrase))
			otp, key := secret.Random(20), secret.Random(tpm.DUKSize)
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(chip.Reset(ctx, owner, tpm.ResetOptions{PrimaryAlg: tpm.RSA}))
			pcrs, err := chip.ReadPCRs(ctx, tpm.DUKPCRs()...)
			must(err)
			must(chip.SealOTP(ctx, owner, otp, pcrs))
			must(chip.SealDUK(ctx, owner, key, pass, pcrs))
			opens := func(want bool) {
				t.Helper()
				a, err := heads.Unseal(ctx)
				if (err == nil && bytes.Equal(a, otp.Bytes())) != want {
					t.Errorf("TOTP and HOTP by Heads' commands: opened %v, want %v (%v)", !want, want, err)
				}
				b, err := heads.UnsealDUK(ctx, passphrase)
				if (err == nil && bytes.Equal(b, key.Bytes())) != want {
					t.Errorf("disk unlock key by Heads' commands: opened %v, want %v (%v)", !want, want, err)
				}
				ours, err := chip.UnsealOTP(ctx)
				if ours.Wipe(); want != (err == nil) || !want && !errors.Is(err, tpm.ErrPCRMismatch) {
					t.Errorf("TOTP and HOTP by reown: %v", err)
				}
				ours, err = chip.UnsealDUK(ctx, pass)
				if ours.Wipe(); want != (err == nil) || !want && !errors.Is(err, tpm.ErrPCRMismatch) {
					t.Errorf("disk unlock key by reown: %v", err)
				}
			}
			opens(true)
			must(heads.MarkGeneric(ctx))
			opens(false)
			must(heads.MarkGeneric(ctx)) // nothing brings it back but a start
			opens(false)
			must(chip.Shutdown(ctx))
			must(s.PowerCycle())
			opens(true)
		})
	}
}
