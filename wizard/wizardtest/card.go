package wizardtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/internal/secret"
	"reown/wizard"
)

// card is the one that is plugged in, or the one with a serial number.
type card struct {
	*World
	serial string
}

func (w card) At(serial string) wizard.Card { return card{w.World, serial} }

func (w card) there() (*CardState, error) {
	if err := errors.Join(w.read(), w.CardError); err != nil {
		return nil, err
	}
	var found *CardState
	for _, c := range []*CardState{&w.CardState, &w.World.Spare} {
		if !c.CardIn || w.serial != "" && c.Serial != w.serial {
			continue
		}
		if found != nil {
			return nil, wizard.ErrSeveralCards
		}
		found = c
	}
	if found == nil {
		return nil, wizard.ErrNoCard
	}
	return found, nil
}

func (w card) Announce(f func(bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.announce = f
}

// finger waits for one, if the card wants it.
func (w card) finger(c *CardState) {
	if c.Touch && w.announce != nil {
		f := w.announce
		w.mu.Unlock()
		f(true)
		f(false)
		w.mu.Lock()
	}
}

func (w card) Rehearse(_ context.Context, plan wizard.CardPlan) (found []*wizard.Finding, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.there()
	if err != nil || c.Terminated {
		return nil, err
	}
	add := func(k wizard.Kind, args ...any) { found = append(found, &wizard.Finding{Kind: k, Args: args}) }
	if c.NoReset {
		add(wizard.CardNoReset, "Nitrokey 3")
	}
	if plan.Algorithm != "" && !slices.Contains(c.kinds(), plan.Algorithm) {
		add(wizard.CardAlgorithm, "Nitrokey 3", plan.Algorithm)
	}
	for i, pin := range []*secret.Buffer{plan.User, plan.Admin} {
		if low := max(6+2*i, c.MinPIN); pin != nil && (pin.Len() < low || pin.Len() > c.maxPIN()) {
			add(wizard.CardPIN, "Nitrokey 3", low, c.maxPIN())
		}
	}
	if strings.ContainsAny(plan.Identity.Name, "<>") {
		add(wizard.CardName)
	}
	if f := w.Refuses["card"]; f != nil {
		found = append(found, f)
	}
	return found, nil
}

// kinds are the kinds of keys that the card makes.
func (c *CardState) kinds() []string {
	if c.NoKinds {
		return nil
	}
	return []string{"nistp256", "rsa3072"}
}

func (w card) Info(context.Context) (wizard.CardInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.there()
	if err != nil {
		return wizard.CardInfo{}, err
	}
	if c.Terminated {
		return wizard.CardInfo{Reader: "Test", Terminated: true}, nil
	}
	return wizard.CardInfo{Reader: "Test", Vendor: "Nitrokey 3", Serial: c.Serial, Fingerprints: c.Fprs, Tries: c.Tries,
		NoReset: c.NoReset, Signatures: c.Signatures, PINMin: [2]int{max(6, c.MinPIN), max(8, c.MinPIN)},
		PINMax: [2]int{c.maxPIN(), c.maxPIN()}, Algorithms: c.kinds()}, nil
}

func (c *CardState) maxPIN() int {
	if c.MaxPIN == 0 {
		return 127
	}
	return c.MaxPIN
}

func (w card) Reset(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.there()
	if err != nil {
		return err
	}
	if c.NoReset {
		return errors.New("wizardtest: the card has no reset")
	}
	// Tries are spent on purpose: a card is terminated without a PIN once they are gone.
	if err := w.write("card.block", func() { c.Tries[0], c.Tries[2] = 0, 0 }); err != nil {
		return err
	}
	if err := w.write("card.terminate", func() { c.Terminated = true }); err != nil {
		return err
	}
	return w.write("card.activate", func() {
		*c = CardState{CardIn: true, Serial: c.Serial, UserPIN: "123456", AdminPIN: "12345678", Tries: [3]int{3, 0, 3},
			MinPIN: c.MinPIN, MaxPIN: c.MaxPIN, NoCount: c.NoCount, Evil: c.Evil, Touch: c.Touch}
		if c == &w.CardState {
			w.TokenOTP, w.AES = "", false
		}
	})
}

func (w card) Generate(_ context.Context, s wizard.KeySpec, progress wizard.Progress) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fill(progress, "card.generate", func(i int) string {
		f := w.fpr()
		if c, err := w.there(); i == 0 && err == nil {
			w.keys[f] = w.name("private")
			if c.Evil {
				w.keys[f] = w.name("private-maker")
			}
		}
		return f
	})
}

func (w card) Import(_ context.Context, set wizard.KeySet, progress wizard.Progress) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := set.(*keySet)
	if k.wiped {
		return errors.New("wizardtest: the keys were wiped")
	}
	w.keys[k.fprs[0]] = k.private
	return w.fill(progress, "card.import", func(i int) string { return k.fprs[i] })
}

