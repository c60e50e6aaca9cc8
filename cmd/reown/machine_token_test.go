package main

import (
	"errors"
	"testing"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/hotpkey/hotptest"
	"reown/internal/secret"
	"reown/wizard"
)

// A Nitrokey 3 without the secrets app says so when it is asked for its state, before
// anything is stored or erased; one with it does not.
func TestTokenWithoutTheSecretsApp(t *testing.T) {
	card := cardtest.New(cardtest.Nitrokey3)
	card.AddApplet(hotptest.Admin{Version: [3]int{1, 4, 0}})
	token := findToken(usbdev.NewBus(usbdev.New(usbdev.NK3, card, nil)))
	if token == nil {
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
