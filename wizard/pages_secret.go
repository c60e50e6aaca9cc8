package wizard

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"reown/internal/otp"
	"reown/internal/secret"
	"reown/internal/words"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// The pages of each secret. It is asked for from paper where it is set on its device,
// else thought up and typed twice, or made, shown and typed back.

type (
	lookFunc = func(*flow, context.Context) error
	drawFunc = func(*view) (*ui.Page, error)
	tookFunc = func(*flow, context.Context, *ui.Page, string) (event, error)
)

func drawPaper(id string) drawFunc {
	return func(v *view) (*ui.Page, error) {
		k := v.kind(id)
		in := &ui.Input{Key: "secret." + id, Label: v.t(msg.PaperLabel), Secret: v.newInput(), Max: k.max}
		p := &ui.Page{Preset: ui.Continue, Body: []ui.Block{ui.S(v.t(msg.PaperAsk, v.t(k.name))), ui.T(v.t(k.when))},
			Inputs: []*ui.Input{in}, Choices: []ui.Choice{v.button()},
			Check: func(ctx context.Context) error { return v.checkPaper(ctx, k, in.Secret) }}
		if k.bit == NeedUser || k.bit == NeedAdmin {
			v.countTries(p, pinOf(k))
		}
		return p, nil
	}
}

// countTries shows below the page how many tries a PIN of the card has, also after one was wrong.
func (v *view) countTries(p *ui.Page, which int) {
	c, err := v.s.Card()
	if err != nil {
		return
	}
	var left atomic.Int32 // the check and the drawing are not of one goroutine
	left.Store(int32(c.Tries[which]))
	body, check := p.Body, p.Check
	p.Live = func() []ui.Block {
		n := int(left.Load())
		b := append(slices.Clone(body), ui.R(ui.Note, v.t(msg.ItemCard), v.t(msg.TriesLeft, c.Vendor, c.Serial, n)))
		if n == 1 {
			b = append(b, ui.S(v.t(msg.LastTry)))
		}
		return b
	}
	p.Check = func(ctx context.Context) error {
		err := check(ctx)
		if now, infoErr := v.m.Card.Info(ctx); err != nil && infoErr == nil {
			left.Store(int32(now.Tries[which]))
		}
		return err
	}
}

// pinOf is the index of a PIN's tries.
func pinOf(k kind) int {
	if k.bit == NeedAdmin {
		return 2
	}
	return 0
}

// checkPaper tries a secret where it is set.
func (v *view) checkPaper(ctx context.Context, k kind, typed *secret.Buffer) error {
	switch k.bit {
	case NeedUser:
		return v.pin(ctx, v.m.Card.VerifyPINs(ctx, typed, nil), pinOf(k))
	case NeedAdmin:
		return v.pin(ctx, v.m.Card.VerifyPINs(ctx, nil, typed), pinOf(k))
	case NeedOwner:
		return v.wrong(v.m.TPM.CheckOwner(ctx, typed), msg.PaperWrong)
	}
	for _, i := range v.owned() {
		if err := v.m.Disks[i].CheckPassphrase(ctx, typed); err != nil {
			return v.wrong(err, msg.PaperWrong)
		}
	}
	if err := v.s.boundTo(ctx, typed); errors.Is(err, errNotThisRun) {
		return ui.Problem(v.t(msg.PaperOtherRun))
	} else if err != nil {
		return err
	}
	return nil
}

// pin says how many tries are left after a wrong PIN, or that there are none.
func (v *view) pin(ctx context.Context, err error, which int) error {
	if err == nil {
		return nil
	}
	c, infoErr := v.m.Card.Info(ctx)
	switch {
	case infoErr == nil && c.Tries[which] == 0:
		return ui.Problem(v.t(v.unblock()))
	case infoErr == nil && errors.Is(err, ErrWrongSecret):
		return ui.Problem(v.t(msg.PINWrong, c.Tries[which]))
	}
	return err
}

func tookPaper(id string) tookFunc {
	return func(f *flow, _ context.Context, p *ui.Page, _ string) (event, error) {
		f.keep(f.kind(id), p.Inputs[0].Secret.Copy())
		return evAnswer, nil
	}
}

