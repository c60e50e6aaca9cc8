package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
		if code := run(t.Context(), &cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs},
			append(base[:len(base):len(base)], more...)); code != exitUsage {
			t.Errorf("%q: exit code %d\n%s%s", more, code, &out, &errs)
		}
	}
}

// The shop's table has one line for each laptop that is finished, in that order, whatever a crash
// has left of the one before, and however many benches write at once.
func TestTheTableGrows(t *testing.T) {
	name := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(name, []byte(`{"ok":true,"order":"20`), 0o644); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			p := &preparation{record: name}
			done, err := p.openTable()
			if err != nil {
				t.Error(err)
				return
			}
			defer done()
			if err := p.recordLine(&label{OK: n%2 == 0, Wants: wantsRestart, Order: fmt.Sprint("2026-", n),
				Volumes: make([]string, 1000)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) != 1+10 {
		t.Fatalf("%d lines for 10 laptops", len(lines)-1)
	}
	seen := map[string]bool{}
	for _, line := range lines[1:] {
		var l label
		if err := json.Unmarshal([]byte(line), &l); err != nil || !l.OK || seen[l.Order] {
			t.Errorf("%v: %.80s", err, line)
		}
		seen[l.Order] = true
	}
	p := &preparation{record: t.TempDir()}
	if _, err := p.openTable(); err == nil {
		t.Error("a table that is a directory is noticed at the end only")
	}
}

// On a terminal the steps are one line, that of what else is said is another.
func TestProgressOnOneLine(t *testing.T) {
	for tty, want := range map[bool]string{
		false: "card\ndisk\ndisk 20%\ndisk 100%\ntpm\n",
		true:  "\rstep 1: card\rstep 2: disk\rstep 2: disk 20%\rstep 2: disk 100%\n\rstep 3: tpm\n",
	} {
		var out bytes.Buffer
		p := &progress{w: &out, tty: tty}
		p.report("card", 0, 0)
		p.report("disk", 0, 0)
		p.report("disk", 20, 100)
		p.report("disk", 21, 100)
		p.report("disk", 100, 100)
		p.end()
		p.report("tpm", 0, 0)
		p.end()
		p.end()
		if out.String() != want {
			t.Errorf("terminal %v: %q", tty, out.String())
		}
	}
}
