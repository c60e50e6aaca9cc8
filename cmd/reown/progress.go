package main

import (
	"fmt"
	"io"

	"reown/cmd/reown/internal/cli"
	"reown/internal/escape"
)

// progress tells each step, and every tenth of a long one: in one line on a terminal, which
// ends when something else is said, and else in lines.
type progress struct {
	w     io.Writer
	tty   bool
	step  string
	tenth int64
	steps int
	wide  int // columns of the line that is not ended; 0: there is none
}

func progressLines(e *cli.Env) *progress {
	return &progress{w: e.Stderr, tty: cli.IsTerminal(e.Stderr)}
}

func (p *progress) report(step string, done, total int64) {
	text := escape.Text(step)
	switch {
	case step != p.step:
		p.step, p.tenth, p.steps = step, 0, p.steps+1
	case total <= 0 || done*10/total <= p.tenth:
		return
	}
	if total > 0 && done*10/total > p.tenth {
		p.tenth = done * 10 / total
		text += fmt.Sprintf(" %d%%", p.tenth*10)
	}
	if !p.tty {
		fmt.Fprintln(p.w, text)
		return
	}
	text = fmt.Sprintf("step %d: %s", p.steps, text)
	fmt.Fprintf(p.w, "\r%-*s", p.wide, text)
	p.wide = max(p.wide, len(text))
}

// end ends the line.
func (p *progress) end() {
	if p.wide > 0 {
		fmt.Fprintln(p.w)
	}
	p.wide = 0
}
