package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"reown/cmd/reown/internal/cli"
	"reown/wizard"
)

// TestVerifyExitCode: "changed since" is no failure and names who can have done it; what no signature
// explains is one. Text of the certificate's own cannot make lines.
func TestVerifyExitCode(t *testing.T) {
	for _, c := range []struct {
		verdict wizard.Verdict
		fails   bool
	}{{wizard.Pass, false}, {wizard.Changed, false}, {wizard.NotProvided, false}, {wizard.Fail, true}} {
		var out bytes.Buffer
		k := strings.Repeat("9C0D", 10)
		r := &wizard.Recheck{Reference: "r\n[OK] x", Date: "2026-11-22", Owner: k, Key: k, Keys: []string{k},
			Items: []wizard.CheckItem{{ID: "tpm", Verdict: c.verdict, Detail: "the storage root\n[OK] disk"}}}
		err := verifyCertificate(&cli.Env{Stdout: &out}, r, false)
		if errors.Is(err, wizard.ErrChangedSince) != c.fails || (err != nil) != c.fails {
			t.Errorf("%s: %v", c.verdict, err)
		}
		text := out.String()
		if (c.verdict == wizard.Changed) != strings.Contains(text,
			"changed since 2026-11-22 by somebody who holds the key 9C0D 9C0D") || strings.Count(text, "\n") != 2 {
			t.Errorf("%s:\n%s", c.verdict, text)
		}
	}
}
