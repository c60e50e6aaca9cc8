package wizard_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// Who has lost a key is shown every name that differs from what it has signed, or all names where it has
// signed none, and nothing is changed before the end of the serial number was typed there. What is changed
// later is not signed, though its name was shown.
func TestLostKeySignsWhatWasShown(t *testing.T) {
	for _, tree := range []struct {
		name, shows string
		make        func(*wizardtest.World)
	}{
		{"differs", "initrd-new: added", func(w *wizardtest.World) { w.Files = "changed" }},
		{"unsigned", "vmlinuz: not signed", func(w *wizardtest.World) { w.Set.Signer = strings.Repeat("E", 40) }},
	} {
		for _, c := range []struct {
			name, say string
			later     bool
			refused   bool
		}{{name: "typed"}, {name: "leaves", say: ui.Leave, refused: true},
			{name: "changed afterwards", later: true, refused: true}} {
			t.Run(tree.name+", "+c.name, func(t *testing.T) {
				w := wizardtest.New()
				w.LostKey = true
				tree.make(w)
				p := wizardtest.NewPerson(w)
				p.Say["verify"], p.Say["names"] = "unproven", c.say
				u := &onPage{UI: wizardtest.Bare(p), key: "names"}
				u.look = func(pg *ui.Page) {
					var text []string
					for _, b := range pg.Body {
						text = append(text, b.Text)
					}
					if all := strings.Join(text, "\n"); !strings.Contains(all, tree.shows) || !strings.Contains(all, "grub.cfg") ||
						!pg.Alarm {
						t.Errorf("the page does not name what differs:\n%s", all)
					}
					if len(changed(w)) > 0 {
						t.Errorf("changed before: %v", changed(w))
					}
					if c.later {
						w.Fault = func(string) error { w.Files = "changed again"; return nil }
					}
				}
				err := wizardtest.Run(w, u, "en")
				switch {
				case !u.seen:
					t.Fatalf("the page is not shown: %v, %v", p.Pages, err)
				case !c.refused && err != nil:
					t.Fatal(err)
				case !c.refused:
					if err := w.Owned(p.Known()); err != nil {
						t.Error(err)
					}
				case err == nil:
					t.Fatal("no error")
				default:
					var refused *wizard.RefusedError
					if c.later != errors.As(err, &refused) {
						t.Errorf("ended with %v", err)
					}
					if slices.Contains(w.Ops, "card.block") || len(w.SignedSets) > 0 {
						t.Errorf("the card was erased or something signed: %v", err)
					}
				}
			})
		}
	}
}

// onPage looks at one page.
type onPage struct {
	ui.UI
	key  string
	look func(*ui.Page)
	seen bool
}

func (o *onPage) Ask(ctx context.Context, pg *ui.Page) (string, error) {
	if pg.Key == o.key && !o.seen {
		o.seen = true
		o.look(pg)
	}
	return o.UI.Ask(ctx, pg)
}
