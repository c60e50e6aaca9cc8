package plumbing

import (
	"bytes"
	"strings"
	"testing"

	"reown/boot"
	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
)

// TestHostileNames: what /boot and a reader call themselves makes no line and moves no cursor.
func TestHostileNames(t *testing.T) {
	const evil = "x\n[OK] all is well\x1b[2J"
	var out bytes.Buffer
	e := &cli.Env{Stdout: &out, Stderr: &out}
	printReport(e, &boot.Report{
		Listed: []string{evil}, Problems: []boot.Problem{{Path: evil, What: "changed"}}, Added: []string{evil},
		Gone:     []string{evil},
		Unlisted: []string{evil}, Odd: []boot.Finding{{Name: evil}}, Default: 1, DefaultOK: true, Entry: evil,
	})
	printCard(&out, gpgcard.Info{ReaderName: evil, Manufacturer: evil, Name: evil, Login: evil})
	if text := out.String(); !strings.Contains(text, "all is well") || strings.Contains(text, "\n[OK]") ||
		strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
}
