package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestWrapKeepsColumns(t *testing.T) {
	in := "card        completed     your key\nproblem     disk          " + strings.Repeat("a long explanation ", 8)
	for _, cols := range []int{40, 80, 120} {
		for _, l := range wrap(in, cols) {
			if len(l) > cols {
				t.Errorf("%d columns of %d: %s", len(l), cols, l)
			}
		}
	}
	if got := wrap("card        completed     your key", 80); len(got) != 1 ||
		got[0] != "card        completed     your key" {
		t.Errorf("a line that fits is now %q", got)
	}
}

// Into a file or a pipe goes what was written, at once.
func TestNoPagerWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	e, p := (&Env{Stdin: strings.NewReader(""), Stdout: &out}).Paged()
	if p != nil || e.Stdout != &out {
		t.Error("a pager where nobody sits")
	}
	p.Show()
	if got := Wrap(&out, strings.Repeat("x ", 100)); strings.Contains(got, "\n") {
		t.Error("wrapped into a file")
	}
}
