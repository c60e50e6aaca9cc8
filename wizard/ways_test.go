package wizard_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// walker is a person who goes wherever nobody has been, by the shortest way that is known. What is
// typed is right, so that every page can be left by every way.
type walker struct {
	trail   []string  // what was chosen
	follows *[]string // what somebody has chosen before; nil: goes on their own
	*person
	s                                 *scene
	pause                             int // at which time that the tasks are shown somebody asks for a pause; 0: never
	asked                             int
	seen                              map[string]int // pages of this start
	own, changed, backup, out, whence string         // what was answered, on which other pages depend
	node, did                         string
}

// chart is what is known of the ways through a scene.
type chart struct {
	leads  map[string]map[string]string // where what is done at a page has led; "" is not known yet
	order  map[string][]string          // what can be done there
	leave  bool                         // this time somebody goes away where nobody has yet
	streak int
	forth  bool
	ended  map[string]bool // at which page somebody went away, and how
}

// scene is a laptop in some state, and what happens to it.
type scene struct {
	name    string
	world   *wizardtest.World
	paper   []string
	options wizard.Options
	// begin is done before a start, and at when a page is shown for the n-th time in it, from 1.
	begin func(*wizardtest.World, *rand.Rand)
	at    func(w *wizardtest.World, page string, n int)
	// talk: only the questions count, and the work ends at once. Otherwise the questions are
	// answered as says has it, by default with the first choice, and the rest is free.
	talk, begun bool
	says        map[string]string

	chart *chart
	idle  int
}

var errGone = errors.New("gone")

// work are the pages that come when the questions are over.
func workPage(key string) bool {
	return strings.HasPrefix(key, "plug.") ||
		slices.Contains([]string{"spare", "failed", "reentry", "paused", "restart", "done", "copy", "copied"}, key)
}

// choose is what was not done here yet, else the first step to the nearest page of which that is so.
func (p *walker) choose(pg *ui.Page) string {
	if !p.s.talk && !workPage(pg.Key) {
		for _, key := range []string{fmt.Sprintf("%s#%d", pg.Key, p.seen[pg.Key]), pg.Key} {
			if id := p.s.says[key]; id == ui.Back {
				return id
			}
		}
		if id, ok := p.s.says[pg.Key]; ok && slices.ContainsFunc(pg.Choices, func(c ui.Choice) bool { return c.ID == id }) {
			return id
		}
		return pg.Choices[0].ID
	}
	ids := []string{}
	for _, c := range pg.Choices {
		ids = append(ids, c.ID)
	}
	if !pg.NoBack {
		ids = append(ids, ui.Back)
	}
	if !pg.NoLeave {
		ids = append(ids, ui.Leave)
	}
	ids = append(ids, errGone.Error())
	if p.follows != nil {
		if p.did = ids[0]; len(*p.follows) > 0 {
			p.did, *p.follows = (*p.follows)[0], (*p.follows)[1:]
		}
		return p.did
	}
	c := p.s.chart
	node := strings.Join([]string{pg.Key, p.own, p.changed, p.backup, p.out}, "|")
	if slices.Contains([]string{"clock", "stop", "entry", "unproven"}, pg.Key) {
		node += "|" + p.whence
	} else {
		p.whence = pg.Key
	}
	if p.node != "" {
		c.leads[p.node][p.did] = node
	}
	if p.node = node; c.leads[node] == nil {
		c.leads[node], c.order[node] = map[string]string{}, ids
	}
	p.did = c.next(node, p.rand, p.s.says[pg.Key])
	p.trail = append(p.trail, p.did)
	switch {
	case pg.Key == "secrets" && (p.did == "own" || p.did == "make"):
		p.own = p.did
	case pg.Key == "change":
		p.changed = p.did
	case pg.Key == "backup":
		p.backup = p.did
	case p.did == "leave-out":
		p.out = p.did
	case pg.Key == "blocked":
		p.changed = "blocked"
	}
	return p.did
}

// next is what leads to what was not done yet; who goes away does so last.
func (c *chart) next(from string, r *rand.Rand, says string) string {
	for _, ends := range []bool{c.leave, !c.leave} {
		if id := c.nearest(from, ends); id != "" {
			return id
		}
	}
	// To and fro: what was answered is not asked again.
	if c.streak--; c.streak < 0 {
		c.streak, c.forth = 1+r.IntN(9), !c.forth
	}
	all := c.order[from]
	if i := slices.Index(all, ui.Back); !c.forth && i >= 0 {
		return all[i]
	}
	if slices.Contains(all, says) {
		return says
	}
	return all[0]
}

