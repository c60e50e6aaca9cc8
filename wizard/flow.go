package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"reown/internal/otp"
	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// Options are what the caller decides for a run.
type Options struct {
	Language  string // code; "" asks
	Algorithm string // for the keys on the card; "" for the card's recommended one
	Battery   bool   // run on the battery without asking again
	Restart   bool   // restart the computer at the end
	Keyboard  Keyboard
	Signer    string // fingerprint of the seller, or of another who handed the machine on; "": compared on the screen
	Me        string // fingerprint of the key that the machine was handed to; "": not said
	// LostKey is not nil where the owner says that he has lost his security key, and begins
	// anew. It puts /boot/oem there, and is called when the work begins and no earlier.
	LostKey func(context.Context) error
	// Explain puts an error into words: what happened, what it means for the
	// owner's data, what to do now.
	Explain func(error) (what, data, do string)
}

// Keyboard is the console's keyboard layout.
type Keyboard interface {
	// Layouts lists the names that Load accepts, the present one first.
	Layouts() []string
	// Load makes the console use a layout; an error when the kernel cannot.
	Load(name string) error
	// Moves says whether a character of text lies under another key, or nowhere,
	// on some layout.
	Moves(text []byte) bool
}

// secretWords is how many words a made disk passphrase has: 70 bits, against
// someone who has the disk and all the time.
const secretWords = 7

// flow is one conversation.
type flow struct {
	m       *Machine
	u       ui.UI
	o       Options
	lang    msg.Lang
	choice  Choices
	keys    Keys
	own     bool // the owner chooses the secrets
	resume  bool
	power   bool // the owner accepted the battery
	need    Secrets
	s       *Snapshot
	running bool            // the questions are over
	from    string          // page to go to after "change"
	done    map[string]bool // pages that were answered
	foreign []string        // keyboard layouts that cannot be loaded here
	sold    bool            // the seller's key was compared
	typing  bool            // the person wants to type it
	doubts  bool            // the person goes on without proof
	change  bool            // going on from a changed answer: what was answered is not asked again
}

// move is where to go after a page.
type move int

const (
	forward move = iota
	backward
	skipped // the page was not needed: go on in the direction we came from
	again
	jump // to the page named f.from
)

// page is one question of the conversation.
type page struct {
	name string
	ask  func(context.Context) (move, error)
}

// Run takes ownership, or continues an interrupted run. Errors that say how it
// ended: ErrNothingToDo, ErrTampering, ErrNotVerified, ErrPaused, ErrRestart, ErrCrashLoop,
// ui.ErrLeft, *PreflightError, *StepError, *ui.MissingAnswerError.
func Run(ctx context.Context, m *Machine, u ui.UI, o Options) error {
	trigger, err := m.Boot.Triggered(ctx)
	if err != nil {
		return err
	}
	if !trigger && o.LostKey == nil {
		return ErrNothingToDo
	}
	if err := crashLoop(ctx, m); err != nil {
		return err
	}
	f := &flow{m: m, u: u, o: o, need: ^Secrets(0)}
	f.keys.Current, f.done = map[string]*secret.Buffer{}, map[string]bool{}
	f.choice.Algorithm = o.Algorithm
	defer f.keys.Wipe()
	f.lang, _ = msg.Parse(o.Language)
	f.choice.Language = o.Language
	f.power = o.Battery

	phase, why, err := f.start(ctx)
	if err != nil {
		return err
	}
	if phase == Tampered {
		if phase, err = f.pastTampering(ctx, why); err != nil {
			return err
		}
	}
	switch phase {
	case Interrupted:
		f.resume = true
		err = f.conversation(ctx, f.resumePages())
	default:
		err = f.conversation(ctx, f.freshPages())
	}
	if err != nil {
		return err
	}
	return f.work(ctx)
}

// start asks the language and for the card, and finds out what the machine is in.
func (f *flow) start(ctx context.Context) (Phase, string, error) {
	if f.o.Language == "" {
		if _, err := f.language(ctx); err != nil {
			return "", "", err
		}
	}
	_ = f.m.Boot.WriteHint(ctx, hintStarts, []byte("0\n")) // somebody answers: no crash loop
	for {
		f.s = measure(ctx, f.m)
		if _, cardErr := f.s.Card(); cardErr != nil {
			what := f.t(msg.ProblemDevice, "card", cardErr)
			switch {
			case errors.Is(cardErr, ErrNoCard):
				what, cardErr = f.t(msg.PlugIn), ErrNoCard
			case errors.Is(cardErr, ErrSeveralCards):
				what = f.t(msg.PlugSeveral)
			}
			id, err := f.u.Ask(ctx, &ui.Page{Key: "card", Lang: f.lang, Title: msg.Title.In(f.lang), Status: f.status(), NoBack: true,
				Body:    []ui.Block{ui.S(what), ui.T(msg.PlugInWhy.In(f.lang))},
				Choices: []ui.Choice{{ID: "retry", Label: msg.ButtonRetry.In(f.lang)}}, Preset: ui.Leave, Wait: f.t(msg.WaitMeasure)})
			if err != nil {
				return "", "", err
			}
			if id == ui.Leave {
				return "", "", fmt.Errorf("%w: %w", ui.ErrLeft, cardErr)
			}
			continue
		}
		return f.s.phase()
	}
}

// conversation walks through pages, in both directions.
func (f *flow) conversation(ctx context.Context, pages []page) error {
	last := forward
	for i := 0; i < len(pages); {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := pages[i].name
		if f.change && last == forward && f.done[name] && name != f.from && i < len(pages)-1 {
			i++
			continue
		}
		mv, err := pages[i].ask(ctx)
		if err != nil {
			return err
		}
		switch mv {
		case skipped:
			mv = last
		case jump:
			i = max(0, slices.IndexFunc(pages, func(p page) bool { return p.name == f.from }))
			last, f.change = forward, true
			continue
		case again:
			continue
		}
		last = mv
		if mv == forward {
			f.done[name] = true
			i++
		} else if i > 0 {
			i--
		} else {
			last = forward
		}
	}
	return nil
}

