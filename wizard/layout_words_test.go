package wizard_test

import (
	"context"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// noCamera asks for letters instead of the picture, and leaves when it has seen them.
type noCamera struct {
	ui.UI
	said map[string]string // by page
}

func (n *noCamera) Ask(ctx context.Context, p *ui.Page) (string, error) {
	before := n.said[p.Key]
	n.said[p.Key] = blocks(p)
	switch {
	case p.Key != "totp":
		return n.UI.Ask(ctx, p)
	case before == "":
		n.said["picture"] = blocks(p)
		return "letters", nil
	}
	return ui.Leave, nil
}

// TestNothingIsOfferedThatIsNotThere: a firmware of one layout is not said to have some to pick, and letters are
// not to be scanned.
func TestNothingIsOfferedThatIsNotThere(t *testing.T) {
	for _, keyboard := range []wizard.Keyboard{nil, wizardtest.Keyboard{}} {
		w := wizardtest.New()
		n := &noCamera{wizardtest.Bare(wizardtest.NewPerson(w)), map[string]string{}}
		if err := wizard.Run(t.Context(), w.Machine(), n, wizard.Options{Keyboard: keyboard}); err == nil {
			t.Fatal("not left")
		}
		if pick := strings.Contains(n.said["keyboard"], "pick your layout"); pick != (keyboard != nil) {
			t.Errorf("layouts %v: %s", keyboard != nil, n.said["keyboard"])
		}
		if !strings.Contains(n.said["picture"], "Scan this") || !strings.Contains(n.said["totp"], "Type these letters") {
			t.Errorf("the phone's pages say %q, then %q", n.said["picture"], n.said["totp"])
		}
	}
}
