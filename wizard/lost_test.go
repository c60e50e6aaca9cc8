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

// Whoever has lost a key is shown every name that differs from what it has signed, and nothing is
// changed before the end of the serial number was typed there. What is added later is not signed.
func TestLostKeySignsWhatWasShown(t *testing.T) {
	for _, c := range []struct {
		name, say string
		later     bool
		refused   bool
	}{{name: "typed"}, {name: "leaves", say: ui.Leave, refused: true}, {name: "more differs afterwards", later: true, refused: true}} {
		t.Run(c.name, func(t *testing.T) {
			w := wizardtest.New()
			w.LostKey, w.Files = true, "changed"
			p := wizardtest.NewPerson(w)
			p.Say["verify"], p.Say["names"] = "unproven", c.say
			u := &onPage{UI: wizardtest.Bare(p), key: "names"}
			u.look = func(pg *ui.Page) {
				var text []string
				for _, b := range pg.Body {
					text = append(text, b.Text)
				}
				if all := strings.Join(text, "\n"); !strings.Contains(all, "grub.cfg: changed") || !strings.Contains(all, "initrd-changed: added") || !pg.Alarm {
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
				if slices.Contains(w.Ops, "card.block") {
					t.Errorf("the card was erased: %v", err)
				}
			}
		})
	}
}

// TestLostKeyAndNoSignature: where nothing in /boot carries a signature by the firmware's key there is no
// list to show a difference from. Nothing is signed then, and no card erased.
func TestLostKeyAndNoSignature(t *testing.T) {
	w := wizardtest.New()
	w.LostKey, w.Set.Signer = true, strings.Repeat("E", 40)
	p := wizardtest.NewPerson(w)
	p.Say["verify"] = "unproven"
	var refused *wizard.RefusedError
	if err := wizardtest.Run(w, wizardtest.Bare(p), "en"); !errors.As(err, &refused) {
		t.Errorf("ended with %v", err)
	}
	if c := changed(w); len(c) > 0 || len(w.SignedSets) > 0 {
		t.Errorf("%q, %+v", c, w.SignedSets)
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
