package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	Explain func(error, msg.Lang) (what, data, do string)
	// Spoke is told the language that was chosen; nil: nobody wants to know.
	Spoke func(msg.Lang)
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

// answers are all that a person has said in this start.
type answers struct {
	Choices
	keys    Keys
	need    Secrets        // what the steps use that are left
	own     bool           // the owner chooses the secrets
	battery bool           // the owner accepted the battery
	looked  bool           // the person says that the machine shows what he knows
	sold    bool           // the fingerprint of whom it is from was typed
	picked  bool           // the boot entry was chosen in this start
	typing  bool           // the person wants to type it
	tail    bool           // the number of a security key that works for something else was typed
	signs   bool           // the key that came with the machine signed by the key that the chip trusts
	still   bool           // and its count of signatures did not move by one
	listed  *listing       // what differs in /boot, as it was shown and typed for
	gone    []string       // names in /boot that no firmware reads, as they were shown
	serial  bool           // the person goes on although not all is proven
	given   map[place]bool // pages that were answered
	from    place          // where "change" led: from there on what was answered is not asked again
	foreign []string       // keyboard layouts that cannot be loaded here
	draft   *secret.Buffer // an own secret that may still be thought up anew
	shown   string         // how the page shows its secret: the choice that was made
	phone   string         // when that was made: what the phone's entry is called
	// onPaper are secrets that no device has yet and that an earlier start has put on paper.
	onPaper map[string]bool
}

// facts are what was measured.
type facts struct {
	m        *Machine
	s        *Snapshot
	phase    Phase
	why      msg.Said // for Tampered
	cardErr  error
	problems []Problem
	code     *secret.Buffer // what the TPM opens for the six digits; nil: nothing
	changed  bool           // there is something that it does not open
	dukErr   error          // as from DUK.Possible
	dukOf    *Snapshot      // when that was asked
	boot     BootInfo
	entries  int // the first of those that the page shows, of the startable ones
	sticks   []Stick
	badStick error // why the stick that was chosen last cannot be used
	rates    []int64
	surveys  *surveys // of the disks; nil before they begin
	touches  int
	chip     FirmwareChange
	job      *Job  // the work; nil before it begins
	plug     place // the page that a step waits for
	later    bool  // a step needs another start
	cause    error // why the work stopped
	off      bool  // the computer is to be switched off
}

// A view is what a page is drawn from. Drawing changes nothing but temp.
type view struct {
	facts
	a      *answers
	lang   msg.Lang
	o      *Options
	at     place
	whence place            // the last page on the way itself
	temp   []*secret.Buffer // what a page holds is wiped after it
}

// flow is one conversation: it goes where the table leads.
type flow struct {
	view
	u       ui.UI
	back    bool  // the way leads back
	came    event // with which the place was reached
	excuse  error // why somebody may leave the page at hand
	visited func(row)
	drawn   func(*ui.Page)
}

// Run takes ownership, or continues an interrupted run. Errors that say how it
// ended: ErrNothingToDo, ErrTampering, ErrNotVerified, ErrPaused, ErrRestart,
// ui.ErrLeft, *PreflightError, *StepError, *ui.MissingAnswerError.
func Run(ctx context.Context, m *Machine, u ui.UI, o Options) error {
	f, err := newFlow(ctx, m, u, o)
	if err != nil {
		return err
	}
	return f.run(ctx)
}

func newFlow(ctx context.Context, m *Machine, u ui.UI, o Options) (*flow, error) {
	due, err := Detect(ctx, m)
	if err != nil {
		return nil, err
	}
	if !due && o.LostKey == nil {
		return nil, ErrNothingToDo
	}
	f := &flow{u: u, view: view{facts: facts{m: m}, o: &o, at: pageLanguage}}
	f.a = &answers{battery: o.Battery, need: ^Secrets(0), given: map[place]bool{}, onPaper: map[string]bool{}}
	f.a.keys.Current = map[string]*secret.Buffer{}
	f.a.Algorithm, f.a.Language = o.Algorithm, o.Language
	l, _ := msg.Parse(o.Language)
	f.speak(l)
	return f, nil
}

// speak goes on in a language.
func (f *flow) speak(l msg.Lang) {
	if f.lang = l; f.o.Spoke != nil {
		f.o.Spoke(l)
	}
}

// run goes from place to place until one is an end.
func (f *flow) run(ctx context.Context) error {
	defer f.a.keys.Wipe()
	defer f.wipe()
	defer func() {
		f.surveys.end()
		f.a.draft.Wipe()
		if f.job != nil {
			f.job.copies.wipe()
		}
	}()
	for !f.at.end() {
		var err error
		switch {
		case f.at.step() >= 0:
			err = f.work(ctx)
		case ctx.Err() != nil:
			err = ctx.Err()
		default:
			err = f.visit(ctx)
		}
		if err == nil {
			continue
		}
		if f.cause == nil {
			f.cause = err
		} else {
			f.cause = errors.Join(f.cause, err)
		}
		f.fire(evGone)
	}
	return f.ending(ctx)
}

