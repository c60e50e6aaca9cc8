package tui

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// settle waits until every key that was pressed has been handled.
func (r *robot) settle() {
	done := make(chan struct{})
	before := r.app.GetInputCapture()
	r.app.SetInputCapture(func(e *tcell.EventKey) *tcell.EventKey {
		if e.Key() == tcell.KeyF64 {
			close(done)
			return nil
		}
		return before(e)
	})
	for r.sim.PostEvent(tcell.NewEventKey(tcell.KeyF64, 0, tcell.ModNone)) != nil {
		time.Sleep(time.Millisecond)
	}
	<-done
	r.app.SetInputCapture(before)
}

// state is what a person sees of a page without reading it.
func (r *robot) state(v *page) (gone, busy, overlay bool, focus int, message string) {
	r.update(func() {
		gone, busy, overlay, focus, message = r.app.GetFocus() != v, v.busy, v.overlay != "", v.focus, v.message
	})
	return
}

func (r *robot) resize() {
	w, h := 80, 25
	if r.wild.IntN(2) == 0 {
		w, h = 1+r.wild.IntN(200), 1+r.wild.IntN(60)
	}
	r.sim.SetSize(w, h)
	_ = r.sim.PostEvent(tcell.NewEventResize(w, h))
}

// anything presses keys at random.
func (r *robot) anything(v *page) {
	keys := []tcell.Key{tcell.KeyF1, tcell.KeyF2, tcell.KeyF5, tcell.KeyF6, tcell.KeyF7, tcell.KeyTab, tcell.KeyBacktab,
		tcell.KeyUp, tcell.KeyDown, tcell.KeyLeft, tcell.KeyRight,
		tcell.KeyPgDn, tcell.KeyPgUp, tcell.KeyBackspace2, tcell.KeyCtrlU, tcell.KeyCtrlC, tcell.KeyCtrlL, tcell.KeyCtrlD,
		tcell.KeyHome, tcell.KeyDelete, tcell.KeyInsert}
	switch n := r.wild.IntN(20); {
	case n < 10:
		r.press(keys[r.wild.IntN(len(keys))])
	case n < 13:
		r.typed([]string{"x", "wrong thing", "couch relic", "?", "=", "é€\u0301", "000000", "\x00\x7f"}[r.wild.IntN(8)])
	case n < 15:
		r.resize()
	case n < 18:
		r.press(tcell.KeyEnter)
	case n < 19:
		r.press(tcell.KeyEscape)
	default:
		if r.wild.IntN(3) == 0 {
			r.press(tcell.KeyF10)
		}
	}
}

// answerWildly presses anything, and the right thing in the end.
func (r *robot) answerWildly(v *page) {
	for n := 0; n < 60; n++ {
		r.settle()
		gone, busy, _, _, _ := r.state(v)
		switch {
		case gone:
			return
		case busy:
			time.Sleep(time.Millisecond)
			n--
		case r.wild.Float64() < r.calm:
			r.sensibly(v)
		default:
			r.anything(v)
		}
	}
	r.t.Errorf("page %s stays, after %v:\n%s", v.p.Key, r.Pages, r.text())
	r.press(tcell.KeyF10, tcell.KeyEscape)
}

// sensibly does what the page asks for, whatever has been pressed before.
func (r *robot) sensibly(v *page) {
	if r.sim.SetSize(80, 25); true {
		_ = r.sim.PostEvent(tcell.NewEventResize(80, 25))
	}
	if _, _, overlay, _, _ := r.state(v); overlay {
		r.press(tcell.KeyEnter)
		r.settle()
	}
	want := r.sensible(v.p)
	for i, f := range v.fields {
		for n := 0; ; n++ {
			r.settle()
			gone, _, _, focus, _ := r.state(v)
			if gone || n > 100 {
				return
			}
			if focus == i {
				break
			}
			r.press(tcell.KeyDown)
		}
		r.press(tcell.KeyCtrlU)
		if wizardtest.Types(v.p, want) {
			r.settle()
			r.typed(r.Line(v.p, f.in, r.read(v.p, r.text())))
		}
	}
	at := len(v.fields) + slices.IndexFunc(v.p.Choices, func(c ui.Choice) bool { return c.ID == want })
	for n := 0; ; n++ {
		r.settle()
		gone, _, _, focus, _ := r.state(v)
		if gone || n > 100 {
			return
		}
		if focus == at {
			break
		}
		r.press(tcell.KeyDown)
	}
	r.press(tcell.KeyEnter)
	for range 3000 {
		if gone, busy, _, _, message := r.state(v); gone || !busy && message != "" {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// sensible is what leads on.
func (r *robot) sensible(p *ui.Page) string {
	tries := r.W.Tries
	switch {
	case p.Alarm && (p.Key == "verify" || p.Key == "resume"):
		return "unproven" // a chip that was cut while it was written
	case p.Key == "resume" && (tries[0] == 0 || tries[2] == 0) &&
		slices.ContainsFunc(p.Choices, func(c ui.Choice) bool { return c.ID == "anew" }):
		return "anew"
	}
	id, _ := r.Choose(p)
	return id
}

// disturbed lets the wild one press keys while work runs.
func (r *robot) disturbed(work func(context.Context, func(ui.Tasks)) error) func(context.Context,
	func(ui.Tasks)) error {
	return func(ctx context.Context, show func(ui.Tasks)) error {
		return work(ctx, func(t ui.Tasks) {
			show(t)
			if r.wild.Float64() < r.calm {
				return
			}
			r.resize()
			r.press(tcell.KeyCtrlC, tcell.KeyEscape, tcell.KeyEnter)
			if r.wild.IntN(20) == 0 {
				r.typed("p")
			}
		})
	}
}

// Whatever keys are pressed, on screens of any size, and wherever the power is cut:
// the laptop stays somebody's who has its secrets on paper, and becomes theirs when
// they at last do what they are asked.
func TestWildPeople(t *testing.T) {
	walks := 12
	if os.Getenv("REOWN_SOAK") == "1" {
		walks = 1000
	}
	keys, pages, cuts, runs := 0, 0, 0, 0
	for seed := range walks {
		w := wizardtest.New()
		r := newRobot(t, w, 80, 25, seed%2 == 0)
		r.wild = rand.New(rand.NewPCG(uint64(seed), 77))
		for try := 0; w.Oem; try++ {
			if try > 12 {
				t.Fatalf("walk %d does not end; pages %v", seed, r.Pages)
			}
			r.calm, r.Pages, r.Say = min(0.4+0.1*float64(try), 1), nil, map[string]string{}
			if r.wild.IntN(3) == 0 && try < 6 {
				w.Cut(r.wild.IntN(130))
				cuts++
			}
			runs++
			err := wizardtest.Run(w, r, []string{"en", "fr", "de", ""}[r.wild.IntN(4)])
			pages += len(r.Pages)
			if errors.Is(err, wizard.ErrTampering) || errors.Is(err, ui.ErrScreen) {
				t.Fatalf("walk %d, try %d: %v after %v", seed, try, err, r.Pages)
			}
			if lost := w.Intact(r.Known()); lost != nil {
				t.Fatalf("walk %d, try %d (%v): %v\npages %v", seed, try, err, lost, r.Pages)
			}
			w.Reboot()
		}
		if err := w.Owned(r.Known()); err != nil {
			t.Fatalf("walk %d: %v", seed, err)
		}
		keys += r.keys
		if t.Failed() {
			t.Fatalf("walk %d", seed)
		}
		r.UI.Close()
	}
	t.Logf("%d people, %d runs, %d cuts, %d sensible answers, %d keys", walks, runs, cuts, pages, keys)
}
