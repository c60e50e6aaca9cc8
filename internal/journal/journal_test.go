package journal

import (
	"bytes"
	"testing"
	"time"
)

func write(t *testing.T, file *[]byte, n int) {
	t.Helper()
	w := Continue(*file, func(b []byte) error { *file = append(*file, b...); return nil })
	for range n {
		if err := w.Add(time.Unix(1700000000, 0), Entry{Event: "begin", Step: "disk"}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAChainIsReadWhole(t *testing.T) {
	var f []byte
	write(t, &f, 3)
	write(t, &f, 2)
	e, skipped := Read(f)
	if len(e) != 5 || skipped != 0 || e[4].Seq != 4 {
		t.Fatalf("%d entries, %d skipped", len(e), skipped)
	}
}

// Cut anywhere: every whole line survives, at most the torn one is lost, and what
// is written afterwards is read.
func TestTornAnywhere(t *testing.T) {
	var f []byte
	write(t, &f, 3)
	for cut := range len(f) {
		g := bytes.Clone(f[:cut])
		whole := bytes.Count(g, []byte{'\n'})
		write(t, &g, 2)
		e, skipped := Read(g)
		if n := len(e) - whole; n != 2 && n != 3 || skipped > 1 { // 3: only the newline was lost
			t.Fatalf("cut at %d: %d entries of %d, %d skipped", cut, len(e), whole+2, skipped)
		}
	}
}

func TestAChangedLineBreaksTheChain(t *testing.T) {
	var f []byte
	write(t, &f, 3)
	g := bytes.Replace(f, []byte("disk"), []byte("card"), 1)
	e, skipped := Read(g)
	if len(e) != 1 || skipped != 2 {
		t.Fatalf("%d entries, %d skipped", len(e), skipped)
	}
	if e, skipped := Read([]byte("another program's file\n\x00\xff")); len(e) != 0 || skipped != 2 {
		t.Fatalf("%d entries, %d skipped", len(e), skipped)
	}
}

func FuzzRead(f *testing.F) {
	var j []byte
	w := Continue(nil, func(b []byte) error { j = append(j, b...); return nil })
	_ = w.Add(time.Unix(0, 0), Entry{Event: "x"})
	_ = w.Add(time.Unix(0, 0), Entry{Event: "y"})
	f.Add(j)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, _ := Read(data)
		g := bytes.Clone(data)
		if len(g) > MaxSize-2*MaxLine {
			return
		}
		if err := Continue(g, func(b []byte) error { g = append(g, b...); return nil }).Add(time.Unix(0, 0),
			Entry{Event: "z"}); err != nil {
			t.Fatal(err)
		}
		m, _ := Read(g)
		if d := len(m) - len(n); d != 1 && d != 2 {
			t.Fatalf("%d entries before, %d after one was added", len(n), len(m))
		}
	})
}
