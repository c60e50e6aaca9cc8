package wizard

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the diagram in docs/wizard.md")

// reach is every place that rows lead to from here, one after the other.
func reach(from place, rows []row, skip func(row) bool) map[place]bool {
	seen, next := map[place]bool{from: true}, []place{from}
	for len(next) > 0 {
		p := next[0]
		next = next[1:]
		for _, r := range rows {
			if r.from == p && !seen[r.to] && (skip == nil || !skip(r)) {
				seen[r.to] = true
				next = append(next, r.to)
			}
		}
	}
	return seen
}

// working is a page or a step from which the work may have begun.
func working() map[place]bool {
	all := reach(at(Steps()[0]), table, nil)
	for p := range all {
		if p.end() {
			delete(all, p)
		}
	}
	return all
}

// TestTableIsClosed: the table knows exactly the places that there are, each is reached,
// and no event leads nowhere.
func TestTableIsClosed(t *testing.T) {
	all := places()
	known := map[place]bool{}
	for _, p := range all {
		if known[p] {
			t.Errorf("%s is there twice", p)
		}
		known[p] = true
		if _, ok := pages[p]; !ok && p.step() < 0 && !p.end() {
			t.Errorf("%s is no page, no step and no end", p)
		}
	}
	for p := range pages {
		if !known[p] {
			t.Errorf("the page %s is no place", p)
		}
	}
	for _, r := range table {
		if !known[r.from] || !known[r.to] || r.from.end() || (r.when.name == "") != (r.when.holds == nil) {
			t.Errorf("a row that cannot be: %+v", r)
		}
	}
	reached := reach(pageLanguage, table, nil)
	for p := range known {
		if !reached[p] {
			t.Errorf("%s is never reached", p)
		}
	}
}

// TestNoRowIsHidden: no row stands behind one that always holds before it.
func TestNoRowIsHidden(t *testing.T) {
	for i, r := range table {
		for _, before := range table[:i] {
			if before.from == r.from && before.on == r.on && (before.when.holds == nil || before.when.name == r.when.name) {
				t.Errorf("%s, %s: %q never leads to %s", r.from, r.on, r.when.name, r.to)
			}
		}
	}
}

// TestEachPlaceHasWays: from each there is a way on to the end, and a way out; before the
// first write also a way back, to the page before or to leave everything as it is.
func TestEachPlaceHasWays(t *testing.T) {
	work := working()
	for _, p := range places() {
		if p.end() {
			continue
		}
		on := reach(p, table, func(r row) bool { return r.on == evGone || r.on == evLeave })
		stops := on[endStopped] || on[endTampering] || on[endFailed] || on[endPaused] || on[endRestart]
		if !on[endFinished] && !stops {
			t.Errorf("%s has no way on", p)
		}
		out, back := false, p == pageLanguage || p == pageCard || p == pageTampering || p == pageClosing || p == pageStart ||
			p == pageResume
		for _, r := range table {
			if r.from != p {
				continue
			}
			out = out || r.to.end() && r.on != evGone || r.on == evPaused
			back = back || r.on == evBack || r.on == evReturn || r.on == evJump
		}
		// A page beside another one leads out by that one.
		if !out && !back && !work[p] {
			t.Errorf("%s has no way out", p)
		}
		if !work[p] && !back {
			t.Errorf("%s has no way back", p)
		}
	}
	for _, p := range []place{pageRestart, pageDone, pageFailed} {
		if !reach(p, table, nil)[endFailed] {
			t.Errorf("%s cannot be told that the front end is gone", p)
		}
	}
}

// irrevocable are the steps in the only order in which a cut leaves a machine that can be
// ended: what each of them takes away, those after it do not need any more.
var irrevocable = []string{"preflight", "card", "disk", "tpm", "seal", "duk", "boot", "firmware", "commit"}

// TestStepsOnlyInTheirOrder: a step is reached from the one before it and from no page,
// but the first one, which begins again after every interruption.
func TestStepsOnlyInTheirOrder(t *testing.T) {
	if err := ordered(table); err != nil {
		t.Error(err)
	}
	if !slices.EqualFunc(Steps(), irrevocable, func(s Step, id string) bool { return s.ID == id }) {
		t.Errorf("the steps are in another order")
	}
	// Each step that is moved, left out or reached by another way is found.
	for i := range irrevocable {
		for k := range irrevocable {
			bad := append(slices.Clone(table), row{place(stepPrefix + irrevocable[i]), evDone, always,
				place(stepPrefix + irrevocable[k])})
			if err := ordered(bad); k != i+1 && err == nil {
				t.Errorf("nobody sees that %s leads to %s", irrevocable[i], irrevocable[k])
			}
		}
		for p := range pages {
			if err := ordered(append(slices.Clone(table),
				row{p, evAnswer, always, place(stepPrefix + irrevocable[i])})); i > 0 && err == nil {
				t.Errorf("nobody sees that the page %s leads to %s", p, irrevocable[i])
			}
		}
	}
}

