package wizard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"reown/internal/escape"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// sellersCert is the certificate of the chip whose key the card in the reader says that it holds, before
// a run of ours; nil: none.
func (v *view) sellersCert() []byte {
	if v.resuming() || v.s.Past().receipt != nil {
		return nil
	}
	c, err := v.s.Card()
	if err != nil || c.Terminated || c.Fingerprints[0] == "" {
		return nil
	}
	fw, err := v.s.Firmware()
	if err != nil {
		return nil
	}
	for _, cert := range fw.Certs {
		if fprs, err := v.m.PGP.Fingerprints(cert); err == nil && fprs[0] == c.Fingerprints[0] {
			return cert
		}
	}
	return nil
}

// countsNot says that the card is known not to count its signatures. One that holds the chip's key has
// signed /boot: if it has counted nothing, it does not count.
func (v *view) countsNot() bool {
	c, err := v.s.Card()
	return v.a.still || err == nil && c.Signatures == 0 && v.sellersCert() != nil
}

// drawTry asks for the PIN of the card that came with the machine. Another card that says the same of
// itself does not have the key, and cannot sign by it.
func drawTry(v *view) (*ui.Page, error) {
	in := &ui.Input{Key: "secret.seller", Label: v.t(msg.TryLabel), Secret: v.newInput(), Max: 64}
	p := &ui.Page{Trust: true, Preset: ui.Back, Inputs: []*ui.Input{in}, Choices: []ui.Choice{v.button()},
		Body:  []ui.Block{ui.S(v.t(msg.TryAsk)), ui.T(v.t(msg.TryWhy)), ui.G()},
		Check: func(ctx context.Context) error { return v.challenge(ctx, in) }}
	v.countTries(p, 0)
	return p, nil
}

// challenge has the card sign what nobody can have signed before.
func (v *view) challenge(ctx context.Context, in *ui.Input) error {
	cert := v.sellersCert()
	if cert == nil {
		return ui.Problem(v.t(msg.TryOther))
	}
	before, err := v.m.Card.Info(ctx)
	if err != nil {
		return err
	}
	if before.Tries[0] == 0 {
		return ui.Problem(v.t(msg.PINWrong, 0))
	}
	data := append([]byte("reown: is this the key that came with the laptop? "), make([]byte, 32)...)
	_, _ = rand.Read(data[len(data)-32:]) // never fails
	switch sig, err := v.m.Card.Sign(ctx, cert, in.Secret, data); {
	case errors.Is(err, ErrExchanged):
		return ui.Problem(v.t(msg.TryOther))
	case err != nil:
		return v.wrong(err, msg.TryWrong)
	case v.m.PGP.Verify(cert, data, sig) != nil:
		return ui.Problem(v.t(msg.TryOther))
	}
	after, err := v.m.Card.Info(ctx)
	if err != nil {
		return err
	}
	v.a.signs, v.a.still = true, after.Signatures != before.Signatures+1
	return nil
}

func tookTry(f *flow, ctx context.Context, _ *ui.Page, _ string) (event, error) {
	f.s = measure(ctx, f.m) // the card has counted
	return evReturn, nil
}

// strangers are the names that no firmware reads, as the page has shown them.
func (v *view) strangers() []string {
	b, _ := v.s.Boot() // none are known where it cannot be read
	return b.Unknown
}

// unknown says which files go from /boot although nobody knows what they are for: who goes on agrees.
func (v *view) unknown() []ui.Block {
	b, err := v.s.Boot()
	if err != nil || len(b.Unknown) == 0 {
		return nil
	}
	names := strings.Join(b.Unknown[:min(len(b.Unknown), 3)], ", ")
	return []ui.Block{ui.T(v.t(msg.CheckUnknown, len(b.Unknown), names))}
}

func unknownDetails(v *view) string {
	var all strings.Builder
	b, _ := v.s.Boot() // none are known where it cannot be read
	for _, n := range b.Unknown {
		fmt.Fprintf(&all, "/boot/%s\n", escape.Text(n))
	}
	return all.String()
}
