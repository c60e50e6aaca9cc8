package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"reown/cmd/reown/internal/cli"
	"reown/wizard/wizardtest"
)

// TestRestartsEnd: a laptop whose TPM is never content is not restarted for ever, and not
// at all unless that was asked for.
func TestRestartsEnd(t *testing.T) {
	w := wizardtest.New()
	m := w.Machine()
	var errs bytes.Buffer
	e := &cli.Env{Stderr: &errs}
	again := func(context.Context) error { return nil }
	for n, want := range []bool{true, true, true, false, false} {
		p := &preparation{restart: true}
		if err := p.beforeRestart(t.Context(), e, m, again); err != nil || (p.again != nil) != want {
			t.Errorf("restart %d: %v, %v", n+1, p.again != nil, err)
		}
	}
	if !strings.Contains(errs.String(), "did not help") {
		t.Errorf("nothing is said: %q", errs.String())
	}
	p := &preparation{}
	if err := p.beforeRestart(t.Context(), e, wizardtest.New().Machine(), again); err != nil || p.again != nil {
		t.Errorf("%v, %v", p.again != nil, err)
	}
}

// TestPrepareFlags: what does not belong together is a wrong call, before anything is read.
func TestPrepareFlags(t *testing.T) {
	base := []string{"prepare", "--order", "o", "--secrets-out", "s"}
	for _, more := range [][]string{
		{"--shop-later"}, {"--shop-later", "--shop-cert", "c"}, {"--shop-later", "--mail-out", "m"},
		{"--shop-signature", "f", "--shop-cert", "c"},
		{"--shop-later", "--shop-signature", "f", "--shop-cert", "c", "--mail-out", "m"},
		{"--shop-later", "--shop-cert", "c", "--mail-out", "m", "--shop-pin-file", "p"},
		{"--shop-signature", "f", "--shop-cert", "c", "--mail-out", "m", "--shop-serial", "1"},
		{"--shop-cert", "c"}, {"--shop-pin-file", "p"}, {"--buyer", "b"}, {"--restart", "--no-restart"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), &cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}, append(base[:len(base):len(base)], more...)); code != exitUsage {
			t.Errorf("%q: exit code %d\n%s%s", more, code, &out, &errs)
		}
	}
}