func (f *flow) freshPages() []page {
	p := []page{{"start", f.startPage}, {"keyboard", f.keyboard}, {"problems", f.problems}, {"verify", f.verify}, {"seller", f.seller},
		{"current", f.current}, {"duk", f.duk}, {"backup", f.backup}, {"stick", f.stick}, {"who", f.who}, {"name", f.name}, {"disks", f.disks}}
	p = append(p, f.secretPages()...)
	return append(p, page{"totp", f.totp}, page{"check", f.check})
}

func (f *flow) resumePages() []page {
	p := []page{{"resume", f.resumePage}, {"keyboard", f.keyboard}, {"problems", f.problems}, {"current", f.current}, {"duk", f.duk},
		{"backup", f.backup}, {"stick", f.stick}, {"who", f.who}}
	p = append(p, f.secretPages()...)
	return append(p, page{"totp", f.totp})
}

// ask shows a page with what all pages have in common, and translates the two ways
// out that all pages have.
func (f *flow) ask(ctx context.Context, p *ui.Page) (string, move, error) {
	p.Lang = f.lang
	if p.Title == "" {
		p.Title = msg.Title.In(f.lang)
	}
	if p.Status == "" {
		p.Status = f.status()
	}
	if p.Step > 0 {
		p.Steps = 7
	}
	if f.resume {
		p.Step, p.Steps = 0, 0
	}
	id, err := f.u.Ask(ctx, p)
	if err != nil {
		return "", again, err
	}
	switch id {
	case ui.Back:
		return id, backward, nil
	case ui.Leave:
		if f.resume || f.running {
			return id, again, ErrPaused
		}
		return id, again, ui.ErrLeft
	}
	return id, forward, nil
}

func (f *flow) t(m msg.M, args ...any) string { return m.In(f.lang, args...) }

func (f *flow) button() ui.Choice {
	return ui.Choice{ID: ui.Continue, Label: f.t(msg.ButtonContinue), Checks: true}
}

// status is the second line of every page.
func (f *flow) status() string {
	power := msg.PowerUnknown.In(f.lang)
	if p, err := f.m.Platform.Power(context.Background()); err == nil && p.Known {
		if power = msg.PowerBattery.In(f.lang, max(p.Percent, 0)); p.Mains {
			power = msg.PowerMains.In(f.lang)
		}
	}
	layout := f.choice.Layout
	if layout == "" {
		layout = f.t(msg.LayoutUnknown)
	}
	return f.t(msg.StatusLine, layout, power, f.m.Platform.Now().UTC().Format("2006-01-02 15:04"))
}

// ---------------------------------------------------------------- pages

func (f *flow) language(ctx context.Context) (move, error) {
	p := &ui.Page{Key: "language", Title: "Language / Langue / Sprache", NoBack: true, Preset: "en"}
	for _, l := range msg.Langs {
		p.Choices = append(p.Choices, ui.Choice{ID: l.Code, Label: l.Name, Letter: rune(l.Code[0])})
		p.Body = append(p.Body, ui.T(msg.ChooseLanguage.In(l.Lang)))
		p.Wait += msg.WaitMeasure.In(l.Lang) + "\n"
	}
	id, mv, err := f.ask(ctx, p)
	if err != nil {
		return mv, err
	}
	l, ok := msg.Parse(id)
	if !ok {
		return mv, &ui.BadAnswerError{Key: p.Key, Err: fmt.Errorf("there is no language %q", id)}
	}
	f.lang, f.choice.Language = l, id
	return mv, nil
}

func (f *flow) startPage(ctx context.Context) (move, error) {
	h, err := f.s.Handover()
	if err != nil {
		return again, err
	}
	first := f.t(msg.StartUnknown)
	if h.Seller != "" {
		first = f.t(msg.StartSeller, h.Seller, h.Order)
	}
	p := &ui.Page{Key: "start", NoBack: true, Preset: ui.Continue, Body: []ui.Block{
		ui.S(first), ui.T(f.t(msg.StartTime)), ui.G(), ui.T(f.t(msg.StartNeed)),
		ui.T(f.t(msg.StartNeedKey)), ui.T(f.t(msg.StartNeedPhone)), ui.T(f.t(msg.StartNeedPaper)), ui.T(f.t(msg.StartNeedPower)),
		ui.G(), ui.T(f.t(msg.StartNothingYet)),
	}, Choices: []ui.Choice{f.button()}, Help: f.t(msg.StartHelp)}
	_, mv, err := f.ask(ctx, p)
	return mv, err
}

func (f *flow) keyboard(ctx context.Context) (move, error) {
	p := &ui.Page{Key: "keyboard", Step: 1, Preset: ui.Continue, NoBack: f.resume, Wait: f.t(msg.WaitVerify),
		Body:   []ui.Block{ui.S(f.t(msg.KeyboardAsk)), ui.G(), {Kind: ui.Verbatim, Text: "    y z a q m - . 1"}, ui.G(), ui.T(f.t(msg.KeyboardWhy))},
		Inputs: []*ui.Input{{Key: "keys", Label: f.t(msg.KeyboardEcho), Echo: true, Optional: true, Max: 40}},
		Help:   f.t(msg.KeyboardHelp), Choices: []ui.Choice{f.button()}}
	if f.o.Keyboard != nil {
		names := f.o.Keyboard.Layouts()
		if f.choice.Layout == "" && len(names) > 0 {
			f.choice.Layout = names[0]
		}
		p.Status = f.status()
		for _, n := range names {
			if n != f.choice.Layout && !slices.Contains(f.foreign, n) {
				p.Choices = append(p.Choices, ui.Choice{ID: n, Label: n})
			}
		}
	}
	id, mv, err := f.ask(ctx, p)
	if err != nil || mv != forward || id == ui.Continue {
		return mv, err
	}
	if err := f.o.Keyboard.Load(id); err != nil {
		f.foreign = append(f.foreign, id)
		return again, f.tell(ctx, "layout", f.t(msg.KeyboardCannot, id))
	}
	f.choice.Layout = id
	return again, nil
}

