package tpm

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/tpm/tpmtest"
)

// TestEndorsementKey: what Reset keeps is the key that tpm2-tools make by the TCG's
// template, the same after another Reset, and another one in another TPM.
func TestEndorsementKey(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V20)
	h := startHeads(t, s)
	p := mustOpen(t, s.Socket)
	if got := must(p.EndorsementKey(ctx))(t); got != "" {
		t.Errorf("a new TPM has the key %s", got)
	}
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
	ours := must(p.EndorsementKey(ctx))(t)

	dir := t.TempDir()
	must(h.Tool("createek", "-G", "ecc", "-P", ownerPass, "-c", filepath.Join(dir, "ek.ctx"), "-u",
		filepath.Join(dir, "ek.pub")))(t)
	must(h.Tool("flushcontext", "-t"))(t)
	must(h.Tool("readpublic", "-c", "0x81010001", "-n", filepath.Join(dir, "name"), "-o",
		filepath.Join(dir, "kept.pub")))(t)
	name, err := os.ReadFile(filepath.Join(dir, "name"))
	check(t, err)
	made, err := os.ReadFile(filepath.Join(dir, "ek.pub"))
	check(t, err)
	kept, err := os.ReadFile(filepath.Join(dir, "kept.pub"))
	check(t, err)
	if string(made) != string(kept) || len(made) < 32 {
		t.Errorf("tpm2_createek makes\n%x\nkept is\n%x", made, kept)
	}
	if hex.EncodeToString(name) != "000b"+ours {
		t.Errorf("ours %s, tpm2_readpublic says %x", ours, name)
	}

	check(t, p.Reset(ctx, buf("another owner"), ResetOptions{PrimaryAlg: ECC}))
	if again := must(p.EndorsementKey(ctx))(t); again != ours {
		t.Errorf("after another reset %s, before %s", again, ours)
	}
	other := mustOpen(t, startSim(t, tpmtest.V20).Socket)
	check(t, other.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
	if theirs := must(other.EndorsementKey(ctx))(t); theirs == ours || strings.Trim(theirs, "0123456789abcdef") != "" ||
		len(theirs) != 64 {
		t.Errorf("another TPM has %s, this one %s", theirs, ours)
	}
}
