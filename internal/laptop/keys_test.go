package laptop

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/pcscdtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/pcsc"
	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/ui/answers"
	"reown/wizard/wizardtest"
)

// makes are the security keys, as USB shows them and as the card is.
var makes = []struct {
	usb  usbdev.Profile
	card cardtest.Profile
}{
	{usbdev.Pro, cardtest.ZeitControl}, {usbdev.Librem, cardtest.ZeitControl}, {usbdev.Storage, cardtest.ZeitControl},
	{usbdev.NK3, cardtest.Nitrokey3}, {usbdev.Gnuk, cardtest.Gnuk}, {usbdev.NitrokeyStart, startCard()},
	{usbdev.YubiKey, cardtest.YubiKey}, {usbdev.CanoKey, cardtest.CanoKey},
}

// startCard takes its keys, and then no PIN of less than 14 characters.
func startCard() cardtest.Profile {
	p := cardtest.Gnuk
	p.MinWithoutKDF = 14
	return p
}

// realCard is a card of this package in a laptop that exists only in memory: keys and
// signatures are the card's, and stand there for those that the laptop knows.
type realCard struct {
	*card
	w    *wizardtest.World
	mine *mine
}

// mine is what the laptop calls its own.
type mine struct {
	cert, real []byte
	sign       func([]byte) []byte
}

func (r realCard) At(serial string) wizard.Card {
	r.card = r.card.At(serial).(*card)
	return r
}

func (r realCard) Certify(ctx context.Context, id wizard.Identity, pin *secret.Buffer) ([]byte, error) {
	real, err := r.card.Certify(ctx, id, pin)
	if err != nil {
		return nil, err
	}
	fprs, err := (openPGP{}).Fingerprints(real)
	if err != nil {
		return nil, err
	}
	r.mine.real = real
	r.mine.cert, r.mine.sign = r.w.Adopt(fprs, id)
	return r.mine.cert, nil
}

func (r realCard) Sign(ctx context.Context, _ []byte, pin *secret.Buffer, data []byte) ([]byte, error) {
	sig, err := r.card.Sign(ctx, r.mine.real, pin, data)
	if err == nil {
		err = openPGP{}.Verify(r.mine.real, data, sig)
	}
	if err != nil {
		return nil, err
	}
	return r.mine.sign(data), nil
}

// inLaptop is a laptop in memory with a card.
func inLaptop(t *testing.T, buses ...gpgcard.Bus) (*wizardtest.World, *wizard.Machine) {
	t.Helper()
	c := newCard(gpgcard.Selector{}, buses)
	i, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := wizardtest.New()
	w.Clock = time.Now()
	w.Serial, w.Seller.CardSerial = i.Serial, i.Serial
	m := w.Machine()
	m.Card, m.Token = realCard{c, w, &mine{}}, nil
	return w, m
}

// told is what the screen showed.
type told struct {
	*answers.UI
	mu    sync.Mutex
	notes string
}

func (u *told) Watch(ctx context.Context, title string, work func(context.Context, func(ui.Tasks)) error) error {
	return u.UI.Watch(ctx, title, func(ctx context.Context, show func(ui.Tasks)) error {
		return work(ctx, func(t ui.Tasks) {
			u.mu.Lock()
			u.notes += strings.Join(t.Notes, "\n") + "\n"
			u.mu.Unlock()
			show(t)
		})
	})
}

// owner answers the wizard's questions. What is written down is kept.
func owner(given map[string]string) (*told, *kept) {
	known, k := &answers.Secrets{}, &kept{}
	set := func(name, value string) { b := secret.From([]byte(value)); known.Set(name, b); b.Wipe() }
	set("secret.current", wizardtest.SellerPassphrase)
	a := map[string]string{"language": "en", "verify": "match", "confirm": "NL0T", "name": "Jane van Doe",
		"email": "jane@example.org"}
	for name, v := range given {
		if strings.HasPrefix(name, "secret.") {
			set(name, v)
		} else {
			a[name] = v
		}
	}
	return &told{UI: &answers.UI{Answers: a, Secrets: known, Out: k}}, k
}

// kept is what the owner has on paper.
type kept struct{ known *answers.Secrets }

