// Package line asks the wizard's questions one line after the other: for serial
// lines, braille displays, speech, and terminals that can do nothing else. It asks
// everything that the screen asks.
//
// Rules of this dialogue:
//
//   - plain text, no cursor movement, no colours, no more than 76 columns;
//   - what is to be typed is asked for first, an empty line leads to the choices; these are
//     numbered; "<" goes back, "!" leaves, "?" helps, "=" gives details, wherever something is asked;
//   - a secret is read without echo into locked memory; where it must be read from
//     paper, the terminal is asked to clear what stood there first;
//   - the line about keyboard and power is said when it changes;
//   - progress is a line now and then, not a bar that is drawn over.
package line

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"reown/internal/escape"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// UI talks over a terminal or any pair of streams. Its zero value is not usable.
type UI struct {
	status string // said last, without the clock
	in     io.Reader
	out    io.Writer
	fd     int // of the terminal whose echo is switched; -1: none
	// Blocks says that the terminal shows the half blocks of a QR code.
	Blocks bool
	// Every is the least time between two lines about progress; 0: 30 s.
	Every time.Duration

	lines chan typed   // what was typed, without the newline
	asked atomic.Int64 // how many pages were shown that take nothing typed before
	err   error        // after lines is closed
	start sync.Once
	mu    sync.Mutex // guards out while work runs
}

// New talks over in and out; fd is the terminal's file descriptor, or -1.
func New(in io.Reader, out io.Writer, fd int) *UI {
	return &UI{in: in, out: out, fd: fd, lines: make(chan typed)}
}

const width = 76

// clear asks a terminal to forget what it shows, and what was scrolled off it.
const clear = "\x1b[H\x1b[2J\x1b[3J"

func (u *UI) say(text string) { fmt.Fprintln(u.out, text) }

func (u *UI) wrap(text string) {
	for _, l := range ui.Wrap(escape.Lines(text), width) {
		u.say(l)
	}
}

// Ask implements ui.UI.
func (u *UI) Ask(ctx context.Context, p *ui.Page) (string, error) {
	u.page(p)
	first := len(p.Inputs) > 0 && !showsSecret(p)
	for {
		id, err := u.answer(ctx, p, first)
		var problem ui.Problem
		switch {
		case errors.As(err, &problem):
			u.wrap("*** " + problem.Error())
		case err == errAgain || err == errChoices:
		case err != nil:
			return "", err
		default:
			if p.Wait != "" && id != ui.Leave && id != ui.Back {
				u.wrap(p.Wait)
			}
			return id, nil
		}
	}
}

// page says what a page says, from its title to its text.
func (u *UI) page(p *ui.Page) {
	title := p.Title
	if p.Step > 0 {
		title += " - " + msg.StepOf.In(p.Lang, p.Step, p.Steps)
	}
	u.say("")
	u.say("== " + escape.Text(title))
	// The clock at its end goes on for itself.
	if now := p.Status[:max(strings.LastIndex(p.Status, "   "), 0)]; now != u.status || p.Live != nil {
		u.status = now
		u.wrap(p.Status)
	}
	u.say("")
	u.body(p)
	if p.Trust {
		u.forget()
	}
}

// errAgain says that nothing was answered yet.
var errAgain = errors.New("to be asked again")

// answer asks once; first: the fields come before the choices.
func (u *UI) answer(ctx context.Context, p *ui.Page, first bool) (string, error) {
	id, err := u.typed(ctx, p, first)
	if err == errChoices {
		id, err = u.choice(ctx, p)
	}
	typed := first && id == typedAll
	if typed {
		id = checked(p)
	}
	if err != nil {
		return "", err
	}
	switch id {
	case "?":
		u.wrap(p.Help)
		return "", errAgain
	case "=":
		u.wrap(p.Details)
		return "", errAgain
	case "":
		return "", errAgain
	case ui.Leave:
		return id, u.sure(ctx, p)
	}
	if c := find(p, id); c == nil || !c.Checks {
		return id, nil
	}
	if !typed && !(first && optional(p)) {
		switch cmd, err := u.fields(ctx, p); {
		case err != nil:
			return "", err
		case cmd == ui.Back:
			return cmd, nil
		case cmd != "":
			return "", errAgain // the choices are shown once more
		}
	}
	return id, u.check(ctx, p)
}

// check has the page look at what was typed.
func (u *UI) check(ctx context.Context, p *ui.Page) error {
	if p.Check == nil {
		return nil
	}
	u.say(msg.Checking.In(p.Lang))
	err := p.Check(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return ui.Problem(err.Error())
	}
	return nil
}

// sure asks once more where something would be lost by leaving; errAgain: it is not wanted.
func (u *UI) sure(ctx context.Context, p *ui.Page) error {
	if p.Leaving == "" {
		return nil
	}
	u.wrap(p.Leaving)
	_, _ = io.WriteString(u.out, msg.LineLeaveSure.In(p.Lang)+" []: ")
	b, err := u.line(ctx)
	if err != nil {
		return err
	}
	defer b.Wipe()
	if strings.TrimSpace(string(b.Bytes())) != "!" { // a choice, not a secret
		return errAgain
	}
	return nil
}

func find(p *ui.Page, id string) *ui.Choice {
	for i := range p.Choices {
		if p.Choices[i].ID == id {
			return &p.Choices[i]
		}
	}
	return nil
}
