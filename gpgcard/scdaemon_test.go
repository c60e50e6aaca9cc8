package gpgcard_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/pcscdtest"
	"reown/internal/pcsc"
)

// edit drives gpg --card-edit: plain answers by prompt, PINs in the order in which
// they are asked, the last one as often as it is.
func edit(t *testing.T, g *pcscdtest.GPG, commands []string, answers map[string]string, pins ...string) string {
	t.Helper()
	g.Kill() // no PIN is remembered, so that the order of questions is known
	out, err := g.Edit(func(prompt, hint string) (string, bool) {
		switch {
		case prompt == "cardedit.prompt":
			if len(commands) == 0 {
				return "quit", true
			}
			c := commands[0]
			commands = commands[1:]
			return c, true
		case strings.HasPrefix(prompt, "passphrase"):
			if len(pins) == 0 {
				return "", false
			}
			p := pins[0]
			if len(pins) > 1 { // the last one may be asked for again
				pins = pins[1:]
			}
			return p, true
		}
		if list, ok := answers[prompt]; ok {
			first, rest, more := strings.Cut(list, "|")
			if more {
				answers[prompt] = rest
			}
			return first, true
		}
		return "", false
	}, "--expert", "--card-edit")
	if err != nil || len(pins) > 1 {
		t.Fatalf("gpg --card-edit: %v, %d PINs not asked for\n%s", err, len(pins), out)
	}
	return out
}