// tell shows one sentence and waits for a key.
func (f *flow) tell(ctx context.Context, key, text string) error {
	_, _, err := f.ask(ctx, &ui.Page{Key: key, Body: []ui.Block{ui.S(text)}, NoBack: true, NoLeave: true, Preset: ui.Continue, Choices: []ui.Choice{f.button()}})
	return err
}

func (f *flow) problems(ctx context.Context) (move, error) {
	for {
		ps := preflight(measure(ctx, f.m), f.power)
		if len(ps) == 0 {
			return skipped, nil
		}
		p := &ui.Page{Key: "problems", Step: 1, Preset: ui.Leave, Wait: f.t(msg.WaitVerify), Body: []ui.Block{ui.S(f.t(msg.ProblemsIntro)), ui.G()},
			Choices: []ui.Choice{{ID: "retry", Label: f.t(msg.ButtonRetry), Letter: 'r'}}}
		battery := true
		for _, x := range ps {
			p.Body = append(p.Body, ui.R(ui.Bad, "", f.t(x.What, x.Args...)), ui.R(ui.NoMark, "", f.t(x.Remedies[0].Text)))
			battery = battery && x.Offers(UseBattery)
		}
		if battery {
			p.Choices = append(p.Choices, ui.Choice{ID: "battery", Label: f.t(msg.ButtonBattery), Letter: 'b'})
		}
		if slices.ContainsFunc(ps, func(x Problem) bool { return x.Offers(SetClock) }) {
			p.Choices = append(p.Choices, ui.Choice{ID: "clock", Label: f.t(msg.ButtonClock), Letter: 'c'})
		}
		id, mv, err := f.ask(ctx, p)
		if errors.Is(err, ui.ErrLeft) || errors.Is(err, ErrPaused) {
			return mv, fmt.Errorf("%w: %w", err, &PreflightError{ps})
		}
		if err != nil || mv == backward {
			return mv, err
		}
		switch id {
		case "battery":
			f.power = true
		case "clock":
			if err := f.setClock(ctx); err != nil {
				return again, err
			}
		}
	}
}

// verify shows what the machine proves of itself before anything is changed.
func (f *flow) verify(ctx context.Context) (move, error) {
	f.s = measure(ctx, f.m)
	h, err := f.s.Handover()
	if err != nil {
		return again, err
	}
	if f.choice.Entry == 0 {
		f.choice.Entry = f.s.entry(nil) + 1
	}
	code, changed := f.unsealed(ctx)
	defer code.Wipe()
	from, said := f.sellerRows(&h)
	good := h.Verified() && !changed && said
	body := func() []ui.Block {
		b := []ui.Block{ui.S(f.t(msg.VerifyAsk)), ui.G()}
		b = append(b, f.items(h.Items)...)
		b = append(b, ui.G())
		switch {
		case code != nil:
			b = append(b, f.digits(code))
		case changed:
			b = append(b, ui.R(ui.Bad, f.t(msg.VerifyCodeLabel), f.t(msg.VerifyNoCode)))
		default:
			b = append(b, ui.R(ui.Note, f.t(msg.VerifyCodeLabel), f.t(msg.VerifyNoSecret)))
		}
		if h.Words != "" {
			b = append(b, ui.R(ui.Unsure, f.t(msg.VerifyWordsLabel), f.t(msg.VerifyWords, h.Words)))
		}
		b = append(append(b, from...), ui.G())
		if good {
			return append(b, ui.T(f.t(msg.VerifyQuestion)))
		}
		return append(b, ui.S(f.t(msg.VerifyBad)))
	}
	p := &ui.Page{Key: "verify", Step: 2, Live: body, Wait: f.t(msg.WaitMeasure), Help: f.t(msg.VerifyHelp), Details: verifyDetails(&h)}
	yes := ui.Choice{ID: "match", Label: f.t(msg.ButtonMatch), Letter: 'y'}
	no := ui.Choice{ID: "stop", Label: f.t(msg.ButtonNotSure), Letter: 'n'}
	without := ui.Choice{ID: "unproven", Label: f.t(msg.ButtonUnproven), Letter: 'u'}
	if good {
		p.Choices = []ui.Choice{yes, no}
		if len(h.Chain) > 0 && !f.sold && !h.Claimed() { // otherwise it is asked for in any case
			p.Choices = append(p.Choices, ui.Choice{ID: "type", Label: f.t(msg.ButtonFingerprint), Letter: 't'})
		}
	} else {
		p.Choices, p.Alarm = []ui.Choice{no, without}, true
	}
	id, mv, err := f.ask(ctx, p)
	if err != nil || mv != forward {
		return mv, err
	}
	f.typing, f.doubts = id == "type", id == "unproven"
	switch id {
	case "match", "type":
		return forward, nil
	case "unproven":
		return f.unproven(ctx)
	}
	return f.stop(ctx)
}

