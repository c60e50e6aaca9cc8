package wizardtest

import (
	"context"
	"fmt"
	"slices"

	"reown/internal/secret"
	"reown/wizard"
)

type token struct{ *World }

func (w token) Info(context.Context) (wizard.TokenInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.NoHOTP {
		return wizard.TokenInfo{}, wizard.ErrNoHOTP
	}
	return wizard.TokenInfo{Name: "Nitrokey 3", Configured: w.TokenOTP != "", PINTries: 8, Touches: 2}, w.read()
}

func (w token) Present(context.Context) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.HasToken
}

func (w token) AfterReset(_ context.Context, admin *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := (card{w.World, ""}).there()
	if err != nil {
		return err
	}
	if string(admin.Bytes()) != c.AdminPIN {
		return fmt.Errorf("token: %w", wizard.ErrWrongSecret)
	}
	return w.write("token.aes", func() { w.AES = w.AES || c == &w.CardState })
}

func (w token) Set(_ context.Context, otp, admin *secret.Buffer, touch func(n, of int)) error {
	for n := range 2 {
		if touch != nil {
			touch(n+1, 2)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if string(admin.Bytes()) != w.AdminPIN {
		return fmt.Errorf("token: %w", wizard.ErrWrongSecret)
	}
	return w.write("token.set", func() { w.TokenOTP = string(otp.Bytes()) })
}

func (w token) CounterFile() []byte { return []byte("2\n") }

type sticks struct{ *World }

func (w sticks) List(context.Context) ([]wizard.Stick, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.StickIn {
		return nil, w.read()
	}
	return []wizard.Stick{{ID: "sdb1", Model: "SanDisk Cruzer Blade", Size: 31_000_000_000, FS: "vfat"}}, w.read()
}

func (w sticks) Write(_ context.Context, id string, files []wizard.File) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.StickIn || id != "sdb1" {
		return wizard.ErrNoStick
	}
	for i, f := range files {
		if err := w.write(fmt.Sprintf("stick.%d", i), func() { w.World.Stick[f.Name] = slices.Clone(f.Data) }); err != nil {
			return err
		}
	}
	return nil
}
