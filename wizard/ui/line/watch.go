package line

import (
	"context"
	"fmt"
	"strings"
	"time"

	"reown/internal/escape"
	"reown/wizard/ui"
)

// teller says how far a run is: a line when a step changes, and now and then one about
// the progress.
type teller struct {
	u      *UI
	every  time.Duration
	last   map[string]ui.TaskState
	notes  string
	spoken time.Time
}

func (l *teller) show(t ui.Tasks) {
	l.u.mu.Lock()
	defer l.u.mu.Unlock()
	for _, x := range t.Tasks {
		if old, seen := l.last[x.Title]; x.State == old && seen && (!x.Bar || time.Since(l.spoken) < l.every) {
			continue
		}
		l.last[x.Title] = x.State
		if x.State == ui.NotStarted || x.State == ui.NotNeeded {
			continue
		}
		text := x.Title + ": " + x.Status
		if x.Bar && x.Total > 0 {
			text += fmt.Sprintf(" %d%%", int(float64(x.Done)/float64(x.Total)*100))
			l.spoken = time.Now()
		}
		if x.Detail != "" {
			text += ", " + x.Detail
		}
		l.u.wrap(text)
	}
	if n := strings.Join(t.Notes, "\n"); n != l.notes {
		if l.notes = n; n != "" {
			l.u.wrap(n)
		}
	}
}

// Watch implements ui.UI. "p" and Enter asks for a pause.
func (u *UI) Watch(ctx context.Context, title string, work func(context.Context, func(ui.Tasks)) error) error {
	ctx, pause := context.WithCancel(ctx)
	defer pause()
	l := &teller{u: u, every: u.Every, last: map[string]ui.TaskState{}}
	if l.every == 0 {
		l.every = 30 * time.Second
	}
	u.say("")
	u.say("== " + escape.Text(title))
	done := make(chan error, 1)
	go func() { done <- work(ctx, l.show) }()
	u.start.Do(func() { go u.read() })
	lines := u.lines
	for {
		select {
		case err := <-done:
			return err
		case b, ok := <-lines:
			if !ok {
				lines = nil // the line is cut; the work goes on
				continue
			}
			if s := b.Bytes(); len(s) == 1 && (s[0] == 'p' || s[0] == 'P') {
				pause()
			}
			b.Wipe()
		}
	}
}
