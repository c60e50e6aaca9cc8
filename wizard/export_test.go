package wizard

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"reown/internal/judge"
	"reown/wizard/ui"
)

// Here says whether a receipt names the machine.
func Here(r *Receipt, t *TPMInfo, disks []DiskInfo) bool { return r.here(t, disks) }

// A Way is a row of the table, as tests outside see it.
type Way struct{ From, On, When, To string }

func (w Way) String() string {
	if w.When == "" {
		return fmt.Sprintf("%s, %s -> %s", w.From, w.On, w.To)
	}
	return fmt.Sprintf("%s, %s -> %s (%s)", w.From, w.On, w.To, w.When)
}

func (r row) way() Way { return Way{string(r.from), r.on.String(), r.when.name, string(r.to)} }

// Ways are all rows of the table, in its order.
func Ways() (all []Way) {
	for _, r := range table {
		all = append(all, r.way())
	}
	return all
}

// RunTraced is Run, and tells each row that is taken.
func RunTraced(ctx context.Context, m *Machine, u ui.UI, o Options, taken func(Way)) error {
	f, err := newFlow(ctx, m, u, o)
	if err != nil {
		return err
	}
	f.visited = func(r row) { taken(r.way()) }
	return f.run(ctx)
}

// Blind has the judge see what blind makes of the facts, until the function it returns is called.
func Blind(blind func(*judge.Facts)) (restore func()) {
	decide = func(f judge.Facts) judge.Verdict {
		blind(&f)
		return judge.Judge(f)
	}
	phaseOf = func(h judge.History) (judge.Phase, judge.Reason) {
		f := judge.Facts{History: h}
		blind(&f)
		return judge.PhaseOf(f.History)
	}
	return func() { decide, phaseOf = judge.Judge, judge.PhaseOf }
}

// Questions are the pages of a machine that was delivered, in order; those for a secret once.
func Questions() (all []string) {
	for _, p := range append([]place{pageLanguage}, onTheWay()...) {
		name, _, _ := strings.Cut(string(p), ".")
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}