func (k *kept) Replace(doc *secret.Buffer) (err error) {
	k.known, err = answers.ParseSecrets(doc)
	return err
}

// transports puts a key on USB and behind pcscd.
func transports(t *testing.T, u usbdev.Profile, card *cardtest.Card) map[string]gpgcard.Bus {
	t.Helper()
	all := map[string]gpgcard.Bus{"usb": onUSB(usbdev.NewBus(usbdev.New(u, card, nil)))}
	if err := pcscdtest.Available(); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		return all
	}
	dir, err := os.MkdirTemp("/tmp", "keys")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d, err := pcscdtest.StartNamed(dir, u.Manufacturer+" "+u.Model, cardtest.New(card.Profile())) // as libccid names it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	all["pcscd"] = pcsc.Bus{Socket: d.Socket}
	return all
}

// TestEveryKeyByTheWizard: with every make, over USB and over pcscd, the wizard takes the
// laptop over with the PINs that it has made itself, and with the owner's name on the card.
func TestEveryKeyByTheWizard(t *testing.T) {
	seen := map[string]bool{}
	for _, mk := range makes {
		again := seen[mk.card.Name]
		seen[mk.card.Name] = true
		t.Run(mk.usb.Name, func(t *testing.T) {
			if again && os.Getenv("REOWN_SOAK") != "1" {
				t.Skip("another make with this card is tried: REOWN_SOAK=1")
			}
			for name, bus := range transports(t, mk.usb, cardtest.New(mk.card)) {
				_, m := inLaptop(t, bus)
				u, paper := owner(nil)
				err := wizard.Run(t.Context(), m, u, wizard.Options{Algorithm: "p256"})
				u.Close()
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				k, err := gpgcard.Open(t.Context(), gpgcard.Selector{}, bus)
				if err != nil {
					t.Fatal(err)
				}
				i, err := k.Info(t.Context())
				if err != nil || i.Name != "Jane van Doe" || i.Login != "jane@example.org" || !i.Keys[0].Consistent {
					t.Errorf("%s: %+v, %v", name, i, err)
				}
				for which, secret := range map[gpgcard.PIN]string{gpgcard.UserPIN: "secret.user",
					gpgcard.AdminPIN: "secret.admin"} {
					if err := k.Verify(t.Context(), which, paper.known.Get(secret)); err != nil {
						t.Errorf("%s: the %v on paper: %v", name, which, err)
					}
				}
				if err := k.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// state is all that a card keeps.
func state(t *testing.T, c *cardtest.Card) string {
	t.Helper()
	b, err := c.Save()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What a card would refuse of the PINs and keys that a run has for it is known before its
// reset: by preflight, and once more by the step, the seller's too.
func TestACardIsKnownBeforeItsReset(t *testing.T) {
	closed := cardtest.ZeitControl
	closed.ExtCap = append([]byte{closed.ExtCap[0] &^ 0x20}, closed.ExtCap[1:]...)
	old := cardtest.CanoKey
	old.Reset, old.Historical = false, []byte{0, 0x31, 0x73, 0xc0, 1, 0x40, 0, 0x90, 0}
	for _, c := range []struct {
		name   string
		reader cardtest.Slot
		card   cardtest.Profile
		keys   wizard.Keys
		choice wizard.Choices
		kind   wizard.Kind
		is     error
	}{
		{"Nitrokey Start behind pcscd", cardtest.Slot{Name: "Nitrokey Nitrokey Start 00 00"}, startCard(),
			wizard.Keys{User: pin("12345678"), Admin: pin("correct horse 1")}, wizard.Choices{}, wizard.CardPIN, nil},
		{"a Gnuk of no name", cardtest.Slot{Name: "Virtual PCD 00 00"}, cardtest.Gnuk,
			wizard.Keys{User: pin("correct horse 1"), Admin: pin("12345678")}, wizard.Choices{}, wizard.CardPIN, nil},
		{"Nitrokey Pro behind pcscd", cardtest.Slot{Name: "Nitrokey Nitrokey Pro 00 00"}, cardtest.ZeitControl,
			wizard.Keys{User: pin("12345678901234567890123456"), Admin: pin("12345678")}, wizard.Choices{}, wizard.CardPIN, nil},
		{"CanoKey of 2022", cardtest.Slot{}, cardtest.CanoKey, wizard.Keys{}, wizard.Choices{Algorithm: "rsa4096"},
			wizard.CardAlgorithm, nil},
		{"a Nitrokey 3 and RSA 4096", cardtest.Slot{}, cardtest.Nitrokey3, wizard.Keys{},
			wizard.Choices{Algorithm: "rsa4096"}, wizard.CardAlgorithm, nil},
		{"no keys from outside", cardtest.Slot{}, closed, wizard.Keys{}, wizard.Choices{Backup: wizard.StickBackup},
			wizard.CardImport, gpgcard.ErrNotImportable},
		{"a name that cannot stand in a key", cardtest.Slot{}, cardtest.Nitrokey3, wizard.Keys{},
			wizard.Choices{Identity: wizard.Identity{Name: "Jane <Doe>"}}, wizard.CardName, gpgcard.ErrBadIdentity},
		{"no reset", cardtest.Slot{}, old, wizard.Keys{}, wizard.Choices{}, wizard.CardNoReset, gpgcard.ErrNoReset},
	} {
		t.Run(c.name, func(t *testing.T) {
			slot := c.reader
			slot.Card = cardtest.New(c.card)
			w, m := inLaptop(t, &cardtest.Bus{Name: "pcsc", Slots: []cardtest.Slot{slot}})
			before := state(t, slot.Card)
			var refused *wizard.PreflightError
			for _, step := range []string{"preflight", "card"} {
				if step == "card" && c.choice.Backup != "" {
					continue // the stick comes first
				}
				err := wizard.RunStep(t.Context(), m, step, c.choice, &c.keys, nil)
				if !errors.As(err, &refused) || len(refused.Problems) != 1 || refused.Problems[0].Kind != c.kind || c.is != nil &&
					!errors.Is(err, c.is) {
					t.Errorf("%s: %v", step, err)
				}
			}
			j := &wizard.Job{M: m, Secrets: &c.keys, Choice: c.choice}
			if err := j.RehearseCard(t.Context(), m.Card, c.choice.Backup != ""); !errors.As(err, &refused) ||
				refused.Problems[0].Kind != c.kind {
				t.Errorf("a seller's: %v", err)
			}
			if after := state(t, slot.Card); after != before {
				t.Error("the card has changed")
			}
			for _, op := range w.Ops {
				if !strings.HasPrefix(op, "append.") { // the journal
					t.Errorf("written: %s", op)
				}
			}
		})
	}
}

func pin(s string) *secret.Buffer { return secret.From([]byte(s)) }

// TestTouchReachesTheScreen: who uses a card that wants a finger is told before it waits,
// and when it is over.
func TestTouchReachesTheScreen(t *testing.T) {
	key := cardtest.New(cardtest.YubiKey)
	c := newCard(gpgcard.Selector{}, []gpgcard.Bus{cardtest.NewBus(key)})
	user, admin := pin("correct horse"), pin("battery staple")
	if err := errors.Join(c.Generate(t.Context(), wizard.KeySpec{Algorithm: "p256", Created: time.Now()}, nil),
		c.SetPINs(t.Context(), user, admin)); err != nil {
		t.Fatal(err)
	}
	cert, err := c.Certify(t.Context(), wizard.Identity{}, user)
	if err != nil {
		t.Fatal(err)
	}
	err = c.with(t.Context(), func(k *gpgcard.Card) error {
		return k.SetTouch(t.Context(), admin, gpgcard.Signature, gpgcard.TouchOn)
	})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var heard []bool
	c.Announce(func(waits bool) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, waits)
		if waits {
			key.Touch()
		}
	})
	if _, err := c.At("").Sign(t.Context(), cert, user, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if len(heard) < 2 || !heard[0] || heard[len(heard)-1] {
		t.Errorf("heard %v", heard)
	}
	n := len(heard)
	c.Announce(nil)
	key.SetTouchTimeout(time.Millisecond)
	if _, err := c.Sign(t.Context(), cert, user, []byte("x")); !errors.Is(err, gpgcard.ErrTouch) || len(heard) != n {
		t.Errorf("%v, heard %v", err, heard)
	}
}