// ordered says which row leads to a step out of the order.
func ordered(rows []row) error {
	for _, r := range rows {
		id, is := strings.CutPrefix(string(r.to), stepPrefix)
		if !is {
			continue
		}
		to := slices.Index(irrevocable, id)
		from := slices.Index(irrevocable, strings.TrimPrefix(string(r.from), stepPrefix))
		switch {
		case to < 0:
			return fmt.Errorf("the step %q has no place in the order", id)
		case from >= 0 && (to != from+1 || r.on != evDone && r.on != evLater):
			return fmt.Errorf("%s leads to %s by %s", r.from, r.to, r.on)
		case from < 0 && to != 0:
			return fmt.Errorf("the page %s leads to %s", r.from, r.to)
		case from < 0 && r.on != evAnswer && r.on != evPass && r.on != evKnown:
			return fmt.Errorf("the page %s leads to the work by %s", r.from, r.on)
		}
	}
	return nil
}

// TestChapters: the number of a page does not go down on the way, and all are used.
func TestChapters(t *testing.T) {
	last, of := 0, 0
	for _, p := range onTheWay() {
		n, all := number(p)
		if n == 0 {
			continue
		}
		if n < last || n > last+1 {
			t.Errorf("%s is number %d after %d", p, n, last)
		}
		last, of = n, all
	}
	if last != of || of != int(chLast) {
		t.Errorf("the last is %d of %d, and there are %d", last, of, chLast)
	}
	for p, pg := range pages {
		if n, _ := number(p); pg.chapter != unnumbered && n == 0 {
			t.Errorf("%s is in a chapter without a number", p)
		}
	}
}

// TestDiagram: docs/wizard.md has the table as it is.
func TestDiagram(t *testing.T) {
	const file, begin, end = "../docs/wizard.md",
		"<!-- made from wizard/table.go: go test ./wizard -run Diagram -update -->\n", "<!-- end -->\n"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a, b := bytes.Index(doc, []byte(begin)), bytes.Index(doc, []byte(end))
	if a < 0 || b < a {
		t.Fatal("docs/wizard.md has no place for the diagram")
	}
	a += len(begin)
	want := diagram()
	if *update {
		if err := os.WriteFile(file, slices.Concat(doc[:a], []byte(want), doc[b:]), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(doc[a:b]) != want {
		t.Error("docs/wizard.md shows another table: go test ./wizard -run Diagram -update")
	}
}

// diagram is the way of the two journeys, and what leads off it, as text. The pages of one
// kind that there is for each secret are written as one.
func diagram() string {
	short := func(p place) string {
		s := string(p)
		for _, id := range secretIDs {
			for _, k := range []place{pagePaper, pageChoose, pageMoves, pageRecord} {
				if p == k.of(id) {
					return string(k) + "*"
				}
			}
		}
		return s
	}
	var b strings.Builder
	way := func(title string, all []place) {
		fmt.Fprintf(&b, "%s\n", title)
		line := "   "
		last := ""
		for _, p := range append(slices.Clone(all), at(Steps()[0])) {
			name := short(p)
			if strings.HasSuffix(name, "*") {
				if name = "secrets*"; name == last {
					continue
				}
			}
			last = name
			if _, ok := notNeeded[p]; ok {
				name = "[" + name + "]"
			}
			if len(line)+len(name) > 100 {
				fmt.Fprintln(&b, line)
				line = "   "
			}
			if line += " " + name; p != at(Steps()[0]) {
				line += " ->"
			}
		}
		fmt.Fprintf(&b, "%s\n\n", line)
	}
	b.WriteString("```text\n")
	way("A delivered machine, its questions forward and back ([ ]: passed where it is not needed):", onTheWay())
	way("An interrupted run:", onTheWayBack())
	b.WriteString("secrets*: for each of " + strings.Join(secretIDs, ", ") +
		" one of [paper.*], [choose.*], [record.*]\n\n")
	b.WriteString("All other rows. Each place also: gone -> end failed. Each page of the questions also: leave -> end paused\n" +
		"(a run was begun), or end left.\n")
	onWay := map[[2]place]bool{}
	for _, w := range [][]place{onTheWay(), onTheWayBack()} {
		for i := range w[1:] {
			onWay[[2]place{w[i], w[i+1]}], onWay[[2]place{w[i+1], w[i]}] = true, true
		}
		onWay[[2]place{w[len(w)-1], at(Steps()[0])}] = true
	}
	var keys []string // from, to and guard
	ons := map[string][]string{}
	for _, r := range table {
		if r.on == evGone && r.to == endFailed || r.on == evLeave && pages[r.from].leave != stays ||
			onWay[[2]place{r.from, r.to}] && r.on != evAside {
			continue
		}
		key := fmt.Sprintf("    %-15s %%-15s -> %s", short(r.from), short(r.to))
		if r.when.holds != nil {
			key += "  (" + r.when.name + ")"
		}
		if ons[key] == nil {
			keys = append(keys, key)
		}
		if on := r.on.String(); !slices.Contains(ons[key], on) {
			ons[key] = append(ons[key], on)
		}
	}
	for _, k := range keys {
		fmt.Fprintf(&b, k+"\n", strings.Join(ons[k], ", "))
	}
	b.WriteString("```\n")
	return b.String()
}
