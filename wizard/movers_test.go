package wizard

import (
	"testing"

	"reown/internal/keymap"
	"reown/internal/secret"
)

type layouts struct{}

func (layouts) Layouts() []string      { return nil }
func (layouts) Load(string) error      { return nil }
func (layouts) Moves(text []byte) bool { return keymap.MovesIn(text) }

func TestCharactersThatMoveArePointedOut(t *testing.T) {
	for text, want := range map[string]string{
		"couch relic": "", "zany-Quiz 7z": "- 7 Q a y z", "été\x00\xff": "\x00 \u00e9 \ufffd", "a": "a", "\xff": "\ufffd",
		"": "",
	} {
		s := secret.From([]byte(text))
		got := movers(layouts{}, s)
		if want == "" {
			if got != nil {
				t.Errorf("%q: %q", text, got.Bytes())
			}
			continue
		}
		if got == nil || string(got.Bytes()) != want {
			t.Errorf("%q: %q, want %q", text, got.Bytes(), want)
		}
		got.Wipe()
	}
}