// items are the lines of a verification.
func (f *flow) items(items []CheckItem) (b []ui.Block) {
	names := map[string]msg.M{"card": msg.ItemCard, "handover": msg.ItemHandover, "firmware": msg.ItemFirmware, "boot": msg.ItemBoot, "disk": msg.ItemDisk, "tpm": msg.ItemTPM}
	for _, i := range items {
		name := i.ID
		if m, ok := names[i.ID]; ok {
			name = f.t(m)
		}
		switch i.Verdict {
		case Pass:
			b = append(b, ui.R(ui.OK, name, f.t(msg.ItemPass, i.Detail)))
		case Fail:
			b = append(b, ui.R(ui.Bad, name, f.t(msg.ItemFail, i.Detail)))
		case NotProvided:
			text := f.t(msg.ItemNone)
			if i.Detail != "" && i.ID != "handover" {
				text = f.t(msg.CannotCompare, i.Detail)
			}
			b = append(b, ui.R(ui.Unsure, name, text))
		}
	}
	return b
}

// unsealed is the secret that makes the six digits, or nil; changed says that there
// is one and the TPM does not open it, because what was measured at this start is not
// what it was sealed to.
func (f *flow) unsealed(ctx context.Context) (b *secret.Buffer, changed bool) {
	if f.m.TPM == nil {
		return nil, false
	}
	b, err := f.m.TPM.UnsealOTP(ctx)
	return b, err != nil && !errors.Is(err, ErrNoTPMState)
}

// digits is the line with the six digits that the phone must show as well.
func (f *flow) digits(key *secret.Buffer) ui.Block {
	now := f.m.Platform.Now()
	c, err := otp.TOTP(key, now)
	if err != nil {
		return ui.R(ui.Note, f.t(msg.VerifyCodeLabel), f.t(msg.VerifyNoCode))
	}
	d := c.String()
	return ui.R(ui.Unsure, f.t(msg.VerifyCodeLabel), f.t(msg.VerifyCode, d[:3]+" "+d[3:], int(otp.Remaining(now).Seconds())))
}

func verifyDetails(h *Handover) string {
	var b strings.Builder
	if !h.Claimed() {
		fmt.Fprintf(&b, "signer %s\n", h.Signer)
	}
	for _, i := range h.Items {
		fmt.Fprintf(&b, "%-10s %-12s %s\n", i.ID, i.Verdict, i.Detail)
	}
	for _, l := range h.Lines {
		fmt.Fprintf(&b, "%-10s %-12s %s\n", "", l.Status, l.Name)
	}
	return b.String()
}

// stop is where "no" and "not sure" lead: nothing has changed in this start.
func (f *flow) stop(ctx context.Context) (move, error) {
	what := msg.StopNothing
	if f.resume {
		what = msg.StopNoMore
	}
	id, mv, err := f.ask(ctx, &ui.Page{Key: "stop", Alarm: true, NoLeave: true, Preset: "end", Body: []ui.Block{
		ui.S(f.t(what)), ui.G(), ui.T(f.t(msg.StopClock)), ui.T(f.t(msg.StopNoSecrets)), ui.T(f.t(msg.StopPhoto)), ui.T(f.t(msg.StopContact)),
	}, Choices: []ui.Choice{{ID: "end", Label: f.t(msg.ButtonEnd)}, {ID: "clock", Label: f.t(msg.ButtonClock), Letter: 'c'}}})
	if err != nil {
		return mv, err
	}
	if id == "clock" {
		return again, f.setClock(ctx)
	}
	if mv == backward {
		return again, nil
	}
	return again, ErrNotVerified
}

// unproven lets a person go on without proof, after typing the disk's serial.
func (f *flow) unproven(ctx context.Context) (move, error) {
	want := f.serial()
	in := &ui.Input{Key: "unproven-serial", Label: f.typeLabel(want), Max: 16}
	_, mv, err := f.ask(ctx, &ui.Page{Key: "unproven", Step: 2, Alarm: true, Preset: ui.Continue, Body: []ui.Block{
		ui.S(f.t(msg.UnprovenTitle)), ui.G(), ui.T(f.t(msg.UnprovenWhat)), ui.T(f.t(msg.UnprovenSerial)),
	}, Inputs: []*ui.Input{in}, Choices: []ui.Choice{f.button()}, Check: f.typed(in, want)})
	if mv == backward {
		return again, err
	}
	return mv, err
}

// serial is the tail of the first disk's serial number, which is typed to start.
func (f *flow) serial() string {
	if d, err := f.s.Disks(); err == nil {
		for _, x := range d {
			if x.Serial != "" {
				return strings.ToUpper(tail(x.Serial, 4))
			}
		}
	}
	return noSerial
}

// noSerial is typed where no disk has a serial number.
const noSerial = "START"

func (f *flow) typeLabel(want string) string {
	if want == noSerial {
		return f.t(msg.TypeLabel, want)
	}
	return f.t(msg.SerialLabel, want)
}

func (f *flow) typed(in *ui.Input, want string) func(context.Context) error {
	return func(context.Context) error {
		if !strings.EqualFold(strings.TrimSpace(in.Value), want) {
			return ui.Problem(f.t(msg.SerialWrong, want))
		}
		return nil
	}
}

