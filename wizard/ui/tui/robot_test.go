package tui

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// robot is a person at the keyboard who reads the screen and presses keys.
type robot struct {
	*UI
	*wizardtest.Person
	t     *testing.T
	sim   tcell.SimulationScreen
	keys  int               // pressed
	texts map[string]string // screen by page key, the first time it is shown
	marks map[string]string // looks, the same
	look  func(p *ui.Page, text string)
	wild  *rand.Rand // presses anything; nil: knows what to do
	calm  float64    // how likely the wild one does the sensible thing next
}

func newRobot(t *testing.T, w *wizardtest.World, width, height int, mono bool) *robot {
	t.Helper()
	sim := tcell.NewSimulationScreen("UTF-8")
	if err := sim.Init(); err != nil {
		t.Fatal(err)
	}
	sim.SetSize(width, height)
	r := &robot{t: t, sim: sim, Person: wizardtest.NewPerson(w), texts: map[string]string{}, marks: map[string]string{}}
	r.UI = New(sim, cp437, nil)
	r.UI.mono, r.UI.quiet = mono, time.Millisecond
	t.Cleanup(r.UI.Close)
	return r
}

// cells calls f with every cell of the screen between two drawings.
func (r *robot) cells(f func(x, y int, c rune, st tcell.Style)) {
	r.update(func() {})
	r.update(func() {
		cells, w, h := r.sim.GetContents()
		for i := range w * h {
			c := ' '
			if len(cells[i].Runes) > 0 {
				c = cells[i].Runes[0]
			}
			f(i%w, i/w, c, cells[i].Style)
		}
	})
}

