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
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"reown/internal/escape"
	"reown/internal/qr"
	"reown/internal/secret"
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

// maxLine bounds a typed line, in bytes.
const maxLine = 1024

const width = 76

// clear asks a terminal to forget what it shows, and what was scrolled off it.
const clear = "\x1b[H\x1b[2J\x1b[3J"

// typed is a line, and when it was begun and ended, by the count of UI.asked.
type typed struct {
	*secret.Buffer
	from, to int64
}

// read reads lines for ever, each into a Buffer of its own.
func (u *UI) read() {
	defer close(u.lines)
	var one [1]byte
	defer secret.Zero(one[:])
	for {
		b := secret.New(maxLine)
		n := 0
		var from int64
		for {
			if _, err := io.ReadFull(u.in, one[:]); err != nil {
				b.Wipe()
				u.err = err
				return
			}
			if n == 0 {
				from = u.asked.Load()
			}
			if one[0] == '\n' || one[0] == '\r' {
				break
			}
			if n < maxLine {
				b.Bytes()[n] = one[0]
				n++
			}
		}
		b.SetLen(n)
		u.lines <- typed{b, from, u.asked.Load()}
	}
}

// forget drops what was typed on a terminal before the page at hand. A pipe is no person.
func (u *UI) forget() {
	if u.fd >= 0 {
		u.asked.Add(1)
		_ = unix.IoctlSetInt(u.fd, unix.TCFLSH, unix.TCIFLUSH)
	}
}

