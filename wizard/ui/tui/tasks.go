package tui

import (
	"fmt"
	"strings"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"

	"reown/internal/escape"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// taskView draws the task list while work runs.
type taskView struct {
	*tview.Box
	u       *UI
	title   string
	tasks   ui.Tasks
	pause   func()
	pausing bool
}

// Columns of the task list.
const (
	statusColumn = 2
	titleColumn  = 17
	detailColumn = 33
	barWidth     = 30
)

// Draw implements tview.Primitive.
func (v *taskView) Draw(s tcell.Screen) {
	x, y, w, h, ok := area(s)
	s.Fill(' ', tcell.StyleDefault)
	if !ok {
		tooSmall(s, v.tasks.Lang)
		return
	}
	l := v.tasks.Lang
	st := v.u.style(styleTitle)
	fillRow(s, x, y, w, ' ', st)
	put(s, x+1, y, x+w, v.title, st)
	put(s, x+1, y+1, x+w, msg.Elapsed.In(l, v.tasks.Elapsed), tcell.StyleDefault)
	fillRow(s, x, y+2, w, '-', tcell.StyleDefault)
	row := y + 4
	for _, t := range v.tasks.Tasks {
		st := tcell.StyleDefault
		switch t.State {
		case ui.InProgress:
			st = v.u.style(styleStrong)
		case ui.Completed:
			st = v.u.style(styleGood)
		case ui.Trouble, ui.CannotStart:
			st = v.u.style(styleAlarm)
		}
		put(s, x+statusColumn, row, x+titleColumn-1, t.Status, st)
		put(s, x+titleColumn, row, x+detailColumn-1, t.Title, v.u.style(styleStrong))
		if t.Bar {
			put(s, x+detailColumn, row, x+w-1, bar(t.Done, t.Total), tcell.StyleDefault)
			if t.Detail != "" {
				row++
			}
		}
		detail := ui.Wrap(escape.Text(t.Detail), w-detailColumn-2)
		for i, d := range detail[:min(len(detail), 3)] {
			if i > 0 {
				row++
			}
			put(s, x+detailColumn, row, x+w-1, d, tcell.StyleDefault)
		}
		row++
	}
	row = max(row+1, y+h-3-len(v.tasks.Notes))
	for _, n := range v.tasks.Notes {
		put(s, x+2, row, x+w-1, n, v.u.style(styleStrong))
		row++
	}
	fillRow(s, x, y+h-2, w, '-', tcell.StyleDefault)
	keys := ""
	switch {
	case v.pausing:
		keys = msg.Pausing.In(l)
	case v.tasks.CanPause:
		keys = msg.KeyPause.In(l)
	}
	put(s, x+1, y+h-1, x+w, keys, tcell.StyleDefault)
}

// bar is a progress bar in ASCII with the percentage.
func bar(done, total int64) string {
	f := 0.0
	if total > 0 {
		f = min(1, max(0, float64(done)/float64(total)))
	}
	n := int(f * barWidth)
	return fmt.Sprintf("[%s%s] %3d%%", strings.Repeat("#", n), strings.Repeat(".", barWidth-n), int(f*100))
}

// InputHandler implements tview.Primitive: only P does something.
func (v *taskView) InputHandler() func(*tcell.EventKey, func(tview.Primitive)) {
	return v.WrapInputHandler(func(e *tcell.EventKey, _ func(tview.Primitive)) {
		if e.Key() == tcell.KeyRune && (e.Rune() == 'p' || e.Rune() == 'P') && v.tasks.CanPause && !v.pausing {
			v.pausing = true
			v.pause()
		}
	})
}