// current asks for the passphrase that opens the disks now. One that opens several
// is asked for once.
func (f *flow) current(ctx context.Context) (move, error) {
	f.s = measure(ctx, f.m)
	disks, err := f.s.Disks()
	if err != nil {
		return again, err
	}
	r, _ := f.s.Receipt()
	asked := false
	for i, d := range disks {
		if f.need&NeedDisk == 0 || !selected(r, d.UUID) || f.s.ours(d) || f.keys.Current[d.UUID] != nil || f.skip(d.UUID) {
			continue
		}
		asked = true
		in := &ui.Input{Key: "secret.current", Label: f.t(msg.CurrentLabel), Secret: newInput(), Max: maxPassphrase}
		defer in.Secret.Wipe()
		body := []ui.Block{ui.S(f.t(msg.CurrentAsk)), ui.R(ui.NoMark, f.t(msg.ItemDisk), describe(d)), ui.G(), ui.T(f.t(msg.CurrentWhy))}
		if f.resume {
			body = append(body, ui.T(f.t(msg.CurrentResume)))
		}
		p := &ui.Page{Key: "current", Step: 3, Preset: ui.Continue, Body: body, Inputs: []*ui.Input{in}, Choices: []ui.Choice{f.button()}, Help: f.t(msg.CurrentHelp)}
		p.Check = func(ctx context.Context) error {
			return f.wrong(f.m.Disks[i].CheckPassphrase(ctx, in.Secret), msg.CurrentWrong)
		}
		if len(disks) > 1 && r == nil { // the steps go by the receipt
			p.Choices = append(p.Choices, ui.Choice{ID: "leave-out", Label: f.t(msg.ButtonLeaveOut), Letter: 'l'})
		}
		id, mv, err := f.ask(ctx, p)
		if err != nil || mv == backward {
			return mv, err
		}
		if id == "leave-out" {
			f.leave(disks, d.UUID)
			continue
		}
		f.keys.Current[d.UUID] = in.Secret.Copy()
		for k, o := range disks[i+1:] {
			if f.keys.Current[o.UUID] == nil && f.m.Disks[i+1+k].CheckPassphrase(ctx, in.Secret) == nil {
				f.keys.Current[o.UUID] = in.Secret.Copy()
			}
		}
	}
	if !asked {
		return skipped, nil
	}
	return forward, nil
}

func (f *flow) skip(uuid string) bool {
	return f.choice.Volumes != nil && !slices.Contains(f.choice.Volumes, uuid)
}

func (f *flow) leave(disks []DiskInfo, uuid string) {
	if f.choice.Volumes == nil {
		f.choice.Volumes = []string{}
		for _, d := range disks {
			f.choice.Volumes = append(f.choice.Volumes, d.UUID)
		}
	}
	f.choice.Volumes = slices.DeleteFunc(f.choice.Volumes, func(u string) bool { return u == uuid })
}

// leftOut names the disks that stay as they are.
func (f *flow) leftOut() (rows []ui.Block) {
	disks, _ := f.s.Disks()
	for _, d := range disks {
		if f.skip(d.UUID) {
			rows = append(rows, ui.R(ui.Bad, f.t(msg.DiskOut), describe(d)))
		}
	}
	return rows
}

// wrong turns ErrWrongSecret into a sentence and leaves other errors as they are:
// no failure is ever called a wrong passphrase.
func (f *flow) wrong(err error, m msg.M, args ...any) error {
	if errors.Is(err, ErrWrongSecret) {
		return ui.Problem(f.t(m, args...))
	}
	return err
}

func describe(d DiskInfo) string {
	return fmt.Sprintf("%s %s, %s, %s", d.Model, d.Serial, gigabytes(d.Size), d.Path)
}

func (f *flow) who(ctx context.Context) (move, error) {
	if len(f.newSecrets()) == 0 {
		return skipped, nil
	}
	body := []ui.Block{ui.S(f.t(msg.WhoAsk)), ui.G()}
	for _, k := range f.newSecrets() {
		body = append(body, ui.R(ui.NoMark, f.t(k.name), f.t(k.when)))
	}
	body = append(body, ui.G(), ui.T(f.t(msg.WhoAdvice)))
	id, mv, err := f.ask(ctx, &ui.Page{Key: "secrets", Step: 3, Preset: "make", Body: body, Help: f.t(msg.WhoHelp), Choices: []ui.Choice{
		{ID: "make", Label: f.t(msg.ButtonMake), Letter: 'm'}, {ID: "own", Label: f.t(msg.ButtonOwn), Letter: 'o'}}})
	f.own = id == "own"
	return mv, err
}

func (f *flow) name(ctx context.Context) (move, error) {
	name := &ui.Input{Key: "name", Label: f.t(msg.NameLabel), Value: f.choice.Identity.Name, Optional: true, Max: 60}
	mail := &ui.Input{Key: "email", Label: f.t(msg.EmailLabel), Value: f.choice.Identity.Email, Optional: true, Max: 60}
	_, mv, err := f.ask(ctx, &ui.Page{Key: "identity", Step: 4, Preset: ui.Continue, Inputs: []*ui.Input{name, mail},
		Body:    []ui.Block{ui.S(f.t(msg.NameAsk)), ui.T(f.t(msg.NameWhy)), ui.T(f.t(msg.NameEmpty))},
		Choices: []ui.Choice{f.button()}, Check: func(context.Context) error {
			n, e := strings.TrimSpace(name.Value), strings.TrimSpace(mail.Value)
			if strings.ContainsAny(n, "<>@()\\\"") {
				return ui.Problem(f.t(msg.NameBad))
			}
			if e != "" && (strings.Count(e, "@") != 1 || strings.HasPrefix(e, "@") || strings.HasSuffix(e, "@") || strings.ContainsAny(e, "<>() \\\"")) {
				return ui.Problem(f.t(msg.EmailBad))
			}
			f.choice.Identity = Identity{n, e}
			return nil
		}})
	return mv, err
}

func (f *flow) disks(ctx context.Context) (move, error) {
	disks, err := f.s.Disks()
	if err != nil {
		return again, err
	}
	if len(disks) < 2 {
		return skipped, nil
	}
	p := &ui.Page{Key: "disks", Step: 5, Preset: ui.Continue, Body: []ui.Block{ui.S(f.t(msg.DisksAsk)), ui.G()}, Choices: []ui.Choice{f.button()}}
	for i, d := range disks {
		mark, text := ui.OK, f.t(msg.DiskIn)
		if f.skip(d.UUID) {
			mark, text = ui.NoMark, f.t(msg.DiskOut)
		}
		p.Body = append(p.Body, ui.R(mark, fmt.Sprintf("%d %s", i+1, text), describe(d)))
		p.Choices = append(p.Choices, ui.Choice{ID: "disk-" + d.UUID, Label: f.t(msg.ButtonDisk, i+1), Letter: rune('1' + i)})
	}
	p.Body = append(p.Body, ui.G(), ui.T(f.t(msg.DisksWhy)))
	id, mv, err := f.ask(ctx, p)
	if uuid, ok := strings.CutPrefix(id, "disk-"); ok && err == nil {
		if f.skip(uuid) {
			f.choice.Volumes = append(f.choice.Volumes, uuid)
			if f.keys.Current[uuid] == nil {
				delete(f.done, "disks")
				f.from = "current"
				return jump, nil
			}
		} else {
			f.leave(disks, uuid)
		}
		return again, nil
	}
	return mv, err
}

