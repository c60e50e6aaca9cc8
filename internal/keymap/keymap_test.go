package keymap

import (
	"os"
	"strings"
	"testing"

	"reown/internal/words"
)

func TestTablesAreWhole(t *testing.T) {
	if len(codes) != 48 {
		t.Fatalf("%d keys", len(codes))
	}
	for _, l := range Layouts {
		for name, table := range map[string]string{"plain": l.Plain, "shift": l.Shift, "altgr": l.AltGr} {
			if n := len([]rune(table)); n != len(codes) {
				t.Errorf("%s %s: %d keys", l.Name, name, n)
			}
		}
		// Every printable ASCII character can be typed, but for UK's and US's bare AltGr.
		for r := rune('!'); r < 0x7f; r++ {
			if k, _ := l.where(r); k < 0 {
				t.Errorf("%s cannot type %q", l.Name, r)
			}
		}
	}
}

// The word list's letters are exactly the small letters that no layout moves.
func TestTheWordsLettersStay(t *testing.T) {
	for r := 'a'; r <= 'z'; r++ {
		if Moves(r) == strings.ContainsRune(words.Keys, r) {
			t.Errorf("%q moves: %v; the word list uses it: %v", r, Moves(r), !Moves(r))
		}
	}
	b := words.Generate(20)
	defer b.Wipe()
	if MovesIn(b.Bytes()) {
		t.Error("made words move")
	}
	if !MovesIn([]byte("couch-relic")) || !MovesIn([]byte("lazy")) || !MovesIn([]byte("fox 7")) ||
		!MovesIn([]byte("\xff")) {
		t.Error("a character that moves is not noticed")
	}
}

func TestValues(t *testing.T) {
	for r, want := range map[rune]uint16{'a': 0x0b61, 'ß': 0x0bdf, '1': 0x31, '€': 0xd0ac, '§': 0xa7} {
		if got := value(r); got != want {
			t.Errorf("%q: %#x, want %#x", r, got, want)
		}
	}
}

func TestNoConsole(t *testing.T) {
	if _, err := Open(os.DevNull); err == nil {
		t.Error("/dev/null is taken for a console")
	}
	if _, err := Find("klingon"); err == nil {
		t.Error("an unknown layout is found")
	}
}
