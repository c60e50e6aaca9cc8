package wizardtest

import (
	"context"
	"errors"
	"fmt"

	"reown/internal/judge"
	"reown/internal/secret"
	"reown/wizard"
)

type tpm struct{ *World }

func (w tpm) Info(context.Context) (wizard.TPMInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return wizard.TPMInfo{Family: "2.0", Vendor: "Test", Owned: w.Owner != "", SetUp: w.Owner != "" && w.Primary != "" &&
		!w.HalfSetUp, PrimaryName: w.Primary,
		Recovery: w.Recovery || w.NoLog, Shell: w.Recovery, EK: w.ek()}, w.read()
}

func (w tpm) Rehearse(context.Context, bool) ([]*wizard.Finding, error) { return w.refusal("tpm") }

func (w tpm) Reset(_ context.Context, owner *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.Refuses["tpm"]; f != nil {
		return f
	}
	if err := w.write("tpm.clear", func() {
		w.Owner, w.Primary, w.Sealed, w.DUKObject, w.World.Counter, w.Area, w.EKGone = "", "", nil, nil, 0, Area{}, true
	}); err != nil {
		return err
	}
	if err := w.write("tpm.owner", func() { w.Owner = string(owner.Bytes()) }); err != nil {
		return err
	}
	if err := w.write("tpm.primary", func() { w.Primary, w.HalfSetUp = w.World.name("srk"), false }); err != nil {
		return err
	}
	return w.write("tpm.ek", func() { w.EKGone = false })
}

// ek is the endorsement key's name. A clearing removes the stored key, not the seed that it is
// made from.
func (w tpm) ek() string {
	if w.EKGone {
		return ""
	}
	return w.EK
}

func (w tpm) HasRoot(_ context.Context, name string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.OnTheBus {
		return false, errors.New("wizardtest: the reply does not verify")
	}
	return name == w.Primary, w.read()
}

func (w tpm) RootOf(_ context.Context, file []byte) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if string(file) != hash(w.Primary) {
		return "", w.read()
	}
	return w.Primary, w.read()
}

func (w tpm) Counts(_ context.Context, root string, rollback []byte) (judge.Comparison, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.OnTheBus:
		return judge.ComparisonUnknown, errors.New("wizardtest: the reply does not verify")
	case root != "" && root != w.Primary, string(rollback) != string(w.rollback()):
		return judge.ComparisonDiffers, w.read()
	}
	return judge.ComparisonEqual, w.read()
}

func (w tpm) Anchor(_ context.Context, root string) (wizard.Anchor, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.Area.Anchor
	switch {
	case root != "" && root != w.Primary:
		return wizard.Anchor{State: wizard.AnchorAbsent}, w.read()
	case w.OldTPM:
		a.State = wizard.AnchorNever
	case a.State == wizard.AnchorUnread:
		a.State = wizard.AnchorAbsent
	}
	return a, w.read()
}

func (w tpm) OpenAnchor(_ context.Context, owner *secret.Buffer, run [32]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.check(owner); err != nil || w.OldTPM {
		return err
	}
	if err := w.write("tpm.anchor.define", func() { w.Area = Area{} }); err != nil {
		return err
	}
	return w.write("tpm.anchor.open", func() {
		w.Area = Area{wizard.Anchor{State: wizard.AnchorOpen, Run: run}, w.Owner}
	})
}

func (w tpm) CloseAnchor(_ context.Context, owner *secret.Buffer, run [32]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.check(owner); err != nil || w.OldTPM {
		return err
	}
	switch {
	case w.Area.State == wizard.AnchorClosing && w.Area.Run == run, w.Area.State == wizard.AnchorClosed:
		return nil
	case w.Area.State != wizard.AnchorOpen || w.Area.Owner != w.Owner:
		return errors.New("wizardtest: there is no open area")
	}
	return w.write("tpm.anchor.close", func() { w.Area.State, w.Area.Run = wizard.AnchorClosing, run })
}

func (w tpm) LockAnchor(_ context.Context, owner *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.check(owner); err != nil || w.OldTPM {
		return err
	}
	if w.Area.State == wizard.AnchorClosed {
		return nil
	}
	if w.Area.State != wizard.AnchorClosing {
		return errors.New("wizardtest: there is no closing area")
	}
	return w.write("tpm.anchor.lock", func() { w.Area.State = wizard.AnchorClosed })
}

func (w tpm) CheckOwner(_ context.Context, owner *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.check(owner)
}

func (w tpm) check(owner *secret.Buffer) error {
	if err := w.read(); err != nil {
		return err
	}
	if string(owner.Bytes()) != w.Owner {
		return fmt.Errorf("tpm: %w", wizard.ErrWrongSecret)
	}
	return nil
}

func (w tpm) Counter(_ context.Context, owner *secret.Buffer) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.check(owner); err != nil {
		return nil, err
	}
	if w.World.Counter == 0 {
		if err := w.write("tpm.counter", func() { w.next++; w.World.Counter = w.next }); err != nil {
			return nil, err
		}
	}
	return w.rollback(), nil
}

func (w *World) rollback() []byte { return fmt.Appendf(nil, "counter %d", w.Counter) }

func (w tpm) PrimaryHash(context.Context) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return []byte(hash(w.Primary)), w.read()
}

// PCR7 is what the next start measures of the chip.
func PCR7(w *World) string { return w.pcr7() }

func (w *World) pcr7() string {
	var all []string
	for _, b := range w.ROM {
		all = append(all, string(b))
	}
	return hash(all...)
}

// sealsLater says whether nothing can be sealed to this PCR 7 in this start.
func (w *World) sealsLater(pcr7 string) bool { return w.Recovery || w.NoLog && pcr7 != w.measured }

func (w tpm) SealOTP(_ context.Context, owner, otp *secret.Buffer, pcr7 wizard.Measurement) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealsLater(string(pcr7["sha256"])) {
		return wizard.ErrSealImpossible
	}
	if err := w.check(owner); err != nil {
		return err
	}
	return w.write("tpm.seal", func() {
		w.Sealed = &Sealed{OTP: string(otp.Bytes()), PCR7: string(pcr7["sha256"]), Primary: w.Primary}
	})
}

func (w tpm) OTPSealed(_ context.Context, pcr7 wizard.Measurement) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealsLater(string(pcr7["sha256"])) {
		return false, wizard.ErrSealImpossible
	}
	return w.Sealed != nil && w.Sealed.PCR7 == string(pcr7["sha256"]) && w.Sealed.Primary == w.Primary, w.read()
}

func (w tpm) UnsealOTP(context.Context) (*secret.Buffer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Sealed == nil {
		return nil, wizard.ErrNoTPMState
	}
	if w.Sealed.PCR7 != w.pcr7() || w.Recovery {
		return nil, errors.New("wizardtest: the PCRs do not match")
	}
	return secret.From([]byte(w.Sealed.OTP)), w.read()
}
