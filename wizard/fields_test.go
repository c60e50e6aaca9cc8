package wizard_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// A careless person types something wrong into the lines of some pages first, and notes what they say.
type careless struct {
	ui.UI
	wrong map[string]string // by page: what is typed
	said  map[string]string // by page: why it was refused
	seen  map[string]string // by page: the text after that
	steps map[string][2]int // by page: its number, of how many
	order []string          // of the pages
}

func blocks(p *ui.Page) (all string) {
	body := p.Body
	if p.Live != nil {
		body = p.Live()
	}
	for _, b := range body {
		all += b.Label + " " + b.Text + "\n"
	}
	return all
}

func (c *careless) Ask(ctx context.Context, p *ui.Page) (string, error) {
	c.order = append(c.order, p.Key)
	c.steps[p.Key] = [2]int{p.Step, p.Steps}
	if text, ok := c.wrong[p.Key]; ok && c.said[p.Key] == "" {
		in := p.Inputs[0]
		if in.Secret != nil {
			in.Secret.SetLen(len(text))
			copy(in.Secret.Bytes(), text)
		} else {
			in.Value = text
		}
		if err := p.Check(ctx); err != nil {
			c.said[p.Key] = err.Error()
		} else {
			c.said[p.Key] = "taken"
		}
		if c.seen[p.Key] = blocks(p); in.Gauge != nil {
			c.seen[p.Key] += in.Gauge([]byte(text))
		}
	}
	return c.UI.Ask(ctx, p)
}

func newCareless(p *wizardtest.Person, wrong map[string]string) *careless {
	return &careless{UI: wizardtest.Bare(p), wrong: wrong, said: map[string]string{}, seen: map[string]string{},
		steps: map[string][2]int{}}
}

// TestWhatIsWrong: each line says what is wrong with what was typed, and shows how many tries a PIN has now.
func TestWhatIsWrong(t *testing.T) {
	w := wizardtest.New()
	p := wizardtest.NewPerson(w)
	p.Say = map[string]string{"verify": "type", "secrets": "own", "current": "try", "try": ui.Continue}
	c := newCareless(p, map[string]string{"seller": "70A6 F7D2 F2BE 0000 1111", "choose.disk": "aaaaaaaaaaaa",
		"choose.user": "1234", "try": "000000"})
	if err := wizardtest.Run(w, c, "en"); err != nil {
		t.Fatal(err)
	}
	for page, want := range map[string]string{"seller": "20 of 40 characters", "choose.disk": "too easy to guess",
		"choose.user": "Between 6 and", "try": "not its PIN"} {
		if !strings.Contains(c.said[page], want) {
			t.Errorf("%s says %q, not %q", page, c.said[page], want)
		}
	}
	if !strings.Contains(c.seen["choose.disk"], "Strength: about 4 bits; 40 are needed.") {
		t.Errorf("the strength: %s", c.seen["choose.disk"])
	}
	if !strings.Contains(c.seen["try"], "tries left: 2") || strings.Contains(c.seen["try"], "tries left: 3") {
		t.Errorf("after a wrong PIN:\n%s", c.seen["try"])
	}

	// The same for a PIN that an interrupted run asks for.
	w = wizardtest.New()
	p = wizardtest.NewPerson(w)
	cutAt(w, "tpm.owner")
	p.Say = map[string]string{"failed": "end"}
	if err := wizardtest.Run(w, wizardtest.Bare(p), "en"); err == nil {
		t.Fatal("not interrupted")
	}
	w.Reboot()
	c = newCareless(p, map[string]string{"paper.user": "000000", "paper.disk": "not that"})
	if err := wizardtest.Run(w, c, "en"); err != nil {
		t.Fatal(err)
	}
	if s := c.seen["paper.user"]; !strings.Contains(c.said["paper.user"], "Tries left: 2") ||
		!strings.Contains(s, "tries left: 2") || strings.Contains(s, "left: 3") {
		t.Errorf("%s:\n%s", c.said["paper.user"], s)
	}
	if !strings.Contains(c.said["paper.disk"], "not it") {
		t.Errorf("a wrong passphrase: %q", c.said["paper.disk"])
	}
}

// TestStepNumbers: they begin with 1, end with the last, and leave none out, with one disk and with two.
func TestStepNumbers(t *testing.T) {
	for _, two := range []bool{false, true} {
		w := wizardtest.New()
		if two {
			w.AddDisk("22222222-bbbb", "WD-1234")
		}
		c := newCareless(wizardtest.NewPerson(w), nil)
		if err := wizardtest.Run(w, c, "en"); err != nil {
			t.Fatal(err)
		}
		last, of := 0, 0
		for _, page := range c.order {
			s := c.steps[page]
			if s[0] == 0 {
				continue
			}
			if s[0] < last || s[0] > last+1 || of != 0 && s[1] != of {
				t.Errorf("two disks %v: page %s is step %d of %d after %d of %d", two, page, s[0], s[1], last, of)
			}
			last, of = s[0], s[1]
		}
		if last != of || last < 5 {
			t.Errorf("two disks %v: the last step is %d of %d", two, last, of)
		}
	}
}

// TestEveryAnswerCanBeChanged: each question on the way has a way back to it on the last page.
func TestEveryAnswerCanBeChanged(t *testing.T) {
	w := wizardtest.New()
	w.AddDisk("22222222-bbbb", "WD-1234")
	p := wizardtest.NewPerson(w)
	p.Say = map[string]string{"language": "en", "check": "change", "change": ui.Back}
	var ids []string
	u := seen{wizardtest.Bare(p), func(pg *ui.Page) {
		if pg.Key == "change" {
			for _, c := range pg.Choices {
				ids = append(ids, c.ID)
			}
		}
	}}
	if err := wizard.Run(t.Context(), w.Machine(), u, wizard.Options{Keyboard: wizardtest.Keyboard{}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"language", "keyboard", "duk", "backup", "who", "name", "disks", "phone"} {
		if !slices.Contains(ids, want) {
			t.Errorf("%q cannot be changed: %q", want, ids)
		}
	}
}

// seen is a front end whose pages somebody looks at.
type seen struct {
	ui.UI
	see func(*ui.Page)
}

func (s seen) Ask(ctx context.Context, p *ui.Page) (string, error) {
	s.see(p)
	return s.UI.Ask(ctx, p)
}

// TestWhatToLookFor: the last page says what there is to look for at each start, and nothing else.
func TestWhatToLookFor(t *testing.T) {
	for _, c := range []struct {
		tpm, token    bool
		digits, light bool
	}{{true, true, true, true}, {true, false, true, false}, {false, true, false, true}, {false, false, false, false}} {
		w := wizardtest.New()
		if !c.tpm {
			w.HasTPM, w.Seller.SRKName = false, ""
		}
		w.HasToken = c.token
		text := ""
		p := wizardtest.NewPerson(w)
		u := seen{wizardtest.Bare(p), func(pg *ui.Page) {
			if pg.Key == "done" {
				text = blocks(pg)
			}
		}}
		if err := wizardtest.Run(w, u, "en"); err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if strings.Contains(text, "six digits") != c.digits || strings.Contains(text, "green light") != c.light {
			t.Errorf("%+v:\n%s", c, text)
		}
	}
}
