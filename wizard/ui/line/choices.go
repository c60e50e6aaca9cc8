package line

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"reown/internal/escape"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// choice prints the ways on and reads one. An empty line takes the default, if there is one.
func (u *UI) choice(ctx context.Context, p *ui.Page) (string, error) {
	first := 0
	if p.Default < len(p.Choices) {
		first = p.Default
	}
	if showsSecret(p) {
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
			if p.Live != nil { // its digits may be old by the time somebody has heard them
				u.body(p)
			}
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
		{!p.NoBack, "<", msg.LineBack}, {!p.NoLeave, "!", msg.LineLeave}, {p.Help != "", "?", msg.LineHelp},
		{p.Details != "", "=", msg.LineDetails},
	} {
		if m.on {
			more = append(more, m.key+" "+m.text.In(p.Lang))
		}
	}
	if p.Live != nil && first < 0 {
		u.wrap("  " + msg.LineAnew.In(p.Lang))
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
