package gpgcard_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
)

var update = flag.Bool("update", false, "record the emulated cards' lives anew")

// lives are the emulated makes' whole lives, by the directory below testdata/apdu.
var lives = map[string]cardtest.Profile{
	"zeitcontrol-3.4": cardtest.ZeitControl, "nitrokey3-1.8": cardtest.Nitrokey3, "gnuk-1.2.19": cardtest.Gnuk,
	"yubikey-5.4.3": cardtest.YubiKey, "canokey-core-2022": cardtest.CanoKey,
}

// life is all that a run does with a card, and what goes wrong in one.
func life(ctx context.Context, bus gpgcard.Bus) (cert *gpgcard.Cert, sig []byte, last gpgcard.Info, err error) {
	c, err := gpgcard.Open(ctx, gpgcard.Selector{}, bus)
	if err != nil {
		return nil, nil, last, err
	}
	defer c.Close()
	c.Now = func() time.Time { return created.Add(time.Hour) }
	user, admin := pin("correct horse 1"), pin("battery staple 1")
	for _, step := range []func() error{
		func() error { _, err := c.Info(ctx); return err },
		func() error { return c.Reset(ctx, gpgcard.ResetOptions{}) },
		func() error {
			return c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.P256, Created: created})
		},
		func() error { return c.SetIdentity(ctx, nil, "Jane Doe", "jane@example.org") },
		func() error { return c.SetPINs(ctx, user, admin) },
		func() (err error) { cert, err = c.Certificate(ctx, jane, user); return err },
		func() (err error) { sig, err = c.SignDetached(ctx, cert, user, []byte("kexec_hashes.txt")); return err },
		func() error {
			var wrong *gpgcard.PINError
			if err := c.Verify(ctx, gpgcard.AdminPIN, pin("no such PIN")); !errors.As(err, &wrong) || wrong.Left != 2 {
				return fmt.Errorf("a wrong PIN: %w", err)
			}
			return nil
		},
		func() error { return c.Verify(ctx, gpgcard.AdminPIN, admin) },
		func() (err error) { last, err = c.Info(ctx); return err },
	} {
		if err := step(); err != nil {
			return cert, sig, last, err
		}
	}
	return cert, sig, last, nil
}

// replay is a recorded conversation that is held to the letter: a command that is not the
// next one ends it.
type replay struct {
	lines []string
	at    int
}

func (r *replay) Readers(context.Context) ([]gpgcard.Reader, error) {
	return []gpgcard.Reader{{Bus: "test", Name: "replay", Present: true}}, nil
}
func (r *replay) Connect(context.Context, gpgcard.Reader) (gpgcard.Link, error) { return r, nil }
func (r *replay) PowerCycle(context.Context) error                              { return nil }
func (r *replay) Close() error                                                  { return nil }

func (r *replay) Transmit(_ context.Context, apdu []byte) ([]byte, error) {
	if r.at+1 >= len(r.lines) {
		return nil, errors.New("the recording is at its end")
	}
	cmd, resp := r.lines[r.at], r.lines[r.at+1]
	r.at += 2
	sent := fmt.Sprintf("> %x", apdu)
	if head, hidden := strings.CutSuffix(cmd, "**"); hidden {
		cmd, sent = head, sent[:min(len(sent), len(head))]
	}
	if cmd != sent {
		return nil, fmt.Errorf("line %d: sent %s, recorded %s", r.at, sent, cmd)
	}
	var out []byte
	if _, err := fmt.Sscanf(resp, "< %x", &out); err != nil {
		return nil, fmt.Errorf("%q: %w", resp, err)
	}
	return out, nil
}

// TestLives replays the whole life of each emulated make: what we send is what was
// recorded, and what comes of it is whole.
func TestLives(t *testing.T) {
	for dir, p := range lives {
		t.Run(dir, func(t *testing.T) {
			file := filepath.Join("..", "testdata", "apdu", dir, "life.txt")
			if *update {
				var out bytes.Buffer
				fmt.Fprintf(&out, "# The make %s of gpgcard/cardtest, not a real card: %s, by gpgcard's TestLives.\n", p.Name, gpgcard.P256)
				if _, _, _, err := life(t.Context(), gpgcard.Record(&out, cardtest.NewBus(cardtest.New(p)))[0]); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, out.Bytes(), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := &replay{}
			for line := range strings.Lines(string(b)) {
				if line[0] != '#' {
					r.lines = append(r.lines, strings.TrimSpace(line))
				}
			}
			cert, sig, last, err := life(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := gpgcard.VerifyDetached(cert, sig, []byte("kexec_hashes.txt")); err != nil {
				t.Error(err)
			}
			if last.Name != "Jane Doe" || last.Login != "jane@example.org" || last.User.Left != 3 || last.Admin.Left != 3 || last.Keys[0].Fingerprint != cert.Fingerprint() {
				t.Errorf("%+v", last)
			}
		})
	}
}

// TestARecordingHasNoSecrets: no PIN, no hash of one, no secret key and nothing decrypted
// is in what is recorded, in no state of the card and whatever goes wrong.
func TestARecordingHasNoSecrets(t *testing.T) {
	for _, p := range cardtest.Profiles {
		var out bytes.Buffer
		c, err := gpgcard.Open(t.Context(), gpgcard.Selector{}, gpgcard.Record(&out, cardtest.NewBus(cardtest.New(p)))[0])
		if err != nil {
			t.Fatal(err)
		}
		user, admin, other := pin("correct horse 1"), pin("battery staple 1"), pin("another horse 1")
		if p.Name == "yubikey" { // the PINs are hashed
			if err := c.EnableKDF(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Import(t.Context(), keySet(t, gpgcard.P256), gpgcard.ImportOptions{}); err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		_ = c.SetPINs(t.Context(), user, admin)
		_ = c.Verify(t.Context(), gpgcard.UserPIN, other)
		_ = c.ChangePIN(t.Context(), gpgcard.UserPIN, user, other)
		_ = c.SetResetCode(t.Context(), admin, user)
		_ = c.Unblock(t.Context(), admin, user)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(out.String()) {
			if !strings.HasPrefix(line, "> ") {
				continue
			}
			switch line[4:6] {
			case "20", "24", "2c", "db":
				n++
				if line = strings.TrimSpace(line); len(line) != len("> 00200081**") && len(line) != len("> 00200081") {
					t.Errorf("%s: %s", p.Name, line)
				}
			}
		}
		for _, s := range []string{"correct horse 1", "battery staple 1", "another horse 1", "123456"} {
			if strings.Contains(out.String(), fmt.Sprintf("%x", s)) {
				t.Errorf("%s: %q is in it", p.Name, s)
			}
		}
		if n < 6 {
			t.Errorf("%s: %d commands with a secret", p.Name, n)
		}
	}
	// What a write says stops nothing: who gave the writer looks at it.
	if _, err := gpgcard.Open(t.Context(), gpgcard.Selector{}, gpgcard.Record(broken{}, cardtest.NewBus(cardtest.New(cardtest.Gnuk)))[0]); err != nil {
		t.Error(err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