// drawChoose lets the owner think up a secret, typed twice.
func drawChoose(id string) drawFunc {
	return func(v *view) (*ui.Page, error) {
		k := v.kind(id)
		in := &ui.Input{Key: "secret." + id, Label: v.t(k.name), Secret: v.newInput(), Max: k.max, Twice: true}
		p := &ui.Page{Preset: ui.Continue, Inputs: []*ui.Input{in}, Choices: []ui.Choice{v.button()},
			Help: v.t(msg.ChooseHelp),
			Body: []ui.Block{ui.S(v.t(msg.ChooseAsk, v.t(k.name))), ui.T(v.t(k.when)), ui.T(v.t(msg.ChooseLength, k.min, k.max)),
				ui.T(v.t(msg.ChooseLayout))}}
		switch {
		case v.a.onPaper[id]:
			p.Body = []ui.Block{ui.S(v.t(msg.PaperAsk, v.t(k.name))), ui.T(v.t(k.when)), ui.T(v.t(msg.KeptWhat))}
			p.Choices = append(p.Choices, ui.Choice{ID: "other", Label: v.t(msg.ButtonAnother), Key: 5, Letter: 'o'})
		case v.resuming():
			p.Body = append(p.Body, ui.T(v.older(k)))
		}
		in.Gauge = func(typed []byte) string { return v.t(msg.ChooseStrength, strength(typed), k.enough()) }
		p.Check = func(context.Context) error {
			if n := in.Secret.Len(); n < k.min || n > k.max {
				return ui.Problem(v.t(msg.ChooseLength, k.min, k.max))
			}
			if bits := strength(in.Secret.Bytes()); bits < k.enough() {
				return ui.Problem(v.t(msg.ChooseWeak, bits, k.enough()))
			}
			for _, old := range v.a.keys.Current {
				if k.bit == NeedDisk && old.Equal(in.Secret) {
					return ui.Problem(v.t(msg.ChooseSeller))
				}
			}
			return nil
		}
		return p, nil
	}
}

func tookChoose(id string) tookFunc {
	return func(f *flow, _ context.Context, p *ui.Page, choice string) (event, error) {
		if choice == "other" { // not on the paper after all
			delete(f.a.onPaper, id)
			f.drop(f.kind(id))
			return evReturn, nil
		}
		typed := p.Inputs[0].Secret
		if f.o.Keyboard != nil {
			if moved := movers(f.o.Keyboard, typed); moved != nil {
				moved.Wipe()
				f.a.draft.Wipe()
				f.a.draft = typed.Copy()
				return evAside, nil
			}
		}
		f.keep(f.kind(id), typed.Copy())
		return evAnswer, nil
	}
}

// drawMoves points out characters that lie elsewhere on other keyboards.
func drawMoves(id string) drawFunc {
	return func(v *view) (*ui.Page, error) {
		moved := v.hold(movers(v.o.Keyboard, v.a.draft))
		body := []ui.Block{ui.S(v.t(msg.MovesTitle)), ui.G(), {Kind: ui.Code, Secret: moved}, ui.G(), ui.T(v.t(msg.MovesWhy))}
		if v.kind(id).bit == NeedDisk {
			body = append(body, ui.T(v.t(msg.MovesSystem)))
		}
		return &ui.Page{Preset: ui.Continue, Body: body,
			Choices: append(v.just(msg.ButtonKeep), ui.Choice{ID: "other", Label: v.t(msg.ButtonOther), Letter: 'o'})}, nil
	}
}

func tookMoves(id string) tookFunc {
	return func(f *flow, _ context.Context, _ *ui.Page, choice string) (event, error) {
		if choice == "other" {
			return evReturn, nil
		}
		f.keep(f.kind(id), f.a.draft)
		f.a.draft = nil
		return evAnswer, nil
	}
}

// Views of a made secret: the choices that lead to them.
const (
	inWords   = ""
	asQR      = "qr"
	hidden    = "hide"
	asLetters = "letters"
)

// keepPaper is the choice of one who has written a secret down before an interruption.
const keepPaper = "paper"

// show changes how the page shows its secret, and back.
func (a *answers) show(how string) {
	if a.shown == how {
		how = inWords
	}
	a.shown = how
}

func lookRecord(id string) lookFunc {
	return func(f *flow, _ context.Context) error {
		if f.came != evAgain {
			f.a.shown = inWords
		}
		if k := f.kind(id); *k.of(&f.a.keys) == nil && f.wants(id) == pageRecord {
			f.fresh(k)
		}
		return nil
	}
}

// fresh makes a secret that nobody has written down yet.
func (f *flow) fresh(k kind) {
	f.drop(k)
	f.keep(k, makeSecret(k))
}

// older says what becomes of one on an older paper of an interrupted run.
func (v *view) older(k kind) string {
	if k.bit == NeedDisk {
		return v.t(msg.RecordEarly)
	}
	return v.t(msg.RecordVoid, v.t(k.name))
}

