package wizard_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"reown/wizard/msg"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// english are words that no other language of the wizard has.
var english = regexp.MustCompile(`(?i)\b(the|and|with|this|your|that|which|nothing|cannot|does|from|left|choose|wrong|needs?)\b`)

// A listener reads everything that a front end gets to show.
type listener struct {
	*reader
	lang msg.Lang
	said map[string]bool
}

// own takes away what is said to be the computer's own words.
func (l *listener) own(text string) string {
	marker, _, _ := strings.Cut(msg.Technical.In(l.lang), "%s")
	before, _, _ := strings.Cut(text, marker)
	return before
}

func (l *listener) hear(where string, texts ...string) {
	if where == "language" {
		return // it is in all of them
	}
	for _, t := range texts {
		l.said[where+": "+l.own(t)] = true
	}
}

func (l *listener) Ask(ctx context.Context, p *ui.Page) (string, error) {
	body := p.Body
	if p.Live != nil {
		body = p.Live()
	}
	for _, b := range body {
		l.hear(p.Key, b.Label, b.Text)
	}
	for _, c := range p.Choices {
		l.hear(p.Key, c.Label)
	}
	for _, in := range p.Inputs {
		l.hear(p.Key, in.Label)
	}
	l.hear(p.Key, p.Title, p.Status, p.Wait, p.Help, p.Details)
	if p.Check != nil && len(p.Inputs) > 0 && !strings.HasPrefix(p.Key, "paper.") { // a wrong PIN costs a try
		in := p.Inputs[0]
		was := in.Value
		if in.Value = "@what is this"; in.Secret != nil {
			in.Secret.SetLen(1)
		}
		if err := p.Check(ctx); err != nil {
			l.hear(p.Key+", wrong", err.Error())
		}
		in.Value = was
	}
	return l.reader.Ask(ctx, p)
}

func (l *listener) Watch(ctx context.Context, title string, work func(context.Context, func(ui.Tasks)) error) error {
	l.hear("run", title)
	l.Press = func() {}
	return work(ctx, func(t ui.Tasks) {
		l.hear("run", t.Notes...)
		for _, x := range t.Tasks {
			l.hear("run", x.Title, x.Status, x.Detail)
		}
	})
}

// Everything that a conversation shows is in its language: pages, what follows a wrong answer,
// the list of steps.
func TestNoEnglishInAnotherLanguage(t *testing.T) {
	for _, l := range msg.Langs {
		if l.Lang == msg.EN {
			continue
		}
		said := map[string]bool{}
		for i := range wizardtest.Conversations {
			c := &wizardtest.Conversations[i]
			if c.Pause != "" {
				continue // of its page the table of texts is the test
			}
			ears := &listener{newReader(wizardtest.New()), l.Lang, said}
			if err := c.Talk(ears.Person, l.Code, func() ui.UI { return ears }); err != nil {
				t.Fatalf("%s in %s: %v", c.Name, l.Code, err)
			}
		}
		if len(said) < 500 {
			t.Errorf("only %d texts in %s", len(said), l.Code)
		}
		for s := range said {
			if m := english.FindString(s[strings.Index(s, ": ")+1:]); m != "" {
				t.Errorf("%s (%q) %s", l.Code, m, fmt.Sprintf("%.200s", s))
			}
		}
	}
}