// fire goes where an event leads; false: nowhere from here.
func (f *flow) fire(on event) bool {
	r, ok := f.next(on)
	if !ok {
		return false
	}
	if f.visited != nil {
		f.visited(r)
	}
	switch on {
	case evAnswer:
		f.a.given[f.whence], f.back = true, false
	case evJump:
		f.back = false
	case evBack:
		f.back = true
	}
	f.at, f.came = r.to, on
	if on != evLeave {
		f.excuse = nil
	}
	if f.at == pageResume || slices.Contains(asked, f.at) {
		f.whence = f.at
	}
	return true
}

// visit shows the page at hand, unless the way leads past it.
func (f *flow) visit(ctx context.Context) error {
	if f.at == pageKeyboard && f.surveys == nil { // now there are minutes to spare
		f.surveys = survey(ctx, f.m.Disks)
	}
	forward := !f.back && (f.came == evAnswer || f.came == evPass || f.came == evKnown)
	if forward && f.fire(evKnown) {
		return nil
	}
	pg := pages[f.at]
	defer f.wipe()
	if pg.look != nil {
		if err := pg.look(f, ctx); err != nil {
			return err
		}
	}
	pass := evPass
	if f.back {
		pass = evPassBack
	}
	if f.fire(pass) {
		return nil
	}
	p, err := pg.draw(&f.view)
	if err != nil {
		return err
	}
	id, err := f.ask(ctx, p)
	if err != nil {
		return err
	}
	on := evAnswer
	switch {
	case id == ui.Back:
		on = evBack
	case id == ui.Leave:
		on = evLeave
	case pg.took != nil:
		if on, err = pg.took(f, ctx, p, id); err != nil {
			return err
		}
	}
	if !f.fire(on) {
		return fmt.Errorf("the page %q has no way for %q (%v)", f.at, id, on)
	}
	return nil
}

// ask shows a page with what all pages have in common.
func (f *flow) ask(ctx context.Context, p *ui.Page) (string, error) {
	p.Key, p.Lang, p.Status = string(f.at), f.lang, f.status()
	if p.Title == "" {
		p.Title = f.t(msg.Title)
	}
	if f.job == nil && !f.resuming() {
		p.Step, p.Steps = f.number()
	}
	switch {
	case p.NoLeave || f.at == pageFailed || f.at == pageTampering:
	case f.job != nil || f.resuming():
		p.Leaving = f.t(msg.LeaveBegun)
	case f.noted():
		p.Leaving = f.t(msg.LeaveNoted)
		if f.a.keys.OTP != nil { // its page comes last: most leave before the phone has anything
			p.Leaving += " " + f.t(msg.LeavePhone, f.a.phone)
		}
	}
	if check := p.Check; check != nil {
		p.Check = func(ctx context.Context) error { return f.told(check(ctx)) }
	}
	if f.drawn != nil {
		f.drawn(p)
	}
	return f.u.Ask(ctx, p)
}

// number is which of how many chapters the page at hand belongs to, of those that this machine has.
func (v *view) number() (n, of int) {
	n, of = number(v.at)
	if disks, _ := number(pageDisks); n > 0 && len(v.m.Disks) < 2 {
		if of--; n >= disks {
			n--
		}
	}
	return n, of
}

// noted says that something may stand on paper or in the phone that would not count any more.
func (v *view) noted() bool {
	k := &v.a.keys
	for _, b := range []*secret.Buffer{k.Disk, k.DUK, k.User, k.Admin, k.Backup, k.Owner, k.OTP} {
		if b != nil {
			return true
		}
	}
	return false
}

// told is what a page says of an error.
func (v *view) told(err error) error {
	var problem ui.Problem
	if err == nil || errors.As(err, &problem) || errors.Is(err, context.Canceled) || v.o.Explain == nil ||
		v.lang == msg.EN {
		return err
	}
	what, _, do := v.o.Explain(err, v.lang)
	return &toldError{what + " " + do + " " + v.t(msg.Technical, err.Error()), err}
}

// toldError is an error in the person's language.
type toldError struct {
	text string
	err  error
}

func (e *toldError) Error() string { return e.text }
func (e *toldError) Unwrap() error { return e.err }

// wipe clears what the page at hand was shown with.
func (v *view) wipe() {
	for _, b := range v.temp {
		b.Wipe()
	}
	v.temp, v.code = nil, nil
}

// hold is a secret that is wiped when the page is answered.
func (v *view) hold(b *secret.Buffer) *secret.Buffer {
	v.temp = append(v.temp, b)
	return b
}

