package laptop

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/hotpkey"
	"reown/internal/hotpkey/hotptest"
	"reown/internal/secret"
	"reown/wizard"
)

// A Nitrokey 3 without the secrets app says so when it is asked for its state, before
// anything is stored or erased; one with it does not.
func TestTokenWithoutTheSecretsApp(t *testing.T) {
	card := cardtest.New(cardtest.Nitrokey3)
	card.AddApplet(hotptest.Admin{Version: [3]int{1, 4, 0}})
	token := &hotpToken{usbdev.NewBus(usbdev.New(usbdev.NK3, card, nil))}
	if !token.Present(t.Context()) {
		t.Fatal("the token is not found")
	}
	if i, err := token.Info(t.Context()); !errors.Is(err, wizard.ErrNoHOTP) {
		t.Errorf("%+v, %v", i, err)
	}
	card.AddApplet(hotptest.NewSecrets())
	if _, err := token.Info(t.Context()); err != nil {
		t.Error(err)
	}
}

// Every make that could not show the light says so when it is asked for its state.
func TestTokenWithOldFirmware(t *testing.T) {
	for _, c := range []struct {
		model   usbdev.Profile
		storage bool
		old     byte
	}{{usbdev.Pro, false, 8}, {usbdev.Librem, false, 8}, {usbdev.Storage, true, 53}} {
		card := cardtest.New(cardtest.ZeitControl)
		hid := hotptest.NewPro(card)
		hid.Storage, hid.Version = c.storage, [2]byte{0, c.old}
		token := &hotpToken{usbdev.NewBus(usbdev.New(c.model, card, hid))}
		if i, err := token.Info(t.Context()); !errors.Is(err, wizard.ErrNoHOTP) || !errors.Is(err, hotpkey.ErrOldFirmware) {
			t.Errorf("%+v: %+v, %v", c, i, err)
		}
		hid.Version = [2]byte{0, c.old + 1}
		if i, err := token.Info(t.Context()); err != nil || i.Touches != 0 {
			t.Errorf("%+v, new: %+v, %v", c, i, err)
		}
	}
}

// A Nitrokey 3 is touched as often as the page before the run says, and each touch is
// announced before the key waits for it, with its number.
func TestTouchesAreAnnounced(t *testing.T) {
	card := cardtest.New(cardtest.Nitrokey3)
	app := hotptest.NewSecrets()
	app.SetPIN("the seller's", 8)
	card.AddApplet(app)
	token := &hotpToken{usbdev.NewBus(usbdev.New(usbdev.NK3, card, nil))}
	i, err := token.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	done := 0
	announce := func(n, of int) {
		if done += app.Touches(); done != n-1 {
			t.Errorf("touch %d was announced when %d were done", n, done)
		}
		told = append(told, fmt.Sprintf("%d of %d", n, of))
	}
	if err := token.Set(t.Context(), secret.From([]byte("12345678901234567890")), secret.From([]byte("87654321")),
		announce); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(told, ", "); got != "1 of 2, 2 of 2" || i.Touches != 2 || done+app.Touches() != 2 {
		t.Errorf("announced %s; %d before", got, i.Touches)
	}
}

// What a reset of the card destroys in a Nitrokey Storage is made anew, with the new
// PIN; other tokens are left alone.
func TestAESKeysAfterAReset(t *testing.T) {
	pin := secret.From([]byte("12345678")) // the emulated card's
	card := cardtest.New(cardtest.ZeitControl)
	hid := hotptest.NewPro(card)
	hid.Storage = true
	storage := &hotpToken{usbdev.NewBus(usbdev.New(usbdev.Storage, card, hid))}
	if err := storage.AfterReset(t.Context(), pin); err != nil || hid.AESKeys != 1 {
		t.Errorf("Nitrokey Storage: %v, AES keys made %d times", err, hid.AESKeys)
	}
	if err := storage.AfterReset(t.Context(), secret.From([]byte("87654321"))); err == nil {
		t.Error("a wrong PIN was no error")
	}
	nk3 := cardtest.New(cardtest.Nitrokey3)
	nk3.AddApplet(hotptest.NewSecrets())
	if err := (&hotpToken{usbdev.NewBus(usbdev.New(usbdev.NK3, nk3, nil))}).AfterReset(t.Context(), pin); err != nil {
		t.Errorf("Nitrokey 3: %v", err)
	}
	if err := (&hotpToken{usbdev.NewBus()}).AfterReset(t.Context(), pin); err != nil {
		t.Errorf("no token: %v", err)
	}
}