// text is the screen, without spaces at the ends of lines.
func (r *robot) text() string {
	var lines []string
	r.cells(func(x, y int, c rune, _ tcell.Style) {
		if x == 0 {
			lines = append(lines, "")
		}
		lines[y] += string(c)
	})
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// looks says which cells of the screen do not look plain: one line a run of them,
// with its line and columns, from 1.
func (r *robot) looks() string {
	var out strings.Builder
	look, from, row, last := "", 0, 0, 0
	end := func() {
		if look != "" {
			fmt.Fprintf(&out, "%2d  %2d-%-2d  %s\n", row+1, from+1, last+1, look)
		}
	}
	r.cells(func(x, y int, c rune, st tcell.Style) {
		l := describe(st)
		if l != look || y != row {
			end()
			look, from, row = l, x, y
		}
		last = x
	})
	end()
	return out.String()
}

// describe is a style in words; "" for a plain one.
func describe(st tcell.Style) string {
	fg, bg, attr := st.Decompose()
	var words []string
	for _, a := range []struct {
		mask tcell.AttrMask
		name string
	}{{tcell.AttrBold, "bold"}, {tcell.AttrReverse, "reverse"}, {tcell.AttrUnderline, "underline"},
		{tcell.AttrBlink, "blink"}, {tcell.AttrDim, "dim"}} {
		if attr&a.mask != 0 {
			words = append(words, a.name)
		}
	}
	if fg != tcell.ColorDefault {
		words = append(words, fg.Name())
	}
	if bg != tcell.ColorDefault {
		words = append(words, "on "+bg.Name())
	}
	return strings.Join(words, " ")
}

func (r *robot) press(keys ...tcell.Key) {
	for _, k := range keys {
		r.post(tcell.NewEventKey(k, 0, tcell.ModNone))
	}
}

func (r *robot) typed(s string) {
	for _, c := range s {
		r.post(tcell.NewEventKey(tcell.KeyRune, c, tcell.ModNone))
	}
}

func (r *robot) post(e *tcell.EventKey) {
	r.keys++
	for r.sim.PostEvent(e) != nil { // the queue is full
		time.Sleep(time.Millisecond)
	}
}

// page waits until a page is on the screen.
func (r *robot) page(p *ui.Page, over chan struct{}) *page {
	for range 2000 {
		select {
		case <-over: // keys that had been pressed before it came have answered it
			return nil
		default:
		}
		var v *page
		r.update(func() {
			if x, ok := r.app.GetFocus().(*page); ok && x.p == p {
				v = x
			}
		})
		if v != nil {
			return v
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Errorf("page %s does not appear", p.Key)
	return nil
}

// Ask implements ui.UI: the robot answers while the page is shown.
func (r *robot) Ask(ctx context.Context, p *ui.Page) (string, error) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		r.answer(p, over)
	}()
	id, err := r.UI.Ask(ctx, p)
	close(over)
	<-done
	return id, err
}

// Watch implements ui.UI.
func (r *robot) Watch(ctx context.Context, title string, work func(context.Context, func(ui.Tasks)) error) error {
	if r.wild != nil {
		return r.UI.Watch(ctx, title, r.disturbed(work))
	}
	r.Press = func() {
		for pausing := false; !pausing; time.Sleep(time.Millisecond) {
			r.typed("p") // not heard before the first list is drawn
			r.update(func() {
				v, ok := r.app.GetFocus().(*taskView)
				pausing = ok && v.pausing
			})
		}
	}
	return r.UI.Watch(ctx, title, r.Watched(work))
}

var word = regexp.MustCompile(`(\d+)  ([a-z]{3,8})\b`)

func (r *robot) answer(p *ui.Page, over chan struct{}) {
	v := r.page(p, over)
	if v == nil {
		return
	}
	if r.wild != nil {
		r.answerWildly(v)
		return
	}
	text := r.text()
	if _, seen := r.texts[p.Key]; !seen {
		r.texts[p.Key], r.marks[p.Key] = text, r.looks()
	}
	var lines, room int
	r.update(func() { lines, room = v.lines, v.room })
	if lines > room {
		r.t.Errorf("page %s does not fit: %d lines in %d\n%s", p.Key, lines, room, text)
	}
	if r.look != nil {
		r.look(p, text)
	}
	want, special := r.Choose(p)
	for i, in := range p.Inputs {
		if wizardtest.Types(p, want) {
			if in.Value != "" {
				r.press(tcell.KeyCtrlU)
			}
			line := r.Line(p, in, r.read(p, text))
			r.typed(line)
			if in.Twice {
				r.press(tcell.KeyEnter)
				r.typed(line)
			}
		}
		if i < len(p.Inputs)-1 {
			r.press(tcell.KeyEnter)
		}
	}
	switch {
	case want == ui.Back:
		r.press(tcell.KeyEscape)
	case want == ui.Leave:
		if r.press(tcell.KeyF10); p.Leaving != "" {
			r.press(tcell.KeyEnter)
		}
	case special:
		r.pick(v, want)
	default:
		r.press(tcell.KeyEnter)
	}
	for range 3000 {
		gone, complaint := false, ""
		r.update(func() { gone, complaint = r.app.GetFocus() != v, v.message })
		if gone {
			return
		}
		if complaint != "" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Errorf("page %s stays, after %v:\n%s", p.Key, r.Pages, r.text())
	r.press(tcell.KeyF10, tcell.KeyEscape)
}

// pick goes to a button and presses it.
func (r *robot) pick(v *page, id string) {
	focus := func() (n int) {
		r.update(func() { n = v.focus })
		return n
	}
	at := focus()
	for range len(v.fields) + len(v.p.Choices) + 1 {
		if i := at - len(v.fields); i >= 0 && v.p.Choices[i].ID == id {
			r.press(tcell.KeyEnter)
			return
		}
		r.press(tcell.KeyDown)
		before := at
		for range 3000 {
			if at = focus(); at != before {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	r.t.Errorf("page %s: no button %s", v.p.Key, id)
}

// read is the secret on the screen: its words, or what a camera sees of a code.
func (r *robot) read(p *ui.Page, text string) string {
	var words []string
	for _, m := range word.FindAllStringSubmatch(text, -1) {
		if m[1] == fmt.Sprint(len(words)+1) {
			words = append(words, m[2])
		}
	}
	if len(words) > 0 {
		return strings.Join(words, " ")
	}
	return wizardtest.Shown(p)
}

// cp437 is what the kernel's console font has.
func cp437(c rune) bool {
	return c < 0x7f || strings.ContainsRune("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥áíóúñÑªº¿¬½¼¡«»░▒▓│┤╣║╗╝┐└┴┬├─┼╚╔╩╦╠═╬┘┌█▄▌▐▀ß±°·²", c)
}

func (r *robot) run(lang string) error { return wizardtest.Run(r.W, r, lang) }

func TestTheWholeJourney(t *testing.T) {
	for _, lang := range []string{"en", "fr", "de"} {
		t.Run(lang, func(t *testing.T) {
			w := wizardtest.New()
			r := newRobot(t, w, 80, 25, false)
			if err := r.run(lang); err != nil {
				t.Fatalf("%v\n%s", err, r.text())
			}
			if err := w.Owned(r.Known()); err != nil {
				t.Fatal(err)
			}
			// Heads' own flow, for the same result: reference in docs/wizard.md.
			secrets := len(strings.Join(r.Known(), "")) + len(wizardtest.SellerPassphrase) + 6
			t.Logf("%d pages, %d keys, of which %d are secrets from paper, the seller's passphrase and six digits; %d restart",
				len(r.Pages), r.keys, secrets, 1)
			if len(r.Pages) > 15 || r.keys-secrets > 70 {
				t.Errorf("the journey has grown: %d pages, %d keys beside the secrets", len(r.Pages), r.keys-secrets)
			}
		})
	}
}
