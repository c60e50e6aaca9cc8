package wizard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"reown/internal/otp"
	"reown/internal/secret"
	"reown/internal/words"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// maxPassphrase bounds what is typed, in bytes; cryptsetup takes 512 from a terminal.
const maxPassphrase = 512

// kind is one of the secrets that the owner writes down.
type kind struct {
	id         string // also the key in answers files, after "secret."
	bit        Secrets
	name, when msg.M
	words      int
	min, max   int // length limits in bytes
	of         func(*Keys) **secret.Buffer
}

// kinds lists the secrets in the order in which they are recorded. PIN lengths are
// those of the card at hand.
func (f *flow) kinds() []kind {
	user, admin := [2]int{6, 64}, [2]int{8, 25}
	if c, err := f.s.Card(); err == nil {
		if c.PINMax[0] > 0 {
			user = [2]int{max(6, c.PINMin[0]), min(64, c.PINMax[0])}
		}
		if c.PINMax[1] > 0 {
			// Heads gives the admin PIN to tools that take 25 bytes at most.
			admin = [2]int{max(8, c.PINMin[1]), min(25, c.PINMax[1])}
		}
	}
	when := msg.SecretDiskWhen
	if f.choice.DUK {
		when = msg.SecretDiskSpare
	}
	return []kind{
		{"disk", NeedDisk, msg.SecretDisk, when, secretWords, 12, maxPassphrase, func(k *Keys) **secret.Buffer { return &k.Disk }},
		{"duk", NeedDUK, msg.SecretDUK, msg.SecretDUKWhen, 3, 12, 32, func(k *Keys) **secret.Buffer { return &k.DUK }},
		{"user", NeedUser, msg.SecretUser, msg.SecretUserWhen, 2, user[0], user[1], func(k *Keys) **secret.Buffer { return &k.User }},
		{"admin", NeedAdmin, msg.SecretAdmin, msg.SecretAdminWhen, 2, admin[0], admin[1], func(k *Keys) **secret.Buffer { return &k.Admin }},
		{"backup", NeedBackup, msg.SecretBackup, msg.SecretBackupWhen, secretWords, 12, maxPassphrase, func(k *Keys) **secret.Buffer { return &k.Backup }},
		{"owner", NeedOwner, msg.SecretOwner, msg.SecretOwnerWhen, 4, 8, 32, func(k *Keys) **secret.Buffer { return &k.Owner }},
	}
}

// needed says whether the steps that are left use a secret.
func (f *flow) needed(k kind) bool {
	if f.need&k.bit == 0 {
		return false
	}
	switch k.bit {
	case NeedDisk:
		return len(f.m.Disks) > 0 && (f.choice.Volumes == nil || len(f.choice.Volumes) > 0)
	case NeedAdmin:
		return f.m.HOTP(f.s.ctx) != nil || !f.applied(k)
	case NeedOwner:
		return f.m.TPM != nil
	case NeedDUK: // one that is only used after a restart is made after it
		return f.m.DUK != nil && f.choice.DUK && !f.sealsLater()
	case NeedBackup:
		return f.choice.Backup == StickBackup
	}
	return true
}

// applied says whether a secret is set on its device already, so that it can be
// checked and must not be made anew.
func (f *flow) applied(k kind) bool {
	if !f.resume {
		return false
	}
	switch k.bit {
	case NeedUser, NeedAdmin:
		_, err := f.s.Owner()
		return err == nil
	case NeedOwner:
		st, err := probeTPM(f.s)
		return err == nil && st.Status == ui.Completed
	case NeedDisk:
		return len(f.owned()) > 0
	}
	return false
}

// owned returns the indexes of the volumes that only the owner's passphrase opens.
func (f *flow) owned() (all []int) {
	disks, _ := f.s.Disks()
	r, _ := f.s.Receipt()
	for i, d := range disks {
		if selected(r, d.UUID) && f.s.ours(d) {
			all = append(all, i)
		}
	}
	return all
}

// newSecrets are the secrets that this run makes.
func (f *flow) newSecrets() (all []kind) {
	for _, k := range f.kinds() {
		if f.needed(k) && !f.applied(k) {
			all = append(all, k)
		}
	}
	return all
}

// secretPages is one page a secret.
func (f *flow) secretPages() (all []page) {
	for i, k := range f.kinds() {
		all = append(all, page{"secret." + k.id, func(ctx context.Context) (move, error) {
			k := f.kinds()[i]
			switch {
			case !f.needed(k):
				return skipped, nil
			case f.applied(k):
				return f.existing(ctx, k)
			case f.own:
				return f.choose(ctx, k)
			}
			return f.record(ctx, k)
		}})
	}
	return all
}

