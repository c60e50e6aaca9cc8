package tui

import (
	"context"
	"os"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"

	"reown/wizard/msg"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// A draughtsman answers as a person would, and draws each page on the smallest screen.
type draughtsman struct {
	ui.UI
	t    *testing.T
	lang string
	sim  tcell.SimulationScreen
}

func (d draughtsman) Ask(ctx context.Context, p *ui.Page) (string, error) {
	v := newPage(ctx, &UI{has: cp437}, p)
	v.Draw(d.sim)
	if v.lines > v.room {
		d.t.Errorf("%s: page %s does not fit: %d lines in %d", d.lang, p.Key, v.lines, v.room)
	}
	if n := utf8.RuneCountInString(v.keyLine(78)); n > 78 {
		d.t.Errorf("%s: the keys of page %s take %d columns: %s", d.lang, p.Key, n, v.keyLine(78))
	}
	if n := utf8.RuneCountInString(p.Title) +
		utf8.RuneCountInString(v.t(msg.StepOf, p.Step, p.Steps)+v.t(msg.CapsLock)); n > 72 && p.Step > 0 || n > 86 {
		d.t.Errorf("%s: the title of page %s takes %d columns", d.lang, p.Key, n)
	}
	if n := utf8.RuneCountInString(p.Status); n > 78 {
		d.t.Errorf("%s: the second line of page %s takes %d columns", d.lang, p.Key, n)
	}
	width := textWidth
	if v.code != nil {
		width -= v.code.Width(quiet)
	}
	for _, b := range v.body {
		if n := utf8.RuneCountInString(b.Label); b.Kind == ui.Row && n > v.labelWidth(width)-2 {
			d.t.Errorf("%s: page %s cuts the label %q", d.lang, p.Key, b.Label)
		}
	}
	for _, c := range p.Choices {
		if n := utf8.RuneCountInString(c.Label); n > width-8 {
			d.t.Errorf("%s: page %s cuts the button %q", d.lang, p.Key, c.Label)
		}
	}
	for _, f := range v.fields {
		if n := utf8.RuneCountInString(v.label(f)); n > width-12 {
			d.t.Errorf("%s: page %s leaves no room beside %q", d.lang, p.Key, v.label(f))
		}
	}
	return d.UI.Ask(ctx, p)
}

// Every page of every conversation fits on 24 lines in every language, with nothing cut; each
// conversation is held on a screen in one language (with REOWN_SOAK=1 in each), and has the pages
// that it has without a screen.
func TestEveryPageFitsInEveryLanguage(t *testing.T) {
	sim := tcell.NewSimulationScreen("UTF-8")
	if err := sim.Init(); err != nil {
		t.Fatal(err)
	}
	sim.SetSize(80, 24)
	for i := range wizardtest.Conversations {
		c := &wizardtest.Conversations[i]
		for n, l := range msg.Langs {
			if c.Pause == "" {
				p := wizardtest.NewPerson(wizardtest.New())
				if err := c.Talk(p, l.Code, func() ui.UI { return draughtsman{wizardtest.Bare(p), t, l.Code, sim} }); err != nil {
					t.Fatalf("%s: %v", c.Name, err)
				}
			}
			if i%len(msg.Langs) != n && os.Getenv("REOWN_SOAK") == "" {
				continue
			}
			want, err := c.Pages(l.Code)
			if err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
			if r := play(t, c, l.Code, 24, false); !slices.Equal(r.Pages, want) {
				t.Errorf("%s in %s shows the pages\n%v, want\n%v", c.Name, l.Code, r.Pages, want)
			}
		}
	}
}