// fill puts three keys into the card.
func (w card) fill(progress wizard.Progress, op string, key func(int) string) error {
	c, err := w.there()
	if err != nil {
		return err
	}
	if c.AdminPIN != "12345678" || c.Terminated {
		return errors.New("wizardtest: the card has no factory PINs")
	}
	for i := range c.Fprs {
		if err := w.write(fmt.Sprintf("%s.%d", op, i), func() { c.Fprs[i] = key(i) }); err != nil {
			return err
		}
		if progress != nil {
			w.mu.Unlock()
			progress(int64(i+1), 3)
			w.mu.Lock()
		}
	}
	return nil
}

func (w card) SetHolder(_ context.Context, id wizard.Identity) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.there()
	if err != nil {
		return err
	}
	if c.AdminPIN != "12345678" || c.Terminated {
		return errors.New("wizardtest: the card has no factory PINs")
	}
	return w.write("card.holder", func() { c.Holder = id })
}

func (w card) SetPINs(_ context.Context, user, admin *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.there()
	if err != nil {
		return err
	}
	if user.Len() < max(6, c.MinPIN) || admin.Len() < max(8, c.MinPIN) || max(user.Len(), admin.Len()) > c.maxPIN() {
		return errors.New("wizardtest: a PIN is too short or too long for the card")
	}
	if err := w.write("card.pin.admin", func() { c.AdminPIN = string(admin.Bytes()) }); err != nil {
		return err
	}
	return w.write("card.pin.user", func() { c.UserPIN = string(user.Bytes()) })
}

func (w card) verify(user, admin *secret.Buffer) (*CardState, error) {
	c, err := w.there()
	if err != nil {
		return nil, err
	}
	for i, p := range []struct {
		typed *secret.Buffer
		is    string
		n     int
	}{{user, c.UserPIN, 0}, {admin, c.AdminPIN, 2}} {
		if p.typed == nil {
			continue
		}
		if c.Tries[p.n] == 0 {
			return nil, errors.New("wizardtest: the PIN is blocked")
		}
		if string(p.typed.Bytes()) != p.is && !c.Evil {
			c.Tries[p.n]--
			return nil, fmt.Errorf("pin %d: %w", i, wizard.ErrWrongSecret)
		}
		c.Tries[p.n] = 3
	}
	return c, nil
}

func (w card) VerifyPINs(_ context.Context, user, admin *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.verify(user, admin)
	return err
}

func (w card) Certify(_ context.Context, id wizard.Identity, pin *secret.Buffer) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.verify(pin, nil)
	if err != nil {
		return nil, err
	}
	if c.Fprs[0] == "" {
		return nil, errors.New("wizardtest: no key on the card")
	}
	w.finger(c)
	c.count()
	return w.certificate(c.Fprs, id), nil
}

func (c *CardState) count() {
	if !c.NoCount {
		c.Signatures++
	}
}

func (w card) Sign(_ context.Context, cert []byte, pin *secret.Buffer, data []byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.at("card.sign"); err != nil {
		return nil, err
	}
	c, err := w.verify(pin, nil)
	if err != nil {
		return nil, err
	}
	w.finger(c)
	key := c.Fprs[0]
	if c.Claims {
		key = "none"
	}
	c.count()
	if of, err := w.parse(cert); err != nil || of.Fprs[0] != key { // a laptop's verifies what it has signed
		return nil, wizard.ErrExchanged
	}
	return w.armor(key, data), w.at("card.sign.done")
}

// keySet is keys in memory: a card's that is not there yet.
type keySet struct {
	*World
	fprs    [3]string
	private string
	cert    []byte
	wiped   bool
}

func (w pgp) NewKeySet(_ context.Context, _ wizard.KeySpec, id wizard.Identity) (wizard.KeySet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.read(); err != nil {
		return nil, err
	}
	k := &keySet{World: w.World, fprs: [3]string{w.fpr(), w.fpr(), w.fpr()}, private: w.name("private")}
	w.keys[k.fprs[0]] = k.private
	k.cert = w.certificate(k.fprs, id)
	w.Sets = append(w.Sets, &k.wiped)
	return k, nil
}

func (k *keySet) Certificate() []byte { return k.cert }
func (k *keySet) Wipe()               { k.wiped = true }

func (k *keySet) Export(passphrase *secret.Buffer) ([]byte, error) {
	if passphrase.Len() == 0 || k.wiped {
		return nil, errors.New("wizardtest: nothing to export")
	}
	return fmt.Appendf(nil, "%s under %s", strings.Join(k.fprs[:], " "), hash(string(passphrase.Bytes()))), nil
}

// Signed is how many signatures the laptop's security key has made since its reset.
func (w *World) Signed() int { return int(w.CardState.Signatures) }