// forget drops the made secrets, to choose anew.
func (f *flow) forget() {
	for _, k := range f.kinds() {
		p := k.of(&f.keys)
		(*p).Wipe()
		*p = nil
		delete(f.done, "secret."+k.id)
	}
}

func newInput() *secret.Buffer {
	b := secret.New(maxPassphrase)
	b.SetLen(0)
	return b
}

func (f *flow) keep(k kind, b *secret.Buffer) {
	p := k.of(&f.keys)
	(*p).Wipe()
	*p = b
}

// existing asks for a secret that is set on its device, from the owner's paper.
func (f *flow) existing(ctx context.Context, k kind) (move, error) {
	if *k.of(&f.keys) != nil {
		return skipped, nil
	}
	in := &ui.Input{Key: "secret." + k.id, Label: f.t(msg.PaperLabel), Secret: newInput(), Max: k.max}
	defer in.Secret.Wipe()
	body := []ui.Block{ui.S(f.t(msg.PaperAsk, f.t(k.name))), ui.T(f.t(k.when))}
	if c, err := f.s.Card(); err == nil && (k.bit == NeedUser || k.bit == NeedAdmin) {
		n := c.Tries[0]
		if k.bit == NeedAdmin {
			n = c.Tries[2]
		}
		if n == 0 {
			return f.blocked(ctx)
		}
		body = append(body, ui.R(ui.Note, f.t(msg.ItemCard), f.t(msg.TriesLeft, c.Vendor, c.Serial, n)))
		if n == 1 {
			body = append(body, ui.S(f.t(msg.LastTry)))
		}
	}
	p := &ui.Page{Key: "paper." + k.id, Preset: ui.Continue, Body: body, Inputs: []*ui.Input{in}, Choices: []ui.Choice{f.button()}}
	p.Check = func(ctx context.Context) error {
		switch k.bit {
		case NeedUser:
			return f.pin(ctx, f.m.Card.VerifyPINs(ctx, in.Secret, nil), 0)
		case NeedAdmin:
			return f.pin(ctx, f.m.Card.VerifyPINs(ctx, nil, in.Secret), 2)
		case NeedOwner:
			return f.wrong(f.m.TPM.CheckOwner(ctx, in.Secret), msg.PaperWrong)
		}
		for _, i := range f.owned() {
			if err := f.m.Disks[i].CheckPassphrase(ctx, in.Secret); err != nil {
				return f.wrong(err, msg.PaperWrong)
			}
		}
		return nil
	}
	_, mv, err := f.ask(ctx, p)
	if err == nil && mv == forward {
		f.keep(k, in.Secret.Copy())
	}
	return mv, err
}

// unblock says what helps against a blocked PIN: the key is made anew, or, once the
// firmware trusts the one that is on it, or began to, the PIN.
func (f *flow) unblock() msg.M {
	holds, _ := f.s.Holds()
	if fw, _ := f.s.Firmware(); holds || fw.Torn {
		return msg.PINUnblock
	}
	return msg.PINBlocked
}

func (f *flow) blocked(ctx context.Context) (move, error) {
	_, _, err := f.ask(ctx, &ui.Page{Key: "blocked", Body: []ui.Block{ui.S(f.t(f.unblock()))}, NoBack: true, Preset: ui.Continue,
		Choices: []ui.Choice{{ID: ui.Continue, Label: f.t(msg.ButtonContinue)}, {ID: ui.Leave, Label: f.t(msg.ButtonEnd), Letter: 'e'}}})
	f.from = "resume"
	return jump, err
}

// pin says how many tries are left after a wrong PIN, or that there are none.
func (f *flow) pin(ctx context.Context, err error, which int) error {
	if err == nil {
		return nil
	}
	c, infoErr := f.m.Card.Info(ctx)
	switch {
	case infoErr == nil && c.Tries[which] == 0:
		return ui.Problem(f.t(f.unblock()))
	case infoErr == nil && errors.Is(err, ErrWrongSecret):
		return ui.Problem(f.t(msg.PINWrong, c.Tries[which]))
	}
	return err
}

