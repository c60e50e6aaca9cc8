package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/internal/lab"
)

// TestTPM12 switches on a laptop with a TPM 1.2, behind the kernel's tpm_tis: what its
// PCRs say is what the seller saw; then it is taken over. In soaks: TestReownedWithTPM12 of
// internal/lab does the same without a kernel each time.
func TestTPM12(t *testing.T) {
	if os.Getenv("REOWN_SOAK") == "" {
		t.Skip("takes two minutes; REOWN_SOAK=1 runs it")
	}
	_, fw := newLaptop(t)
	dir, err := os.MkdirTemp(base.dir, "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx := deadline(t, 15*time.Minute)
	l, err := lab.New(ctx, lab.Options{Dir: filepath.Join(dir, "l"), DataMiB: 16, TPM: "1.2"})
	if err == nil {
		err = errors.Join(prepareBase(ctx, l), func() error { l.Stop(); return Install(ctx, l) }())
	}
	if err != nil {
		t.Fatal(err)
	}
	prepare(t, l)
	m := boot(t, ctx, l, Options{Firmware: fw})
	out, err := m.Sh(ctx, "reown tpm status --device /dev/tpm0 && . /tmp/lab-devices && reown verify "+Flags)
	if err != nil || !strings.Contains(out, "TPM 1.2") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("\n%s", out)
	m.Cut()
	takeWithRestarts(t, ctx, l, fw)
}

// takeWithRestarts takes ownership, in as many starts as the run asks for.
func takeWithRestarts(t *testing.T, ctx context.Context, l *lab.Laptop, fw *Firmware) {
	t.Helper()
	for starts := 1; ; starts++ {
		m := boot(t, ctx, l, Options{Firmware: fw, Script: unattended})
		err := m.Wait(ctx)
		b := remember(t, l)
		if err != nil || !m.Restarted() || starts == 4 {
			t.Fatalf("start %d: %v\n%s", starts, err, m.Console())
		}
		t.Logf("start %d: %s", starts, lastWord(m.Console()))
		if strings.Contains(m.Console(), "page done") {
			mustBeBuyers(t, ctx, l, b)
			return
		}
	}
}
