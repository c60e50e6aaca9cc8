// Package tui draws the wizard's pages on a text console: the Linux console of a
// laptop's firmware, a serial terminal, or a window, from 80 by 24 characters on,
// with the keyboard only.
//
// Rules of this screen:
//
//   - everything that must be seen fits on 80 by 25 at once; what does not can be
//     scrolled, and the page says so;
//   - nothing is said by colour alone, and nothing goes away by itself;
//   - every function key has a twin for terminals without them;
//   - a secret is typed into locked memory and never becomes a string of ours;
//     what is shown passes through tcell's cells, which the next page overwrites;
//   - Ctrl-C does nothing here; a pause is asked for with P.
package tui

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"

	"reown/wizard/msg"
	"reown/wizard/ui"
)

// UI is a screen. It implements ui.UI.
type UI struct {
	app   *tview.Application
	has   func(rune) bool // nil: every rune can be shown
	caps  func() bool     // nil: not known
	mono  bool
	ended chan struct{} // closed when the application has ended
	err   error         // why, after ended
	// quiet is for how long no key must come before a page is shown that takes nothing typed before.
	quiet time.Duration
	began time.Time
	keyed atomic.Int64 // when the last key came, since began
	close func()       // puts the console back as it was
}

// New starts drawing on a screen that has been initialized. has says which runes it
// can show, caps whether Caps Lock is on; both may be nil.
func New(screen tcell.Screen, has func(rune) bool, caps func() bool) *UI {
	u := &UI{has: has, caps: caps, mono: screen.Colors() < 8, ended: make(chan struct{}), quiet: keysApart,
		began: time.Now()}
	s := newConsole(screen, has)
	u.app = tview.NewApplication().SetScreen(s).EnableMouse(false)
	u.app.SetInputCapture(func(e *tcell.EventKey) *tcell.EventKey {
		u.keyed.Store(int64(time.Since(u.began)))
		if e.Key() == tcell.KeyCtrlC {
			return nil
		}
		if e.Key() == tcell.KeyCtrlL {
			go u.app.Sync()
			return nil
		}
		return e
	})
	first := newWaitView(u, nil)
	u.app.SetRoot(first, true)
	go func() {
		defer u.crash()
		u.err = u.app.Run()
		close(u.ended)
	}()
	go first.tick()
	return u
}

// crash puts the console back before a panic ends the program.
func (u *UI) crash() {
	if p := recover(); p != nil {
		if u.close != nil {
			u.close()
		}
		panic(p)
	}
}

// Close stops drawing and puts the console back as it was.
func (u *UI) Close() {
	u.app.Stop()
	<-u.ended
	if u.close != nil {
		u.close()
	}
}

// update runs f between two drawings, or returns false when there is no screen.
func (u *UI) update(f func()) bool {
	done := make(chan struct{})
	go func() {
		u.app.QueueUpdateDraw(f)
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-u.ended:
		return false
	}
}

func (u *UI) gone() error { return ui.Ended(u.err) }

// keysApart is longer than between two strokes of a key that is held down.
const keysApart = 150 * time.Millisecond

// hush lets all that was typed so far reach what is on the screen, until no key comes any more.
func (u *UI) hush(ctx context.Context) error {
	for from := time.Since(u.began); ; {
		if !u.update(func() {}) {
			return u.gone()
		}
		left := u.quiet + max(from, time.Duration(u.keyed.Load())) - time.Since(u.began)
		if left <= 0 {
			return nil
		}
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Ask implements ui.UI.
func (u *UI) Ask(ctx context.Context, p *ui.Page) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v := newPage(ctx, u, p)
	defer v.wipe()
	if p.Trust {
		if err := u.hush(ctx); err != nil {
			return "", err
		}
	}
	if !u.update(func() { u.app.SetRoot(v, true).SetFocus(v) }) {
		return "", u.gone()
	}
	// Once a second: six digits that change, Caps Lock.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case id := <-v.result:
			u.wait(p)
			return id, nil
		case <-tick.C:
			if p.Live != nil || u.caps != nil {
				u.update(v.refresh)
			}
		case <-ctx.Done():
			return "", ctx.Err()
		case <-u.ended:
			return "", u.gone()
		}
	}
}

