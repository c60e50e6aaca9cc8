package usbdev_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/gpgcard/cardtest/usbdev/guest"
	"reown/gpgcard/cardtest/usbdev/usbip"
	"reown/internal/ccid"
	"reown/internal/secret"
	"reown/internal/usb"
)

var _ gpgcard.Link = (*ccid.Conn)(nil)
var _ gpgcard.Waiter = (*ccid.Conn)(nil)
var _ gpgcard.Limiter = (*ccid.Conn)(nil)

// tokens are the makes with the card inside and the fastest algorithm it has.
var tokens = []struct {
	usb  usbdev.Profile
	card cardtest.Profile
	alg  gpgcard.Algorithm
}{
	{usbdev.Pro, cardtest.ZeitControl, gpgcard.P256},
	{usbdev.NK3, cardtest.Nitrokey3, gpgcard.Curve25519},
	{usbdev.Gnuk, cardtest.Gnuk, gpgcard.Curve25519},
	{usbdev.YubiKey, cardtest.YubiKey, gpgcard.P256},
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func pin(s string) *secret.Buffer { return secret.From([]byte(s)) }

// own takes a card from any state to keys, PINs and a certificate; it can be repeated.
func own(ctx context.Context, link gpgcard.Link, alg gpgcard.Algorithm) error {
	c, err := gpgcard.New(ctx, link, gpgcard.Reader{})
	if err != nil {
		return err
	}
	if err := c.Reset(ctx, gpgcard.ResetOptions{}); err != nil {
		return err
	}
	created := time.Now().Truncate(time.Second)
	if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: alg, Created: created}); err != nil {
		return err
	}
	user, admin := pin("654321"), pin("87654321")
	if err := c.SetPINs(ctx, user, admin); err != nil {
		return err
	}
	cert, err := c.Certificate(ctx, gpgcard.Identity{Name: "Test Owner"}, user)
	if err != nil {
		return err
	}
	data := []byte(strings.Repeat("what is signed\n", 50))
	sig, err := c.SignDetached(ctx, cert, user, data)
	if err != nil {
		return err
	}
	_, err = gpgcard.VerifyDetached(cert, sig, data)
	return err
}

func link(t *testing.T, bus usb.Bus) (*ccid.Conn, error) {
	t.Helper()
	found, err := ccid.Find(bus)
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	return ccid.Connect(deadline(t), bus, found[0])
}

// TestOwn: reset, keys, PINs and signatures through each make's reader.
func TestOwn(t *testing.T) {
	for _, x := range tokens {
		t.Run(x.usb.Name, func(t *testing.T) {
			d := usbdev.New(x.usb, cardtest.New(x.card), nil)
			l, err := link(t, usbdev.NewBus(d))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := own(deadline(t), l, x.alg); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestOwnFaults: the same with a fault at every seventh message. The tries that the
// card counts are full afterwards: nothing was executed twice.
func TestOwnFaults(t *testing.T) {
	for name, arm := range map[string]func(*usbdev.Device){
		"wrong check byte": func(d *usbdev.Device) { d.Corrupt(2) },
		"lost block":       func(d *usbdev.Device) { d.LoseBlocks(2) },
		"lost answer":      func(d *usbdev.Device) { d.LoseAnswers(2) },
		"stale answer":     func(d *usbdev.Device) { d.Stale(1) },
		"waiting":          func(d *usbdev.Device) { d.Extensions(3) },
	} {
		t.Run(name, func(t *testing.T) {
			card := cardtest.New(cardtest.ZeitControl)
			d := usbdev.New(usbdev.Pro, card, nil)
			l, err := link(t, usbdev.NewBus(d))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			faults := 0
			var again func()
			again = func() { faults++; arm(d); d.After(7, again) }
			d.After(5, again)
			if err := own(deadline(t), l, gpgcard.P256); err != nil {
				t.Fatalf("after %d faults: %v", faults, err)
			}
			if faults < 8 {
				t.Fatalf("only %d faults", faults)
			}
			if user, admin := card.Tries(); user != 3 || admin != 3 {
				t.Fatalf("tries left: %d, %d", user, admin)
			}
		})
	}
}

// TestOwnUnplugged pulls the token out at many transfers, and repeats.
func TestOwnUnplugged(t *testing.T) {
	step := 29
	if os.Getenv("REOWN_SOAK") == "1" {
		step = 3
	}
	for at := 3; ; at += step {
		card := cardtest.New(cardtest.Gnuk)
		d := usbdev.New(usbdev.Gnuk, card, nil)
		bus := usbdev.NewBus(d)
		use := func() error {
			l, err := link(t, bus)
			if err != nil {
				return err
			}
			defer l.Close()
			return own(deadline(t), l, gpgcard.Curve25519)
		}
		d.UnplugAfter(at)
		err := use()
		if err == nil {
			t.Logf("pulled out %d times", (at-3)/step)
			return
		}
		if !errors.Is(err, usb.ErrGone) {
			t.Fatalf("transfer %d: %v", at, err)
		}
		d.Plug()
		if err := use(); err != nil {
			t.Fatalf("transfer %d: repeated: %v", at, err)
		}
	}
}

// TestOwnUSBIP goes through a socket.
func TestOwnUSBIP(t *testing.T) {
	d := usbdev.New(usbdev.Pro, cardtest.New(cardtest.ZeitControl), nil)
	path := filepath.Join(t.TempDir(), "usbip")
	sock, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- usbip.Serve(ctx, sock, d.Open()) }()
	dev, err := usbip.Dial(deadline(t), "unix", path, usbip.BusID)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ccid.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, err := r.Connect(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := own(deadline(t), l, gpgcard.P256); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestScdaemonUsesOurKeys: keys that we made through CCID are listed by scdaemon and
// sign for it, on the same card, through its own CCID driver.
func TestScdaemonUsesOurKeys(t *testing.T) {
	if os.Getenv("REOWN_SOAK") != "1" {
		t.Skip("another boot: only with REOWN_SOAK=1")
	}
	d := usbdev.New(usbdev.Pro, cardtest.New(cardtest.ZeitControl), nil)
	l, err := link(t, usbdev.NewBus(d))
	if err != nil {
		t.Fatal(err)
	}
	if err := own(deadline(t), l, gpgcard.RSA2048); err != nil {
		t.Fatal(err)
	}
	l.Close()
	var got strings.Builder
	guest.Boot(t, d, []string{scdaemon}, func(line string, reply func(string)) {
		got.WriteString(line + "\n")
		if line == "SCRIPT" {
			reply("use")
		}
	})
	for _, want := range []string{"OPENPGP.1 sc", "OPENPGP.2 e", "OPENPGP.3 sa"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("scdaemon does not list %q", want)
		}
	}
	if strings.Contains(got.String(), "ERR ") {
		t.Error("scdaemon reported errors")
	}
}