// check is the point of no return: what was chosen, what cannot be undone, and one
// thing to type.
func (f *flow) check(ctx context.Context) (move, error) {
	want := f.serial()
	in := &ui.Input{Key: "confirm", Label: f.typeLabel(want), Max: 16}
	body, details := []ui.Block{ui.S(f.t(msg.CheckIntro)), ui.G()}, ""
	if out := f.leftOut(); out != nil {
		body = append(append([]ui.Block{ui.S(f.t(msg.DisksWhy))}, out...), ui.G())
	}
	for _, st := range Steps() {
		state := probe(st, f.s)
		chosen := st.Chosen != nil && st.Chosen(f.choice)
		if finished(state) && !chosen || st.Looks || st.Follows {
			continue
		}
		text := f.t(st.Does)
		if l := f.t(st.Loses); l != "" {
			text = l
		}
		var rows []ui.Block
		switch st.Shows {
		case ShowCard:
			if c, err := f.s.Card(); err == nil && c.Serial != "" {
				text = c.Serial + ": " + text
			}
			rows = f.backupRow()
		case ShowDisks:
			rows = f.diskRows(ctx)
		case ShowTouches:
			if n := f.touches(ctx); n > 0 {
				text = f.t(msg.CheckTouch, n)
			}
		case ShowChip:
			rows, details = f.chip(ctx, nil)
		}
		body = append(append(body, ui.R(ui.NoMark, f.t(st.Title), text)), rows...)
	}
	body = append(body, ui.G(), ui.T(f.t(msg.CheckRecorded)), ui.T(f.t(msg.CheckPower)))
	if f.sealsLater() {
		body = append(body, ui.T(f.t(msg.CheckRestart)))
	}
	body = append(body, f.starts()...)
	id, mv, err := f.ask(ctx, &ui.Page{Key: "check", Step: 7, Preset: "start", Wait: f.t(msg.WaitMeasure), Body: body, Inputs: []*ui.Input{in},
		Choices: []ui.Choice{{ID: "start", Label: f.t(msg.ButtonErase), Checks: true}, {ID: "change", Label: f.t(msg.ButtonChange), Key: 3, Letter: 'c'}},
		Default: 1, Check: f.typed(in, want), Help: f.t(msg.CheckHelp), Details: details})
	if err != nil || mv != forward || id == "start" {
		return mv, err
	}
	return f.changeOne(ctx)
}

// starts says which system starts by default.
func (f *flow) starts() []ui.Block {
	if b, err := f.s.Boot(); err == nil && f.choice.Entry > 0 && f.choice.Entry <= len(b.Entries) {
		return []ui.Block{ui.T(f.t(msg.CheckEntry, b.Entries[f.choice.Entry-1]))}
	}
	return nil
}

// diskRows says of each disk how long it will take: everything is read and written
// once, at best as fast as the disk reads now. Some write half as fast.
func (f *flow) diskRows(ctx context.Context) (rows []ui.Block) {
	disks, err := f.s.Disks()
	if err != nil {
		return nil // preflight says so
	}
	for i, d := range disks {
		if f.skip(d.UUID) || f.s.rekeyed(d) {
			continue
		}
		text := strings.TrimSpace(d.Model+" "+d.Serial) + ", " + gigabytes(d.Size)
		if rate, err := f.m.Disks[i].ReadRate(ctx); err == nil && rate > 0 {
			low := time.Duration(2 * float64(d.Size-d.Done) / float64(rate) * float64(time.Second))
			if high := 3 * low / 2; high > 2*time.Minute {
				text = f.t(msg.CheckTime, text, minutes(low, f.lang), minutes(high, f.lang))
			} else {
				text = f.t(msg.CheckSoon, text)
			}
		}
		rows = append(rows, ui.R(ui.NoMark, " ", text))
	}
	return rows
}

// changeOne asks which answer to change.
func (f *flow) changeOne(ctx context.Context) (move, error) {
	b, err := f.s.Boot()
	if err != nil {
		return again, err
	}
	p := &ui.Page{Key: "change", Step: 7, Preset: ui.Back, Body: []ui.Block{ui.S(f.t(msg.ChangeAsk))}, Choices: []ui.Choice{
		{ID: "who", Label: f.t(msg.ChangeSecrets), Letter: 's'}, {ID: "name", Label: f.t(msg.ChangeName), Letter: 'n'}, {ID: "keyboard", Label: f.t(msg.ChangeKeyboard), Letter: 'k'}, {ID: "backup", Label: f.t(msg.ChangeBackup), Letter: 'u'}}}
	if len(f.m.Disks) > 1 {
		p.Choices = append(p.Choices, ui.Choice{ID: "disks", Label: f.t(msg.ChangeDisks), Letter: 'd'})
	}
	if len(b.Entries) > 1 {
		p.Choices = append(p.Choices, ui.Choice{ID: "entry", Label: f.t(msg.ChangeEntry), Letter: 'b'})
	}
	id, mv, err := f.ask(ctx, p)
	switch {
	case err != nil:
		return mv, err
	case mv == backward:
		return again, nil
	case id == "entry":
		return again, f.entry(ctx, b)
	}
	if id == "who" {
		f.forget()
	}
	f.from = id
	return jump, nil
}