// Watch implements ui.UI.
func (u *UI) Watch(ctx context.Context, title string, work func(context.Context, func(ui.Tasks)) error) error {
	ctx, pause := context.WithCancel(ctx)
	defer pause()
	v := &taskView{Box: tview.NewBox(), u: u, title: title, pause: pause}
	if !u.update(func() { u.app.SetRoot(v, true).SetFocus(v) }) {
		return u.gone()
	}
	// The work never waits for the screen: it leaves the newest state here, and
	// the drawing takes what it finds.
	var mu sync.Mutex
	var newest ui.Tasks
	wake := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() {
		defer u.crash()
		done <- work(ctx, func(t ui.Tasks) {
			mu.Lock()
			newest = t
			mu.Unlock()
			select {
			case wake <- struct{}{}:
			default:
			}
		})
	}()
	draw := func() {
		mu.Lock()
		t := newest
		mu.Unlock()
		u.update(func() { v.tasks = t })
	}
	for {
		select {
		case <-wake:
			draw()
		case err := <-done:
			draw()
			return err
		}
	}
}

// style of the frame's parts. Only bold and reverse, and colour where it adds to
// words: underline and blinking look wrong on the Linux console.
func (u *UI) style(kind int) tcell.Style {
	st := tcell.StyleDefault
	switch kind {
	case styleTitle, styleFocus:
		return st.Reverse(true)
	case styleStrong:
		return st.Bold(true)
	case styleAlarm:
		if u.mono {
			return st.Bold(true).Reverse(true)
		}
		return st.Foreground(tcell.ColorRed).Bold(true)
	case styleGood:
		if !u.mono {
			return st.Foreground(tcell.ColorGreen)
		}
	case styleUnsure:
		if !u.mono {
			return st.Foreground(tcell.ColorYellow).Bold(true)
		}
	}
	return st
}

const (
	stylePlain = iota
	styleTitle
	styleFocus
	styleStrong
	styleAlarm
	styleGood
	styleUnsure
)

// markStyle colours a mark that says the same in words.
func markStyle(m ui.Mark) int {
	switch m {
	case ui.OK:
		return styleGood
	case ui.Bad:
		return styleAlarm
	case ui.Unsure:
		return styleUnsure
	}
	return stylePlain
}

// The design size. Larger screens get margins, not more text.
const (
	designWidth  = 80
	designHeight = 25
	minWidth     = 80
	minHeight    = 24
	textWidth    = 76
)

// area is the part of the screen that a page uses.
func area(s tcell.Screen) (x, y, w, h int, ok bool) {
	sw, sh := s.Size()
	w, h = min(sw, designWidth), min(sh, designHeight)
	return (sw - w) / 2, (sh - h) / 2, w, h, w >= minWidth && h >= minHeight
}

// put draws text and returns the column after it; nothing beyond the limit.
func put(s tcell.Screen, x, y, limit int, text string, st tcell.Style) int {
	for _, r := range text {
		if x >= limit {
			break
		}
		s.SetContent(x, y, r, nil, st)
		x++
	}
	return x
}

func fillRow(s tcell.Screen, x, y, w int, r rune, st tcell.Style) {
	for i := range w {
		s.SetContent(x+i, y, r, nil, st)
	}
}

func tooSmall(s tcell.Screen, l msg.Lang) {
	w, h := s.Size()
	for i, line := range ui.Wrap(msg.TooSmall.In(l), max(w, 1)) {
		if i < h {
			put(s, 0, i, w, line, tcell.StyleDefault)
		}
	}
}
