package line

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"reown/internal/escape"
	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

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

// fields is inputs after a choice; a secret on the screen goes away first.
func (u *UI) fields(ctx context.Context, p *ui.Page) (string, error) {
	if len(p.Inputs) > 0 {
		u.forgetScreen(p)
	}
	return u.inputs(ctx, p)
}

// forgetScreen takes a secret off a terminal before it is typed from paper.
func (u *UI) forgetScreen(p *ui.Page) {
	if showsSecret(p) && u.fd >= 0 {
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

func showsSecret(p *ui.Page) bool {
	for _, b := range p.Body {
		if b.Hide {
			return true
		}
	}
	return false
}

// input reads one line; or a command was given instead.
func (u *UI) input(ctx context.Context, p *ui.Page, in *ui.Input) (string, error) {
	if in.Secret == nil {
		return u.value(ctx, p, in)
	}
	b, err := u.secret(ctx, in, escape.Text(in.Label))
	if err != nil {
		return "", err
	}
	defer b.Wipe()
	if cmd := command(p, b.Bytes()); cmd != "" {
		return cmd, nil
	}
	if b.Len() == 0 && !in.Optional {
		return "", missing(p, in, !showsSecret(p))
	}
	if b.Len() > 0 && in.Gauge != nil {
		u.wrap(in.Gauge(b.Bytes()))
	}
	if b.Len() > 0 && in.Twice {
		again, err := u.secret(ctx, in, msg.Again.In(p.Lang))
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

// secret reads a line that is shown only where the page says so.
func (u *UI) secret(ctx context.Context, in *ui.Input, label string) (*secret.Buffer, error) {
	_, _ = io.WriteString(u.out, label+": ")
	if in.Shown {
		return u.line(ctx)
	}
	return u.hidden(ctx)
}

// value reads a line that is no secret. An empty one keeps what stands there.
func (u *UI) value(ctx context.Context, p *ui.Page, in *ui.Input) (string, error) {
	label := escape.Text(in.Label)
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
		return "", missing(p, in, true)
	}
	if in.Echo && in.Value != "" {
		u.wrap(in.Value)
		in.Value = ""
	}
	return "", nil
}

// missing is what an empty line means that may not be empty: the choices, where there are some to show.
func missing(p *ui.Page, in *ui.Input, choices bool) error {
	if choices && len(p.Choices) > 1 {
		return errChoices
	}
	return ui.Problem(msg.Needed.In(p.Lang, escape.Text(in.Label)))
}
