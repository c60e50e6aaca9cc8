package wizardtest

import (
	"context"
	"slices"
	"time"

	"reown/wizard"
)

type platform struct{ *World }

func (w platform) Board() string { return "Test board" }
func (w platform) Power(context.Context) (wizard.Power, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.PowerState, nil
}
func (w platform) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Clock
}
func (w platform) Built() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
func (w platform) SetClock(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Clock = t
	return nil
}
func (w platform) Memory() int64 { return w.Free }
func (w platform) WipeSecrets() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Wiped++
	return nil
}
func (w platform) Restart(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Restarts++
	return nil
}

func (w platform) PowerOff(context.Context) error { return nil }

// Machine is the laptop as the wizard sees it.
func (w *World) Machine() *wizard.Machine {
	m := &wizard.Machine{Card: card{w, ""}, PGP: pgp{w}, Firmware: firmware{w}, Boot: boot{w}, Platform: platform{w},
		Doubtful: slices.Clone(w.Doubtful)}
	for i := range w.Disks {
		m.Disks = append(m.Disks, disk{w, i})
	}
	if w.HasSticks {
		m.Sticks = sticks{w}
	}
	if w.HasTPM {
		m.TPM = tpm{w}
		m.DUK = duk{w}
	}
	m.Token = token{w}
	return m
}