// TestGPGOwnsTheEmulator takes the emulated card through its whole life with the
// real gpg and scdaemon, and reads with our code what they made.
func TestGPGOwnsTheEmulator(t *testing.T) {
	type kind struct {
		p      cardtest.Profile
		answer map[string]string // key-attr
		alg    string
	}
	rsa := map[string]string{"cardedit.genkeys.algo": "1", "cardedit.genkeys.size": "2048"}
	for _, k := range []kind{
		{cardtest.ZeitControl, map[string]string{"cardedit.genkeys.algo": "2", "keygen.curve": "3"}, "p256"},
		{cardtest.ZeitControl, rsa, "rsa2048"},
		{cardtest.Nitrokey3, map[string]string{"cardedit.genkeys.algo": "2", "keygen.curve": "1"}, "25519"},
		{cardtest.Gnuk, map[string]string{"cardedit.genkeys.algo": "2", "keygen.curve": "1"}, "25519"},
		{cardtest.YubiKey, map[string]string{"cardedit.genkeys.algo": "2", "keygen.curve": "4"}, "p384"},
		{cardtest.CanoKey, map[string]string{"cardedit.genkeys.algo": "2", "keygen.curve": "3"}, "p256"},
	} {
		t.Run(k.p.Name+"/"+k.alg, func(t *testing.T) {
			long(t, k.p.Name != "zeitcontrol" && k.p.Name != "gnuk" || k.alg == "rsa2048")
			ctx := context.Background()
			card := cardtest.New(k.p)
			d, g := daemon(t, card)
			if k.alg != "rsa2048" {
				edit(t, g, []string{"admin", "key-attr"}, k.answer, "12345678", "12345678", "12345678")
			}
			gen := map[string]string{
				"cardedit.genkeys.backup_enc": "n", "keygen.valid": "0", "keygen.name": "Jane Doe",
				"keygen.email": "jane@example.org", "keygen.comment": "",
				"keygen.valid.okay": "y", "keygen.userid.cmd": "O",
			}
			edit(t, g, []string{"admin", "generate"}, gen, "12345678", "123456")
			fpr := field(must(t, g, nil, "--with-colons", "-k"), "fpr", 9)

			// What gpg made is what we read.
			g.Kill()
			c, err := gpgcard.Open(ctx, gpgcard.Selector{}, pcsc.Bus{Socket: d.Socket})
			if err != nil {
				t.Fatal(err)
			}
			info, err := c.Info(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range info.Keys {
				if !key.Present || !key.Consistent || key.Algorithm != k.alg {
					t.Fatalf("%+v", key)
				}
			}
			if info.Keys[0].Fingerprint != fpr || info.Signatures < 3 {
				t.Fatalf("card %+v, gpg's key %s", info, fpr)
			}
			cert, err := c.Certificate(ctx, jane, nil)
			if err != nil || cert.Fingerprint() != fpr {
				t.Fatalf("our certificate of gpg's keys: %v", err)
			}
			sig, err := c.SignDetached(ctx, cert, nil, []byte("boot"))
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			judge(t, cert, sig, []byte("boot"), 3)
			// gpg finds nothing new in our certificate: the subkeys are the same.
			file := filepath.Join(g.Home, "ours.asc")
			if err := os.WriteFile(file, cert.Armored(), 0o600); err != nil {
				t.Fatal(err)
			}
			must(t, g, nil, "--import", file)
			if out := must(t, g, nil, "--with-colons", "-k", fpr); strings.Count(out, "\nsub:") != 2 {
				t.Fatalf("subkeys:\n%s", out)
			}

			// passwd: the admin PIN, then the user PIN; then names.
			edit(t, g, []string{"admin", "passwd"}, map[string]string{"cardutil.change_pin.menu": "3|1|q"},
				"12345678", "new admin pin", "new admin pin", "123456", "new user pin", "new user pin")
			edit(t, g, []string{"admin", "name", "login", "lang", "quit"}, map[string]string{
				"keygen.smartcard.surname": "Doe", "keygen.smartcard.givenname": "Jane", "cardedit.change_login": "jane",
				"cardedit.change_lang": "de"}, "new admin pin")
			g.Kill()
			c, err = gpgcard.Open(ctx, gpgcard.Selector{}, pcsc.Bus{Socket: d.Socket})
			if err != nil {
				t.Fatal(err)
			}
			if info, err = c.Info(ctx); err != nil || info.Name != "Jane Doe" || info.Login != "jane" || info.Language != "de" {
				t.Fatalf("%+v %v", info, err)
			}
			if err := c.Verify(ctx, gpgcard.AdminPIN, pin("new admin pin")); err != nil {
				t.Fatal(err)
			}
			c.Close()

			// Sign and decrypt with the new PIN.
			in := filepath.Join(g.Home, "in")
			if err := os.WriteFile(in, []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
			g.Kill()
			must(t, g, []byte("new user pin\n"), "-o", in+".sig", "--detach-sign", in)
			must(t, g, nil, "--verify", in+".sig", in)
			must(t, g, nil, "-r", fpr, "-o", in+".gpg", "-e", in)
			if out := must(t, g, []byte("new user pin\n"), "-d", in+".gpg"); !strings.Contains(out, "hello") {
				t.Fatal(out)
			}

			// gpg's own reset, on a card with a blocked PIN.
			card.SetTries(0, 1)
			edit(t, g, []string{"admin", "factory-reset"},
				map[string]string{"cardedit.factory-reset.proceed": "y", "cardedit.factory-reset.really": "yes"})
			if out := must(t, g, nil, "--card-status"); !strings.Contains(out, "PIN retry counter : 3 0 3") ||
				!strings.Contains(out, "Signature key ....: [none]") {
				t.Fatalf("after factory-reset:\n%s", out)
			}
		})
	}
}

// TestOpenSC lets OpenSC read a card that we set up.
func TestOpenSC(t *testing.T) {
	peer(t, "openpgp-tool")
	for _, p := range []cardtest.Profile{cardtest.ZeitControl, cardtest.Nitrokey3, cardtest.YubiKey, cardtest.Gnuk} {
		t.Run(p.Name, func(t *testing.T) {
			ctx := context.Background()
			d, g := daemon(t, cardtest.New(p))
			c, err := gpgcard.Open(ctx, gpgcard.Selector{}, pcsc.Bus{Socket: d.Socket})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.RSA2048, Created: created}); err != nil {
				t.Fatal(err)
			}
			if err := c.SetIdentity(ctx, nil, "Jane Doe", "jane@example.org"); err != nil {
				t.Fatal(err)
			}
			serial := fmt.Sprintf("%08X", c.Serial().Number)
			c.Close()
			cmd := g.Command("openpgp-tool", "--card-info", "--user-info", "--key-info")
			out, err := cmd.CombinedOutput()
			if _, dead := err.(*exec.ExitError); err != nil && !dead {
				t.Fatal(err)
			}
			for _, want := range []string{serial, "Jane", "jane@example.org", "2048"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("openpgp-tool does not show %q:\n%s", want, out)
				}
			}
		})
	}
}
