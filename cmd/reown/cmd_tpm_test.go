package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/cmd/reown/internal/cli"
	"reown/internal/rom"
	"reown/internal/rom/romtest"
	"reown/tpm"
	"reown/tpm/tpmtest"
)

// tpmCLI runs commands against an emulated TPM.
type tpmCLI struct {
	t      *testing.T
	dir    string
	socket string
}

func newTPMCLI(t *testing.T, v tpmtest.Version) *tpmCLI {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := tpmtest.StartVersion(dir, v)
	if err != nil {
		if err == tpmtest.ErrNoSwtpm && os.Getenv("REOWN_REQUIRE_PEERS") != "1" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return &tpmCLI{t, dir, s.Socket}
}

func (c *tpmCLI) file(name, content string) string {
	c.t.Helper()
	p := filepath.Join(c.dir, name)
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// run expects an exit code and returns what was printed, which never has a secret.
func (c *tpmCLI) run(want int, args ...string) string {
	c.t.Helper()
	var out, errs bytes.Buffer
	e := &cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}
	args = append([]string{"tpm"}, append(args, "--device", c.socket)...)
	if got := run(context.Background(), e, args); got != want {
		c.t.Fatalf("reown %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, want, out.Bytes(), errs.Bytes())
	}
	if s := out.String() + errs.String(); strings.Contains(s, "owner-marker") {
		c.t.Errorf("a secret was printed: %s", s)
	}
	return out.String() + errs.String()
}

func TestTPMCommands(t *testing.T) {
	for name, v := range map[string]tpmtest.Version{"2.0": tpmtest.V20, "1.2": tpmtest.V12} {
		t.Run(name, func(t *testing.T) {
			c := newTPMCLI(t, v)
			owner, wrong := c.file("owner", "owner-marker\n"), c.file("wrong", "another\n")
			otp, key, pass := c.file("otp", "01234567890123456789"), c.file("key", strings.Repeat("k", 128)),
				c.file("pass", "a long passphrase")
			status := func() (i tpm.Info) {
				t.Helper()
				if err := json.Unmarshal([]byte(c.run(exitDone, "status", "--json")), &struct {
					*tpm.Info
					PCRs map[string]string `json:"pcrs"`
				}{Info: &i}); err != nil {
					t.Fatal(err)
				}
				return i
			}
			if out := c.run(exitDone, "status"); !strings.Contains(out,
				map[tpmtest.Version]string{tpmtest.V20: "(anchor)   absent", tpmtest.V12: "(anchor)   unavailable"}[v]) {
				t.Errorf("status: %s", out)
			}
			if i := status(); i.Owned || string(i.Family) != name {
				t.Errorf("%+v", i)
			}
			c.run(exitUsage, "reset", "--owner-file", owner)
			c.run(exitUsage, "reset", "--confirm", "tpm")
			c.run(exitDone, "reset", "--owner-file", owner, "--confirm", "tpm", "--primary", "ecc")
			if i := status(); !i.SetUp {
				t.Errorf("%+v", i)
			}
			c.run(exitFailed, "unseal", "--output", "-")
			c.run(exitFailed, "seal", "--owner-file", wrong, "--secret-file", otp)
			c.run(exitDone, "seal", "--owner-file", owner, "--secret-file", otp)
			if got := c.run(exitDone, "unseal", "--output", "-"); got != "01234567890123456789" {
				t.Errorf("unsealed %q", got)
			}
			c.run(exitUsage, "seal", "--owner-file", owner, "--secret-file", key, "--duk")
			c.run(exitDone, "seal", "--owner-file", owner, "--secret-file", key, "--duk", "--passphrase-file", pass)
			back := filepath.Join(c.dir, "back")
			c.run(exitFailed, "unseal", "--duk", "--passphrase-file", wrong, "--output", back)
			c.run(exitDone, "unseal", "--duk", "--passphrase-file", pass, "--output", back)
			if b, err := os.ReadFile(back); err != nil || len(b) != 128 {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			c.run(exitFailed, "unseal", "--duk", "--passphrase-file", pass, "--output", back) // never overwritten

			// What changes something tells it as JSON as well, without the secret.
			type sealed struct {
				Object, Output string
				Bytes          int
				PCRs           map[string]string
			}
			told := func(args ...string) (s sealed) {
				t.Helper()
				if err := json.Unmarshal([]byte(c.run(exitDone, append(args, "--json")...)), &s); err != nil {
					t.Error(err)
				}
				return s
			}
			if s := told("seal", "--owner-file", owner, "--secret-file", otp); s.Object != "otp" || s.Bytes != 20 {
				t.Errorf("%+v", s)
			}
			if s := told("seal", "--owner-file", owner, "--secret-file", key, "--duk", "--passphrase-file",
				pass); s.Object != "duk" || s.Bytes != 128 {
				t.Errorf("%+v", s)
			}
			if s := told("unseal", "--output", back+"2"); s.Object != "otp" || s.Bytes != 20 || s.Output != back+"2" {
				t.Errorf("%+v", s)
			}
			c.run(exitUsage, "unseal", "--output", "-", "--json")

			var n tpm.Counter
			if err := json.Unmarshal([]byte(c.run(exitDone, "counter", "create", "--owner-file", owner, "--json")),
				&n); err != nil {
				t.Fatal(err)
			}
			if got := c.run(exitDone, "counter", "read", n.ID); got != n.Line+"\n" {
				t.Errorf("counter %q, want %q", got, n.Line)
			}
			c.run(exitDone, "counter", "increment", n.ID)
			c.run(exitUsage, "counter", "decrement", n.ID)
			c.run(exitNotVerified, "counter", "read", "1ffffff0")

			// Seal for the next start with another image: PCR 2 from the log, 7 from the image.
			size, bank := 32, "SHA256"
			if v == tpmtest.V12 {
				size, bank = 20, "SHA1"
			}
			fmapEvent := c.file("fmap", "FMAP")
			c.run(exitDone, "pcr", "--extend", "2", "--file", fmapEvent)
			log := c.file("log", fmt.Sprintf("coreboot TPM log:\n\n PCR-2 %x %s [FMAP: FMAP]\n", tpm.Hash(size, []byte("FMAP")),
				bank))
			if out := c.run(exitDone, "eventlog", log); strings.Count(out, "as in the TPM") != 8 {
				t.Errorf("event log:\n%s", out)
			}
			im, err := rom.Parse(romtest.Layouts[0].Build())
			if err != nil {
				t.Fatal(err)
			}
			if err := im.Add(rom.NamePubring, []byte("a keyring"), rom.Heads); err != nil {
				t.Fatal(err)
			}
			image := c.file("rom", string(im.Bytes()))
			var v map[string]string
			if err := json.Unmarshal([]byte(c.run(exitDone, "predict", "--image", image, "--log", log, "--json")),
				&v); err != nil {
				t.Fatal(err)
			}
			if v["2"] != hex.EncodeToString(tpm.Extend(make([]byte, size), tpm.Hash(size, []byte("FMAP")))) ||
				v["7"] == strings.Repeat("00", size) {
				t.Errorf("predicted %v", v)
			}
			c.run(exitDone, "pcr", "--extend", "2", "--file", fmapEvent) // now the log does not fit any more
			c.run(exitFailed, "predict", "--image", image, "--log", log)
			c.run(exitDone, "seal", "--owner-file", owner, "--secret-file", otp, "--pcr", "7="+v["7"])
			c.run(exitNotVerified, "unseal", "--output", "-")
			c.run(exitUsage, "seal", "--owner-file", owner, "--secret-file", otp, "--pcr", "7=xyz")
			c.run(exitDone, "status")
			var after map[string]any
			if err := json.Unmarshal([]byte(c.run(exitDone, "reset", "--owner-file", owner, "--confirm", "tpm", "--primary",
				"ecc", "--json")), &after); err != nil || after["set_up"] != true {
				t.Errorf("%v, %v", err, after)
			}
		})
	}
}

func TestTPMCommandsWithoutTPM(t *testing.T) {
	c := &tpmCLI{t, t.TempDir(), filepath.Join(t.TempDir(), "absent")}
	if out := c.run(exitFailed, "status"); !strings.Contains(out, "no TPM") || !strings.Contains(out, "what to do") {
		t.Errorf("%s", out)
	}
}