func (c *chart) nearest(from string, ends bool) string {
	first, queue := map[string]string{from: ""}, []string{from}
	for len(queue) > 0 {
		node := queue[0]
		queue = queue[1:]
		page, _, _ := strings.Cut(node, "|")
		for _, id := range c.order[node] {
			end := id == ui.Leave || id == errGone.Error() || id == "end"
			if _, done := c.leads[node][id]; done || end != ends || end && c.ended[page+id] {
				continue
			}
			if node != from {
				return first[node]
			}
			c.leads[node][id], c.ended[page+id] = "", end
			return id
		}
		for _, id := range c.order[node] {
			to := c.leads[node][id]
			if _, known := first[to]; known || to == "" {
				continue
			}
			if first[to] = first[node]; node == from {
				first[to] = id
			}
			queue = append(queue, to)
		}
	}
	return ""
}

func (p *walker) Ask(ctx context.Context, pg *ui.Page) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if p.asked++; p.asked > 100 {
		return "", errTired
	}
	for range 3 {
		p.seen[pg.Key]++
		if p.s.at != nil {
			p.s.at(p.w, pg.Key, p.seen[pg.Key])
		}
		id := p.choose(pg)
		if id == errGone.Error() {
			return "", errGone
		}
		i := slices.IndexFunc(pg.Choices, func(c ui.Choice) bool { return c.ID == id })
		if i < 0 || !pg.Choices[i].Checks {
			return id, nil
		}
		p.fill(pg)
		for _, in := range pg.Inputs {
			switch c := p.w.Seller.Chain; {
			case in.Key == "signer" && len(c) > 0:
				in.Value = c[len(c)-1].From
			case in.Key == "card-serial":
				in.Value = p.w.Serial[len(p.w.Serial)-4:]
			}
		}
		if !complete(pg) || pg.Check != nil && pg.Check(ctx) != nil {
			if c := p.s.chart; p.node != "" {
				delete(c.leads[p.node], id)
			}
			continue
		}
		for _, in := range pg.Inputs {
			if in.Secret != nil && (strings.HasPrefix(pg.Key, "record.") || strings.HasPrefix(pg.Key, "choose.")) {
				p.paper = append(p.paper, string(in.Secret.Bytes()))
			}
		}
		return id, nil
	}
	if pg.NoLeave {
		return "", errGone
	}
	return ui.Leave, nil
}

func (p *walker) Watch(ctx context.Context, _ string, work func(context.Context, func(ui.Tasks)) error) error {
	ctx, pause := context.WithCancel(ctx)
	defer pause()
	if p.s.talk { // a pause before the first step
		pause()
	}
	n := 0
	return work(ctx, func(ui.Tasks) {
		if n++; n == p.pause {
			pause()
		}
	})
}

// filmed is a laptop at a point of a run.
type filmed struct {
	op  string
	now *wizardtest.World
}

// film is a whole run with these answers: the laptop at each point of it, and the paper.
func film(t *testing.T, w *wizardtest.World, extra map[string]string) (all []filmed, paper []string) {
	t.Helper()
	p := newPaper()
	w.Film(func(op string, now *wizardtest.World) { all = append(all, filmed{op, now}) })
	if _, err := runWithHands(w, p, extra); err != nil {
		t.Fatal(err)
	}
	w.Reboot()
	return append(all, filmed{"", w.Clone()}), p.seen
}

// before is the laptop at the first point of this name.
func before(t *testing.T, f []filmed, op string) *wizardtest.World {
	t.Helper()
	i := slices.IndexFunc(f, func(f filmed) bool { return f.op == op })
	if i < 0 {
		t.Fatalf("there is no %q", op)
	}
	return f[i].now
}

// ways are the walks that take every row of the table, as somebody has found them who tries all that
// is new to them. One line is a walk: the number of the scene, that of the start in it, and what is
// chosen on the pages that can be chosen on.
const ways = "testdata/ways.txt"

