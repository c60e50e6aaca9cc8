package tui

import (
	"time"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"

	"reown/internal/escape"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// waitView stands between two pages: what was on the screen is gone, and when the
// next page takes a while, the person reads what is being done.
type waitView struct {
	*tview.Box
	u     *UI
	p     *ui.Page // the page before; nil: none yet, and the language is not known
	began time.Time
}

// patience is how long nothing is said: most pages follow each other at once.
const patience = 300 * time.Millisecond

func newWaitView(u *UI, p *ui.Page) *waitView {
	return &waitView{Box: tview.NewBox(), u: u, p: p, began: time.Now()}
}

// wait takes a page off the screen, and says after a moment what is being done,
// until something else is shown.
func (u *UI) wait(p *ui.Page) {
	v := newWaitView(u, p)
	if u.update(func() { u.app.SetRoot(v, true).SetFocus(v) }) {
		go v.tick()
	}
}

// tick draws the view again while it is shown.
func (v *waitView) tick() {
	for shown, next := true, patience; shown; next = time.Second {
		select {
		case <-time.After(next):
		case <-v.u.ended:
			return
		}
		if !v.u.update(func() { shown = v.HasFocus() }) {
			return
		}
	}
}

// Draw implements tview.Primitive.
func (v *waitView) Draw(s tcell.Screen) {
	x, y, w, _, ok := area(s)
	s.Fill(' ', tcell.StyleDefault)
	waited := time.Since(v.began)
	if !ok || waited < patience {
		return
	}
	if v.p == nil {
		for i, l := range msg.Langs {
			put(s, x+2, y+4+i, x+w, msg.PleaseWait.In(l.Lang), v.u.style(styleStrong))
		}
		return
	}
	st := v.u.style(styleTitle)
	fillRow(s, x, y, w, ' ', st)
	put(s, x+1, y, x+w, escape.Text(v.p.Title), st)
	fillRow(s, x, y+2, w, '-', tcell.StyleDefault)
	text := msg.PleaseWait.In(v.p.Lang)
	if n := int(waited.Seconds()); n > 1 {
		text += "  " + msg.WaitSeconds.In(v.p.Lang, n)
	}
	put(s, x+2, y+4, x+w, text, v.u.style(styleStrong))
	for i, l := range ui.Wrap(v.p.Wait, textWidth) {
		put(s, x+2, y+6+i, x+w, l, tcell.StyleDefault)
	}
}
