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
	"reown/internal/usbid"
)

var update = flag.Bool("update", false, "record the emulated cards' lives anew")

// A kept is an emulated make in a reader, as a token of that make shows itself.
type kept struct {
	card cardtest.Profile
	name string // what the token calls itself
	id   usbid.ID
}

// lives are the emulated makes' whole lives, by the directory below testdata/apdu: every key
// that docs/card.md lists.
var lives = map[string]kept{
	"zeitcontrol-3.4":    {cardtest.ZeitControl, "", usbid.ID{}},
	"nitrokey-pro2-0.15": {cardtest.ZeitControl, "Nitrokey Nitrokey Pro", usbid.ID{Vendor: 0x20a0, Product: 0x4108}},
	"nitrokey-storage-0.57": {cardtest.ZeitControl, "Nitrokey Nitrokey Storage",
		usbid.ID{Vendor: 0x20a0, Product: 0x4109}},
	"librem-key-0.11":       {cardtest.ZeitControl, "Purism, SPC Librem Key", usbid.ID{Vendor: 0x316d, Product: 0x4c4b}},
	"nitrokey3-1.8":         {cardtest.Nitrokey3, "Nitrokey Nitrokey 3", usbid.ID{Vendor: 0x20a0, Product: 0x42b2}},
	"nitrokey-start-1.2.15": {start(), "Nitrokey Nitrokey Start", usbid.ID{Vendor: 0x20a0, Product: 0x4211}},
	"gnuk-1.2.19":           {cardtest.Gnuk, "Free Software Initiative of Japan Gnuk", usbid.ID{Vendor: 0x234b}},
	"yubikey-5.4.3":         {cardtest.YubiKey, "Yubico YubiKey CCID", usbid.ID{Vendor: 0x1050, Product: 0x0404}},
	"canokey-core-2022": {cardtest.CanoKey, "canokeys.org OpenPGP PIV OATH",
		usbid.ID{Vendor: 0x20a0, Product: 0x42d4}},
}

// start is a Gnuk that wants 14 characters.
func start() cardtest.Profile {
	p := cardtest.Gnuk
	p.MinWithoutKDF = 14
	return p
}

// reader is the token as a bus lists it.
func (k kept) reader() gpgcard.Reader {
	return gpgcard.Reader{Bus: "usb", Name: "1-2", Product: k.name, Present: true, VID: k.id.Vendor, PID: k.id.Product}
}

// asToken is a bus with that token.
type asToken struct {
	gpgcard.Bus
	r gpgcard.Reader
}

func (b asToken) Readers(context.Context) ([]gpgcard.Reader, error) {
	return []gpgcard.Reader{b.r}, nil
}

func (b asToken) Connect(ctx context.Context, _ gpgcard.Reader) (gpgcard.Link, error) {
	all, err := b.Bus.Readers(ctx)
	if err != nil {
		return nil, err
	}
	return b.Bus.Connect(ctx, all[0])
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
				fmt.Fprintf(&out, "# EMULATED: the make %s of gpgcard/cardtest, not a real card. Keys of %s, by gpgcard's TestLives.\n", p.card.Name, gpgcard.P256)
				if _, _, _, err := life(t.Context(),
					gpgcard.Record(&out, asToken{cardtest.NewBus(cardtest.New(p.card)), p.reader()})[0]); err != nil {
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
			if !strings.HasPrefix(string(b), "# EMULATED: ") && !strings.HasPrefix(string(b), "# REAL: ") {
				t.Errorf("the first line does not say whether it is a real card's: %.80q", b)
			}
			r := &replay{}
			for line := range strings.Lines(string(b)) {
				if line[0] != '#' {
					r.lines = append(r.lines, strings.TrimSpace(line))
				}
			}
			cert, sig, last, err := life(t.Context(), asToken{r, p.reader()})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := gpgcard.VerifyDetached(cert, sig, []byte("kexec_hashes.txt")); err != nil {
				t.Error(err)
			}
			if last.Name != "Jane Doe" || last.Login != "jane@example.org" || last.User.Left != 3 || last.Admin.Left != 3 ||
				last.Keys[0].Fingerprint != cert.Fingerprint() {
				t.Errorf("%+v", last)
			}
		})
	}
}

// TestLivesAreAll: every key that is known by its USB ids has its life there, and every
// directory is replayed.
func TestLivesAreAll(t *testing.T) {
	have := map[usbid.ID]bool{}
	for _, k := range lives {
		have[k.id] = true
	}
	for _, id := range []usbid.ID{usbid.NitrokeyPro, usbid.NitrokeyStorage, usbid.NitrokeyStart, usbid.Nitrokey3,
		usbid.LibremKey, usbid.Gnuk} {
		if !have[id] {
			t.Errorf("%04x:%04x has no life", id.Vendor, id.Product)
		}
	}
	dirs, err := os.ReadDir(filepath.Join("..", "testdata", "apdu"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if _, replayed := lives[d.Name()]; d.IsDir() && !replayed {
			t.Errorf("%s is not replayed", d.Name())
		}
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
	if _, err := gpgcard.Open(t.Context(), gpgcard.Selector{},
		gpgcard.Record(broken{}, cardtest.NewBus(cardtest.New(cardtest.Gnuk)))[0]); err != nil {
		t.Error(err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
