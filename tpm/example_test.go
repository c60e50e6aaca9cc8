package tpm_test

import (
	"context"
	"errors"
	"fmt"

	"reown/tpm"
)

// The registers after the next start with another firmware image: what the firmware
// measures stays, and PCR 7 follows from the image's files.
func ExamplePredictOTP() {
	log, err := tpm.ParseEventLog([]byte("coreboot TPM log:\n\n" +
		" PCR-2 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad SHA256 [FMAP: FMAP]\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	zero := make([]byte, 32)
	measured := tpm.Extend(zero, tpm.Hash(32, []byte("abc")))
	now := tpm.PCRValues{0: zero, 1: zero, 2: measured, 3: zero}
	pcr7 := tpm.Extend(zero, tpm.Hash(32, []byte("a keyring")))
	next, err := tpm.PredictOTP(now, log, pcr7)
	fmt.Printf("%x %v\n", next[2][:4], err)

	now[2] = zero // something else was measured than the log says
	_, err = tpm.PredictOTP(now, log, pcr7)
	fmt.Println(errors.Is(err, tpm.ErrEventLogMismatch))
	// Output:
	// 589f9ffe <nil>
	// true
}

// What a statement says of a TPM is compared with protected readings only.
func ExampleReader() {
	ctx := context.Background()
	chip, err := tpm.Open("/dev/no-such-tpm")
	if errors.Is(err, tpm.ErrNoTPM) {
		fmt.Println("no TPM")
		return
	}
	rootName := "000b..." // from the signed statement
	anchor, err := chip.Reader(rootName).Anchor(ctx)
	var failed *tpm.ReadingError
	switch {
	case errors.As(err, &failed):
		fmt.Println("not verified:", failed.Kind)
	case !anchor.Protected:
		fmt.Println("counts neither way: a TPM 1.2")
	default:
		fmt.Println(anchor.Value.State)
	}
	// Output: no TPM
}
