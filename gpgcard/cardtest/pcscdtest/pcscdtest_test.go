package pcscdtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/gpgcard/cardtest"
)

// short returns a private directory with a short path, for sockets.
func short(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("/tmp", "pc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}

func need(t *testing.T) {
	if err := Available(); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func TestCardStatus(t *testing.T) {
	need(t)
	for _, p := range cardtest.Profiles {
		t.Run(p.Name, func(t *testing.T) {
			dir := short(t)
			d, err := Start(dir, cardtest.New(p))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Stop()
			g, err := d.GPG(filepath.Join(dir, "gpg"))
			if err != nil {
				t.Fatal(err)
			}
			defer g.Kill()
			out, err := g.Run(nil, "gpg", "--card-status")
			if err != nil || !strings.Contains(out, "Application type .: OpenPGP") {
				t.Fatalf("%v\n%s\n%s", err, out, d.Log())
			}
			t.Log(out)
		})
	}
}