// newInput is where a secret is typed.
func (v *view) newInput() *secret.Buffer {
	b := v.hold(secret.New(maxPassphrase))
	b.SetLen(0)
	return b
}

func (v *view) t(m msg.M, args ...any) string { return m.In(v.lang, args...) }

// button is the way on, when the page's check passes.
func (v *view) button() ui.Choice {
	return ui.Choice{ID: ui.Continue, Label: v.t(msg.ButtonContinue), Checks: true}
}

// just is the way on of a page without a check.
func (v *view) just(label msg.M) []ui.Choice {
	return []ui.Choice{{ID: ui.Continue, Label: v.t(label)}}
}

// status is the second line of every page.
func (v *view) status() string {
	power := v.t(msg.PowerUnknown)
	if p, err := v.m.Platform.Power(context.Background()); err == nil && p.Known {
		if power = v.t(msg.PowerBattery, max(p.Percent, 0)); p.Mains {
			power = v.t(msg.PowerMains)
		}
	}
	layout := v.a.Layout
	if layout == "" {
		layout = v.t(msg.LayoutUnknown)
	}
	return v.t(msg.StatusLine, layout, power, v.m.Platform.Now().UTC().Format("2006-01-02 15:04"))
}

// wrong turns ErrWrongSecret into a sentence and leaves other errors as they are:
// no failure is ever called a wrong passphrase.
func (v *view) wrong(err error, m msg.M) error {
	if errors.Is(err, ErrWrongSecret) {
		return ui.Problem(v.t(m))
	}
	return err
}

// work does steps for as long as the table leads from one to the next.
func (f *flow) work(ctx context.Context) error {
	if f.job == nil {
		f.surveys.end()
		f.job = &Job{M: f.m, Choice: f.a.Choices, Secrets: &f.a.keys, battery: f.a.battery, said: f.said(), tail: f.a.tail,
			surveys: f.surveys,
			resumed: f.resuming(), listed: f.a.listed, gone: f.a.gone, signs: f.a.signs}
		if c, err := f.s.Card(); err == nil {
			f.job.Choice.Card = c.Serial
		}
		if f.o.LostKey != nil {
			if err := f.o.LostKey(ctx); err != nil {
				return err
			}
		}
	}
	f.cause, f.later = nil, false
	r := newRunner(ctx, f.job, f.lang)
	err := f.u.Watch(ctx, f.t(msg.RunTitle), func(ctx context.Context, show func(ui.Tasks)) error {
		r.show = show
		show(r.tasks())
		for f.at.step() >= 0 {
			f.worked(r.task(ctx, f.at.step()), r.close)
		}
		return f.cause
	})
	switch {
	case f.at.step() >= 0: // the front end is gone
		f.cause = err
		f.fire(evFailed)
	case f.at != pageFailed && f.at != pageRestart:
		f.cause = nil
	}
	return nil
}

// outcomes are the events that the sequencer's outcomes are.
var outcomes = [...]event{Done: evDone, Later: evLater, Restarts: evRestart, Waits: evWait, Paused: evPaused,
	Failed: evFailed}

// worked goes on from a step, and lets go of /boot where that leads to a page.
func (f *flow) worked(e Ended, release func(Ended) Ended) {
	on := outcomes[e.Outcome]
	f.later = f.later || on == evLater
	f.plug = place(e.Wait.String())
	r, ok := f.next(on)
	if ok && r.to.step() >= 0 {
		f.fire(on)
		return
	}
	if r.to == pageRestart && e.Outcome == Done {
		e.Outcome = Later // a step before it
	}
	if e = release(e); !ok || e.Outcome == Failed {
		on = evFailed
	}
	f.cause = e.AsError()
	f.fire(on)
}

// ending does what is due at an end, and says it.
func (f *flow) ending(ctx context.Context) error {
	how := map[place]error{endLeft: ui.ErrLeft, endPaused: ErrPaused, endStopped: ErrNotVerified,
		endTampering: ErrTampering, endRestart: ErrRestart,
		endFailed: f.cause}[f.at]
	switch f.at {
	case endLeft, endPaused:
		if f.off && f.o.Restart {
			if err := errors.Join(f.m.Platform.WipeSecrets(), f.m.Platform.PowerOff(ctx)); err != nil {
				return fmt.Errorf("%w: %w", how, err)
			}
		}
		if f.excuse != nil {
			return fmt.Errorf("%w: %w", how, f.excuse)
		}
	case endRestart, endFinished:
		if err := f.m.Platform.WipeSecrets(); err != nil {
			return err
		}
		if f.o.Restart {
			if err := f.m.Platform.Restart(ctx); err != nil {
				return err
			}
		}
	}
	return how
}
