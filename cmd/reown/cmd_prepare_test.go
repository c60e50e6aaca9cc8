package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
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

// The shop's table has one line for each laptop, in the order in which they were finished.
func TestTheTableGrows(t *testing.T) {
	p := &preparation{record: filepath.Join(t.TempDir(), "table")}
	for i, order := range []string{"2026-1", "2026-2"} {
		if err := p.recordLine(&label{OK: i == 0, Order: order}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(p.record)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"order":"2026-1"`) || !strings.Contains(lines[1], `"ok":false`) {
		t.Errorf("the table is %q", lines)
	}
}
