package words

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestTheList(t *testing.T) {
	l := List()
	if len(l) != 1<<Bits || !slices.IsSorted(l) {
		t.Fatalf("%d words, sorted: %v", len(l), slices.IsSorted(l))
	}
	seen := map[string]string{}
	for _, w := range l {
		if len(w) < 3 || len(w) > MaxWord || strings.Trim(w, Keys) != "" {
			t.Errorf("%q", w)
		}
		// One letter changed, lost or added never makes another word.
		forms := []string{w + "-"}
		for i := range w {
			forms = append(forms, w[:i]+"*"+w[i+1:], w[:i]+w[i+1:]+"-")
		}
		for _, f := range forms {
			if o, ok := seen[f]; ok && o != w {
				t.Errorf("%q and %q are one letter apart", o, w)
			}
			seen[f] = w
		}
	}
}

func TestGenerate(t *testing.T) {
	a, b := Generate(7), Generate(7)
	if a.Equal(b) {
		t.Fatal("the same words twice")
	}
	for _, f := range bytes.Fields(a.Bytes()) {
		if _, ok := slices.BinarySearch(List(), string(f)); !ok {
			t.Errorf("%q is not on the list", f)
		}
	}
	if n := len(bytes.Fields(a.Bytes())); n != 7 {
		t.Fatalf("%d words", n)
	}
	if d := Digits(8); d.Len() != 8 || strings.Trim(string(d.Bytes()), "0123456789") != "" {
		t.Fatalf("%q", d.Bytes())
	}
}

func TestFirstWrong(t *testing.T) {
	for _, c := range []struct {
		typed string
		want  int
	}{{"tiger nine fox", 0}, {" tiger  nine fox ", 0}, {"TIGER NINE FOX", 0}, {"tiger nine", 3}, {"tiger mine fox", 2},
		{"", 1}, {"tiger nine fox fox", 4}} {
		if got := FirstWrong([]byte(c.typed), []byte("tiger nine fox")); got != c.want {
			t.Errorf("%q: %d, want %d", c.typed, got, c.want)
		}
	}
}