// entry asks which system starts by default.
func (f *flow) entry(ctx context.Context, b BootInfo) error {
	p := &ui.Page{Key: "entry", Step: 7, Preset: ui.Back, Body: []ui.Block{ui.S(f.t(msg.EntryAsk)), ui.G()}}
	for i, e := range b.Entries {
		if i < 9 && (b.Uncertain == nil || !b.Uncertain[i]) {
			if i == f.choice.Entry-1 {
				p.Default = len(p.Choices)
			}
			p.Body = append(p.Body, ui.R(ui.NoMark, strconv.Itoa(i+1), e))
			p.Choices = append(p.Choices, ui.Choice{ID: strconv.Itoa(i), Label: strconv.Itoa(i + 1), Letter: rune('1' + i)})
		}
	}
	id, mv, err := f.ask(ctx, p)
	if err == nil && mv == forward {
		f.choice.Entry, err = strconv.Atoi(id)
		f.choice.Entry++
	}
	return err
}

// setClock asks for the time, in UTC.
func (f *flow) setClock(ctx context.Context) error {
	in := &ui.Input{Key: "clock", Label: f.t(msg.ClockLabel), Value: f.m.Platform.Now().UTC().Format("2006-01-02 15:04"), Max: 20}
	_, _, err := f.ask(ctx, &ui.Page{Key: "clock", Preset: ui.Back, Body: []ui.Block{ui.S(f.t(msg.ClockAsk)), ui.T(f.t(msg.ClockWhy))},
		Inputs: []*ui.Input{in}, Choices: []ui.Choice{f.button()}, Check: func(context.Context) error {
			t, err := parseClock(in.Value)
			if err != nil || t.Before(f.m.Platform.Built()) {
				return ui.Problem(f.t(msg.ClockBad))
			}
			return f.m.Platform.SetClock(t)
		}})
	return err
}

// ---------------------------------------------------------------- resume

// resumePage is the task list as measured.
func (f *flow) resumePage(ctx context.Context) (move, error) {
	f.s = measure(ctx, f.m)
	r, err := f.s.Receipt()
	f.choice.Entry = f.s.entry(r) + 1
	if err == nil {
		f.choice.Volumes = []string{}
		for _, v := range r.Volumes {
			f.choice.Volumes = append(f.choice.Volumes, v.UUID)
		}
		f.choice.DUK = r.DUK
		// A restart has brought back the firmware's layout.
		if f.choice.Layout == "" && r.Layout != "" && f.o.Keyboard != nil && f.o.Keyboard.Load(r.Layout) == nil {
			f.choice.Layout = r.Layout
		}
	}
	h, err := f.s.Handover()
	if err != nil {
		return again, err
	}
	holds, err := f.s.Holds()
	if err != nil {
		return again, err
	}
	body := []ui.Block{ui.S(f.t(msg.ResumeTitle)), ui.G()}
	f.need = 0
	var current string
	for _, st := range Steps() {
		if st.Looks {
			continue
		}
		state := probe(st, f.s)
		mark := ui.NoMark
		switch {
		case finished(state):
			mark = ui.OK
		case state.Status == ui.Trouble || state.Status == ui.CannotStart:
			mark = ui.Bad
		}
		if st.Optional && state.Status == ui.NotNeeded {
			continue
		}
		if !finished(state) && !state.Later {
			f.need |= st.Needs
			if current == "" {
				current = f.t(st.Title)
			}
		}
		text := statusWords(state.Status, f.lang)
		if d := f.t(state.Detail, state.Args...); d != "" {
			text += ": " + d
		}
		body = append(body, ui.R(mark, f.t(st.Title), text))
	}
	body = append(body, ui.G(), ui.T(f.t(msg.ResumeWhere, current)))
	if f.need&NeedUser != 0 {
		body = append(body, f.starts()...)
	}
	var bad []CheckItem
	fw, _ := f.s.Firmware()
	if !holds && !(fw.Torn && len(h.Keys) == 0) { // while the seller's key is in charge, what it can vouch for must hold
		for _, i := range h.Items {
			if i.Verdict == Fail && (i.ID == "boot" || i.ID == "handover" || i.ID == "firmware" && !f.s.flashing()) {
				bad = append(bad, i)
			}
		}
	}
	p := &ui.Page{Key: "resume", NoBack: true, Preset: ui.Continue, Body: body, Help: f.t(msg.ResumeHelp), Choices: []ui.Choice{{ID: ui.Continue, Label: f.t(msg.ButtonContinue)}}}
	if len(bad) > 0 {
		p.Alarm, p.Preset = true, "stop"
		p.Choices = []ui.Choice{{ID: "stop", Label: f.t(msg.ButtonEnd), Letter: 'n'}, {ID: "unproven", Label: f.t(msg.ButtonUnproven), Letter: 'u'}}
		p.Body = append(append([]ui.Block{ui.S(f.t(msg.ResumeChanged))}, f.items(bad)...), body[2:]...)
	} else if !holds {
		if code, _ := f.unsealed(ctx); code != nil {
			defer code.Wipe()
			p.Live = func() []ui.Block { return append(slices.Clone(body), f.digits(code)) }
		}
		if !fw.Torn {
			p.Choices = append(p.Choices, ui.Choice{ID: "anew", Label: f.t(msg.ButtonAnew), Letter: 'a'})
		}
	}
	id, mv, err := f.ask(ctx, p)
	if err != nil {
		return mv, err
	}
	switch id {
	case "stop":
		return f.stop(ctx)
	case "unproven":
		return f.unproven(ctx)
	case "anew":
		return f.anew(ctx)
	}
	return mv, nil
}