// choose lets the owner think up a secret, typed twice.
func (f *flow) choose(ctx context.Context, k kind) (move, error) {
	in := &ui.Input{Key: "secret." + k.id, Label: f.t(k.name), Secret: newInput(), Max: k.max, Twice: true}
	defer in.Secret.Wipe()
	p := &ui.Page{Key: "choose." + k.id, Step: 6, Preset: ui.Continue, Inputs: []*ui.Input{in}, Choices: []ui.Choice{f.button()}, Help: f.t(msg.ChooseHelp),
		Body: []ui.Block{ui.S(f.t(msg.ChooseAsk, f.t(k.name))), ui.T(f.t(k.when)), ui.T(f.t(msg.ChooseLength, k.min, k.max)), ui.T(f.t(msg.ChooseLayout))}}
	if f.resume && k.bit == NeedDisk {
		p.Body = append(p.Body, ui.T(f.t(msg.RecordEarly)))
	}
	p.Check = func(context.Context) error {
		if n := in.Secret.Len(); n < k.min || n > k.max {
			return ui.Problem(f.t(msg.ChooseLength, k.min, k.max))
		}
		for _, old := range f.keys.Current {
			if k.bit == NeedDisk && old.Equal(in.Secret) {
				return ui.Problem(f.t(msg.ChooseSeller))
			}
		}
		return nil
	}
	_, mv, err := f.ask(ctx, p)
	if err != nil || mv != forward {
		return mv, err
	}
	if f.o.Keyboard != nil {
		if moved := movers(f.o.Keyboard, in.Secret); moved != nil {
			defer moved.Wipe()
			body := []ui.Block{ui.S(f.t(msg.MovesTitle)), ui.G(), {Kind: ui.Code, Secret: moved}, ui.G(), ui.T(f.t(msg.MovesWhy))}
			if k.bit == NeedDisk {
				body = append(body, ui.T(f.t(msg.MovesSystem)))
			}
			id, mv, err := f.ask(ctx, &ui.Page{Key: "moves." + k.id, Step: 6, Preset: ui.Continue, Body: body,
				Choices: []ui.Choice{{ID: ui.Continue, Label: f.t(msg.ButtonKeep)}, {ID: "other", Label: f.t(msg.ButtonOther), Letter: 'o'}}})
			if err != nil {
				return mv, err
			}
			if mv == backward || id == "other" {
				return again, nil
			}
		}
	}
	f.keep(k, in.Secret.Copy())
	return forward, nil
}

// movers are the characters of a secret that lie elsewhere on other keyboards, each
// once and sorted; nil when there are none.
func movers(k Keyboard, s *secret.Buffer) *secret.Buffer {
	out := secret.New(4 * s.Len()) // what is no UTF-8 becomes three bytes; a space after each
	n := 0
	for last := rune(-1); ; {
		next, none := rune(utf8.MaxRune+1), true
		for b := s.Bytes(); len(b) > 0; {
			r, size := utf8.DecodeRune(b)
			if r > last && r < next && k.Moves(b[:size]) {
				next, none = r, false
			}
			b = b[size:]
		}
		if none {
			break
		}
		last = next
		n += utf8.EncodeRune(out.Bytes()[n:], next)
		out.Bytes()[n] = ' '
		n++
	}
	if n == 0 {
		out.Wipe()
		return nil
	}
	out.SetLen(n - 1)
	return out
}

// record shows a made secret and has it typed back from paper.
func (f *flow) record(ctx context.Context, k kind) (move, error) {
	fresh := func() {
		delete(f.done, "secret."+k.id) // nobody has written this one down
		f.keep(k, makeSecret(k))
	}
	if *k.of(&f.keys) == nil {
		fresh()
	}
	qr, hidden := false, false
	for {
		s := *k.of(&f.keys)
		in := &ui.Input{Key: "typeback." + k.id, Label: f.t(msg.RecordLabel), Secret: newInput(), Max: maxPassphrase, Shown: true}
		n, of := f.position(k)
		body := []ui.Block{ui.S(f.t(msg.RecordTitle, n, of, f.t(k.name))), ui.T(f.t(k.when))}
		switch {
		case qr:
			body = append(body, ui.Block{Kind: ui.QR, Secret: s, Hide: true})
		case !hidden:
			body = append(body, ui.G(), ui.Block{Kind: ui.Words, Secret: s, Hide: true}, ui.G())
		}
		body = append(body, ui.T(f.t(msg.RecordHow)), ui.T(f.t(msg.RecordKeys, k.words*words.Bits)))
		if f.resume && k.bit == NeedDisk {
			body = append(body, ui.T(f.t(msg.RecordEarly)))
		}
		p := &ui.Page{Key: "record." + k.id, Step: 6, Preset: ui.Continue, Body: body, Inputs: []*ui.Input{in}, Help: f.t(msg.RecordHelp),
			Made: []ui.Named{{Key: "secret." + k.id, Secret: s}},
			Auto: func() error { fill(in.Secret, s); return nil },
			Choices: []ui.Choice{{ID: ui.Continue, Label: f.t(msg.ButtonContinue), Checks: true}, {ID: "other", Label: f.t(msg.ButtonAnother), Key: 5, Letter: 'o'},
				{ID: "qr", Label: f.t(msg.ButtonQR), Key: 6, Letter: 'q'}, {ID: "hide", Label: f.t(msg.ButtonHide), Key: 7, Letter: 'h'}},
			Check: func(context.Context) error {
				if w := words.FirstWrong(in.Secret.Bytes(), s.Bytes()); w > 0 {
					return ui.Problem(f.t(msg.RecordWrong, w))
				}
				return nil
			}}
		id, mv, err := f.ask(ctx, p)
		in.Secret.Wipe()
		if err != nil || mv == backward {
			return mv, err
		}
		switch id {
		case "other":
			fresh()
			qr, hidden = false, false
		case "qr":
			qr, hidden = !qr, false
		case "hide":
			qr, hidden = false, !hidden
		default:
			return forward, nil
		}
	}
}