// line returns the next line that is typed; the caller wipes it.
func (u *UI) line(ctx context.Context) (*secret.Buffer, error) {
	u.start.Do(func() { go u.read() })
	for {
		select {
		case b, ok := <-u.lines:
			if !ok {
				return nil, fmt.Errorf("reading from the terminal: %w", errors.Join(io.ErrUnexpectedEOF, u.err))
			}
			switch u.asked.Load() {
			case b.from:
				return b.Buffer, nil
			case b.to: // half of it was typed before: asked again
				b.Wipe()
				b.SetLen(0)
				return b.Buffer, nil
			}
			b.Wipe()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// hidden is line without echo.
func (u *UI) hidden(ctx context.Context) (*secret.Buffer, error) {
	restore := u.echo(false)
	defer func() {
		restore()
		u.say("")
	}()
	return u.line(ctx)
}

// echo switches the terminal's echo and returns what puts it back.
func (u *UI) echo(on bool) func() {
	if u.fd < 0 {
		return func() {}
	}
	old, err := unix.IoctlGetTermios(u.fd, unix.TCGETS)
	if err != nil {
		return func() {}
	}
	t := *old
	if t.Lflag &^= unix.ECHO; on {
		t.Lflag |= unix.ECHO
	}
	_ = unix.IoctlSetTermios(u.fd, unix.TCSETS, &t)
	return func() { _ = unix.IoctlSetTermios(u.fd, unix.TCSETS, old) }
}

func (u *UI) say(text string) { fmt.Fprintln(u.out, text) }

func (u *UI) wrap(text string) {
	for _, l := range ui.Wrap(escape.Lines(text), width) {
		u.say(l)
	}
}

// Ask implements ui.UI.
func (u *UI) Ask(ctx context.Context, p *ui.Page) (string, error) {
	t := func(m msg.M, a ...any) string { return m.In(p.Lang, a...) }
	title := p.Title
	if p.Step > 0 {
		title += " - " + t(msg.StepOf, p.Step, p.Steps)
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
	first := len(p.Inputs) > 0 && !u.showsSecret(p)
	for {
		id, err := u.typed(ctx, p, first)
		if err == errChoices {
			id, err = u.choice(ctx, p)
		}
		typed := first && id == typedAll
		if typed {
			id = checked(p)
		}
		var problem ui.Problem
		if errors.As(err, &problem) {
			u.wrap("*** " + problem.Error())
			continue
		}
		if err != nil {
			return "", err
		}
		switch id {
		case "?":
			u.wrap(p.Help)
			continue
		case "=":
			u.wrap(p.Details)
			continue
		case "":
			continue
		case ui.Leave:
			if sure, err := u.sure(ctx, p); err != nil || !sure {
				if err != nil {
					return "", err
				}
				continue
			}
		}
		c := find(p, id)
		if c == nil || !c.Checks {
			return u.wait(p, id)
		}
		if !typed && !(first && optional(p)) {
			if len(p.Inputs) > 0 {
				u.forgetScreen(p)
			}
			cmd, err := u.inputs(ctx, p)
			if errors.As(err, &problem) {
				u.wrap("*** " + problem.Error())
				continue
			} else if err == errChoices {
				continue
			} else if err != nil {
				return "", err
			}
			switch cmd {
			case ui.Back:
				return u.wait(p, cmd)
			case "":
			default:
				continue // the choices are shown once more
			}
		}
		if p.Check == nil {
			return u.wait(p, id)
		}
		u.say(t(msg.Checking))
		if err := p.Check(ctx); err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			u.wrap("*** " + err.Error())
			continue
		}
		return u.wait(p, id)
	}
}

// sure asks once more where something would be lost by leaving.
func (u *UI) sure(ctx context.Context, p *ui.Page) (bool, error) {
	if p.Leaving == "" {
		return true, nil
	}
	u.wrap(p.Leaving)
	_, _ = io.WriteString(u.out, msg.LineLeaveSure.In(p.Lang)+" []: ")
	b, err := u.line(ctx)
	if err != nil {
		return false, err
	}
	defer b.Wipe()
	return strings.TrimSpace(string(b.Bytes())) == "!", nil // a choice, not a secret
}

// wait says what happens until the next page.
func (u *UI) wait(p *ui.Page, id string) (string, error) {
	if p.Wait != "" && id != ui.Leave && id != ui.Back {
		u.wrap(p.Wait)
	}
	return id, nil
}

func find(p *ui.Page, id string) *ui.Choice {
	for i := range p.Choices {
		if p.Choices[i].ID == id {
			return &p.Choices[i]
		}
	}
	return nil
}

// body prints the page's text once; digits that change are printed as they are now.
func (u *UI) body(p *ui.Page) {
	body := p.Body
	if p.Live != nil {
		body = p.Live()
	}
	for _, b := range body {
		switch b.Kind {
		case ui.Gap:
			u.say("")
		case ui.Verbatim:
			u.say(escape.Text(b.Text))
		case ui.Row:
			head := ""
			if b.Mark != ui.NoMark {
				head = b.Mark.String() + " "
			}
			if b.Label != "" {
				head += b.Label + ": "
			}
			u.wrap(head + b.Text)
		case ui.Words:
			u.words(b.Secret.Bytes())
		case ui.Code:
			u.secretLines(b.Secret.Bytes())
		case ui.QR:
			u.qr(b.Secret)
		default:
			u.wrap(b.Text)
		}
	}
}

// words prints one word a line with its number, which is how they are written down.
func (u *UI) words(b []byte) {
	n := 0
	for w := range bytes.SplitSeq(b, []byte{' '}) {
		n++
		_, _ = fmt.Fprintf(u.out, "  %d  ", n)
		_, _ = u.out.Write(w)
		u.say("")
	}
}

func (u *UI) secretLines(b []byte) {
	_, _ = io.WriteString(u.out, "  ")
	_, _ = u.out.Write(b)
	u.say("")
}

func (u *UI) qr(s *secret.Buffer) {
	if !u.Blocks {
		u.secretLines(s.Bytes())
		return
	}
	c, err := qr.Encode(s.Bytes(), qr.L)
	if err != nil {
		u.secretLines(s.Bytes())
		return
	}
	defer c.Wipe()
	text := c.Text(2, true)
	defer text.Wipe()
	_, _ = u.out.Write(text.Bytes())
}

// choice prints the ways on and reads one. An empty line takes the default, if there is one.
func (u *UI) choice(ctx context.Context, p *ui.Page) (string, error) {
	first := 0
	if p.Default < len(p.Choices) {
		first = p.Default
	}
	if u.showsSecret(p) {
		u.wrap(msg.LineHidden.In(p.Lang))
	}
	u.offer(p, first)
	b, err := u.line(ctx)
	if err != nil {
		return "", err
	}
	defer b.Wipe()
	word := strings.TrimSpace(string(b.Bytes())) // a choice, not a secret
	switch {
	case word == "":
		if len(p.Choices) == 0 || first < 0 {
			return "", nil
		}
		return p.Choices[first].ID, nil
	case word == "<" && !p.NoBack:
		return ui.Back, nil
	case word == "!" && !p.NoLeave:
		return ui.Leave, nil
	case word == "?" && p.Help != "", word == "=" && p.Details != "":
		return word, nil
	}
	if n, err := strconv.Atoi(word); err == nil && n >= 1 && n <= len(p.Choices) {
		return p.Choices[n-1].ID, nil
	}
	u.wrap("*** " + msg.LineNone.In(p.Lang, escape.Text(word[:min(len(word), 8)])))
	return "", nil
}

// offer prints the choices, of which one may be marked, and the other ways on.
func (u *UI) offer(p *ui.Page, first int) {
	for i, c := range p.Choices {
		mark := " "
		if i == first {
			mark = "*"
		}
		u.say(fmt.Sprintf("%s%d %s", mark, i+1, escape.Text(c.Label)))
	}
	var more []string
	for _, m := range []struct {
		on   bool
		key  string
		text msg.M
	}{
		{!p.NoBack, "<", msg.LineBack}, {!p.NoLeave, "!", msg.LineLeave}, {p.Help != "", "?", msg.LineHelp}, {p.Details != "", "=", msg.LineDetails},
	} {
		if m.on {
			more = append(more, m.key+" "+m.text.In(p.Lang))
		}
	}
	if len(more) > 0 {
		u.say("  (" + strings.Join(more, ", ") + ")")
	}
	preset := strconv.Itoa(first + 1)
	if first < 0 {
		preset = "1-" + strconv.Itoa(len(p.Choices))
	}
	_, _ = io.WriteString(u.out, msg.LineChoose.In(p.Lang)+" ["+preset+"]: ")
}

// typedAll says that every line of a page was typed.
const typedAll = "\x00typed"

// errChoices says that somebody wants to see the choices.
var errChoices = errors.New("no line was typed")

// optional says that no line of a page must be typed.
func optional(p *ui.Page) bool {
	return !slices.ContainsFunc(p.Inputs, func(in *ui.Input) bool { return !in.Optional })
}

// checked is the choice that goes on with what was typed.
func checked(p *ui.Page) string {
	for _, c := range p.Choices {
		if c.Checks {
			return c.ID
		}
	}
	return ui.Continue
}

// typed asks for the lines of a page before its choices; errChoices: there are none, or an empty one
// was typed where there is more to choose.
func (u *UI) typed(ctx context.Context, p *ui.Page, first bool) (string, error) {
	if !first {
		return "", errChoices
	}
	id, err := u.inputs(ctx, p)
	if err != nil || id != "" {
		return id, err
	}
	for _, in := range p.Inputs {
		if in.Secret != nil || in.Value != "" {
			return typedAll, nil
		}
	}
	if len(p.Choices) > 1 {
		return "", errChoices
	}
	return typedAll, nil
}

// inputs reads every line of the page; or a command was given instead.
func (u *UI) inputs(ctx context.Context, p *ui.Page) (string, error) {
	for _, in := range p.Inputs {
		if cmd, err := u.input(ctx, p, in); err != nil || cmd != "" {
			return cmd, err
		}
	}
	return "", nil
}

// forgetScreen takes a secret off a terminal before it is typed from paper.
func (u *UI) forgetScreen(p *ui.Page) {
	if u.showsSecret(p) && u.fd >= 0 {
		_, _ = io.WriteString(u.out, clear)
	}
}

// command is what a line means that is none: back, leave, help, details.
func command(p *ui.Page, line []byte) string {
	if len(line) != 1 {
		return ""
	}
	switch c := line[0]; {
	case c == '<' && !p.NoBack:
		return ui.Back
	case c == '!' && !p.NoLeave:
		return ui.Leave
	case c == '?' && p.Help != "", c == '=' && p.Details != "":
		return string(c)
	}
	return ""
}

func (u *UI) showsSecret(p *ui.Page) bool {
	for _, b := range p.Body {
		if b.Hide {
			return true
		}
	}
	return false
}

func (u *UI) input(ctx context.Context, p *ui.Page, in *ui.Input) (string, error) {
	label := escape.Text(in.Label)
	if in.Secret == nil {
		if in.Value != "" {
			label += " [" + escape.Text(in.Value) + "]"
		}
		_, _ = io.WriteString(u.out, label+": ")
		b, err := u.line(ctx)
		if err != nil {
			return "", err
		}
		defer b.Wipe()
		if cmd := command(p, b.Bytes()); cmd != "" && !in.Echo {
			return cmd, nil
		}
		if v := strings.TrimSpace(string(b.Bytes())); v != "" {
			in.Value = v
		}
		if in.Value == "" && !in.Optional {
			if len(p.Choices) > 1 {
				return "", errChoices
			}
			return "", ui.Problem(msg.Needed.In(p.Lang, label))
		}
		if in.Echo && in.Value != "" {
			u.wrap(in.Value)
			in.Value = ""
		}
		return "", nil
	}
	ask := func(label string) (*secret.Buffer, error) {
		_, _ = io.WriteString(u.out, label+": ")
		if in.Shown {
			return u.line(ctx)
		}
		return u.hidden(ctx)
	}
	b, err := ask(label)
	if err != nil {
		return "", err
	}
	defer b.Wipe()
	if cmd := command(p, b.Bytes()); cmd != "" {
		return cmd, nil
	}
	if b.Len() == 0 && in.Optional {
		in.Secret.SetLen(0)
		return "", nil
	}
	if b.Len() == 0 {
		if len(p.Choices) > 1 && !u.showsSecret(p) {
			return "", errChoices
		}
		return "", ui.Problem(msg.Needed.In(p.Lang, label))
	}
	if in.Gauge != nil {
		u.wrap(in.Gauge(b.Bytes()))
	}
	if in.Twice {
		again, err := ask(msg.Again.In(p.Lang))
		if err != nil {
			return "", err
		}
		defer again.Wipe()
		if !b.Equal(again) {
			return "", ui.Problem(msg.NotTheSame.In(p.Lang))
		}
	}
	n := min(b.Len(), in.Secret.Cap())
	in.Secret.SetLen(n)
	copy(in.Secret.Bytes(), b.Bytes())
	return "", nil
}

// teller says how far a run is: a line when a step changes, and now and then one about
// the progress.
type teller struct {
	u      *UI
	every  time.Duration
	last   map[string]ui.TaskState
	notes  string
	spoken time.Time
}

func (l *teller) show(t ui.Tasks) {
	l.u.mu.Lock()
	defer l.u.mu.Unlock()
	for _, x := range t.Tasks {
		if old, seen := l.last[x.Title]; x.State == old && seen && (!x.Bar || time.Since(l.spoken) < l.every) {
			continue
		}
		l.last[x.Title] = x.State
		if x.State == ui.NotStarted || x.State == ui.NotNeeded {
			continue
		}
		text := x.Title + ": " + x.Status
		if x.Bar && x.Total > 0 {
			text += fmt.Sprintf(" %d%%", int(float64(x.Done)/float64(x.Total)*100))
			l.spoken = time.Now()
		}
		if x.Detail != "" {
			text += ", " + x.Detail
		}
		l.u.wrap(text)
	}
	if n := strings.Join(t.Notes, "\n"); n != l.notes {
		if l.notes = n; n != "" {
			l.u.wrap(n)
		}
	}
}

// Watch implements ui.UI. "p" and Enter asks for a pause.
func (u *UI) Watch(ctx context.Context, title string, work func(context.Context, func(ui.Tasks)) error) error {
	ctx, pause := context.WithCancel(ctx)
	defer pause()
	l := &teller{u: u, every: u.Every, last: map[string]ui.TaskState{}}
	if l.every == 0 {
		l.every = 30 * time.Second
	}
	u.say("")
	u.say("== " + escape.Text(title))
	done := make(chan error, 1)
	go func() { done <- work(ctx, l.show) }()
	u.start.Do(func() { go u.read() })
	lines := u.lines
	for {
		select {
		case err := <-done:
			return err
		case b, ok := <-lines:
			if !ok {
				lines = nil // the line is cut; the work goes on
				continue
			}
			if s := b.Bytes(); len(s) == 1 && (s[0] == 'p' || s[0] == 'P') {
				pause()
			}
			b.Wipe()
		}
	}
}