// anew forgets a run that this owner did not begin: its certificate and receipt
// count no more, so that every step measures as not done.
func (f *flow) anew(ctx context.Context) (move, error) {
	want := f.serial()
	in := &ui.Input{Key: "anew-serial", Label: f.typeLabel(want), Max: 16}
	_, mv, err := f.ask(ctx, &ui.Page{Key: "anew", Alarm: true, Preset: ui.Back, Wait: f.t(msg.WaitMeasure), Body: []ui.Block{ui.S(f.t(msg.AnewTitle)), ui.T(f.t(msg.AnewWhat))},
		Inputs: []*ui.Input{in}, Choices: []ui.Choice{f.button()}, Check: f.typed(in, want)})
	if err != nil || mv == backward {
		return again, err
	}
	for _, h := range []string{hintReceipt, hintCert} {
		if err := f.m.Boot.WriteHint(ctx, h, []byte("\n")); err != nil {
			return again, err
		}
	}
	f.choice.Volumes = nil
	f.forget()
	clear(f.done) // what was not asked because it was done is asked now
	return again, nil
}

// ---------------------------------------------------------------- the run

func (f *flow) work(ctx context.Context) error {
	j := &Job{M: f.m, Choice: f.choice, Secrets: &f.keys, battery: f.power}
	if c, err := f.s.Card(); err == nil {
		j.Choice.Card = c.Serial
	}
	defer j.copies.wipe()
	if f.o.LostKey != nil {
		if err := f.o.LostKey(ctx); err != nil {
			return err
		}
	}
	f.running = true
	for {
		switch end := newRunner(ctx, j, f.lang).watch(ctx, f.u); end.Outcome {
		case Done:
			return f.end(ctx, j.cert)
		case Paused:
			_ = f.tell(ctx, "paused", f.t(msg.PausedText))
			return ErrPaused
		case Later, Restarts:
			return f.restart(ctx, end.AsError())
		case Waits:
			if err := f.plug(ctx, j, end.Wait); err != nil {
				return err
			}
		case Failed:
			again, err := f.failed(ctx, end.Err)
			if err != nil || !again {
				return errors.Join(end.Err, err)
			}
		}
	}
}

// end is what follows a run in which every step was done.
func (f *flow) end(ctx context.Context, c *Certificate) error {
	f.keys.Wipe()
	if err := f.finish(ctx, c); err != nil {
		return err
	}
	if err := f.m.Platform.WipeSecrets(); err != nil {
		return err
	}
	if f.o.Restart {
		return f.m.Platform.Restart(ctx)
	}
	return nil
}

// failed shows what went wrong, and asks whether to try again.
func (f *flow) failed(ctx context.Context, err error) (bool, error) {
	body := []ui.Block{ui.S(f.t(msg.FailedTitle))}
	if f.o.Explain != nil {
		what, data, do := f.o.Explain(err)
		body = append(body, ui.R(ui.Bad, f.t(msg.FailedWhat), what), ui.R(ui.NoMark, f.t(msg.FailedData), data), ui.R(ui.NoMark, f.t(msg.FailedDo), do))
	}
	body = append(body, ui.G(), ui.T(err.Error()))
	id, err := f.u.Ask(ctx, &ui.Page{Key: "failed", Lang: f.lang, Title: f.t(msg.Title), Status: f.status(), NoBack: true, Preset: "end", Wait: f.t(msg.WaitMeasure), Body: body, Choices: []ui.Choice{
		{ID: "retry", Label: f.t(msg.ButtonRetry), Letter: 'r'}, {ID: "end", Label: f.t(msg.ButtonEnd), Letter: 'e'}}})
	return id == "retry", err
}

// finish shows the certificate.
func (f *flow) finish(ctx context.Context, c *Certificate) error {
	if c == nil {
		return nil // an earlier start had shown it
	}
	body := []ui.Block{ui.S(f.t(msg.DoneTitle)), ui.G(), ui.R(ui.NoMark, f.t(msg.DoneReference), c.Reference), ui.R(ui.NoMark, f.t(msg.DoneOwner), short(c.Owner)), ui.G()}
	if n := len(c.Checks); c.Passed() == n {
		body = append(body, ui.T(f.t(msg.DoneChecks, n, n)))
	} else {
		body = append(body, ui.S(f.t(msg.PaperNotAll, c.Passed(), n)))
	}
	for _, k := range c.Checks {
		mark := ui.OK
		if !k.OK {
			mark = ui.Bad
		}
		body = append(body, ui.R(mark, "", f.t(checkNames[k.ID])))
	}
	body = append(append(body, f.leftOut()...), ui.G(), ui.T(f.t(msg.DoneNext)), ui.T(f.t(msg.DoneGreen)))
	p := &ui.Page{Key: "done", Lang: f.lang, Title: f.t(msg.Title), Status: f.status(), NoBack: true, NoLeave: true, Preset: ui.Continue, Body: body, Wait: f.t(msg.WaitRestart),
		Choices: []ui.Choice{{ID: ui.Continue, Label: f.t(msg.ButtonRestart)}}}
	if f.m.Sticks != nil {
		p.Choices = append(p.Choices, ui.Choice{ID: "stick", Label: f.t(msg.ButtonCopy), Letter: 'u'})
	}
	id, err := f.u.Ask(ctx, p)
	if err == nil && id == "stick" {
		return f.copyCertificate(ctx, c)
	}
	return err
}

// crashLoop counts the starts that ended before anybody answered anything, and
// gives up at the fourth, so that the firmware's own menu can be reached.
func crashLoop(ctx context.Context, m *Machine) error {
	n := 0
	if b, err := m.Boot.ReadHint(ctx, hintStarts); err == nil {
		n, _ = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	if n >= 3 {
		_ = m.Boot.WriteHint(ctx, hintStarts, []byte("0\n"))
		return ErrCrashLoop
	}
	_ = m.Boot.WriteHint(ctx, hintStarts, fmt.Appendf(nil, "%d\n", max(n, 0)+1))
	return nil
}
