package wizard_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

const (
	guide      = "../docs/buyer.md"
	guideBegin = "<!-- The pages: go test ./wizard -run Guide -update puts them in order. -->\n"
	guideEnd   = "<!-- The end of the pages. -->\n"
)

// A guest notes what each page is called, and in which order they come.
type guest struct {
	ui.UI
	titles map[string]string
	met    []string
}

func (g *guest) Ask(ctx context.Context, pg *ui.Page) (string, error) {
	name, _, _ := strings.Cut(pg.Key, ".")
	g.meet(name, heading(pg))
	return g.UI.Ask(ctx, pg)
}

func (g *guest) Watch(ctx context.Context, title string, work func(context.Context, func(ui.Tasks)) error) error {
	g.meet("run", title)
	return g.UI.Watch(ctx, title, work)
}

func (g *guest) meet(name, title string) {
	if g.titles[name] == "" {
		g.titles[name] = title
	}
	if !slices.Contains(g.met, name) {
		g.met = append(g.met, name)
	}
}

// heading is the first sentence of a page.
func heading(pg *ui.Page) string {
	body := pg.Body
	if pg.Live != nil {
		body = pg.Live()
	}
	for _, b := range body {
		if (b.Kind == ui.Strong || b.Kind == ui.Text) && b.Text != "" {
			first, _, more := strings.Cut(b.Text, ". ")
			if more {
				first += "."
			}
			return strings.TrimSuffix(first, ":")
		}
	}
	return pg.Title
}

// A section is what the guide says of one page.
type section struct{ name, title, picture, text string }

func (s section) String() string {
	return fmt.Sprintf("<!-- page: %s -->\n### %s\n\n%s\n\n%s\n", s.name, s.title, s.picture, s.text)
}

// golden are the pages as the front end's own tests know them.
const golden = "ui/tui/testdata/80x25/"

// picture is one of the real screen, or else the page as text.
func picture(title, name string) string {
	png := "screens/" + name + "-1024x768.png"
	if _, err := os.Stat("../docs/" + png); err == nil {
		return fmt.Sprintf("![%s](%s)", title, png)
	}
	for _, pattern := range []string{name + ".txt", name + ".disk.txt", "*." + name + ".txt"} {
		if found, _ := filepath.Glob(golden + pattern); len(found) > 0 {
			return fmt.Sprintf("[The page as text](../wizard/%s)", found[0])
		}
	}
	return ""
}

var marks = regexp.MustCompile(`<!-- page: (\S+) -->\n### .*\n\n(?:!?\[.*\]\(.*\)\n\n)?`)

// told is what people have written of each page.
func told(pages string) map[string]string {
	all := map[string]string{}
	at := marks.FindAllStringSubmatchIndex(pages, -1)
	for i, m := range at {
		end := len(pages)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		all[pages[m[2]:m[3]]] = strings.TrimSpace(pages[m[1]:end]) + "\n"
	}
	return all
}

// TestGuide: the buyer's guide has every page that a buyer meets, in the order in which they come,
// by the name that it has on the screen, with its picture. What is said of a page is written there by
// hand; a new one must be written of, one that is gone must go.
func TestGuide(t *testing.T) {
	data, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), guideBegin)
	pages, after, ok2 := strings.Cut(rest, guideEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no pages", guide)
	}
	titles := map[string]string{}
	var plain []string // what every buyer meets
	for _, c := range wizardtest.Conversations {
		g := &guest{titles: titles}
		p := wizardtest.NewPerson(wizardtest.New())
		if err := c.Talk(p, "en", func() ui.UI { g.UI = wizardtest.Bare(p); return g }); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if c.Name == "language" {
			plain = g.met
		}
	}
	if plain[len(plain)-1] != "done" {
		t.Fatalf("a buyer does not come to the end: %q", plain)
	}
	written := told(pages)
	var all strings.Builder
	order := append(wizard.Questions(), "run", "restart", "done")
	for _, name := range order {
		s := section{name: name, title: titles[name], text: written[name]}
		if s.title == "" {
			t.Errorf("nobody has met the page %q", name)
		}
		if s.text == "" {
			t.Errorf("%s: write what the page %q is about, under its name", guide, name)
		}
		if s.picture = picture(s.title, name); s.picture == "" {
			t.Errorf("the page %q has no picture in docs/screens or %s", name, golden)
		}
		all.WriteString(s.String())
		delete(written, name)
	}
	for name := range written {
		t.Errorf("%s tells of the page %q, which is none of a buyer's", guide, name)
	}
	i := 0
	for _, name := range plain { // the table's order is that of a person's
		at := slices.Index(order, name)
		if at < i {
			t.Errorf("a buyer meets %q after %q", name, order[i])
		}
		i = at
	}
	text := before + guideBegin + "\n" + all.String() + guideEnd + after
	if text == string(data) {
		return
	}
	if f := flag.Lookup("update"); f == nil || f.Value.String() != "true" {
		t.Fatalf("%s is not what the wizard asks: go test ./wizard -run Guide -update", guide)
	}
	if t.Failed() {
		return
	}
	if err := os.WriteFile(guide, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