// TestEveryWayIsTaken: some way through some laptop takes each row of the table. Where the table or a
// page changes, go test ./wizard -run EveryWay -update looks for walks anew, which takes a minute.
func TestEveryWayIsTaken(t *testing.T) {
	all := map[string]bool{}
	for _, w := range wizard.Ways() {
		all[w.String()] = false
	}
	file, err := os.ReadFile(ways)
	if err != nil {
		t.Fatal(err)
	}
	scenes := scenes(t)
	var walks []walk
	for line := range strings.Lines(string(file)) {
		f := strings.Fields(line)
		w := walk{line: strings.Join(f, " ")}
		var i, start int
		if _, err := fmt.Sscan(line, &i, &start); err != nil || i >= len(scenes) {
			t.Fatalf("%q: %v", line, err)
		}
		follows := f[2:]
		scenes[i].walk(t, i, start, &follows, w.take)
		walks = append(walks, w)
		for _, n := range w.takes {
			all[n] = true
		}
	}
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		search(t, scenes, all, walks)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !all[name] {
			t.Errorf("nobody went from %s", name)
		}
	}
}

type walk struct {
	line  string
	takes []string
}

func (w *walk) take(taken wizard.Way) { w.takes = append(w.takes, taken.String()) }

// walk is one start: follows is what is chosen, nil for what nobody has chosen yet.
func (s *scene) walk(t *testing.T, scene, start int, follows *[]string, take func(wizard.Way)) *walker {
	r := rand.New(rand.NewPCG(uint64(start), uint64(scene)))
	w := s.world.Clone()
	w.Reboot()
	if s.begin != nil {
		s.begin(w, r)
	}
	p := &walker{person: &person{rand: r, w: w, calm: 1, paper: slices.Clone(s.paper)}, s: s, seen: map[string]int{},
		follows: follows}
	if !s.talk && start%2 == 1 {
		p.pause = 1 + start/2
	}
	at, fault := "", w.Fault
	w.Fault = func(op string) error {
		if step, want := inStep(op), strings.TrimPrefix(at, "step "); step != "" && step != want {
			t.Errorf("scene %d: %s happens in %q", scene, op, at)
		}
		if fault != nil {
			return fault(op)
		}
		return nil
	}
	_ = wizard.RunTraced(t.Context(), w.Machine(), p, s.options, func(w wizard.Way) {
		at = w.To
		take(w)
	})
	return p
}

// inStep is the one step in which a write may happen; "": it may elsewhere.
func inStep(op string) string {
	for prefix, step := range map[string]string{"card.generate": "card", "card.import": "card", "card.pin": "card",
		"disk.": "disk", "tpm.clear": "tpm",
		"tpm.owner": "tpm", "tpm.primary": "tpm", "tpm.anchor.define": "tpm", "tpm.anchor.open": "tpm", "tpm.seal": "seal",
		"token.set": "seal", "duk.": "duk",
		"boot.stage": "boot", "flash.": "firmware", "boot.install": "commit"} {
		if strings.HasPrefix(op, prefix) {
			return step
		}
	}
	return ""
}

// search looks for walks that take the rows that are left, and writes down those that are needed.
func search(t *testing.T, scenes []*scene, all map[string]bool, walks []walk) {
	left := func() (n int) {
		for _, taken := range all {
			if !taken {
				n++
			}
		}
		return n
	}
	for start := 0; start < 400 && left() > 0; start++ {
		for i, s := range scenes {
			if s.idle > 60 {
				continue
			}
			s.chart.leave = start%2 == 1
			var w walk
			p := s.walk(t, i, start, nil, w.take)
			if s.idle++; slices.ContainsFunc(w.takes, func(n string) bool { return !all[n] }) {
				s.idle = 0
				w.line = strings.Join(append([]string{fmt.Sprint(i), fmt.Sprint(start)}, p.trail...), " ")
				walks = append(walks, w)
			}
			for _, n := range w.takes {
				all[n] = true
			}
		}
	}
	// From the last one backwards: one whose rows the others take as well is not needed.
	times := map[string]int{}
	for _, f := range walks {
		for _, n := range slices.Compact(slices.Sorted(slices.Values(f.takes))) {
			times[n]++
		}
	}
	var lines []string
	for _, f := range slices.Backward(walks) {
		all := slices.Compact(slices.Sorted(slices.Values(f.takes)))
		if !slices.ContainsFunc(all, func(n string) bool { return times[n] == 1 }) {
			for _, n := range all {
				times[n]--
			}
			continue
		}
		lines = append(lines, f.line)
	}
	slices.Reverse(lines)
	if err := os.WriteFile(ways, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows by %d walks, %d left", len(all), len(lines), left())
}