// position is the number of a secret among those that are recorded.
func (f *flow) position(k kind) (n, of int) {
	all := f.newSecrets()
	for i, x := range all {
		if x.id == k.id {
			n = i + 1
		}
	}
	return n, len(all)
}

func fill(to, from *secret.Buffer) {
	to.SetLen(from.Len())
	copy(to.Bytes(), from.Bytes())
}

// makeSecret makes words that the device takes; where even two are too long for
// it, digits.
func makeSecret(k kind) *secret.Buffer {
	for range 200 {
		b := words.Generate(k.words)
		if b.Len() >= k.min && b.Len() <= k.max {
			return b
		}
		b.Wipe()
	}
	return words.Digits(min(max(k.min, 8), k.max))
}

// totp makes the secret for the phone, shows it, and has six digits typed back: that
// proves that the phone has it and that both clocks agree.
func (f *flow) totp(ctx context.Context) (move, error) {
	if f.need&NeedOTP == 0 || f.m.TPM == nil || f.sealsLater() {
		return skipped, nil
	}
	if f.keys.OTP == nil {
		f.keys.OTP = otp.NewSecret()
	}
	uri, err := otp.URI(f.m.Platform.Board(), f.keys.OTP)
	if err != nil {
		return again, err
	}
	defer uri.Wipe()
	code := otp.Base32Groups(f.keys.OTP)
	defer code.Wipe()
	letters := false
	for {
		in := &ui.Input{Key: "totp", Label: f.t(msg.TOTPLabel), Digits: true, Max: 8}
		shown := ui.Block{Kind: ui.QR, Secret: uri}
		if letters {
			shown = ui.Block{Kind: ui.Code, Secret: code}
		}
		p := &ui.Page{Key: "totp", Step: 6, Preset: ui.Continue, Inputs: []*ui.Input{in}, Help: f.t(msg.TOTPHelp),
			Body: []ui.Block{ui.S(f.t(msg.TOTPAsk)), shown, ui.T(f.t(msg.TOTPWhy))},
			Made: []ui.Named{{Key: "totp", Secret: code}},
			Auto: func() error {
				c, err := otp.TOTP(f.keys.OTP, f.m.Platform.Now())
				in.Value = c.String()
				return err
			},
			Choices: []ui.Choice{f.button(), {ID: "letters", Label: f.t(msg.ButtonLetters), Key: 6, Letter: 'l'}, {ID: "clock", Label: f.t(msg.ButtonClock), Key: 4, Letter: 'c'}},
			Check:   func(context.Context) error { return f.sixDigits(in.Value) }}
		id, mv, err := f.ask(ctx, p)
		if err != nil || mv == backward {
			return mv, err
		}
		switch id {
		case "letters":
			letters = !letters
		case "clock":
			if err := f.setClock(ctx); err != nil {
				return again, err
			}
		default:
			return forward, nil
		}
	}
}

// sealsLater says whether the phone's code can only be made after a restart.
func (f *flow) sealsLater() bool {
	if f.m.TPM == nil {
		return false
	}
	switch _, err := f.s.Sealed(); {
	case errors.Is(err, ErrSealImpossible):
		return true
	case err == nil:
		return false
	}
	t, err := f.s.TPM() // no image to ask for yet
	return err == nil && t.Recovery
}

// sixDigits checks what the phone shows, and tells a wrong clock from a wrong code.
func (f *flow) sixDigits(typed string) error {
	now := f.m.Platform.Now()
	if _, err := otp.VerifyTOTP(f.keys.OTP, []byte(typed), now, 1); err == nil {
		return nil
	} else if errors.Is(err, otp.ErrBadCode) {
		return ui.Problem(f.t(msg.TOTPSix))
	}
	if ahead, err := otp.VerifyTOTP(f.keys.OTP, []byte(typed), now, 2880); err == nil {
		there := now.Add(time.Duration(ahead) * otp.Step).UTC().Format("2006-01-02 15:04")
		return ui.Problem(f.t(msg.TOTPClock, there, now.UTC().Format("2006-01-02 15:04")))
	}
	return ui.Problem(f.t(msg.TOTPWrong))
}

func parseClock(s string) (time.Time, error) {
	t, err := time.Parse("2006-01-02 15:04", strings.TrimSpace(s))
	if err != nil {
		return t, fmt.Errorf("reading a time: %w", err)
	}
	return t, nil
}