// drawRecord shows a made secret and has it typed back from paper.
func drawRecord(id string) drawFunc {
	return func(v *view) (*ui.Page, error) {
		k := v.kind(id)
		s := *k.of(&v.a.keys)
		in := &ui.Input{Key: "typeback." + id, Label: v.t(msg.RecordLabel), Secret: v.newInput(), Max: maxPassphrase,
			Shown: true}
		n, of := v.position(k)
		body := []ui.Block{ui.S(v.t(msg.RecordTitle, n, of, v.t(k.name))), ui.T(v.t(k.when))}
		switch v.a.shown {
		case asQR:
			body = append(body, ui.Block{Kind: ui.QR, Secret: s, Hide: true})
		case inWords:
			body = append(body, ui.G(), ui.Block{Kind: ui.Words, Secret: s, Hide: true}, ui.G())
		}
		body = append(body, ui.T(v.t(msg.RecordHow)), ui.T(v.t(msg.RecordKeys, k.words*words.Bits)))
		if v.resuming() {
			body = append(body, ui.T(v.older(k)))
		}
		qr, hide := msg.ButtonQR, msg.ButtonHide
		switch v.a.shown {
		case asQR:
			qr = msg.ButtonWords
		case hidden:
			hide = msg.ButtonShow
		}
		p := &ui.Page{Preset: ui.Continue, Body: body, Inputs: []*ui.Input{in}, Help: v.t(msg.RecordHelp),
			Made: []ui.Named{{Key: "secret." + id, Secret: s}},
			Auto: func() error { fill(in.Secret, s); return nil },
			Choices: []ui.Choice{v.button(), {ID: "other", Label: v.t(msg.ButtonAnother), Key: 5, Letter: 'o'},
				{ID: asQR, Label: v.t(qr), Key: 6, Letter: 'q'}, {ID: hidden, Label: v.t(hide), Key: 7, Letter: 'h'}},
			Check: func(context.Context) error {
				if w := words.FirstWrong(in.Secret.Bytes(), s.Bytes()); w > 0 {
					return ui.Problem(v.t(msg.RecordWrong, w))
				}
				return nil
			}}
		if v.resuming() {
			p.Choices = append(p.Choices, ui.Choice{ID: keepPaper, Label: v.t(msg.ButtonOnPaper), Key: 8, Letter: 'p'})
		}
		return p, nil
	}
}

func tookRecord(id string) tookFunc {
	return func(f *flow, _ context.Context, _ *ui.Page, choice string) (event, error) {
		switch choice {
		case "other":
			f.fresh(f.kind(id))
			f.a.shown = inWords
		case asQR, hidden:
			f.a.show(choice)
		case keepPaper: // no device has it yet: typed twice is proof enough
			f.drop(f.kind(id))
			f.a.onPaper[id] = true
			return evAside, nil
		default:
			return evAnswer, nil
		}
		return evAgain, nil
	}
}

// lookTOTP makes the secret for the phone.
func lookTOTP(f *flow, _ context.Context) error {
	if f.came != evAgain {
		f.a.shown = inWords
	}
	if f.asksTOTP() && f.a.keys.OTP == nil {
		f.a.keys.OTP = otp.NewSecret()
		// To the minute: an entry of the same day's earlier start has another name. No colon, which
		// apps take for the end of the issuer.
		f.a.phone = f.m.Platform.Now().UTC().Format("2006-01-02 15.04")
	}
	return nil
}

// drawTOTP shows that secret, and has six digits typed back: that proves that the phone
// has it and that both clocks agree.
func drawTOTP(v *view) (*ui.Page, error) {
	key := v.a.keys.OTP
	uri, err := otp.Named("reown", v.a.phone+" "+v.m.Platform.Board(), key)
	if err != nil {
		return nil, err
	}
	v.hold(uri)
	code := v.hold(otp.Base32Groups(key))
	in := &ui.Input{Key: "totp", Label: v.t(msg.TOTPLabel), Digits: true, Max: 8}
	ask, shown, other := msg.TOTPAsk, ui.Block{Kind: ui.QR, Secret: uri}, msg.ButtonLetters
	if v.a.shown == asLetters {
		ask, shown, other = msg.TOTPLetters, ui.Block{Kind: ui.Code, Secret: code}, msg.ButtonQR
	}
	body := []ui.Block{ui.S(v.t(ask)), shown, ui.T(v.t(msg.TOTPWhy))}
	if v.resuming() {
		body = append(body, ui.T(v.t(msg.TOTPVoid, v.a.phone)))
	}
	return &ui.Page{Preset: ui.Continue, Inputs: []*ui.Input{in}, Help: v.t(msg.TOTPHelp), Body: body,
		Made: []ui.Named{{Key: "totp", Secret: code}},
		Auto: func() error {
			c, err := otp.TOTP(key, v.m.Platform.Now())
			in.Value = c.String()
			return err
		},
		Choices: []ui.Choice{v.button(), {ID: asLetters, Label: v.t(other), Key: 6, Letter: 'l'},
			{ID: "clock", Label: v.t(msg.ButtonClock), Key: 4, Letter: 'c'}},
		Check: func(context.Context) error { return v.sixDigits(in.Value) }}, nil
}

func tookTOTP(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	switch id {
	case asLetters:
		f.a.show(asLetters)
		return evAgain, nil
	case "clock":
		return evClock, nil
	}
	return evAnswer, nil
}
